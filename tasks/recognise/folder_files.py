"""Hold the files of a folder that is to be recognised, and read its tables once."""

from collections import Counter
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from storage.errors import InputError
from tasks.sources.files import CLOSED_KIND, HIDDEN_KIND, LITTER_KIND, relative_path, walk_files
from tasks.sources.text_tables import TABLE_SUFFIXES, TextTable, read_table
from tasks.sources.workbooks import WORKBOOKS, sheets_of

# Files that belong to a Shapefile or a raster of the same name.
COMPANIONS = (".shx", ".dbf", ".prj", ".cpg", ".qix", ".sbn", ".sbx", ".qmd", ".ovr", ".aux.xml", ".tfw", ".j2w")
N_NAMED = 8  # files of one reason that are named
TABLE_BYTES = 100_000_000  # size above which a file is taken for a cloud of points rather than a table of plants


class Sheet(NamedTuple):
    """Name of a table: its file, and its sheet if the file is a workbook with several."""

    path: str
    name: str | None = None

    def __str__(self) -> str:
        return self.path if self.name is None else f"{self.path}, sheet {self.name}"


@dataclass(frozen=True)
class FolderFiles:
    """Files below a folder, as paths relative to it.

    Attributes
    ----------
    day : acquisition date of images that state none; None if it is not given.
    paths : readable files, sorted.
    faulty : why other entries cannot be read, by path.
    passed_by : number of entries that belong to no source, by kind.
    """

    root: Path
    day: date | None
    paths: tuple[str, ...]
    faulty: dict[str, str]
    passed_by: Counter[str]

    @cached_property
    def _read_tables(self) -> tuple[dict[Sheet, TextTable], dict[str, str]]:
        tables: dict[Sheet, TextTable] = {}
        reasons: dict[str, str] = {}
        for path in self.with_suffix(TABLE_SUFFIXES):
            if (self.root / path).stat().st_size > TABLE_BYTES:
                reasons[path] = f"over {TABLE_BYTES // 1_000_000} MB, too large for a table of plants"
                continue
            try:
                names = sheets_of(self.root / path) if PurePosixPath(path).suffix.lower() in WORKBOOKS else [""]
            except InputError as error:
                names, reasons[path] = [], first_line(error)
            for name in names:
                sheet = Sheet(path, name if len(names) > 1 else None)
                try:
                    tables[sheet] = read_table(self.root / path, sheet.name)
                except InputError as error:
                    reasons[path] = first_line(error)
        return tables, reasons

    @property
    def tables(self) -> dict[Sheet, TextTable]:
        """Return the tables with a header, by file and sheet."""
        return self._read_tables[0]

    @property
    def reasons(self) -> dict[str, str]:
        """Return why files cannot be read as tables, by path."""
        return self.faulty | self._read_tables[1]

    def with_suffix(self, suffixes: frozenset[str]) -> list[str]:
        """Return the files that have one of these suffixes, in lower case."""
        return [path for path in self.paths if PurePosixPath(path).suffix.lower() in suffixes]


def find_files(root: Path, day: date | None, own: Path) -> FolderFiles:
    """Find the files below a folder.

    Parameters
    ----------
    own : campaign file to be written, which is no file of the source.

    Raises
    ------
    InputError : the folder holds no file that can be read.
    """
    found = walk_files(root)
    faulty = {one.shown: one.detail or one.reason for one in found.faulty}
    paths = tuple(relative_path(path, root) for path in found.files if path != own)
    if not paths:
        entries = [f"{n} {kind}" for kind, n in sorted(found.passed_by.items())]
        entries += [f"{path} ({detail})" for path, detail in faulty.items()]
        raise InputError(
            f"{root} holds no file that can be read" + (f", but {', '.join(entries[:N_NAMED])}" if entries else ""),
            "The folder must hold the images of a field: orthophotos or photographs, and tables",
            "name the folder that holds them, and see that this user may read it",
        )
    return FolderFiles(root, day, paths, faulty, found.passed_by)


def describe_unused(files: FolderFiles, used: frozenset[str], reasons: dict[str, str]) -> list[str]:
    """Return a line for each file or kind of file that the source does not read, and why.

    Parameters
    ----------
    used : paths of files that the source reads, and names of tables.
    """
    left = [path for path in (*files.paths, *files.faulty) if path not in used and not is_companion(path, used)]
    by_reason: dict[str, list[str]] = {}
    for path in left:
        if why := reasons.get(path):
            by_reason.setdefault(why, []).append(path)
    lines = [f"{name_files(paths)}: {why}" for why, paths in by_reason.items()]
    kinds = Counter(PurePosixPath(path).suffix.lower() or "no suffix" for path in left if path not in reasons)
    lines += [f"{n} other files ({kind})" if n > 1 else f"1 other file ({kind})" for kind, n in sorted(kinds.items())]
    lines += [f"{one}: not needed" for one in files.tables if one.name and one.path in used and str(one) not in used]
    known = (HIDDEN_KIND, LITTER_KIND, CLOSED_KIND)
    return lines + [f"{files.passed_by[kind]} {kind}" for kind in known if files.passed_by[kind]]


def is_companion(path: str, used: frozenset[str]) -> bool:
    """Return whether a file belongs to a used Shapefile or raster: an index, attributes, overviews."""
    low = path.lower()
    ends = [end for end in COMPANIONS if low.endswith(end)]
    if not ends:
        return False
    stems = {str(PurePosixPath(one).with_suffix("")).lower() for one in used} | {one.lower() for one in used}
    return any(low.removesuffix(end) in stems for end in ends)


def name_files(paths: list[str]) -> str:
    """Join the first paths by commas, and count the others."""
    others = f" and {len(paths) - N_NAMED} more" if len(paths) > N_NAMED else ""
    return ", ".join(paths[:N_NAMED]) + others


def first_line(error: InputError) -> str:
    """Return what an error found, without the table below it, and the remedy."""
    return f"{error.found.splitlines()[0]}; {error.remedy}"
