"""Find the files of a source: one walk below a root for every source, and paths and digests of files."""

import errno
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from storage.errors import AwayError, InputError
from storage.places.faults import SILENT, is_away, is_passing

# What the process may do counts, not its user: a service without rights may have been granted that of reading.
AS_THE_PROCESS = os.access in os.supports_effective_ids
# Suffixes of images that are read, and of photographs that are not, such as raw files of cameras.
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".jp2", ".j2k", ".avif"}
)
UNREAD_SUFFIXES = frozenset(
    {".heic", ".heif", ".hif", ".jxl", ".psd", ".xcf", ".dng", ".nef", ".nrw", ".cr2", ".cr3", ".arw", ".raf", ".rw2"}
    | {".orf", ".srw", ".pef"}
)
# Names that operating systems and file servers leave behind, in lower case.
LITTER = frozenset(
    {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found"}
    | {"system volume information", ".ds_store", ".trashes", ".fseventsd", ".spotlight-v100"}
)
LITTER_KIND = "leftovers of operating systems (._*, .DS_Store, Thumbs.db, __MACOSX, ...)"
HIDDEN_KIND = "hidden files and folders"
CLOSED_KIND = "folders that may not be read"
NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
ADVICE = "convert the file to 8-bit RGB"  # for a file whose pixels cannot be read as such


@dataclass(frozen=True, slots=True)
class FaultyFile:
    """An entry of a folder that cannot be read as a file.

    Attributes
    ----------
    path : its path, possibly not UTF-8.
    shown : its path relative to the root with `/`; bytes that are not UTF-8 are escaped, as in `latin_\\xe4.png`.
    reason : word of the table `rejected`, `missing_file` or `unreadable`.
    detail : what was found, in words.
    """

    path: Path
    shown: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """Every entry below a root.

    Attributes
    ----------
    files : readable files, sorted by path.
    faulty : entries that cannot be read, sorted by path.
    passed_by : number of entries that belong to no source, by kind; a folder counts as one.
    """

    files: tuple[Path, ...]
    faulty: tuple[FaultyFile, ...]
    passed_by: Counter[str]


def find_root(root: str) -> Path:
    """Return the resolved path of the folder that a source reads.

    Raises
    ------
    AwayError : there is no such folder, or it is empty.
    OSError : the disk or the network share does not answer, or the folder may not be read.
    """
    folder = Path(os.path.expanduser(root))  # noqa: PTH111 -- that of pathlib fails where there is no such user
    if not folder.is_dir():
        raise AwayError(
            f"There is no folder {folder.absolute()}",
            "The root of a source must be a folder",
            "correct `root`, or mount the share that it lies on",
        )
    refuse_away(folder)
    return folder.resolve()


def refuse_away(root: Path) -> None:
    """Refuse a root without any entry: a share that is not mounted leaves an empty folder.

    Raises
    ------
    AwayError : the folder is missing or empty.
    OSError : the disk or the network share does not answer, or the folder may not be read.
    """
    if is_away(root):
        raise AwayError(
            f"The folder {root.absolute()} is empty",
            "The root of a source must hold its files",
            "give the folder that holds them, or mount the share that it lies on",
        )


def raise_if_passing(error: Exception) -> None:
    """Raise an error of the system that may pass, because nobody knows then whether the file itself is damaged."""
    if isinstance(error, OSError) and error.errno is not None and is_passing(error):
        raise error


def raise_if_silent(error: Exception) -> None:
    """Raise an error of a disk or share that does not answer; a file that is missing or closed is told by its name."""
    if isinstance(error, OSError) and error.errno in SILENT:
        raise error


def folders_once(root: Path, onerror: Callable[[OSError], None]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield every folder below a root once, with the names of its folders and files, as `os.walk` does.

    Linked folders are followed. Names that the caller removes from the list of folders are not entered.

    Parameters
    ----------
    onerror : called with the error of a folder that cannot be listed.
    """
    seen: set[str] = set()
    for folder, names, files in os.walk(root, followlinks=True, onerror=onerror):
        real = os.path.realpath(folder)
        if real in seen:
            names.clear()
            continue
        seen.add(real)
        yield folder, names, files


def walk_files(root: Path) -> FoundFiles:
    """Sort every entry below a folder into readable files, faulty entries, and counts of the others.

    Linked folders are followed, and each folder is read once. Hidden entries and leftovers of operating systems are
    counted, and hidden folders are not entered. A folder with the name of an image is faulty, and is entered.

    Raises
    ------
    AwayError : the root went away during the walk.
    OSError : the disk or the network share does not answer.
    """
    files: list[Path] = []
    faulty: list[FaultyFile] = []
    passed_by: Counter[str] = Counter()

    def count_closed(error: OSError) -> None:
        if error.errno == errno.EACCES:
            passed_by[CLOSED_KIND] += 1
        elif error.errno != errno.ENOENT:  # a folder may vanish during the walk
            raise error

    for folder, names, entries in folders_once(root, count_closed):
        kinds = [kind for name in (*names, *entries) if (kind := kind_passed_by(name))]
        passed_by.update(kinds)
        names[:] = sorted(name for name in names if not kind_passed_by(name))
        for name in [name for name in names if is_photograph(name)] + entries:
            if kind_passed_by(name):
                continue
            path = Path(folder, name)
            if (fault := find_fault(path, root)) is None:
                files.append(path)
            else:
                faulty.append(FaultyFile(path, shown_path(path, root), *fault))
    refuse_away(root)  # folders that vanish during the walk are passed over, but not all of them
    return FoundFiles(tuple(sorted(files)), tuple(sorted(faulty, key=lambda one: one.shown)), passed_by)


def kind_passed_by(name: str) -> str:
    """Return the kind of an entry that belongs to no source, by its name; empty for all others."""
    if name.startswith("._") or name.lower() in LITTER:
        return LITTER_KIND
    return HIDDEN_KIND if name.startswith(".") else ""


def is_photograph(name: str) -> bool:
    """Return whether a file has the suffix of an image, also of one that is not read."""
    return PurePath(name).suffix.lower() in IMAGE_SUFFIXES | UNREAD_SUFFIXES


def find_fault(path: Path, root: Path) -> tuple[str, str] | None:
    """Return reason and detail of a path below a root that cannot be read as a file; None if it can."""
    if not is_utf8(path.relative_to(root).as_posix()):
        return "unreadable", "the name is not UTF-8; rename the file"
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno == errno.EACCES:
            return "unreadable", "the file may not be read"
        if error.errno not in NOT_THERE:
            raise
        is_link = error.errno != errno.ENAMETOOLONG and path.is_symlink()
        return "missing_file", "a link to a file that is not there" if is_link else ""
    if stat.S_ISDIR(mode):
        return "unreadable", "a folder with the name of an image"
    if not stat.S_ISREG(mode):
        return "unreadable", "a pipe, socket or device"
    may_be_read = os.access(path, os.R_OK, effective_ids=AS_THE_PROCESS)
    return None if may_be_read else ("unreadable", "the file may not be read")


def is_utf8(text: str) -> bool:
    """Return whether a name that the file system gave is valid UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown_path(path: Path, root: Path) -> str:
    """Return a path relative to the root with `/`, in which bytes that are not UTF-8 are escaped."""
    return os.fsencode(path.relative_to(root).as_posix()).decode(errors="backslashreplace")


def relative_path(path: Path, root: Path) -> str:
    """Return a path relative to the root, with `/`."""
    return path.relative_to(root).as_posix()


def resolve_inside(root: Path, file: str, named_in: str) -> Path:
    """Return the resolved path of a file that a table names relative to the root.

    Raises
    ------
    InputError : the path leads out of the root, possibly through a link.
    """
    path = Path(os.path.realpath(root / file))  # Path.resolve raises an error on a link that leads in a circle
    if not path.is_relative_to(root):
        raise InputError(
            f"{file} leads to {path}, outside the root",
            f"Every file named in {named_in} must lie inside the root",
            "correct the path",
        )
    return path


def digest_file(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def without_folders(path: Path, error: Exception) -> str:
    """Return the text of an error about a file, in which the file is named without its folders.

    Artefacts hold this text, and must be equal wherever the source lies.
    """
    return str(error).replace(str(path), path.name).replace(str(path.resolve()), path.name)
