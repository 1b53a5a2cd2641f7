"""Read the tables of a source, text files or sheets of a workbook: delimiter, quotes, empty columns and dates."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from math import isfinite
from pathlib import Path

from storage.errors import InputError
from tasks.sources.files import raise_if_silent
from tasks.sources.workbooks import OTHER_SPREADSHEETS, WORKBOOKS, DateText, Row, read_sheet

TEXT_SUFFIXES = frozenset({".csv", ".tsv", ".txt"})
TABLE_SUFFIXES = TEXT_SUFFIXES | WORKBOOKS | OTHER_SPREADSHEETS
DELIMITERS = ";\t|,"  # in case of equal counts the first wins, because decimals may have commas
QUOTED = re.compile(r'"[^"]*"')
SEPARATOR_LINE = re.compile(r"^sep=(.)$", re.IGNORECASE)  # first line that Excel writes and reads


@dataclass(frozen=True, slots=True)
class TextTable:
    """A delimited text file or a sheet: column names, and rows of cells as text with their line numbers."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]

    def require(self, *columns: str) -> None:
        """Raise InputError unless the table has these columns."""
        missing = [column for column in columns if column not in self.columns]
        if missing:
            raise InputError(
                f"{self.path.name} has no column {', '.join(missing)}; its columns are {', '.join(self.columns)}",
                f"{self.path.name} must have the columns that the parameters name",
                "name the file's own columns in the parameters",
            )


def read_text(path: Path) -> str:
    """Read a UTF-8 text file, with or without a byte order mark.

    Raises
    ------
    InputError : the file is missing or not UTF-8.
    OSError : the disk or the network share does not answer.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise_if_silent(error)
        raise InputError(
            f"{path} cannot be read: {error}",
            "A text file must be readable as UTF-8",
            "correct the path, or save the file as UTF-8",
        ) from error
    if "\0" in text:
        raise InputError(
            f"{path} holds zero bytes, as spreadsheets, archives and UTF-16 files do",
            "A text file must be readable as UTF-8",
            "save the table as a CSV file in UTF-8",
        )
    return text


def read_rows(path: Path, has_spaces: bool = False, sheet: str | None = None) -> list[Row]:
    """Read the rows of a table that are not empty, with or without a header.

    A text file's columns are separated by a comma, semicolon, tab or bar, whichever is most frequent in the first row.
    Its cells may be in double quotes.

    Parameters
    ----------
    has_spaces : whether columns may be separated by white space, where the first row has no comma, semicolon or bar.
    sheet : name of the sheet of a workbook; None takes the only one.

    Raises
    ------
    InputError : the file cannot be read, or its quotation marks are broken.
    """
    if is_spreadsheet(path):
        return read_sheet(path, sheet)
    text = read_text(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    stated = SEPARATOR_LINE.match(first.strip())
    delimiter = stated[1] if stated else find_delimiter(first)
    if has_spaces and (delimiter == "\t" or delimiter not in first):
        rows = [(n, [cell.strip('"') for cell in line.split()]) for n, line in enumerate(text.splitlines(), 1)]
        return [row for row in rows if any(row[1])]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise InputError(
            f"{path.name}, line {reader.line_num}: {error}",
            "A cell that begins with a quotation mark must end with one, and hold two for each of its own",
            "correct the quotation marks",
        ) from error
    return [row for row in (rows[1:] if stated else rows) if any(row[1])]


def is_spreadsheet(path: Path) -> bool:
    """Return whether a path names a workbook, of a kind that can be read or not."""
    return path.suffix.lower() in WORKBOOKS | OTHER_SPREADSHEETS


def find_delimiter(line: str) -> str:
    """Return the delimiter that occurs most often in a line outside quotes."""
    return max(DELIMITERS, key=QUOTED.sub("", line).count)


def to_number(text: str) -> float | None:
    """Read a finite number with a decimal point or comma, or return None if the text is not one."""
    try:
        number = float(text.replace(",", ".") if "." not in text else text)
    except ValueError:
        return None
    return number if isfinite(number) else None


def read_table(path: Path, sheet: str | None = None) -> TextTable:
    """Read a table with a header: a delimited text file, or a sheet of a workbook.

    Columns without a name are left out: a numbering that a program wrote, or empty columns of a spreadsheet.

    Parameters
    ----------
    sheet : name of the sheet of a workbook; None takes the only one.

    Raises
    ------
    InputError : the file is unreadable or empty, names a column twice, begins with a title in the place of a header, or
        has a row with another number of cells than the header.
    """
    rows = read_rows(path, sheet=sheet)
    header = without_empty_end(rows[0][1]) if rows else []
    refuse_title(path.name, header, rows)
    named = tuple(name for name in header if name)
    if not named or len(set(named)) < len(named):
        raise InputError(
            f"{path.name} begins with the cells {', '.join(map(repr, header)) or 'none'}",
            "The first line of a table must name the columns, each once",
            "correct the header",
        )
    return TextTable(path, named, tuple((line, name_cells(path.name, line, cells, header)) for line, cells in rows[1:]))


def refuse_title(table: str, header: Sequence[str], rows: Sequence[Row]) -> None:
    """Raise InputError if the first row has one cell and all others have more, as where a title stands above."""
    if len(header) == 1 < min((len(without_empty_end(cells)) for _, cells in rows[1:]), default=0):
        raise InputError(
            f"{table} begins with a row of one cell, {header[0]!r}, and all other rows have more",
            "The first row of a table must name the columns",
            "remove titles and remarks above the header",
        )


def name_cells(table: str, line: int, cells: Sequence[str], header: Sequence[str]) -> dict[str, str]:
    """Return the cells of a row by column name; empty cells beyond the header are ignored.

    Raises
    ------
    InputError : the row has fewer cells than the header, or a cell beyond it.
    """
    if len(cells) < len(header) or any(cells[len(header) :]):
        raise InputError(
            f"{table}, line {line}, has {len(cells)} cells for {len(header)} columns",
            "Every row of a table must have one cell per column",
            "correct the row; in a text file, a cell that holds the separator must be in quotation marks",
        )
    return {name: cell for name, cell in zip(header, cells, strict=False) if name}


def without_empty_end(cells: Sequence[str]) -> list[str]:
    """Return cells without the empty ones at their end, which spreadsheets write for columns that were cleared."""
    n = max((number for number, cell in enumerate(cells, 1) if cell), default=0)
    return list(cells[:n])


def parse_date(text: str, date_format: str | None = None) -> date | None:
    """Read a date in ISO or in a `strptime` format, ignoring a time of day; return None if the text is no date.

    A cell that a workbook holds as a date needs no format.
    """
    date_format = None if isinstance(text, DateText) else date_format
    try:
        day = datetime.strptime(text, date_format) if date_format else datetime.fromisoformat(text)
    except ValueError:
        return None
    # Exports write 0001-01-01 for "no date", which must not count as a harvest date.
    return day.date() if day.year >= 1900 else None
