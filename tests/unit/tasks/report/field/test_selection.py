"""Test which plants a page shows: all, or of a large field those to act on first, and where each is."""

from typing import Any

import numpy as np
import pytest

from tasks.report.field import selection
from tasks.report.field.selection import known_plants, select_plants, thinned
from tasks.report.field.summary import FieldDay
from tests.support.field_rows import ROWS, plant


def test_one_plant_of_every_square_is_shown() -> None:
    metres = np.asarray([[x, y] for x in range(40) for y in range(30)], np.float64)
    shown, side = thinned(metres, 100)
    squares = np.floor(metres[shown] / side)
    assert 60 < len(shown) <= 100 and len(np.unique(squares, axis=0)) == len(shown)
    for square in np.unique(np.floor(metres / side), axis=0):  # none is empty that has a plant
        inside = np.flatnonzero((np.floor(metres / side) == square).all(axis=1))
        distances = np.hypot(*(metres[inside] / side - square - 0.5).T).round(9)
        assert inside[distances.argmin()] in shown


@pytest.mark.parametrize("metres", [np.zeros((9, 2)), np.outer(np.arange(9), [0, 3.0]), np.full((9, 2), 1e6)])
def test_a_line_or_a_heap_of_plants(metres: Any) -> None:
    shown, side = thinned(metres, 4)
    assert 1 <= len(shown) <= 4 and side > 0


def test_few_plants_are_all_shown() -> None:
    shown, side = thinned(np.zeros((3, 2)), 3)
    assert shown.tolist() == [0, 1, 2] and side == 0


def test_plants_without_an_answer_show_where_the_field_is() -> None:
    known: list[Any] = [
        {"plant_id": "2021_Plot7_A3", "easting": 10.0, "northing": 5.0},
        {"plant_id": "y", "easting": None, "northing": None},
    ]
    days = [FieldDay("2021-09-03", False, [plant("a", "harvest", 0.9, easting=12.0, northing=6.5), ROWS[1]])]
    found = known_plants(days, known)
    assert list(found) == ["2021_Plot7_A3", "a", "b"]
    assert found["2021_Plot7_A3"] == {
        "plant_id": "2021_Plot7_A3", "plot": "7", "row": "A", "number": 3, "easting": 10.0, "northing": 5.0,
    }  # fmt: skip
    assert list(known_plants([FieldDay("2021-09-03", False, ROWS)], known)) == ["a", "b", "c", "d"]  # none has a place


def test_a_plant_keeps_its_latest_known_place() -> None:
    first = FieldDay("2021-08-23", False, [plant("a", "check", 0.5, easting=1.0, northing=2.0)])
    later = FieldDay("2021-09-03", False, [plant("a", "check", 0.5)])
    found = known_plants([first, later], [])
    assert (found["a"]["easting"], found["a"]["northing"]) == (1.0, 2.0)


def test_a_large_field_shows_plants_to_act_on_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "N_ON_PAGE", 100)
    decisions = ["harvest"] * 30 + ["check"] * 20 + ["leave"] * 350
    rows = [plant(f"p{i}", word, 0.9, easting=i % 20, northing=i // 20 + 0.0) for i, word in enumerate(decisions)]
    found = select_plants([FieldDay("2021-09-03", False, rows)], [])
    shown = {row["plant_id"] for row in found.plants}
    assert found.n == 400 and 60 < len(shown) <= 100 and not found.is_whole and found.side > 0
    assert {f"p{i}" for i in range(50)} <= shown
    few = select_plants([FieldDay("2021-09-03", False, rows[:100])], [])
    assert few.is_whole and few.side == 0


def test_more_plants_to_act_on_than_a_page_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "N_ON_PAGE", 10)
    rows = [plant(f"Plot1_A{i}", "harvest", 0.9, row="A", number=i) for i in range(30)]
    found = select_plants([FieldDay("2021-09-03", False, rows[::-1])], [])
    assert [row["number"] for row in found.plants] == list(range(10)) and found.n == 30
