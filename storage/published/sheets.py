"""Write the decisions about the plants of a date as an Excel workbook: short list, details, and what they mean."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from storage.artifacts import Draft
from storage.published.decisions import DECISIONS
from storage.published.exports import KIND
from storage.published.geopackage import alias
from storage.published.origin import Origin
from storage.published.walks import WALK, walk_rows
from storage.published.workbooks import MOST_ROWS, TEXT_FORMAT, Sheet, SheetColumn, to_workbook
from storage.tables.parquet import Column, TableSpec

SHORT, DETAILS, ABOUT = "Walk", "Details", "About"  # names of the sheets
DAY_FORMAT, WHOLE_FORMAT, SHORT_FORMAT, PLAIN = "yyyy-mm-dd", "0", "0.00", "General"
SHARE_FORMAT = "0.000"  # of probabilities in the details
COLOURED = "decision"  # column whose cells are coloured

# Entries of `Origin.notes` in the sheet `ABOUT`, with the name that readers see.
NOTES = {
    "campaign": "campaign",
    "date": "acquisition date",
    "method": "saliency method",
    "crs": "coordinate reference system of easting and northing",
    "promise": "what is promised",
    "licence": "licence of the images",
}


def write_workbook(
    draft: Draft, plants: Sequence[Mapping[str, Any]], origin: Origin, colours: Mapping[str, str]
) -> None:
    """Write plants as a workbook with a short list, all columns, and their meaning.

    More than `MOST_ROWS` plants get no workbook, because spreadsheets become slow. The summary counts them.

    Parameters
    ----------
    plants : rows of `DECISIONS` in walking order, with `row` and `number` in the plot (None if unknown).
    colours : colour `#RRGGBB` of decisions; others have none.
    """
    if len(plants) > MOST_ROWS:
        draft.summary["n_without_workbook"] = len(plants)
        return
    sheets = [
        _sheet(SHORT, WALK, walk_rows(plants, origin.crs), [one.name for one in WALK.columns], colours),
        _sheet(DETAILS, DECISIONS, plants, [alias(one) for one in DECISIONS.columns], colours),
        _about(origin, len(plants)),
    ]
    draft.write_bytes(f"{KIND}.xlsx", to_workbook(sheets, origin.notes, origin.day))


def _sheet(
    name: str,
    spec: TableSpec,
    rows: Sequence[Mapping[str, Any]],
    headings: Sequence[str],
    colours: Mapping[str, str],
) -> Sheet:
    decimals = SHORT_FORMAT if spec is WALK else SHARE_FORMAT
    columns = [
        SheetColumn(heading, _number_format(one, decimals), colours if one.name == COLOURED else {})
        for heading, one in zip(headings, spec.columns, strict=True)
    ]
    return Sheet(name, columns, [[row[one.name] for one in spec.columns] for row in rows])


def _number_format(column: Column, share_format: str) -> str:
    if pa.types.is_string(column.type):
        return TEXT_FORMAT
    if pa.types.is_floating(column.type):
        return SHORT_FORMAT if column.unit == "m" else share_format
    if pa.types.is_date(column.type):
        return DAY_FORMAT
    return WHOLE_FORMAT if pa.types.is_integer(column.type) else PLAIN


def _about(origin: Origin, n_plants: int) -> Sheet:
    """Say whose decisions the workbook holds, and what every column of the other sheets means."""
    rows = [("File", shown, "", origin.notes[name]) for name, shown in NOTES.items() if name in origin.notes]
    rows += [("File", "explained plants", "", str(n_plants))]
    rows += [(SHORT, one.name, one.unit, one.meaning) for one in WALK.columns]
    rows += [(DETAILS, alias(one), one.unit, one.meaning) for one in DECISIONS.columns]
    headings = ("part", "name", "unit", "meaning")
    return Sheet(ABOUT, [SheetColumn(heading, TEXT_FORMAT) for heading in headings], rows)
