"""Write the decisions about the plants of a date as a table, and as files that other tools open."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from storage.artifacts import Draft
from storage.published.exports import KIND
from storage.published.geodata import Decimal, to_csv, to_geojson, to_geoparquet
from storage.published.geopackage import to_geopackage
from storage.published.styles import Look
from storage.tables.columns import CLUSTER, DAY, FITTED_COLUMNS, METHOD, PLANT, READY_PROBABILITY, SHARE, SPLIT, TEXT
from storage.tables.parquet import Column, TableSpec, rows_to_columns, to_arrow

DECISIONS = TableSpec(
    KIND,
    "what to do with every explained plant of a date, by one saliency method",
    (
        Column("campaign", TEXT, "name of the campaign"),
        Column("date", DAY, "acquisition date"),
        METHOD,
        PLANT,
        Column("plot", TEXT, "plot that the source states, or else the plant's id; null where unknown", nullable=True),
        Column(
            "decision",
            TEXT,
            "harvest, leave, or check (do not act on the answer); with classes other than not ready and ready, the "
            "answer replaces harvest and leave",
        ),
        Column("answer", TEXT, "name of the more probable class"),
        Column("answer_reliability", SHARE, "probability that this answer is right", "0..1"),
        READY_PROBABILITY,
        Column("check_reason", TEXT, "reasons to check, as in the table `decided`; empty without any"),
        Column("is_outside", pa.bool_(), "whether the date differs from the validation data"),
        Column("predicted", TEXT, "name of the class that the classifier predicts"),
        Column("is_corrected", pa.bool_(), "whether the answer differs from the predicted class"),
        CLUSTER,
        Column("label", TEXT, "name of the true class; null where it is not known", nullable=True),
        SPLIT,
        Column("easting", SHARE, "position in the CRS of `export.crs`; null where unknown", "m", nullable=True),
        Column("northing", SHARE, "position in the CRS of `export.crs`; null where unknown", "m", nullable=True),
        *FITTED_COLUMNS,
    ),
)


def write_decisions(
    draft: Draft, rows: Sequence[Mapping[str, Any]], crs: str, decimal: Decimal, looks: Mapping[str, Look]
) -> None:
    """Write rows of `DECISIONS` as CSV, and as files for maps where any of them has a position.

    Parameters
    ----------
    looks : look of every decision in QGIS.

    Raises
    ------
    ValueError : the rows do not fit the schema `DECISIONS`.
    """
    table = to_arrow(DECISIONS, rows_to_columns(DECISIONS, rows))
    draft.write_bytes(f"{KIND}.csv", to_csv(table, decimal))
    n_without = sum(row["easting"] is None or row["northing"] is None for row in rows)
    if n_without < len(rows):
        notes = notes_of(rows[0], crs)
        meanings = {column.name: column.meaning for column in DECISIONS.columns}
        draft.write_bytes(f"{KIND}.parquet", to_geoparquet(table, crs, {**notes, "columns": meanings}))
        listed = "; ".join(f"{name}: {meaning}" for name, meaning in meanings.items())
        text = f"{notes['title']}. {notes['description']} Columns: {listed}."
        draft.write_bytes(f"{KIND}.geojson", to_geojson(table, crs, text))
        content = to_geopackage(table, crs, DECISIONS.columns, looks, notes, rows[0]["date"])
        draft.write_bytes(f"{KIND}.gpkg", content)
    draft.summary = {"n_plants": len(rows), "n_without_position": n_without}


def notes_of(row: Mapping[str, Any], crs: str) -> dict[str, str]:
    """Return the metadata of a file of decisions: whose they are, and the CRS of easting and northing."""
    named = {name: str(row[name]) for name in ("campaign", "date", "method")}
    return {
        "title": " ".join(named.values()),
        "description": f"Decisions about plants. The columns easting and northing are in {crs}.",
        **named,
        "crs": crs,
    }
