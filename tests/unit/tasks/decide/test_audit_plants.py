"""Check that plants for random looks are drawn fairly, evenly over decisions, and equally by every caller."""

from datetime import date, timedelta

import numpy as np
import pytest
from scipy.stats import chisquare

from tasks.decide.audit_plants import audit_plants, audit_seed

DECISIONS = {"harvest": 40, "leave": 61, "check": 30}
ROWS = [{"plant_id": f"{word}{i}", "decision": word} for word, n in DECISIONS.items() for i in range(n)]


def n_drawn(drawn: set[str], word: str) -> int:
    return sum(plant.startswith(word) for plant in drawn)


@pytest.mark.parametrize(
    ("share", "of_harvest", "of_leave"), [(0, 0, 0), (0.001, 1, 1), (0.05, 2, 4), (0.1, 4, 7), (1, 40, 61)]
)
def test_each_decision_gives_its_share_rounded_up(share: float, of_harvest: int, of_leave: int) -> None:
    drawn = audit_plants(ROWS, share, "seed")
    assert (n_drawn(drawn, "harvest"), n_drawn(drawn, "leave"), n_drawn(drawn, "check")) == (of_harvest, of_leave, 0)


def test_a_share_that_floats_cannot_hold_is_not_rounded_up_twice() -> None:
    """0.07 * 100 is slightly above 7 in floating point."""
    rows = [{"plant_id": str(i), "decision": "ready"} for i in range(100)]
    assert len(audit_plants(rows, 0.07, "seed")) == 7


def test_the_draw_depends_on_the_seed_alone() -> None:
    drawn = audit_plants(ROWS, 0.2, "seed")
    assert audit_plants(reversed(ROWS), 0.2, "seed") == drawn != audit_plants(ROWS, 0.2, "other")
    assert drawn < audit_plants(ROWS, 0.4, "seed")


def test_campaigns_and_dates_have_draws_of_their_own() -> None:
    day = date(2021, 9, 3)
    seeds = {audit_seed(name, day + timedelta(days=i)) for name in ("field", "field2") for i in range(5)}
    assert len(seeds) == 10


def test_every_plant_is_drawn_equally_often() -> None:
    """Chi-squared test of 2000 draws of 8 of 40 plants; counts of a draw are fewer than independent ones allow."""
    rows = [{"plant_id": f"plot_{i % 5}_{i}", "decision": "harvest"} for i in range(40)]
    counts = dict.fromkeys((row["plant_id"] for row in rows), 0)
    for day in range(2000):
        for plant in audit_plants(rows, 0.2, audit_seed("field", date(2020, 1, 1) + timedelta(days=day))):
            counts[plant] += 1
    assert sum(counts.values()) == 2000 * 8
    assert chisquare(np.asarray(list(counts.values()))).pvalue > 1e-3
