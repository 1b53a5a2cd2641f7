"""Compose the rows of exported decisions, and check how they are written. Pure functions."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from storage.tables.rows import ColumnRows, Row
from tasks.decide.audit_plants import audit_plants, audit_seed
from tasks.decide.decisions import stated_place
from tasks.export.decisions import decision_rows

STATED = ("row", "number")  # what a source may state of a plant's place in its plot
FIT = ("method", "explained_class", "classifier", "clusters")  # columns of the table `decided` that name the fit


def export_rows(
    campaign: str,
    day: date,
    places: Iterable[Row],
    decided: Iterable[Row],
    classes: Sequence[str],
    audit_share: float,
) -> ColumnRows:
    """Return the decisions of a date (see `decision_rows`) with campaign, date, method, fit, and `is_audit`.

    Where the source states any of `STATED` for a plant of the date, all rows have them; None where unknown.

    Parameters
    ----------
    places : `plant_id`, `easting`, `northing` and, if the source states it, `place` of the date's plants; read twice.
    decided : rows of the table of this name.
    audit_share : share of the plants to act on that are drawn for a look (see `audit_plants`), 0..1.
    """
    judged = ColumnRows.of(decided)
    named = decision_rows(places, judged, classes)
    drawn = audit_plants(named, audit_share, audit_seed(campaign, day))
    plants, n = named.column("plant_id"), len(named)
    columns = {
        "campaign": [campaign] * n,
        "date": [day] * n,
        "is_audit": [plant in drawn for plant in plants],
        **{name: judged.column(name) for name in FIT},
    }
    stated = {place["plant_id"]: _stated(place) for place in places if stated_place(place)}
    if stated:
        of_rows = [stated.get(plant, (None, None)) for plant in plants]
        columns |= {name: [values[i] for values in of_rows] for i, name in enumerate(STATED)}
    return named.having(columns)


def _stated(plant: Row) -> tuple[Any, ...]:
    return tuple(stated_place(plant).get(name) for name in STATED)
