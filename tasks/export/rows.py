"""Compose the rows of exported decisions, and check how they are written. Pure functions."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from storage.tables.rows import Row
from tasks.export.decisions import decision_rows

FIT = ("method", "explained_class", "classifier", "clusters")  # columns of the table `decided` that name the fit


def export_rows(
    campaign: str,
    day: date,
    places: Sequence[Row],
    decided: Sequence[Row],
    classes: Sequence[str],
) -> list[dict[str, Any]]:
    """Return the decisions of a date (see `decision_rows`) with campaign, date, method and fit.

    Parameters
    ----------
    places : `plant_id`, `easting` and `northing` of the date's plants.
    decided : rows of the table of this name.
    """
    named = decision_rows(places, decided, classes)
    mark = {"campaign": campaign, "date": day}
    return [{**mark, **one, **{name: row[name] for name in FIT}} for one, row in zip(named, decided, strict=True)]
