"""Select the plants that a page shows of a large field. Pure functions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.tables.rows import Row
from tasks.decide.decisions import LEAVE, known_plot
from tasks.export.walking import walking_order, with_places
from tasks.report.field.summary import FieldDay, is_placed

N_ON_PAGE = 10_000  # most plants on a page; with more, a phone takes seconds to open it


@dataclass(frozen=True)
class Selection:
    """Plants that the page shows.

    Attributes
    ----------
    plants : `plant_id`, `plot`, `row`, `number`, `easting` and `northing` of each, in walking order.
    n : number of all plants.
    side : side of the squares of a grid, in metres; of plants to leave, one is shown in each. 0 if all are shown.
    """

    plants: list[Row]
    n: int
    side: float

    @property
    def is_whole(self) -> bool:
        """Return whether all plants are shown."""
        return len(self.plants) == self.n


def select_plants(days: Sequence[FieldDay], plants: Iterable[Row]) -> Selection:
    """Select at most `N_ON_PAGE` plants of some dates.

    A larger field shows first the plants of the latest date to act on and to check, in walking order, and then of all
    others one in every square of a grid.
    """
    known = known_plants(days, plants)
    if len(known) <= N_ON_PAGE:
        return Selection(walking_order(known.values()), len(known), 0.0)
    first = walking_order(known[row["plant_id"]] for row in days[-1].rows if row["decision"] != LEAVE)[:N_ON_PAGE]
    named = {row["plant_id"] for row in first}
    others = [row for row in known.values() if row["plant_id"] not in named and is_placed(row)]
    metres = np.asarray([(row["easting"], row["northing"]) for row in others], np.float64).reshape(-1, 2)
    room = N_ON_PAGE - len(first)
    shown, side = thinned(metres - metres.min(axis=0, initial=np.inf), room) if room else (np.arange(0), 0.0)
    return Selection(walking_order([*first, *(others[i] for i in shown)]), len(known), side)


def known_plants(days: Sequence[FieldDay], plants: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """Return every plant that has an answer or a position by its id, with the latest known place of each.

    Plants without an answer are among them, because they show where the field is, unless no plant with an answer has a
    position.
    """
    answers = [row for day in days for row in day.rows]
    others = [row for row in plants if is_placed(row)] if any(is_placed(row) for row in answers) else []
    named = with_places({**row, "plot": known_plot(row, row["plant_id"])} for row in others)
    found: dict[str, dict[str, Any]] = {}
    for row in (*named, *answers):
        place = {name: row[name] for name in ("plant_id", "plot", "row", "number", "easting", "northing")}
        earlier = found.get(row["plant_id"])
        if earlier and not is_placed(place):
            place |= {name: earlier[name] for name in ("easting", "northing")}
        found[row["plant_id"]] = place
    return found


def thinned(metres: NDArray[np.float64], limit: int) -> tuple[NDArray[np.int64], float]:
    """Select at most `limit` of n plants at positions (n, 2); returns their indices and the side of squares in metres.

    Plants are selected evenly over the field: in each square, the one nearest to the middle, and of equally near ones
    the first. Taking every k-th plant would show or leave out whole lines, because rows have equal numbers of plants.
    If there are no more than `limit`, all plants are selected and the side is 0.
    """
    if len(metres) <= limit:
        return np.arange(len(metres)), 0.0
    side = round(float(np.sqrt(np.maximum(np.ptp(metres, axis=0), 1.0).prod() / limit)), 1) or 0.1
    while True:
        square = np.floor(metres / side)
        order = np.argsort(np.hypot(*(metres / side - square - 0.5).T).round(9), kind="stable")
        _, first = np.unique(square[order], axis=0, return_index=True)
        if len(first) <= limit:
            return np.sort(order[first]), side
        side = round(1.1 * side + 0.05, 1)
