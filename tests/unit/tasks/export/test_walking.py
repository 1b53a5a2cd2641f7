"""Test the order in which plants are walked, against orders worked out by hand and the length of the walk."""

from itertools import pairwise
from math import cos, dist, radians, sin
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.export.walking import natural_key, walking_order, with_places


def plant(
    plant_id: str,
    plot: str | None = None,
    row: str | None = None,
    number: int | None = None,
    easting: float | None = None,
    northing: float | None = None,
) -> dict[str, Any]:
    place = {"easting": easting, "northing": northing}
    return {"plant_id": plant_id, "plot": plot, "row": row, "number": number, **place}


def ids(rows: list[dict[str, Any]], seed: int = 0) -> list[str]:
    """Return the order of plants that are given in a random order."""
    return [row["plant_id"] for row in walking_order(Random(seed).sample(rows, len(rows)))]


def numbered(*names: str) -> list[dict[str, Any]]:
    return with_places({"plant_id": f"2021_Ref_Plot{name}", "plot": name.split("_")[0]} for name in names)


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [name.removeprefix("2021_Ref_Plot") for name in ids(rows)]


@pytest.mark.parametrize(
    ("plant_id", "row", "number"),
    [
        ("2021_Ref_Plot2_E18", "E", 18),
        ("2020_Ref_Plot10_A01", "A", 1),
        ("Plot2_AB181", "AB", 181),
        ("Plot2_E_18", "E", 18),
        ("Plot2_3_18", "3", 18),
        ("plot_3_B_7", "B", 7),
        ("Plot2_E", None, None),
        ("Plot2_E1234567890", None, None),
        ("plot3_7", None, None),
        ("E18", None, None),
        ("train/ready/7", None, None),
    ],
)
def test_ids_name_row_and_number(plant_id: str, row: str | None, number: int | None) -> None:
    ((found),) = with_places([{"plant_id": plant_id}])
    assert found == {"plant_id": plant_id, "row": row, "number": number}


def test_places_that_a_source_states_stand_before_those_of_the_id() -> None:
    stated = [
        {"plant_id": "Plot2_E18", "row": "7", "number": 3},
        {"plant_id": "Plot2_E18", "row": None, "number": 3},
        {"plant_id": "Plot2_E18", "row": None, "number": None},
    ]
    assert [(row["row"], row["number"]) for row in with_places(stated)] == [("7", 3), (None, 3), ("E", 18)]


def test_every_second_row_is_walked_back() -> None:
    rows = numbered("2_A1", "2_A2", "2_A10", "2_B1", "2_B2", "2_B10", "2_C1", "2_C2")
    assert names(rows) == ["2_A1", "2_A2", "2_A10", "2_B10", "2_B2", "2_B1", "2_C1", "2_C2"]


def test_a_row_without_a_plant_to_visit_is_passed_by() -> None:
    assert names(numbered("2_A1", "2_A2", "2_C1", "2_C2")) == ["2_A1", "2_A2", "2_C2", "2_C1"]


def test_plots_follow_by_number_and_each_begins_at_its_first_row() -> None:
    rows = numbered("10_A1", "10_A2", "2_A1", "2_A2", "2_B1", "2_B2")
    assert names(rows) == ["2_A1", "2_A2", "2_B2", "2_B1", "10_A1", "10_A2"]


def test_plants_without_a_plot_a_row_or_a_position_come_last() -> None:
    rows = [
        plant("b10"),
        plant("b9"),
        plant("in plot", plot="1"),
        plant("placed", easting=1.0, northing=1.0),
        plant("placed in plot", plot="1", easting=1.0, northing=1.0),
        plant("numbered", plot="1", row="3", number=1),
        plant("half", plot="1", row="3"),
    ]
    assert ids(rows) == ["numbered", "placed in plot", "half", "in plot", "placed", "b9", "b10"]


@pytest.mark.parametrize("angle", [0, 30, 45, 77, 90, 135, 179])
def test_without_rows_strips_are_walked_to_and_fro(angle: float) -> None:
    """In five rows of 30 plants at 2 m by 0.5 m, the shortest walk has 5 * 14.5 m along rows and 4 * 2 m between."""
    turned = radians(angle)
    rows = [
        plant(
            f"{i}-{j}",
            easting=365_000 + cos(turned) * j / 2 - sin(turned) * i * 2.0,
            northing=5_609_000 + sin(turned) * j / 2 + cos(turned) * i * 2.0,
        )
        for i in range(5)
        for j in range(30)
    ]
    walk = walking_order(Random(angle).sample(rows, len(rows)))
    steps = [dist(*((one["easting"], one["northing"]) for one in pair)) for pair in pairwise(walk)]
    assert sum(steps) == pytest.approx(5 * 14.5 + 4 * 2.0, abs=0.01)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_few_plants_in_one_place(n: int) -> None:
    rows = [plant(f"{i}", easting=5.0, northing=6.0) for i in range(n)]
    assert ids(rows) == [str(i) for i in range(n)]


PLOTS, ROWS = st.sampled_from([None, "1", "2", "10"]), st.sampled_from([None, "A", "B", "10"])
METRES = st.one_of(st.none(), st.floats(0, 100))


@given(
    st.lists(
        st.builds(plant, st.text("a1", max_size=4), PLOTS, ROWS, st.sampled_from([None, 1, 2, 9]), METRES, METRES),
        unique_by=lambda row: row["plant_id"],
    )
)
def test_every_plant_is_visited_once_in_an_order_that_does_not_depend_on_theirs(rows: list[dict[str, Any]]) -> None:
    assert sorted(ids(rows)) == sorted(row["plant_id"] for row in rows)
    assert ids(rows, 1) == ids(rows, 2)


@given(st.integers(0, 10**30), st.integers(0, 10**30))
def test_digits_in_texts_are_sorted_as_numbers(a: int, b: int) -> None:
    assert (natural_key(f"p{a}x") < natural_key(f"p{b}x")) is (a < b)


@given(st.text(), st.text())
def test_only_equal_texts_have_equal_keys(a: str, b: str) -> None:
    assert (natural_key(a) == natural_key(b)) is (a == b)
