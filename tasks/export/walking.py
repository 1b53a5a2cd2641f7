"""Put plants into the order in which a person walks past them. Pure functions."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from storage.tables.rows import Row

STRIP = 2.0  # width in metres of the strips in which plants without a row are walked: what is seen on both sides
# Row and number behind the plot in a plant id: letters and a number, or both set apart.
_IN_PLOT = re.compile(r"(?i:plot_?)\d+_(?:([^\W\d_]+)([0-9]{1,9})|([^_]+)_([0-9]{1,9}))$")


def with_places(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Add `row` and `number`, the place of the plant in its plot, to decision rows; None if unknown.

    Rows that have one of them already keep both, because the source states them. Else the id may name them, as in
    `2021_Ref_Plot2_E18`, `Plot2_E18`, `Plot2_E_18` and `Plot2_3_18`.
    """
    return [{**row, **place_of(row)} for row in rows]


def place_of(row: Row) -> dict[str, Any]:
    """Return `row` and `number` of a decision row (see `with_places`)."""
    return _stated(row) or _place_in_plot(row["plant_id"])


def _stated(row: Row) -> dict[str, Any] | None:
    found = {name: row.get(name) for name in ("row", "number")}
    return None if set(found.values()) == {None} else found


def _place_in_plot(plant_id: str) -> dict[str, Any]:
    found = _IN_PLOT.search(plant_id)
    if found is None:
        return {"row": None, "number": None}
    row, number = (one for one in found.groups() if one is not None)
    return {"row": row, "number": int(number)}


def walking_order(rows: Iterable[Row]) -> list[Row]:
    """Sort plants into walking order: plot by plot, row by row, in each second row from the last plant to the first.

    Parameters
    ----------
    rows : `plant_id`, `plot`, `row`, `number`, `easting` and `northing` (m) of each plant; None where unknown.

    Notes
    -----
    In a plot, plants with a row and a number come first. Others that have a position follow in strips along the longer
    side of what they cover, again to and fro. Then come those of which only the id is known. Texts with digits are
    sorted by number: `2` before `10`. The order does not depend on that of `rows`.
    """
    given = [*rows]
    return [given[i] for i in walk(given)]


def walk(rows: Sequence[Row]) -> list[int]:
    """Return the numbers of rows in walking order (see `walking_order`), with one row at a time in memory."""
    plots: defaultdict[str | None, list[_Spot]] = defaultdict(list)
    for i, row in enumerate(rows):
        spot = _Spot(i, row["plant_id"], row["row"], row["number"], row.get("easting"), row.get("northing"))
        plots[row["plot"]].append(spot)
    names = sorted(plots, key=lambda name: (name is None, natural_key(name or "")))
    return [spot.i for name in names for spot in _through_plot(plots[name])]


class _Spot(NamedTuple):
    i: int
    plant_id: str
    row: str | None
    number: int | None
    easting: float | None
    northing: float | None

    @property
    def is_numbered(self) -> bool:
        return self.row is not None and self.number is not None

    @property
    def is_placed(self) -> bool:
        return self.easting is not None and self.northing is not None


def natural_key(text: str) -> tuple[tuple[int, str], ...]:
    """Return a key that sorts texts with the digits in them as numbers; texts that differ have keys that differ."""
    parts = re.split("([0-9]+)", text)  # texts at even places, digits at odd ones
    numbers = [part.lstrip("0") if i % 2 else part for i, part in enumerate(parts)]
    # Of two numbers, the one with more digits is the larger one.
    return (*((len(part) * (i % 2), part) for i, part in enumerate(numbers)), (0, text))


def _through_plot(spots: Iterable[_Spot]) -> list[_Spot]:
    by_id = sorted(spots, key=lambda spot: natural_key(spot.plant_id))
    others = [spot for spot in by_id if not spot.is_numbered]
    return [
        *_by_rows(spot for spot in by_id if spot.is_numbered),
        *_by_strips([spot for spot in others if spot.is_placed]),
        *(spot for spot in others if not spot.is_placed),
    ]


def _by_rows(spots: Iterable[_Spot]) -> list[_Spot]:
    lines: defaultdict[str, list[_Spot]] = defaultdict(list)
    for spot in spots:
        lines[spot.row or ""].append(spot)
    return [
        spot
        for i, name in enumerate(sorted(lines, key=natural_key))
        for spot in sorted(lines[name], key=lambda spot: spot.number or 0, reverse=i % 2 == 1)
    ]


def _by_strips(spots: Sequence[_Spot]) -> list[_Spot]:
    if len(spots) < 2:
        return list(spots)
    metres = np.asarray([(spot.easting, spot.northing) for spot in spots], np.float64)
    metres -= metres.mean(axis=0)
    _, _, axes = np.linalg.svd(metres, full_matrices=False)
    axes *= np.sign(axes[[0, 1], np.abs(axes).argmax(axis=1)])[:, None]  # towards east or north, never back
    along, across = (metres @ axes.T).round(3).T  # millimetres, so that rounding errors cannot tear a row apart
    strip = (across - across.min()) // STRIP
    order = np.lexsort((np.where(strip % 2 == 0, along, -along), strip))
    return [spots[i] for i in order]
