"""Put files and folders on the disk itself, so that a loss of power takes nothing that was said to be finished.

A file that is closed may still be in memory only, and so may its name in the folder. After a loss of power such a file
is missing, empty or half-written, although another one that names it is there. Here files and folders are synced before
anything refers to them (Pillai et al. 2014, "All File Systems Are Not Created Equal").
"""

import errno
import os
import stat
import sys
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

# Some network file systems do not sync folders: there the server decides when a name is on its disk.
NOT_POSSIBLE = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}
AT_ONCE = 16  # files and folders synced in parallel: the disk serves those that wait together with one write


def sync(path: str | Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk.

    Raises
    ------
    OSError : the disk refuses to write. Folders that the file system cannot sync are no error.
    """
    stream = os.open(path, os.O_RDONLY)
    try:
        os.fsync(stream)
    except OSError as error:
        if not (stat.S_ISDIR(os.fstat(stream).st_mode) and error.errno in NOT_POSSIBLE):
            raise
    finally:
        os.close(stream)


def begin_writing(stream: int) -> None:
    """Let the disk begin with an open file's content, without waiting: a later `sync` then waits for less."""
    if sys.platform == "linux":  # it writes what a process says it will not read; elsewhere `sync` waits as before
        os.posix_fadvise(stream, 0, 0, os.POSIX_FADV_DONTNEED)


def make_folder(folder: Path) -> None:
    """Create a folder and those above it, unless they exist, so that their names are on the disk."""
    if folder.is_dir():
        return
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in reversed(missing):
        sync(one.parent)


def sync_all(folder: Path, synced: Collection[str] = ()) -> None:
    """Wait until every file below a folder, and the names in it and in each folder below, are on the disk.

    They come there in any order, so the folder must have no name yet that a reader looks for.

    Parameters
    ----------
    synced : files, by their name below the folder, whose content is on the disk already.

    Raises
    ------
    OSError : the disk refuses to write.
    """
    found = list(os.walk(folder, onerror=_raise))
    files, known = (f"{parent}/{name}" for parent, _, names in found for name in names), {*synced}
    left = [path for path in files if path[len(str(folder)) + 1 :] not in known]
    paths = [*left, *(parent for parent, _, _ in found)]  # a folder takes little time after a file
    n_shares = min(AT_ONCE, (len(paths) + 1) // 2)
    own, *others = (paths[first::n_shares] for first in range(n_shares))
    waiting = [_threads(os.getpid()).submit(_sync_each, share) for share in others]
    _sync_each(own)
    for one in waiting:
        one.result()


def _sync_each(paths: list[str]) -> None:
    for path in paths:
        sync(path)


@cache
def _threads(_process: int) -> ThreadPoolExecutor:
    """Return threads that stay: starting them takes longer than the syncs of an artefact. A fork has none of them."""
    return ThreadPoolExecutor(AT_ONCE, "sync")


def _raise(error: OSError) -> None:
    raise error
