"""Find the files that a VRT names, which GDAL reads as one raster, and refuse a VRT whose files are not there."""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

from storage.errors import InputError
from tasks.sources.files import find_fault
from tasks.sources.remote import RemoteFile

NAMING = frozenset({"SourceFilename", "SourceDataset"})  # elements of a VRT whose text is a path
SHOWN = 5  # files that a message names


def is_vrt(path: Path) -> bool:
    """Return whether a file is a VRT, by its suffix."""
    return path.suffix.lower() == ".vrt"


def files_of_vrt(path: Path) -> tuple[Path, ...]:
    """Return the files that a VRT names, also through other VRTs, sorted; none of a file that is no VRT or damaged."""
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        named = set(named_in(waiting.pop())) - found
        found |= named
        waiting += named
    return tuple(sorted(found))


def named_in(path: Path) -> tuple[Path, ...]:
    """Return the files that a VRT names itself."""
    if not is_vrt(path) or not path.is_file():
        return ()
    stat = path.stat()
    return read_names(str(path), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def read_names(path: str, n_bytes: int, modified_ns: int) -> tuple[Path, ...]:
    """Return the files that a VRT names itself, cached by path, length and time of change."""
    try:
        elements = [one for one in ElementTree.parse(path).iter() if one.tag in NAMING and one.text]
    except (ElementTree.ParseError, OSError):
        return ()  # GDAL says what is wrong with it
    # GDAL takes relative names from the folder of the file that a link leads to.
    folder = Path(os.path.realpath(path) if Path(path).is_symlink() else path).parent
    named = [(folder if one.get("relativeToVRT") == "1" else Path.cwd()) / (one.text or "").strip() for one in elements]
    return tuple(Path(os.path.normpath(one)) for one in named)


def refuse_absent_files(root: Path, path: str) -> None:
    """Refuse a VRT that names files outside the root, or files that are not there.

    Parameters
    ----------
    path : path of an orthophoto relative to the root; any other than a VRT passes.

    Raises
    ------
    InputError : with the files.
    """
    named = files_of_vrt(root / path)
    files = [one if one.is_relative_to(root) else Path(os.path.realpath(one)) for one in named]
    outside = [one for one in files if not one.is_relative_to(root)]
    if outside:
        raise InputError(
            f"{path} names {name_files(outside)}, outside {root}",
            "Every file that a VRT names must lie below source.root",
            "copy these files below source.root and build the VRT there again, for example with `gdalbuildvrt`",
        )
    absent = [one for one in files if find_fault(one, root)]
    if absent:
        shown = name_files([one.relative_to(root) for one in absent])
        raise InputError(
            f"{path} names {len(absent)} of {len(files)} files that are not there or cannot be read: {shown}",
            "Every file that a VRT names must be a file below source.root",
            "copy the files to these places, or build the VRT again, for example with `gdalbuildvrt`",
        )


def name_files(files: Sequence[Path]) -> str:
    """Write the first paths of some files, separated by commas."""
    return ", ".join([*map(str, files[:SHOWN]), *(["..."] if len(files) > SHOWN else [])])


def without_parts(root: Path, paths: Sequence[str]) -> tuple[str, ...]:
    """Return the orthophotos of a date without those that are read through a VRT of the same date."""
    parts = {part for path in paths for part in files_of_vrt(root / path)}
    return tuple(path for path in paths if root / path not in parts) or tuple(paths)


def content_files(path: Path | RemoteFile) -> tuple[Path | RemoteFile, ...]:
    """Return the files whose content an orthophoto shows: itself, those that a VRT names, and masks beside them."""
    if isinstance(path, RemoteFile):
        return (path,)
    files = (path, *files_of_vrt(path))
    masks = (Path(f"{one}.msk") for one in files)
    return (*files, *(mask for mask in masks if mask.is_file()))
