"""Tell what could not be written, where, and how much room there was.

The system's own error of a full disk names neither the file nor the disk.
"""

import errno
import math
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

# Faults of a place that cannot take a file. They stay until a person acts, so they are not retried.
FAULTS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of this user is used up",
    errno.EFBIG: "the file is larger than the file system or a limit (ulimit -f) allows",
    errno.EROFS: "the file system is read-only",
}


class WriteError(OSError):
    """Report something that could not be written because its place cannot take it. It is never retried."""

    def __str__(self) -> str:
        return str(self.strerror)


@contextmanager
def writing(thing: str, folder: Path, n_bytes: int | None = None) -> Generator[None]:
    """Say what was being written, and where, if the block fails because the place cannot take it.

    Parameters
    ----------
    thing : what is written, as the first words of a sentence: "Artefact images/…".
    folder : local folder that it is written into; it need not exist.
    n_bytes : bytes to be written, if known.

    Raises
    ------
    WriteError : the disk is full or read-only, or a quota or limit is used up.
    """
    try:
        yield
    except WriteError:  # it names the file already
        raise
    except OSError as error:
        if error.errno not in FAULTS:
            raise
        needed = "" if n_bytes is None else f", {size_text(n_bytes)} needed"
        raise WriteError(
            error.errno,
            f"{thing} could not be written into {folder}: {FAULTS[error.errno]} ({size_text(free_bytes(folder))} free"
            f"{needed})\n  rule: The disk must have room for what a run writes; `harvest plan` estimates it\n"
            "  remedy: make room, then run the same command again: what is finished is kept, and it goes on from there",
        ) from error


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the disk of a folder, or of the nearest folder above it that exists."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def size_text(n_bytes: float) -> str:
    """Write a number of bytes for people, for example `1.3 GB`."""
    power = min(4, max(1, int(math.log(max(n_bytes, 1), 1000))))
    return f"{n_bytes / 1000**power:.{1 if n_bytes < 100 * 1000**power else 0}f} {'kMGT'[power - 1]}B"
