"""Write the decisions about the plants of a date as a table, and as files that other tools open."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from storage.artifacts import Draft
from storage.published.exports import KIND
from storage.published.forms import Form
from storage.published.geodata import Decimal, csv_parts, points_of, slices, write_geojson, write_geoparquet
from storage.published.geopackage import Layer, alias, write_geopackage
from storage.published.origin import Origin
from storage.published.plots import PLOTS, plots_frame
from storage.published.styles import COLOURED_BY, Look, plots_style, points_style
from storage.tables.columns import CLUSTER, DAY, FITTED_COLUMNS, METHOD, PLANT, READY_PROBABILITY, SHARE, SPLIT, TEXT
from storage.tables.parquet import Column, TableSpec, to_arrow
from storage.tables.rows import ColumnRows

DECISIONS = TableSpec(
    KIND,
    "what to do with every explained plant of a date, by one saliency method",
    (
        Column("campaign", TEXT, "name of the campaign"),
        Column("date", DAY, "acquisition date"),
        METHOD,
        PLANT,
        Column("plot", TEXT, "plot that the source states, or else the plant's id; null where unknown", nullable=True),
        Column("variety", TEXT, "variety that the source states; null where unknown", nullable=True),
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
        Column(
            "is_audit",
            pa.bool_(),
            "whether the plant was drawn at random for a look, although it is not to be checked; see "
            "`field.audit_share`",
        ),
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


PLOT_LABEL = """"plot" || coalesce(': ' || "n_harvest" || ' to harvest', '')"""  # QGIS expression


def write_decisions(
    draft: Draft,
    rows: ColumnRows,
    plots: Sequence[Mapping[str, Any]],
    origin: Origin,
    decimal: Decimal,
    looks: Mapping[str, Look],
    form: Form,
) -> None:
    """Write rows of `DECISIONS` as CSV, and as files for maps where any of them has a position.

    All files have the columns of the form, empty. In the GeoPackage, QGIS offers its words.

    Parameters
    ----------
    plots : rows of `PLOTS`, which the GeoPackage has as a layer; none where no plot is known.
    looks : look of every decision in QGIS.

    Raises
    ------
    ValueError : the rows do not fit the schema `DECISIONS` or `PLOTS`.
    """
    spec = form.added_to(DECISIONS)
    columns = {one.name: rows.column(one.name) for one in DECISIONS.columns}
    table = to_arrow(spec, columns | form.blank(len(rows)))
    draft.write_parts(f"{KIND}.csv", csv_parts(slices(table), decimal))
    n_without = sum(None in place for place in zip(columns["easting"], columns["northing"], strict=True))
    if n_without < len(rows):
        notes = {**origin.notes, "columns": {column.name: column.meaning for column in spec.columns}}
        write_geoparquet(draft.folder / f"{KIND}.parquet", table, origin.crs, notes)
        write_geojson(draft.folder / f"{KIND}.geojson", table, origin.crs, notes)
        layers = [_points_layer(table, spec.columns, origin.crs, looks, form)]
        if plots:
            layers.append(_plots_layer(plots, rows, origin.crs))
        write_geopackage(draft.folder / f"{KIND}.gpkg", layers, origin.notes, origin.day)
    draft.summary = {"n_plants": len(rows), "n_without_position": n_without}


def _points_layer(table: pa.Table, columns: Sequence[Column], crs: str, looks: Mapping[str, Look], form: Form) -> Layer:
    legends = {decision: look.legend for decision, look in looks.items()}
    return Layer(
        KIND,
        "Point",
        points_of(table, crs),
        columns,
        points_style(looks, {one.name: alias(one) for one in columns}, "plant_id", form),
        "points by decision, as in the report; plants drawn for a look have a label",
        {COLOURED_BY: legends, form.column: form.words},
    )


def _plots_layer(plots: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], crs: str) -> Layer:
    aliases = {one.name: alias(one) for one in PLOTS.columns}
    style = plots_style(aliases, PLOT_LABEL, "plot")
    meaning = "outlines of the plots, with the number of plants to harvest"
    return Layer(PLOTS.name, "Polygon", plots_frame(plots, rows, crs), PLOTS.columns, style, meaning, {})
