"""Find the files of one acquisition date among those of all dates, and digest them to detect every change."""

import errno
import os
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from storage.artifacts import content_digest
from storage.errors import AwayError, InputError
from storage.records.acquisitions import DateFiles
from tasks.sources.contract import Source
from tasks.sources.files import IMAGE_SUFFIXES, folders_once, refuse_away

# Date in a file's or folder's name. Only years of 19xx and 20xx count, as long serial numbers are no dates.
DATE_IN_NAME = re.compile(r"(?<!\d)((?:19|20)\d\d)([-_]?)(\d\d)\2(\d\d)(?!\d)")
# Names of files that are being copied. rsync writes `.name.png.XXXXXX`, six random letters and digits. Six lower-case
# letters do not match: backups like `.config.json.backup` look so, and only one in 200 of rsync's names. With
# --delay-updates rsync writes into `.~tmp~`. WinSCP and browsers have their own suffixes.
BEING_COPIED = re.compile(
    r"(^\..+\.\w+\.(?![a-z]+$)[A-Za-z0-9]{6}|(?i:\.(part|partial|filepart|tmp|crdownload))|^\.~tmp~|^\.rsync-partial)$"
)
# Age after which a half-copied file no longer blocks its date: a running copy writes to it more often.
LEFT_BEHIND = timedelta(days=1)
# Errors that are ignored: files that vanish during a look, and unreadable folders like `lost+found`.
PASSED_BY = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP})


class FileStamp(NamedTuple):
    """Size and time of change of a file. The time changes while a file is written, even if its size does not."""

    n_bytes: int
    changed_ns: int  # nanoseconds since 1970

    def has_rested(self, now: datetime) -> bool:
        """Return whether the file has not been written to for longer than `LEFT_BEHIND`."""
        return now.timestamp() - self.changed_ns / 1e9 > LEFT_BEHIND.total_seconds()


class Look(BaseModel):
    """Summary of a date's files at one moment.

    Attributes
    ----------
    digest : digest of the root and of the files' names, sizes and times of change.
    copying : name of an unfinished file: a copying tool's temporary file or an empty image; None if there is none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_files: int
    n_bytes: int
    digest: str
    copying: str | None = None

    def __str__(self) -> str:
        return f"{self.n_files} file{'' if self.n_files == 1 else 's'}, {readable_size(self.n_bytes)}"


def readable_size(n_bytes: int) -> str:
    """Return a size in a readable unit, e.g. `3.1 MB`."""
    if n_bytes < 1000:
        return f"{n_bytes} bytes"
    size, units = float(n_bytes), iter(("kB", "MB", "GB", "TB"))
    unit = "bytes"
    while size >= 999.95 and (larger := next(units, None)):
        size, unit = size / 1000, larger
    return f"{size:.1f} {unit}"


def dates_in(names: Iterable[str]) -> set[date]:
    """Return the dates that names of files or folders contain, as YYYY_MM_DD, YYYY-MM-DD or YYYYMMDD."""
    return {day for name in names for match in DATE_IN_NAME.finditer(name) if (day := _read_date(match))}


def _read_date(match: re.Match[str]) -> date | None:
    try:
        return date(int(match[1]), int(match[3]), int(match[4]))
    except ValueError:
        return None


def is_other_date(folder: str, day: date) -> bool:
    """Return whether a folder's whole name is another date, so that the folder can be skipped.

    The name `delivery_2021-09-10` does not count, because folders of earlier dates may lie below it.
    """
    match = DATE_IN_NAME.fullmatch(folder)
    return match is not None and _read_date(match) not in {None, day}


def date_files(root: Path, day: date) -> dict[str, FileStamp]:
    """Return size and time of every file below a folder that may belong to a date, by its relative path with `/`.

    Files whose path names only other dates are left out. A file without a date in its path, for example a table,
    belongs to every date. Files that vanish during the look or may not be read are ignored. Linked folders are
    followed, and each folder is read once.

    Raises
    ------
    AwayError : the root is missing or empty, or went away during the look.
    OSError : the disk or the network share does not answer.
    """
    found: dict[str, FileStamp] = {}
    for folder, names, files in folders_once(root, _raise_if_faulty):
        parts = Path(folder).relative_to(root).parts
        above = dates_in(parts)
        names[:] = sorted(name for name in names if day in above or not is_other_date(name, day))
        for name in files:
            named = above | dates_in([name])
            if (not named or day in named) and (stamp := _file_stamp(Path(folder, name))) is not None:
                found["/".join((*parts, name))] = stamp
    refuse_away(root)
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
    """Summarise a date's files.

    A file with the name of a half-copied file, or an empty image, counts as being copied for one day after its last
    change (`LEFT_BEHIND`). Older files were left behind by an aborted copy or a person, and count like any other.

    Parameters
    ----------
    now : current time, with its time zone.
    """
    copying = (name for name, stamp in files.items() if is_unfinished(name, stamp) and not stamp.has_rested(now))
    name = next(copying, None)
    return Look(
        n_files=len(files),
        n_bytes=sum(stamp.n_bytes for stamp in files.values()),
        digest=content_digest([str(root), sorted((name, *stamp) for name, stamp in files.items())]),
        # A file name may hold bytes that are not valid text, but the store and messages need text.
        copying=None if name is None else os.fsencode(name).decode(errors="replace"),
    )


def is_unfinished(name: str, stamp: FileStamp) -> bool:
    """Return whether a file has the name of a half-copied file, or is an empty image."""
    is_image = PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
    return (is_image and stamp.n_bytes == 0) or any(BEING_COPIED.search(part) for part in name.split("/"))


def holds_marker(files: Iterable[str], marker: str | None, day: date) -> bool:
    """Return whether a date's marker is among its files.

    If files have the date in their path, the marker must have it too. A marker beside the folders of all dates may
    belong to another date.
    """
    places = [name.split("/") for name in files]
    is_dated = any(day in dates_in(parts) for parts in places)
    return any(parts[-1] == marker and (day in dates_in(parts) or not is_dated) for parts in places)


def own_files(source: Source, day: date) -> DateFiles | None:
    """Summarise the files that are a date's own: those with the date in their path, else those of its images.

    Files that dates share do not count, such as a harvest table that grows every day. Nothing is read but names, sizes
    and times; only a source whose files have no dates in their paths lists its images.

    Returns
    -------
    The summary, or None if the source has no files, its folder is away, or it does not list the date any more.

    Raises
    ------
    OSError : the disk or the network share does not answer.
    """
    root_name: str | None = getattr(source, "root", None)
    if root_name is None:
        return None
    root = Path(root_name).expanduser()
    try:
        stamps = {name: stamp for name, stamp in date_files(root, day).items() if day in dates_in(name.split("/"))}
    except AwayError:
        return None
    if not stamps:
        try:
            listing = source.list_images([day])
        except InputError:
            return None
        paths = sorted({one.path for one in (*listing.images, *listing.left_out)})
        stamps = {path: stamp for path in paths if (stamp := _file_stamp(root / path)) is not None}
    return DateFiles(
        n_files=len(stamps),
        n_bytes=sum(stamp.n_bytes for stamp in stamps.values()),
        digest=content_digest([(name, *stamp) for name, stamp in stamps.items()]),
    )


def has_changed(then: DateFiles | None, now: DateFiles | None) -> bool:
    """Return whether a date's files have changed since it was scored.

    Files that are only gone do not count: they may have been moved to an archive, and fewer files would replace better
    results by worse ones. Neither do files that are unknown.
    """
    if then is None or now is None or now.digest == then.digest:
        return False
    return not has_shrunk(then, now)


def has_shrunk(then: DateFiles, now: DateFiles) -> bool:
    """Return whether a date has fewer and smaller files than when it was scored."""
    return now.n_files < then.n_files and now.n_bytes < then.n_bytes
