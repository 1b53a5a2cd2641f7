"""Write the plants of a date in walking order: a short list for spreadsheets, and tours for navigation devices."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from storage.artifacts import Draft
from storage.published.forms import Form
from storage.published.geodata import Decimal, csv_parts, degrees
from storage.published.origin import Origin
from storage.published.tours import Stop, in_words, to_gpx, to_kml
from storage.tables.columns import DAY, SHARE, TEXT, WHOLE
from storage.tables.parquet import ROWS_AT_ONCE, Column, TableSpec, rows_to_columns, to_arrow

WALK = TableSpec(
    "walk",
    "the plants of a date in walking order, for people in the field",
    (
        Column("plant", TEXT, "id of the plant"),
        Column("plot", TEXT, "plot; empty where unknown", nullable=True),
        Column("row", TEXT, "row in the plot; empty where unknown", nullable=True),
        Column("number", WHOLE, "number of the plant in its row; empty where unknown", nullable=True),
        Column("decision", TEXT, "what to do, as in the column `decision` above"),
        Column(
            "probability",
            SHARE,
            "probability that the plant is ready, two decimals; with more than two classes, that the answer is right",
            "0..1",
        ),
        Column(
            "why",
            TEXT,
            "reasons to look at the plant, separated by commas: those to check, or `random` for a plant that was drawn "
            "for a look; empty without any",
        ),
        Column("position", TEXT, "latitude and longitude (WGS 84) in degrees; empty where unknown", nullable=True),
        Column("campaign", TEXT, "name of the campaign"),
        Column("date", DAY, "acquisition date"),
    ),
)
RANDOM = "random"  # why to look at a plant that is not to be checked


def write_walk(
    draft: Draft,
    plants: Sequence[Mapping[str, Any]],
    tours: Mapping[str, Sequence[Mapping[str, Any]]],
    origin: Origin,
    decimal: Decimal,
    form: Form,
) -> None:
    """Write a short list of all plants as CSV with a form to fill in, and tours to some of them as GPX and KML.

    Parameters
    ----------
    plants : rows of `DECISIONS` in walking order, with `row` and `number` in the plot (None if unknown).
    tours : such rows by name of the tour, which names its files. Plants without a position are left out. A tour to
        none has no files.
    """
    draft.write_parts(f"{WALK.name}.csv", csv_parts(_walk_tables(plants, origin.crs, form), decimal))
    keywords = ", ".join((origin.campaign, origin.day.isoformat(), origin.method))
    for name, tour in tours.items():
        places = _degrees(tour, origin.crs)
        stops = [_stop(plant, place) for plant, place in zip(tour, places, strict=True) if place is not None]
        if stops:
            title, description = f"{origin.title} {name}", _description(name, origin)
            draft.write_bytes(f"{name}.gpx", to_gpx(stops, title, description, origin.day, f"{keywords}, {name}"))
            draft.write_bytes(f"{name}.kml", to_kml(stops, name, title, description))


def _walk_tables(plants: Sequence[Mapping[str, Any]], crs: str, form: Form) -> Iterator[pa.Table]:
    """Yield the short list in parts; without plants, one part without rows."""
    for start in range(0, max(1, len(plants)), ROWS_AT_ONCE):
        rows = walk_rows(plants[start : start + ROWS_AT_ONCE], crs)
        yield to_arrow(form.added_to(WALK), rows_to_columns(WALK, rows) | form.blank(len(rows)))


def walk_rows(plants: Sequence[Mapping[str, Any]], crs: str) -> list[dict[str, Any]]:
    """Return rows of `WALK`, in the order of the plants.

    Parameters
    ----------
    plants : rows of `DECISIONS` with `row` and `number` in the plot (None if unknown).
    crs : coordinate reference system of the columns `easting` and `northing`.
    """
    return [_walk_row(plant, place) for plant, place in zip(plants, _degrees(plants, crs), strict=True)]


def _description(tour: str, origin: Origin) -> str:
    """Say what a tour is, whether plants of the date are missing, what is promised, and the licence where known."""
    few = f"Incomplete: {origin.incomplete}." if origin.incomplete else ""
    licence = f"Licence of the images: {origin.licence}." if origin.licence else ""
    texts = (f"Plants to {tour}, in walking order. Positions are WGS 84.", few, *origin.promises, licence)
    return " ".join(text for text in texts if text)


def _degrees(plants: Sequence[Mapping[str, Any]], crs: str) -> list[tuple[float, float] | None]:
    """Return longitude and latitude of every plant; None where unknown."""
    columns = {name: pa.array([plant[name] for plant in plants], SHARE) for name in ("easting", "northing")}
    return [None if math.isnan(lon) else (lon, lat) for lon, lat in degrees(pa.table(columns), crs).tolist()]


def _walk_row(plant: Mapping[str, Any], place: tuple[float, float] | None) -> dict[str, Any]:
    return {
        **{name: plant[name] for name in ("plot", "row", "number", "decision", "campaign", "date")},
        "plant": plant["plant_id"],
        "probability": round(_probability(plant), 2),
        "why": ", ".join(_reasons(plant)),
        "position": None if place is None else in_words(*place),
    }


def _stop(plant: Mapping[str, Any], place: tuple[float, float]) -> Stop:
    why = ", ".join(_reasons(plant)) or f"probability {_probability(plant):.2f}"
    return Stop(plant["plant_id"], plant["decision"], f"{plant['decision']}: {why}", *place)


def _reasons(plant: Mapping[str, Any]) -> list[str]:
    return [*plant["check_reason"].split(), *([RANDOM] if plant["is_audit"] else ())]


def _probability(plant: Mapping[str, Any]) -> float:
    ready = plant["ready_probability"]
    return plant["answer_reliability"] if ready is None else ready
