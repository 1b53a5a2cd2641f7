"""The files of one acquisition date among those of all dates, and a sum of them that shows every change."""

import errno
import os
import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from storage.artifacts import content_digest

# Years of this and the last century only: long serial numbers are no dates.
DATE_IN_NAME = re.compile(r"(?<!\d)((?:19|20)\d\d)([-_]?)(\d\d)\2(\d\d)(?!\d)")
# rsync writes `.name.png.XXXXXX`, and with --delay-updates into `.~tmp~`; WinSCP and browsers have their own endings.
BEING_COPIED = re.compile(
    r"(^\..+\.\w+\.[A-Za-z0-9]{5,8}|\.(part|partial|filepart|tmp|crdownload)|~|^\.rsync-partial)$", re.IGNORECASE
)
# A file that vanishes while one looks, and folders like `lost+found` that are nobody's business.
PASSED_BY = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP})


class Look(BaseModel):
    """A date's files at one moment.

    Attributes
    ----------
    digest : of the root, names and sizes.
    copying : a file that a copying tool has not finished, if there is one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_files: int
    n_bytes: int
    digest: str
    copying: str | None = None

    @property
    def is_copying(self) -> bool:
        """Whether a copying tool has left a temporary file."""
        return self.copying is not None

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


def date_files(root: Path, day: date) -> dict[str, int]:
    """Size in bytes of every file below a folder that may belong to a date, by its relative name with `/`.

    Left out are files whose path names other dates and not this one. A file without any date in its path counts for
    every date, as tables and splits do, which the dates share. What vanishes meanwhile, or may not be read, is passed
    by. Linked folders are followed, each folder once.

    Raises
    ------
    OSError : the disk or the network share does not answer.
    """
    found: dict[str, int] = {}
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
            if (not named or day in named) and (size := _file_size(Path(folder, name))) is not None:
                found["/".join((*parts, name))] = size
    return dict(sorted(found.items()))


def _raise_if_faulty(error: OSError) -> None:
    if error.errno not in PASSED_BY:
        raise error


def _file_size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError as error:
        _raise_if_faulty(error)
        return None


def look_at(root: Path, files: dict[str, int]) -> Look:
    """Sum up a date's files."""
    copying = (name for name in files if any(BEING_COPIED.search(part) for part in name.split("/")))
    name = next(copying, None)
    return Look(
        n_files=len(files),
        n_bytes=sum(files.values()),
        digest=content_digest([str(root), sorted(files.items())]),
        # A file name may hold bytes that are no text; what is kept and told must be.
        copying=None if name is None else os.fsencode(name).decode(errors="replace"),
    )


def holds_marker(files: dict[str, int], marker: str | None, day: date) -> bool:
    """Whether a date's marker is among its files.

    Where files have the date in their path, the marker has it too: one that lies beside the folders of all dates may
    have been left by another date.
    """
    places = [name.split("/") for name in files]
    is_dated = any(day in dates_in(parts) for parts in places)
    return any(parts[-1] == marker and (day in dates_in(parts) or not is_dated) for parts in places)
