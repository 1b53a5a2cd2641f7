"""Copy a store while runs write into it, so that the copy is what the store was at one moment.

Records, tables and reports change. They are copied until a look at all of them finds nothing that has changed since it
was copied. Artefacts are copied afterwards: they never change, and stood before the records that name them.
"""

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from storage.artifacts import MANIFEST, Store
from storage.errors import ArtifactError, InputError
from storage.garbage import roots

LOOKS = 120  # most looks at what changes; a store at rest takes two
PAUSE_SECONDS = 0.5  # between looks: publishing a date takes seconds
ARTIFACTS = "artifacts"  # folder of the store for what never changes
WORK = "work"  # folder of the store for checkpoints of unfinished stages, which are not copied
ALONE = ("arrivals", "notices.jsonl", "prefect-results")  # what is right whatever the rest of the store holds

State = tuple[int, int, int]  # inode, size in bytes and time of the last change (ns) of a file


@dataclass(frozen=True)
class Copying:
    """Copy files of a store; those that an earlier copy has are linked to it and take no room.

    Attributes
    ----------
    source, target : folders of the store and of the copy.
    earlier : folder of an earlier copy on the same disk; None where there is none.
    linked : copies of files that have several names in the store, by inode.
    """

    source: Path
    target: Path
    earlier: Path | None = None
    linked: dict[int, Path] = field(default_factory=dict[int, Path])

    def take(self, name: str) -> None:
        """Copy one file, with its mode and its time of change.

        Raises
        ------
        FileNotFoundError : the file is gone.
        """
        path, to = self.source / name, self.target / name
        state = path.stat()
        to.unlink(missing_ok=True)
        to.parent.mkdir(parents=True, exist_ok=True)
        known = self.linked.get(state.st_ino) or self._in_earlier(name, state)
        if known is None or not _link(known, to):
            shutil.copyfile(path, to)
            # What replaces the file meanwhile has another time, and is seen by the next look.
            os.utime(to, ns=(state.st_atime_ns, state.st_mtime_ns))
            to.chmod(state.st_mode)
        if state.st_nlink > 1:
            self.linked[state.st_ino] = to

    def _in_earlier(self, name: str, state: os.stat_result) -> Path | None:
        if self.earlier is None:
            return None
        with suppress(FileNotFoundError, NotADirectoryError):
            found = (self.earlier / name).stat()
            if (found.st_size, found.st_mtime_ns) == (state.st_size, state.st_mtime_ns):
                return self.earlier / name
        return None


def _link(known: Path, to: Path) -> bool:
    """Link a file to a copy of it; tell whether the disk of the copy can, and the file has few enough names."""
    try:
        to.hardlink_to(known)
    except OSError:
        return False
    return True


def copy_store(source: Path, target: Path, earlier: Path | None = None) -> list[str]:
    """Copy a store into a new folder, and return what is not whole in the copy, one sentence each.

    So it is in the store too, except where a publication or a removal of garbage was under way.

    Parameters
    ----------
    earlier : folder of an earlier copy, whose files are linked where size and time of change are equal.

    Raises
    ------
    InputError : the records, tables and reports changed at every look.
    """
    copying = Copying(source, target, earlier)
    (target / ARTIFACTS).mkdir(parents=True)
    for name, _ in _states(source, alone=True):
        with suppress(FileNotFoundError):
            copying.take(name)
    _copy_what_changes(copying)
    for folder in sorted((source / ARTIFACTS).glob("*/*")):
        if not folder.name.startswith(".tmp-"):
            _copy_artifact(copying, folder)
    return _problems(Store(target))


def _problems(copy: Store) -> list[str]:
    try:
        return [problem for ref in sorted(set(roots(copy, set())), key=str) for problem in copy.wrong_sizes(ref)]
    except ArtifactError as error:
        return [str(error)]


def _copy_what_changes(copying: Copying) -> None:
    """Copy records and published files until nothing has changed since it was copied.

    Raises
    ------
    InputError : something had changed at every look.
    """
    copied: dict[str, State] = {}
    for look in range(LOOKS):
        present = dict(_states(copying.source, alone=False))
        if present == copied:
            return
        for name in copied.keys() - present.keys():
            (copying.target / name).unlink(missing_ok=True)
        for name in [name for name, state in present.items() if copied.get(name) != state]:
            try:
                copying.take(name)
            except FileNotFoundError:  # replaced or removed at this moment: the next look tells
                del present[name]
        copied = present
        time.sleep(PAUSE_SECONDS if look else 0)
    raise InputError(
        f"Records, tables or reports of {copying.source} changed at each of {LOOKS} looks",
        "A copy must show what the store was at one moment",
        "copy again when fewer runs write into the store",
    )


def _states(source: Path, alone: bool) -> Iterator[tuple[str, State]]:
    """Yield the state of every finished file in what is in `ALONE`, or of what is not and changes, by name."""
    tops = [path for path in source.iterdir() if path.name not in (ARTIFACTS, WORK) and (path.name in ALONE) == alone]
    for path in (path for top in sorted(tops) for path in _below(top)):
        with suppress(FileNotFoundError):
            if not path.name.startswith(".tmp-"):
                state = path.stat()
                yield path.relative_to(source).as_posix(), (state.st_ino, state.st_size, state.st_mtime_ns)


def _below(top: Path) -> Iterator[Path]:
    """Yield a file, or every file below a folder; folders may vanish meanwhile."""
    if not top.is_dir():
        yield top
    for folder, _, names in os.walk(top):
        yield from (Path(folder) / name for name in names)


def _copy_artifact(copying: Copying, folder: Path) -> None:
    """Copy an artefact; one that is being removed is left out whole."""
    try:
        for name in _files(folder, copying.source):
            copying.take(name)
    except FileNotFoundError:
        shutil.rmtree(copying.target / folder.relative_to(copying.source), ignore_errors=True)


def _files(folder: Path, source: Path) -> Iterable[str]:
    """List the files of an artefact by name, the manifest last.

    Raises
    ------
    FileNotFoundError : the artefact is gone.
    """
    names = [path.relative_to(source).as_posix() for path in _below(folder)]
    if not names and not folder.exists():
        raise FileNotFoundError(folder)
    return sorted(names, key=lambda name: (name.endswith(f"/{MANIFEST}"), name))
