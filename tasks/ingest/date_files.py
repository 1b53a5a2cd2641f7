"""The files of one acquisition date among those of all dates, and a sum of them that shows every change."""

import errno
import os
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from storage.artifacts import content_digest
from tasks.sources.files import IMAGE_SUFFIXES

# Years of this and the last century only: long serial numbers are no dates.
DATE_IN_NAME = re.compile(r"(?<!\d)((?:19|20)\d\d)([-_]?)(\d\d)\2(\d\d)(?!\d)")
# rsync writes `.name.png.XXXXXX`, six letters and digits drawn by lot: one in 200 has small letters alone, as backups
# like `.config.json.backup` have; with --delay-updates into `.~tmp~`. WinSCP and browsers have their own endings.
BEING_COPIED = re.compile(
    r"(^\..+\.\w+\.(?![a-z]+$)[A-Za-z0-9]{6}|(?i:\.(part|partial|filepart|tmp|crdownload))|^\.~tmp~|^\.rsync-partial)$"
)
# No copy writes nothing into a file for so long: what looks half-copied and is older was left behind, and waits for
# nobody.
LEFT_BEHIND = timedelta(days=1)
# A file that vanishes while one looks, and folders like `lost+found` that are nobody's business.
PASSED_BY = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP})


class FileStamp(NamedTuple):
    """What changes of a file while it is written, also where it has its full size from the start."""

    n_bytes: int
    changed_ns: int  # since 1970

    def has_rested(self, now: datetime) -> bool:
        """Whether nobody has written to the file for as long as `LEFT_BEHIND`."""
        return now.timestamp() - self.changed_ns / 1e9 > LEFT_BEHIND.total_seconds()


class Look(BaseModel):
    """A date's files at one moment.

    Attributes
    ----------
    digest : of the root, and of names, sizes and times of change.
    copying : a file that is not finished, if there is one: that of a copying tool, or an empty image.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_files: int
    n_bytes: int
    digest: str
    copying: str | None = None

    def __str__(self) -> str:
        return f"{self.n_files} file{'' if self.n_files == 1 else 's'}, {readable_size(self.n_bytes)}"


def readable_size(n_bytes: int) -> str:
    """A size in the unit that people use for it, e.g. `3.1 MB`."""
    if n_bytes < 1000:
        return f"{n_bytes} bytes"
    size, units = float(n_bytes), iter(("kB", "MB", "GB", "TB"))
    unit = "bytes"
    while size >= 999.95 and (larger := next(units, None)):
        size, unit = size / 1000, larger
    return f"{size:.1f} {unit}"


def dates_in(names: Iterable[str]) -> set[date]:
    """Dates that names of files or folders contain, as YYYY_MM_DD, YYYY-MM-DD or YYYYMMDD."""
    return {day for name in names for match in DATE_IN_NAME.finditer(name) if (day := _read_date(match))}


def _read_date(match: re.Match[str]) -> date | None:
    try:
        return date(int(match[1]), int(match[3]), int(match[4]))
    except ValueError:
        return None


def is_other_date(folder: str, day: date) -> bool:
    """Whether a folder's name is another date and nothing else, so that nothing below it needs to be looked at.

    A name like `delivery_2021-09-10` is no such name: folders of earlier dates may well lie below.
    """
    match = DATE_IN_NAME.fullmatch(folder)
    return match is not None and _read_date(match) not in {None, day}


def date_files(root: Path, day: date) -> dict[str, FileStamp]:
    """Size and time of change of every file below a folder that may belong to a date, by its relative name with `/`.

    Left out are files whose path names other dates and not this one. A file without any date in its path counts for
    every date, as tables and splits do, which the dates share. What vanishes meanwhile, or may not be read, is passed
    by. Linked folders are followed, each folder once.

    Raises
    ------
    OSError : the disk or the network share does not answer.
    """
    found: dict[str, FileStamp] = {}
    seen: set[str] = set()
    for folder, names, files in os.walk(root, followlinks=True, onerror=_raise_if_faulty):
        real = os.path.realpath(folder)
        if real in seen:
            names.clear()
            continue
        seen.add(real)
        parts = Path(folder).relative_to(root).parts
        above = dates_in(parts)
        names[:] = sorted(name for name in names if day in above or not is_other_date(name, day))
        for name in files:
            named = above | dates_in([name])
            if (not named or day in named) and (stamp := _file_stamp(Path(folder, name))) is not None:
                found["/".join((*parts, name))] = stamp
    return dict(sorted(found.items()))


def _raise_if_faulty(error: OSError) -> None:
    if error.errno not in PASSED_BY:
        raise error


def _file_stamp(path: Path) -> FileStamp | None:
    try:
        found = path.stat()
    except OSError as error:
        _raise_if_faulty(error)
        return None
    return FileStamp(found.st_size, found.st_mtime_ns)


def look_at(root: Path, files: Mapping[str, FileStamp], now: datetime) -> Look:
    """Sum up a date's files.

    What is named as half-copied, or is an empty image, counts as being copied for one day after its last change
    (`LEFT_BEHIND`). Older ones are what a broken copy or a person has left: they count as files like others.

    Parameters
    ----------
    now : with its time zone.
    """
    copying = (name for name, stamp in files.items() if is_unfinished(name, stamp) and not stamp.has_rested(now))
    name = next(copying, None)
    return Look(
        n_files=len(files),
        n_bytes=sum(stamp.n_bytes for stamp in files.values()),
        digest=content_digest([str(root), sorted((name, *stamp) for name, stamp in files.items())]),
        # A file name may hold bytes that are no text; what is kept and told must be.
        copying=None if name is None else os.fsencode(name).decode(errors="replace"),
    )


def is_unfinished(name: str, stamp: FileStamp) -> bool:
    """Whether a file, by its relative name, is named as half-copied, or is an image without content."""
    is_image = PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
    return (is_image and stamp.n_bytes == 0) or any(BEING_COPIED.search(part) for part in name.split("/"))


def holds_marker(files: Iterable[str], marker: str | None, day: date) -> bool:
    """Whether a date's marker is among its files.

    Where files have the date in their path, the marker has it too: one that lies beside the folders of all dates may
    have been left by another date.
    """
    places = [name.split("/") for name in files]
    is_dated = any(day in dates_in(parts) for parts in places)
    return any(parts[-1] == marker and (day in dates_in(parts) or not is_dated) for parts in places)
