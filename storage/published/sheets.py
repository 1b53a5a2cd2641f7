"""Write the decisions about the plants of a date as an Excel workbook: short list, details, and what they mean."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from storage.artifacts import Draft
from storage.published.decisions import DECISIONS
from storage.published.exports import KIND
from storage.published.forms import Form
from storage.published.geopackage import alias
from storage.published.origin import Origin
from storage.published.walks import WALK, walk_rows
from storage.published.workbooks import MOST_ROWS, TEXT_FORMAT, Sheet, SheetColumn, to_workbook
from storage.tables.parquet import Column, TableSpec

SHORT, DETAILS, ABOUT = "Walk", "Details", "About"  # names of the sheets
DAY_FORMAT, WHOLE_FORMAT, SHORT_FORMAT, PLAIN = "yyyy-mm-dd", "0", "0.00", "General"
TIME_FORMAT = "yyyy-mm-dd hh:mm"
SHARE_FORMAT = "0.000"  # of probabilities in the details
COLOURED = "decision"  # column whose cells are coloured
HIDDEN = ("campaign", "date")  # columns of the short list that `harvest checked` reads, and people need not see

# Entries of `Origin.notes` in the sheet `ABOUT`, with the name that readers see.
NOTES = {
    "campaign": "campaign",
    "date": "acquisition date",
    "method": "saliency method",
    "crs": "coordinate reference system of easting and northing",
    "incomplete": "incomplete date",
    "promise": "what is promised",
    "licence": "licence of the images",
}


def write_workbook(
    draft: Draft, plants: Sequence[Mapping[str, Any]], origin: Origin, colours: Mapping[str, str], form: Form
) -> None:
    """Write plants as a workbook with a short list to fill in, all columns, and their meaning.

    More than `MOST_ROWS` plants get no workbook, because spreadsheets become slow. The summary counts them.

    Parameters
    ----------
    plants : rows of `DECISIONS` in walking order, with `row` and `number` in the plot (None if unknown).
    colours : colour `#RRGGBB` of decisions; others have none.
    """
    if len(plants) > MOST_ROWS:
        draft.summary["n_without_workbook"] = len(plants)
        return
    blank = dict.fromkeys(column.name for column in form.columns)
    walk = [{**row, **blank} for row in walk_rows(plants, origin.crs)]
    sheets = [_short(walk, colours, form), _details(plants, colours), _about(origin, len(plants), form)]
    draft.write_bytes(f"{KIND}.xlsx", to_workbook(sheets, origin.notes, origin.day))


def _short(rows: Sequence[Mapping[str, Any]], colours: Mapping[str, str], form: Form) -> Sheet:
    spec, choices = form.added_to(WALK), {form.column: tuple(form.words)}
    columns = [
        SheetColumn(
            one.name,
            _number_format(one, SHORT_FORMAT),
            colours if one.name == COLOURED else {},
            choices.get(one.name, ()),
            one.name in HIDDEN,
        )
        for one in spec.columns
    ]
    return Sheet(SHORT, columns, _cells(rows, spec))


def _details(rows: Sequence[Mapping[str, Any]], colours: Mapping[str, str]) -> Sheet:
    columns = [
        SheetColumn(alias(one), _number_format(one, SHARE_FORMAT), colours if one.name == COLOURED else {})
        for one in DECISIONS.columns
    ]
    return Sheet(DETAILS, columns, _cells(rows, DECISIONS))


def _cells(rows: Sequence[Mapping[str, Any]], spec: TableSpec) -> list[list[Any]]:
    return [[row[one.name] for one in spec.columns] for row in rows]


def _number_format(column: Column, share_format: str) -> str:
    if pa.types.is_string(column.type):
        return TEXT_FORMAT
    if pa.types.is_floating(column.type):
        return SHORT_FORMAT if column.unit == "m" else share_format
    if pa.types.is_timestamp(column.type):
        return TIME_FORMAT
    if pa.types.is_date(column.type):
        return DAY_FORMAT
    return WHOLE_FORMAT if pa.types.is_integer(column.type) else PLAIN


def _about(origin: Origin, n_plants: int, form: Form) -> Sheet:
    """Say whose decisions the workbook holds, and what every column of the other sheets means."""
    rows = [("File", shown, "", origin.notes[name]) for name, shown in NOTES.items() if name in origin.notes]
    rows += [("File", "explained plants", "", str(n_plants))]
    rows += [(SHORT, one.name, one.unit, one.meaning) for one in form.added_to(WALK).columns]
    rows += [(DETAILS, alias(one), one.unit, one.meaning) for one in DECISIONS.columns]
    headings = ("part", "name", "unit", "meaning")
    return Sheet(ABOUT, [SheetColumn(heading, TEXT_FORMAT) for heading in headings], rows)
