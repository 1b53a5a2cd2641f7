"""A share that is away: its folder is there, empty, and nobody may write into it."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def unmounted(folder: Path) -> Generator[None]:
    """Take a folder's content away as an unmounted share does, until the block ends.

    Files that are open stay so, below `<folder>.away`. What was written into the empty folder, by a user whom its mode
    does not stop, is hidden when the share is back, so it is removed.
    """
    aside = folder.with_name(f"{folder.name}.away")
    folder.rename(aside)
    folder.mkdir(exist_ok=True)  # a process may have been as quick
    folder.chmod(0o555)
    try:
        yield
    finally:
        while aside.exists():
            shutil.rmtree(folder, ignore_errors=True)
            try:
                aside.rename(folder)
            except OSError:  # something was written meanwhile
                continue
