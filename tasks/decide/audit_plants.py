"""Draw plants at random among those that are acted on, so that looking at them tests what is promised.

Checks of doubtful plants say nothing about the answers that nobody doubts. A simple random sample of these does. Pure
functions.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from hashlib import sha256

from storage.tables.rows import Row
from tasks.decide.decisions import CHECK

DIGITS = 9  # decimals to which a number of plants is rounded before it is rounded up: 0.07 of 100 plants are 7


def audit_seed(campaign: str, day: date) -> str:
    """Return the seed of a date's audit plants."""
    return f"{campaign} {day.isoformat()}"


def audit_plants(rows: Iterable[Row], share: float, seed: str) -> set[str]:
    """Draw a simple random sample of the plants that are acted on, from each decision by itself.

    Parameters
    ----------
    rows : `plant_id` and `decision` of the plants of a date; their order does not matter.
    share : share of the plants of each decision that are drawn, 0..1; their number is rounded up.
    seed : text that names the draw (see `audit_seed`).

    Returns
    -------
    Ids of the drawn plants. Plants to check are never among them.

    Notes
    -----
    Plants are drawn in the order of a digest of seed and id. So a larger share adds plants and removes none, and a
    plant whose decision stays the same is rarely replaced by another.
    """
    plants: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row["decision"] != CHECK:
            plants[row["decision"]].add(row["plant_id"])
    drawn: set[str] = set()
    for ids in plants.values():
        n = math.ceil(round(share * len(ids), DIGITS))
        drawn |= set(sorted(ids, key=lambda plant: _turn(seed, plant))[:n])
    return drawn


def _turn(seed: str, plant: str) -> bytes:
    return sha256(f"{seed}\n{plant}".encode()).digest()
