"""Put files and folders on the disk itself, so that a loss of power takes nothing that was said to be finished.

A file that is closed may still be in memory only, and so may its name in the folder. After a loss of power such a file
is missing, empty or half-written, although another one that names it is there. Here a file is synced before its folder,
and a folder before anything that refers to it (Pillai et al. 2014, "All File Systems Are Not Created Equal").
"""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Some network file systems do not sync folders: there the server decides when a name is on its disk.
NOT_POSSIBLE = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}
AT_ONCE = 16  # files synced in parallel: a disk writes many at once as fast as a few
WORTH_THREADS = 8  # files from which that saves more than starting threads takes


def sync(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk.

    Raises
    ------
    OSError : the disk refuses to write. Folders that the file system cannot sync are no error.
    """
    stream = os.open(path, os.O_RDONLY)
    try:
        os.fsync(stream)
    except OSError as error:
        if not (path.is_dir() and error.errno in NOT_POSSIBLE):
            raise
    finally:
        os.close(stream)


def make_folder(folder: Path) -> None:
    """Create a folder and those above it, unless they exist, so that their names are on the disk."""
    if folder.is_dir():
        return
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in reversed(missing):
        sync(one.parent)


def sync_all(folder: Path) -> None:
    """Wait until every file below a folder, and the names in it and in each folder below, are on the disk."""
    below = sorted(folder.rglob("*"), reverse=True)  # of folders, the deepest first
    is_folder = [path.is_dir() for path in below]
    files = [path for path, is_one in zip(below, is_folder, strict=True) if not is_one]
    if len(files) < WORTH_THREADS:
        for path in files:
            sync(path)
    else:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(sync, files))
    for one in (*(path for path, is_one in zip(below, is_folder, strict=True) if is_one), folder):
        sync(one)
