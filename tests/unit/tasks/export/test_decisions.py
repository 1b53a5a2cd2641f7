"""Test decisions: the tables' results in a grower's words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.export.decisions import answer_reliability, check_first, decision_rows, decisions_of, plot_of

CLASSES = ("not ready", "ready")
PLANTS = [{"plant_id": "2021_Ref_Plot2_E18", "easting": 365_000.5, "northing": 5_609_000.0}]


def rated(plant_id: str, reason: str = "") -> dict[str, Any]:
    return {"plant_id": plant_id, "abstain_reason": reason}


def adjusted(plant_id: str, predicted: int, answer: int, **changes: Any) -> dict[str, Any]:
    row = {"split": "test", "cluster": 1, "label": None, "combined_reliability": 0.8, "abstain": False}
    return {
        "plant_id": plant_id,
        "predicted": predicted,
        "adjusted": answer,
        "is_swapped": predicted != answer,
        **row,
        **changes,
    }


def only(row: dict[str, Any], classes: tuple[str, ...] = CLASSES, reason: str = "") -> dict[str, Any]:
    (found,) = decision_rows(PLANTS, [rated(row["plant_id"], reason)], [row], classes)
    return found


@pytest.mark.parametrize("classes", [CLASSES, ("not_ready", "ready")])
@pytest.mark.parametrize(("answer", "decision"), [(0, "leave"), (1, "harvest")])
def test_a_ready_plant_is_harvested(classes: tuple[str, str], answer: int, decision: str) -> None:
    found = only(adjusted("2021_Ref_Plot2_E18", 0, answer), classes)
    assert (found["decision"], found["answer"], found["predicted"]) == (decision, classes[answer], classes[0])
    assert (found["plot"], found["easting"], found["northing"]) == ("2", 365_000.5, 5_609_000.0)


def test_what_should_not_be_acted_on_is_checked() -> None:
    found = only(adjusted("B2", 1, 1, abstain=True, label=0), reason="wide novel")
    assert (found["decision"], found["abstain_reason"], found["label"]) == ("check", "wide novel", "not ready")
    assert (found["plot"], found["easting"], found["northing"]) == (None, None, None)


def test_other_classes_decide_by_their_own_name() -> None:
    assert only(adjusted("a", 1, 1), ("healthy", "scab", "rot"))["decision"] == "scab"


@pytest.mark.parametrize(
    ("classes", "decisions"),
    [
        (("not_ready", "ready"), ["harvest", "leave", "check"]),
        (("ready", "not_ready"), ["ready", "not_ready", "check"]),
        (("healthy", "scab", "rot"), ["healthy", "scab", "rot", "check"]),
    ],
)
def test_decisions_are_in_the_order_in_which_they_are_asked_for(classes: tuple[str, ...], decisions: list[str]) -> None:
    assert decisions_of(classes) == decisions


def test_a_swapped_answer_is_right_where_the_predicted_one_is_not() -> None:
    assert only(adjusted("a", 1, 0, combined_reliability=0.1))["answer_reliability"] == pytest.approx(0.9)
    assert only(adjusted("a", 1, 1, combined_reliability=0.1))["answer_reliability"] == pytest.approx(0.1)


def test_tables_of_other_plants_are_refused() -> None:
    with pytest.raises(ValueError, match="same plants in the same order"):
        decision_rows([], [rated("a")], [adjusted("b", 0, 0)], CLASSES)


@pytest.mark.parametrize(
    ("plant_id", "plot"),
    [("2021_Ref_Plot2_E18", "2"), ("2021_08_23_Ref_Plot12_A1", "12"), ("plot_3/x", "3"), ("leaf-17", None)],
)
def test_the_plot_is_in_the_plants_id(plant_id: str, plot: str | None) -> None:
    assert plot_of(plant_id) == plot


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=20))
def test_whoever_is_checked_first_is_most_often_wrong(answers: list[tuple[float, bool]]) -> None:
    rows = [
        {"plant_id": str(i), "answer_reliability": answer_reliability(combined, swapped)}
        for i, (combined, swapped) in enumerate(answers)
    ]
    ordered = check_first(rows)
    chances = [1 - row["answer_reliability"] for row in ordered]
    assert chances == sorted(chances, reverse=True)
    assert sorted(row["plant_id"] for row in ordered) == sorted(row["plant_id"] for row in rows)
    assert check_first(rows[::-1]) == ordered
