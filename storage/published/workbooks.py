"""Convert sheets of rows to an Excel workbook that opens ready to read, to filter and to print.

The acquisition date stands in place of the times of writing, so that equal sheets give equal bytes.
"""

import io
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from openpyxl import Workbook
from openpyxl.cell import Cell, WriteOnlyCell
from openpyxl.packaging.core import DocumentProperties
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.properties import PageSetupProperties
from openpyxl.writer.excel import ExcelWriter

from storage.published.origin import PROGRAM
from storage.published.tours import without_forbidden

MOST_ROWS = 100_000  # rows of the longest sheet; more would take minutes to write and to open
LEAST_WIDTH, MOST_WIDTH = 8, 60  # limits of a column's width in characters; longer texts are wrapped
FILTER_BUTTON = 3  # width in characters of the button beside a heading
TEXT_FORMAT = "@"  # Excel keeps what is typed into such a cell as text, also after an edit
MOST_LISTED = 255  # characters of a list of choices that Excel accepts
MOST_SAID = 225  # characters of a message about a wrong choice that Excel accepts
A4 = 9  # Excel's number of the paper size
TINT = 0.35  # share of its colour that a cell's ground has, the rest is white: black text stays readable
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # earliest time that a ZIP file can hold
# Texts that Excel and LibreOffice would take for an escaped character (ECMA-376, ST_Xstring), as in `plot_x1234_7`.
_ESCAPED = re.compile("_(?=x[0-9A-Fa-f]{4}_)")


class SheetColumn(NamedTuple):
    """A column of a sheet.

    Attributes
    ----------
    number_format : Excel's format of its numbers and dates, or `TEXT_FORMAT`.
    colours : colour `#RRGGBB` of cells by their text; other cells have none.
    choices : texts that the program offers for a cell, and beside which it accepts none; empty: anything.
    is_hidden : whether the column is in the file and neither shown nor printed.
    """

    heading: str
    number_format: str
    colours: Mapping[str, str] = {}
    choices: Sequence[str] = ()
    is_hidden: bool = False


class Sheet(NamedTuple):
    """A sheet of a workbook: its columns, and rows with a value or None for each of them."""

    name: str
    columns: Sequence[SheetColumn]
    rows: Sequence[Sequence[Any]]


def to_workbook(sheets: Sequence[Sheet], notes: Mapping[str, str], day: date) -> bytes:
    """Return sheets as an Excel workbook (XLSX) with fixed headers and filters, ready to print.

    Parameters
    ----------
    notes : `title` and `description` of the file's properties.
    day : acquisition date.

    Notes
    -----
    Texts are cells of the type text, never formulas, error values or numbers. Characters that XML forbids are left out.
    """
    book, midnight = Workbook(write_only=True), datetime.combine(day, time())
    for sheet in sheets:
        _add_sheet(book, sheet, notes["title"])
    book.properties = DocumentProperties(
        creator=PROGRAM,
        title=notes["title"],
        description=notes["description"],
        created=midnight,
        modified=midnight,
    )
    drawn = io.BytesIO()
    ExcelWriter(book, ZipFile(drawn, "w")).save()  # `Workbook.save` would write the present time
    return _packed(drawn)


def _packed(drawn: io.BytesIO) -> bytes:
    """Return the parts of a workbook compressed, without the times of writing."""
    sink = io.BytesIO()
    with ZipFile(drawn) as parts, ZipFile(sink, "w") as packed:
        for name in parts.namelist():
            packed.writestr(ZipInfo(name, ZIP_TIME), parts.read(name), ZIP_DEFLATED)
    return sink.getvalue()


def _add_sheet(book: Workbook, sheet: Sheet, title: str) -> None:
    page: Any = book.create_sheet(sheet.name)
    _set_up_print(page, f"{title} {sheet.name}")
    for i, (column, width) in enumerate(zip(sheet.columns, _widths(sheet), strict=True), start=1):
        letter = get_column_letter(i)
        page.column_dimensions[letter].width = width
        page.column_dimensions[letter].number_format = column.number_format
        page.column_dimensions[letter].hidden = column.is_hidden
        if can_offer(column.choices) and sheet.rows:
            _offer(page, column.choices, f"{letter}2:{letter}{len(sheet.rows) + 1}")
    page.freeze_panes = "A2"
    page.auto_filter.ref = f"A1:{get_column_letter(len(sheet.columns))}{len(sheet.rows) + 1}"
    page.append([_heading(page, column.heading) for column in sheet.columns])
    cells = [_cell(page, column) for column in sheet.columns]
    coloured = [{text: _cell(page, column, text) for text in column.colours} for column in sheet.columns]
    for row in sheet.rows:
        page.append(
            [
                None if value is None else _filled(of_text.get(value, cell), value)
                for cell, of_text, value in zip(cells, coloured, row, strict=True)
            ]
        )


def can_offer(choices: Sequence[str]) -> bool:
    """Return whether a sheet can offer these texts: any, in a list that its separators and length allow."""
    is_plain = not any(re.search('[,"]', one) for one in choices)
    return bool(choices) and is_plain and len(",".join(choices)) <= MOST_LISTED


def _offer(page: Any, choices: Sequence[str], cells: str) -> None:
    offered = DataValidation(type="list", formula1=f'"{",".join(choices)}"', allow_blank=True, showErrorMessage=True)
    offered.error = f"Choose one of: {', '.join(choices)}"[:MOST_SAID]
    offered.add(cells)
    page.data_validations.append(offered)


def _set_up_print(page: Any, title: str) -> None:
    page.page_setup.orientation, page.page_setup.paperSize = "landscape", A4
    page.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    page.page_setup.fitToWidth, page.page_setup.fitToHeight = 1, 0  # as many pages long as needed
    page.print_title_rows = "1:1"
    page.oddHeader.left.text = title
    page.oddFooter.center.text = "&P / &N"


def _heading(page: Any, text: str) -> Cell:
    cell = _filled(_cell(page, SheetColumn(text, TEXT_FORMAT)), text)
    cell.font = Font(name="Calibri", size=11, bold=True)  # as openpyxl's other cells
    return cell


def _cell(page: Any, column: SheetColumn, text: str | None = None) -> Cell:
    """Return a cell with the look of a column, or of one of its texts; rows are written at once, so it is reused."""
    cell: Any = WriteOnlyCell(page)
    cell.number_format = column.number_format
    cell.alignment = Alignment(vertical="top", wrap_text=column.number_format == TEXT_FORMAT)
    if text is not None:
        cell.fill = PatternFill("solid", start_color=_tint(column.colours[text]))
    return cell


def _filled(cell: Any, value: Any) -> Any:
    if isinstance(value, str):
        cell.value = _ESCAPED.sub("_x005F_", without_forbidden(value))
        cell.data_type = "s"  # openpyxl would make formulas and error values of some
    else:
        cell.value = value
    return cell


def _tint(colour: str) -> str:
    """Return a colour `#RRGGBB` mixed with white, as `RRGGBB`."""
    mixed = (round(255 - TINT * (255 - int(colour[i : i + 2], 16))) for i in (1, 3, 5))
    return "".join(f"{part:02X}" for part in mixed)


def _widths(sheet: Sheet) -> list[int]:
    """Return the width of every column in characters: that of its longest text, within the limits."""
    longest = [len(column.heading) + FILTER_BUTTON for column in sheet.columns]
    for row in sheet.rows:
        for i, value in enumerate(row):
            if isinstance(value, str) and len(value) >= longest[i]:
                longest[i] = len(value) + 1
    return [min(MOST_WIDTH, max(LEAST_WIDTH, one)) for one in longest]
