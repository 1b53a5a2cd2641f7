"""Find the orthophotos of every acquisition date, by a pattern of their paths or a table of dates."""

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path, PurePosixPath

from storage.errors import InputError
from tasks.sources.field.vrt import without_parts
from tasks.sources.files import IMAGE_SUFFIXES, find_fault, relative_path, walk_files
from tasks.sources.remote import RemoteFile, is_remote

SEPARATOR = " | "
"""Text between the tiles of a crop in the path of its image."""

DATE = r"(?P<year>(?:19|20)\d\d)(?P<between>[-_]?)(?P<month>\d\d)(?P=between)(?P<day>\d\d)"
RASTER_SUFFIXES = (IMAGE_SUFFIXES - {".avif"}) | {".vrt", ".img"}  # others lie beside rasters: .tfw, .ovr, .aux.xml
WILDCARDS = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]", "{date}": DATE}

Rasters = str | Mapping[date, str | tuple[str, ...]]
"""Pattern with `{date}`, or the files of each date."""


def find_rasters(root: Path, rasters: Rasters) -> dict[date, tuple[str, ...]]:
    """Return the orthophotos of every acquisition date, as paths relative to the root, sorted.

    Tiles that a VRT of the same date names are read through it, and are not among them.

    Raises
    ------
    InputError : no file fits the pattern, a name holds an impossible date, or a file that fits the pattern or that the
        table names cannot be read.
    """
    found = match_pattern(root, rasters) if isinstance(rasters, str) else check_table(root, rasters)
    joined = [path for paths in found.values() for path in paths if SEPARATOR.strip() in path]
    if joined:
        raise InputError(
            f"The orthophoto {joined[0]} has a bar in its name",
            "Names of orthophotos must hold no |, which stands between the tiles of a crop",
            "rename the file",
        )
    return {day: without_parts(root, found[day]) for day in sorted(found)}


def match_pattern(root: Path, pattern: str) -> dict[date, tuple[str, ...]]:
    """Return the rasters whose path relative to the root fits a pattern, by the date in their path."""
    if is_remote(pattern):
        raise InputError(
            f"source.rasters is the pattern {pattern!r} of files on a server",
            "A pattern finds files below source.root; files on a server are named one by one",
            "name the files of each date in a table [source.rasters]",
        )
    expression, walked = compile_pattern(pattern), walk_files(root)
    files = sorted(relative_path(path, root) for path in walked.files)
    found: dict[date, tuple[str, ...]] = {}
    for path in files:
        if is_raster(path) and (match := expression.fullmatch(path)):
            day = read_date(match, path)
            found[day] = (*found.get(day, ()), path)
    for one in walked.faulty:
        if is_raster(one.shown) and expression.fullmatch(one.shown):
            raise InputError(
                f"{one.shown} below {root} fits source.rasters and cannot be read: {one.detail or one.reason}",
                "Every file that fits source.rasters must be readable, or plants that only it shows are lost",
                "copy the file there again, remove it, or narrow source.rasters",
            )
    if not found:
        shown = ", ".join([*files[:10], *(["..."] if len(files) > 10 else [])]) or "no files"
        raise InputError(
            f"No raster below {root} fits source.rasters = {pattern!r}; the folder has {shown}",
            "The orthophotos must be GeoTIFF, JPEG 2000, VRT or image files below source.root, with their date in the "
            "path as 2021-08-23, 2021_08_23 or 20210823",
            "correct source.rasters, or name the files of each date in a table [source.rasters]",
        )
    return found


def is_raster(path: str) -> bool:
    """Return whether a file may be an orthophoto, by its suffix."""
    return PurePosixPath(path).suffix.lower() in RASTER_SUFFIXES


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the expression of a pattern with `{date}` once, `*`, `?` and `**/`."""
    parts = re.split(r"(\{date\}|\*\*/|\*|\?)", pattern)
    return re.compile("".join(WILDCARDS.get(part, re.escape(part)) for part in parts))


def read_date(match: re.Match[str], path: str) -> date:
    """Return the date in the path of an orthophoto, or raise InputError."""
    try:
        return date(int(match["year"]), int(match["month"]), int(match["day"]))
    except ValueError as error:
        raise InputError(
            f"The path of the orthophoto {path} holds no date: {error}",
            "The path of an orthophoto must hold its date as 2021-08-23, 2021_08_23 or 20210823",
            "rename the file, or name the files of each date in a table [source.rasters]",
        ) from None


def check_table(root: Path, rasters: Mapping[date, str | tuple[str, ...]]) -> dict[date, tuple[str, ...]]:
    """Return the files of every date of a table, or raise InputError if one is not there.

    A file on a server is asked for.
    """
    found = {day: (paths,) if isinstance(paths, str) else paths for day, paths in rasters.items()}
    for day, paths in found.items():
        for path in paths:
            if is_remote(path):
                RemoteFile(path).digest()
            elif fault := find_fault(root / path, root):
                raise InputError(
                    f"The orthophoto {path} of {day} cannot be read below {root}: {' '.join(filter(None, fault))}",
                    "Every orthophoto that [source.rasters] names must be a file below source.root",
                    "correct the path",
                )
    return {day: tuple(sorted(set(paths))) for day, paths in found.items()}
