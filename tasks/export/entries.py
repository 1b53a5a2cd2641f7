"""Read the files in which people wrote what they found: work sheets, maps edited in the field, forms of the page.

Pure functions, except that they read the file.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from storage.errors import InputError
from storage.published.forms import AT, BY, REMARK, Form
from storage.published.geodata import harmless
from storage.published.returned import read_returned_layer
from storage.published.sheets import SHORT
from tasks.sources.text_tables import TEXT_SUFFIXES, read_table
from tasks.sources.workbooks import WORKBOOKS, sheets_of

GEOPACKAGES = frozenset({".gpkg"})
PLANT_COLUMNS = ("plant_id", "plant")  # columns that may name the plant
DAY_FORMATS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y")  # days as spreadsheet programs write them, besides ISO 8601

Cells = Mapping[str, str]


@dataclass(frozen=True)
class Entry:
    """What a person wrote about a plant, as text without spaces around it.

    Attributes
    ----------
    where : the row in its file, for messages: `line 7` or `feature 7`.
    found : the word for what was found.
    """

    where: str
    plant_id: str
    found: str
    checked_by: str
    checked_at: str
    remark: str


@dataclass(frozen=True)
class Entries:
    """Rows of a file in which somebody wrote what was found, and how many rows say nothing.

    Attributes
    ----------
    n_blank : rows without an entry.
    n_remarks : rows without an entry that have a remark.
    """

    rows: tuple[Entry, ...]
    n_blank: int
    n_remarks: int


def read_entries(path: Path, form: Form, campaign: str, day: date) -> Entries:
    """Read what people found from a work sheet (XLSX, CSV), a GeoPackage that was exported, or the page's form (CSV).

    Raises
    ------
    InputError : the file cannot be read, lacks columns, is of another campaign or date, or nobody filled it in.
    """
    word, rows = _read_rows(path)
    columns = list(rows[0][1]) if rows else []
    plant = next((name for name in PLANT_COLUMNS if name in columns), None)
    if plant is None or form.column not in columns:
        raise InputError(
            f"{path.name} has the columns {', '.join(columns) or 'none'}",
            f"A file that comes back must name the plant ({' or '.join(PLANT_COLUMNS)}) and what was found "
            f"({form.column})",
            "fill in a work sheet, a map or a form of this date, and keep its columns",
        )
    _refuse_others(path, word, rows, campaign, day)
    restore = _restored if path.suffix.lower() in TEXT_SUFFIXES else str.strip
    found = [_entry(f"{word} {number}", cells, plant, form, restore) for number, cells in rows]
    filled = tuple(entry for entry in found if entry.found)
    if not filled:
        raise InputError(
            f"{path.name} has {len(found)} rows, and none with an entry in {form.column}",
            f"At least one row must say what was found: {', '.join(form.words)}",
            "fill it in; a run keeps a filled file that it replaces beside it, with `edited` in its name",
        )
    n_remarks = sum(bool(entry.remark) and not entry.found for entry in found)
    return Entries(filled, len(found) - len(filled), n_remarks)


def _read_rows(path: Path) -> tuple[str, list[tuple[int, Cells]]]:
    """Return the word for a row of this kind of file, and the rows with their numbers."""
    suffix = path.suffix.lower()
    if suffix in GEOPACKAGES:
        return "feature", [*read_returned_layer(path)]
    if suffix in TEXT_SUFFIXES:
        return "line", [*read_table(path).rows]
    if suffix in WORKBOOKS:
        return "row", [*read_table(path, SHORT if SHORT in sheets_of(path) else None).rows]
    raise InputError(
        f"{path.name} is a file of the kind {suffix or 'none'}",
        "What people found comes back as .xlsx, .csv or .gpkg",
        "give the work sheet, the map or the form that was filled in; save other spreadsheets as .xlsx",
    )


def _entry(where: str, cells: Cells, plant: str, form: Form, restore: Callable[[str], str]) -> Entry:
    plant_id, by, remark = (restore(cells.get(name, "")) for name in (plant, BY, REMARK))
    return Entry(where, plant_id, cells[form.column].strip(), by, cells.get(AT, "").strip(), remark)


def _restored(text: str) -> str:
    """Return a text of a CSV without the apostrophe that shields it from spreadsheets."""
    plain = text.strip()
    return plain[1:] if plain.startswith("'") and harmless(plain[1:]) == plain else plain


def _refuse_others(path: Path, word: str, rows: Sequence[tuple[int, Cells]], campaign: str, day: date) -> None:
    """Raise InputError if a row names another campaign or another acquisition date."""
    for number, cells in rows:
        of_campaign, of_day = cells.get("campaign", ""), cells.get("date", "")
        if of_campaign not in ("", campaign) or (of_day and day not in _days(of_day)):
            raise InputError(
                f"{path.name}, {word} {number}, is of {of_campaign or campaign} and the date {of_day or day}",
                f"Every row must be of the campaign and date that are given: {campaign}, {day}",
                "give the campaign and --date of the file, or another file",
            )


def _days(text: str) -> list[date]:
    """Return the days that a text may mean."""
    found: list[date] = []
    with suppress(ValueError):
        found.append(datetime.fromisoformat(text).date())
    for form in DAY_FORMATS:
        with suppress(ValueError):
            found.append(datetime.strptime(text, form).date())
    return found
