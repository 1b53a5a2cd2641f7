"""Tell faults that may pass from those that need a person, and say what could not be written, where, and why.

A passing fault ends by itself, as when a share is mounted again, or with room on a disk. No input has to be corrected,
so the same work is tried again later. The system's own error of a full disk names neither the file nor the disk.
"""

import errno
import math
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import ArtifactError, AwayError

# Faults of a place that cannot take a file. They stay until somebody makes room, so no task retries them at once.
FAULTS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of this user is used up",
    errno.EFBIG: "the file is larger than the file system or a limit (ulimit -f) allows",
    errno.EROFS: "the file system is read-only",
}

# Errors of a disk, share or connection that does not answer now.
SILENT = frozenset(
    {errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ECONNREFUSED, errno.ECONNRESET}
    | {errno.ECONNABORTED, errno.EPIPE, errno.ESHUTDOWN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH}
    | {errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EREMOTEIO}
)
# Errors of a machine that is short of something now.
SHORT = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOMEM, errno.ENOBUFS, errno.EMFILE, errno.ENFILE}
    | {errno.EAGAIN, errno.EBUSY, errno.EINTR}
)
# Errors of a path on a share that is not mounted: it is missing, or the mount point may not be read.
HIDDEN = frozenset({errno.ENOENT, errno.EACCES, errno.EPERM})
PASSING = SILENT | SHORT | HIDDEN


class WriteError(OSError):
    """Report something that could not be written because its place cannot take it. No task retries it."""

    def __str__(self) -> str:
        return str(self.strerror)


def is_passing(error: BaseException) -> bool:
    """Return whether an error may be gone when the same work is tried again later, with nothing corrected.

    Errors of the system count by their number. Those of a bucket have none and are plain `OSError`; a bucket's refusal
    is a `PermissionError` and needs a person. A damaged artefact passes only if its file did not answer.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(is_passing(one) for one in error.exceptions)
    if isinstance(error, ArtifactError):
        return isinstance(error.__cause__, OSError) and error.__cause__.errno in SILENT | SHORT
    if isinstance(error, OSError):
        return error.errno in PASSING or (error.errno is None and type(error) is OSError)
    return isinstance(error, AwayError)


def is_away(folder: Path) -> bool:
    """Return whether a folder is missing or empty, as is the mount point of a share that is not mounted.

    Raises
    ------
    OSError : the disk or the network share does not answer, or the folder may not be read.
    """
    return not folder.is_dir() or next(folder.iterdir(), None) is None


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
