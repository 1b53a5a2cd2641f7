"""Compose the rows of exported decisions, and check how they are written. Pure functions."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from storage.tables.rows import Row
from tasks.decide.audit_plants import audit_plants, audit_seed
from tasks.decide.decisions import stated_place
from tasks.export.decisions import decision_rows

STATED = ("row", "number")  # what a source may state of a plant's place in its plot
FIT = ("method", "explained_class", "classifier", "clusters")  # columns of the table `decided` that name the fit


def export_rows(
    campaign: str,
    day: date,
    places: Sequence[Row],
    decided: Sequence[Row],
    classes: Sequence[str],
    audit_share: float,
) -> list[dict[str, Any]]:
    """Return the decisions of a date (see `decision_rows`) with campaign, date, method, fit, and `is_audit`.

    Where the source states any of `STATED` for a plant of the date, all rows have them; None where unknown.

    Parameters
    ----------
    places : `plant_id`, `easting`, `northing` and, if the source states it, `place` of the date's plants.
    decided : rows of the table of this name.
    audit_share : share of the plants to act on that are drawn for a look (see `audit_plants`), 0..1.
    """
    named = decision_rows(places, decided, classes)
    drawn = audit_plants(named, audit_share, audit_seed(campaign, day))
    mark = {"campaign": campaign, "date": day}
    rows = [
        {**mark, **one, "is_audit": one["plant_id"] in drawn, **{name: row[name] for name in FIT}}
        for one, row in zip(named, decided, strict=True)
    ]
    stated = {place["plant_id"]: stated_place(place) for place in places}
    if not any(stated.values()):
        return rows
    return [{**row, **{name: stated.get(row["plant_id"], {}).get(name) for name in STATED}} for row in rows]
