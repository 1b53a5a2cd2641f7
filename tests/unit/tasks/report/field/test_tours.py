"""Test the orders of the lists: by what a look is worth per metre walked, and in walking order."""

from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.report.field.tours import LOOK_METRES, check_order, extra_checks, greedy_tour, listed_rows, rows_to_check
from tests.support.field_rows import ROWS, plant


def ids(rows: Any) -> list[str]:
    return [row["plant_id"] for row in rows]


def test_a_doubtful_plant_that_is_near_comes_before_a_more_doubtful_one_that_is_far() -> None:
    # From a, b costs 5 + 10 metres and c 50 + 10: 0.3 / 15 = 0.02 is more than 0.5 / 60 = 0.008.
    metres = np.asarray([[0, 0], [5, 0], [50, 0]], np.float64)
    assert greedy_tour(metres, np.asarray([0.1, 0.3, 0.5])) == [0, 1, 2]
    # Where c is worth more than 0.3 * 60 / 15 = 1.2, it would come first. Probabilities never are, but b may be less.
    assert greedy_tour(metres, np.asarray([0.1, 0.1, 0.5])) == [0, 2, 1]


def test_equal_plants_are_visited_as_they_are_listed() -> None:
    assert greedy_tour(np.zeros((4, 2)), np.full(4, 0.4)) == [0, 1, 2, 3]
    assert greedy_tour(np.zeros((0, 2)), np.zeros(0)) == []


@example([(6, 21, 0), (21, 13, 18), (14, 21, 12)])  # both steps are worth the same
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 50)), min_size=1, max_size=6))
def test_each_step_is_the_best_one_by_a_slow_search(places: list[tuple[int, int, int]]) -> None:
    metres = np.asarray([place[:2] for place in places], np.float64)
    worth = np.asarray([place[2] / 100 for place in places])

    def steps(order: tuple[int, ...]) -> tuple[tuple[float, int], ...]:
        """Return what each step is worth per metre, and of equal ones the place that is listed first."""
        return tuple(
            (round(worth[b] / (float(np.linalg.norm(metres[b] - metres[a])) + LOOK_METRES), 9), -b)
            for a, b in pairwise(order)
        )

    best = max((order for order in permutations(range(len(places))) if order[0] == 0), key=steps)
    assert tuple(greedy_tour(metres, worth)) == best


def test_the_walk_begins_where_the_walking_order_does_and_unknown_places_come_last() -> None:
    rows = [
        plant("far", "check", 0.5, row="A", number=90, easting=90.0, northing=0.0),
        plant("start", "check", 0.9, row="A", number=1, easting=0.0, northing=0.0),
        plant("near", "check", 0.8, row="A", number=2, easting=1.0, northing=0.0),
        plant("lost", "check", 0.6),
        plant("gone", "check", 0.51),
    ]
    # 0.2 / (1 + 10) = 0.018 is more than 0.5 / (90 + 10) = 0.005.
    assert ids(check_order(rows)) == ids(check_order(rows[::-1])) == ["start", "near", "far", "gone", "lost"]


def test_every_plant_to_check_is_listed_once() -> None:
    assert sorted(ids(check_order(rows_to_check(ROWS)))) == ["b", "d"]


def test_lists_are_tours_of_their_own() -> None:
    rows = [
        plant(f"{row}{n}", "harvest" if n % 2 else "check", 0.9, row=row, number=n) for row in "AB" for n in (1, 2, 3)
    ]
    assert ids(listed_rows(rows, ["harvest", "check"])) == ["A1", "A3", "B3", "B1", "A2", "B2"]


@pytest.mark.parametrize("column", [{}, {"is_audit": False}])
def test_extra_checks_are_those_drawn_among_plants_to_act_on(column: dict[str, Any]) -> None:
    drawn = [plant("e", "harvest", 0.9, is_audit=True), plant("f", "check", 0.5, is_audit=True)]
    assert ids(extra_checks([*({**row, **column} for row in ROWS), *drawn])) == ["e"]
