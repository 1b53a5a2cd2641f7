"""Order the plants of a date into the lists of the field page: to act on, to check, and random extra checks. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from storage.tables.rows import Row
from tasks.decide.decisions import CHECK
from tasks.export.decisions import check_first
from tasks.export.walking import walking_order
from tasks.report.field.summary import is_placed

# Metres that a person walks in the time of a look at a plant: ten seconds at 1 m/s. A look costs as much as they do.
LOOK_METRES = 10.0


def check_order(rows: Sequence[Row]) -> list[Row]:
    """Sort plants to check by what a look is worth per metre walked, from the start of the walk on.

    A look makes an answer certain, so it is worth the probability that the answer is wrong. It costs the straight way
    from the plant before, and the look itself (`LOOK_METRES`). The first plant is that of the walking order; the next
    is always the one with the largest worth per metre. Plants without a position follow, the least sure first.
    """
    placed = [row for row in walking_order(rows) if is_placed(row)]
    metres = np.asarray([(row["easting"], row["northing"]) for row in placed], np.float64).reshape(-1, 2)
    worth = np.asarray([1 - row["answer_reliability"] for row in placed], np.float64)
    return [*(placed[i] for i in greedy_tour(metres, worth)), *check_first(row for row in rows if not is_placed(row))]


def greedy_tour(metres: NDArray[np.float64], worth: NDArray[np.float64]) -> list[int]:
    """Return the indices of n places (n, 2) in the order of a walk from the first, by worth (n,) per metre.

    Of places that are worth the same, the first in the list comes first.
    """
    left, order = np.arange(len(metres)), list[int]()
    here = 0  # place among those left
    while len(left):
        at = metres[left[here]]
        order.append(int(left[here]))
        left = np.delete(left, here)
        steps = np.hypot(*(metres[left] - at).T) + LOOK_METRES
        here = int((worth[left] / steps).round(9).argmax()) if len(left) else 0
    return order


def listed_rows(rows: Sequence[Row], decisions: Sequence[str]) -> list[Row]:
    """Sort a date's plants by decision, and those of a decision into walking order, each list as a tour of its own."""
    return [row for name in decisions for row in walking_order(row for row in rows if row["decision"] == name)]


def rows_to_check(rows: Sequence[Row]) -> list[Row]:
    """Return the plants of a date whose answer is not acted on."""
    return [row for row in rows if row["decision"] == CHECK]


def extra_checks(rows: Sequence[Row]) -> list[Row]:
    """Return the plants of a date that were drawn at random to be checked as well, in walking order."""
    return walking_order(row for row in rows if row.get("is_audit", False) and row["decision"] != CHECK)
