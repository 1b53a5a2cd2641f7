"""Read the sheets of an Excel workbook as rows of text, as a text table would hold them."""

import re
import warnings
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from storage.errors import InputError
from tasks.sources.files import raise_if_silent
from tasks.sources.matching import name_some

if TYPE_CHECKING:  # importing openpyxl takes a quarter of a second, and most tables are no workbooks
    from openpyxl import Workbook
    from openpyxl.cell.cell import Cell, MergedCell
    from openpyxl.worksheet.worksheet import Worksheet

WORKBOOKS = frozenset({".xlsx", ".xlsm"})
OTHER_SPREADSHEETS = frozenset({".xls", ".xlsb", ".ods", ".numbers"})
CONTAINER = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # first bytes of an old workbook, and of one with a password
ZEROS = re.compile(r"0{2,}")  # number format that shows leading zeros, as in 007
FORMULA = re.compile(rb"<(?:\w+:)?f[ >/]")  # start of a formula in the XML of a sheet

Row = tuple[int, list[str]]
"""Number of a row in its sheet, and its cells as text without spaces around them."""


class DateText(str):
    """ISO text of a cell that a workbook holds as a date, so that no format of dates applies to it."""

    __slots__ = ()


def read_sheet(path: Path, sheet: str | None) -> list[Row]:
    """Read the rows of a sheet that are not empty.

    Whole numbers are written without decimals, dates as ISO, and formulas as their results.

    Parameters
    ----------
    sheet : name of the sheet; None takes the only one that is visible and holds anything.

    Raises
    ------
    InputError : the workbook is missing, damaged, has a password or is of another kind, the sheet is not known, or it
        has merged cells, errors, or formulas without results.
    """
    refuse_other_kinds(path)
    book = open_workbook(path, has_results=True)
    found = choose_sheet(path.name, book, sheet)
    where = f"{path.name}, sheet {found.title}"
    refuse_merged(where, found)
    refuse_errors(where, found)
    if has_formulas(path):
        refuse_without_result(where, found, open_workbook(path, has_results=False)[found.title])
    rows = [(number, [cell_text(cell) for cell in cells]) for number, cells in enumerate(found.iter_rows(), 1)]
    return [row for row in rows if any(row[1])]


def refuse_other_kinds(path: Path) -> None:
    """Raise InputError if a file is missing or is no workbook that can be read, and say what it is."""
    remedy = "save the table as .xlsx, or as a CSV file in UTF-8"
    if path.suffix.lower() in OTHER_SPREADSHEETS:
        raise InputError(f"{path.name} is a {path.suffix.lower()} spreadsheet", "A workbook must be .xlsx", remedy)
    try:
        with path.open("rb") as file:
            first = file.read(len(CONTAINER))
    except OSError as error:
        raise_if_silent(error)
        raise InputError(f"{path} cannot be read: {error}", "A table must be a file", "correct the path") from error
    if first == CONTAINER:
        raise InputError(
            f"{path.name} has a password, or is an old workbook (.xls) under another name",
            "A workbook must be .xlsx without a password",
            f"remove the password and {remedy}",
        )


def open_workbook(path: Path, has_results: bool) -> "Workbook":
    """Open a workbook, with the results of its formulas or with the formulas themselves.

    Raises
    ------
    InputError : the file is damaged or no workbook.
    """
    import openpyxl

    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of colours, lists of choices and the like
            return openpyxl.load_workbook(file, data_only=has_results)
    except Exception as error:  # damage may show in any part of the archive
        raise InputError(
            f"{path.name} cannot be read as a workbook: {error}",
            "A workbook must be an undamaged .xlsx file",
            "open it in a spreadsheet program and save it again, or save the table as a CSV file in UTF-8",
        ) from error


def sheets_of(path: Path) -> list[str]:
    """Return the names of the sheets of a workbook that are visible and hold anything.

    Raises
    ------
    InputError : the workbook is missing, damaged, has a password or is of another kind.
    """
    refuse_other_kinds(path)
    return [one.title for one in visible_sheets(open_workbook(path, has_results=True))]


def visible_sheets(book: "Workbook") -> "list[Worksheet]":
    """Return the sheets of a workbook that are visible and hold anything."""
    return [one for one in book.worksheets if one.sheet_state == "visible" and has_cells(one)]


def choose_sheet(name: str, book: "Workbook", sheet: str | None) -> "Worksheet":
    """Return the sheet of a name, or the only visible one that holds anything.

    Raises
    ------
    InputError : there is no such sheet, or not exactly one to choose.
    """
    held = visible_sheets(book)
    chosen = held if sheet is None else [one for one in book.worksheets if one.title == sheet]
    if len(chosen) == 1:
        return chosen[0]
    titles = ", ".join(one.title for one in (book.worksheets if sheet else held))
    raise InputError(
        f"{name} has the sheets {titles or 'none with cells'}" + (f", and none named {sheet}" if sheet else ""),
        "One sheet of a workbook must hold the table",
        "name the sheet in the parameters" if held else "fill in the table",
    )


def has_cells(sheet: "Worksheet") -> bool:
    """Return whether any cell of a sheet has a value."""
    return any(value is not None for row in sheet.iter_rows(values_only=True) for value in row)


def refuse_merged(where: str, sheet: "Worksheet") -> None:
    """Raise InputError if cells of a sheet are merged, because only the first of them has the value."""
    merged = sorted(str(one) for one in sheet.merged_cells.ranges)
    if merged:
        raise InputError(
            f"{where}, has merged cells: {name_some(merged)}",
            "The first row of a table must name its columns, and every cell must stand alone",
            "remove titles above the header, and unmerge the other cells",
        )


def refuse_errors(where: str, sheet: "Worksheet") -> None:
    """Raise InputError if cells of a sheet hold an error, such as `#REF!`."""
    wrong = [f"{cell.coordinate} {cell.value}" for cell in cells_of(sheet) if cell.data_type == "e"]
    if wrong:
        raise InputError(
            f"{where}, has cells with errors: {name_some(wrong)}",
            "Formulas of a table must have results",
            "correct the formulas, or empty the cells",
        )


def refuse_without_result(where: str, results: "Worksheet", formulas: "Worksheet") -> None:
    """Raise InputError if formulas have no result in the file, as in one that no spreadsheet program has saved.

    Parameters
    ----------
    results, formulas : one sheet with the results of its formulas, and with the formulas themselves.
    """
    asked = [cell for cell in cells_of(formulas) if cell.data_type == "f"]
    # A result that is an empty text has a type of its own.
    found = [results[cell.coordinate] for cell in asked]
    open_cells = [cell.coordinate for cell in found if cell.value is None and cell.data_type == "n"]
    if open_cells:
        raise InputError(
            f"{where}, has formulas without results: {name_some(open_cells)}",
            "The results of formulas must be in the file",
            "open it in a spreadsheet program and save it, or replace the formulas by their values",
        )


def has_formulas(path: Path) -> bool:
    """Return whether any sheet of a workbook has a formula."""
    with ZipFile(path) as archive:
        parts = [name for name in archive.namelist() if name.startswith("xl/worksheets/")]
        return any(FORMULA.search(archive.read(name)) for name in parts)


def cells_of(sheet: "Worksheet") -> "Iterable[Cell | MergedCell]":
    """Yield every cell of a sheet, row by row."""
    return (cell for row in sheet.iter_rows() for cell in row)


def cell_text(cell: "Cell | MergedCell") -> str:
    """Return a cell as the text that a text table would have."""
    value: Any = cell.value
    if value is None:
        return ""
    if isinstance(value, datetime | date):
        return DateText(date_text(value))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and ZEROS.fullmatch(cell.number_format):
        return str(value).zfill(len(cell.number_format))
    return str(value).strip()


def date_text(value: date) -> str:
    """Write a date as ISO, with its time of day only if it is not midnight."""
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time().isoformat() == "00:00:00" else value.isoformat(" ")
    return value.isoformat()
