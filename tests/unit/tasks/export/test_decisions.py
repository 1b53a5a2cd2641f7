"""Test decisions: the tables' results in a grower's words."""

import tracemalloc
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.published.decisions import DECISIONS
from storage.tables.rows import Row
from tasks.decide.decisions import decisions_of
from tasks.export.decisions import check_first, decision_rows
from tasks.export.rows import FIT, STATED, export_rows

CLASSES = ("not ready", "ready")
PLANTS = [{"plant_id": "2021_Ref_Plot2_E18", "easting": 365_000.5, "northing": 5_609_000.0}]


def decided(plant_id: str, predicted: int, answer: int, **changes: Any) -> dict[str, Any]:
    """Return a row of the table `decided`."""
    return {
        "plant_id": plant_id,
        "split": "test",
        "label": None,
        "cluster": 1,
        "predicted": predicted,
        "answer": answer,
        "is_corrected": predicted != answer,
        "ready_probability": 0.8 if answer == 1 else 0.2,
        "answer_reliability": 0.8,
        "decision": ("leave", "harvest")[answer],
        "check_reason": "",
        "is_outside": False,
        **changes,
    }


def only(row: dict[str, Any], classes: tuple[str, ...] = CLASSES) -> Row:
    (found,) = decision_rows(PLANTS, [row], classes)
    return found


@pytest.mark.parametrize("classes", [CLASSES, ("not_ready", "ready")])
@pytest.mark.parametrize(("answer", "decision"), [(0, "leave"), (1, "harvest")])
def test_answers_have_names_and_plants_have_places(classes: tuple[str, str], answer: int, decision: str) -> None:
    found = only(decided("2021_Ref_Plot2_E18", 0, answer), classes)
    assert (found["decision"], found["answer"], found["predicted"]) == (decision, classes[answer], classes[0])
    assert (found["plot"], found["easting"], found["northing"]) == ("2", 365_000.5, 5_609_000.0)


def test_a_plot_that_the_source_states_stands_before_that_of_the_id() -> None:
    stated = {"plot": "North", "row": "E", "number": 18, "variety": None}
    for place, plot in ((stated, "North"), ({**stated, "plot": None}, "2"), (None, "2")):
        entry = {**PLANTS[0], **({} if place is None else {"place": place})}
        (found,) = decision_rows([entry], [decided("2021_Ref_Plot2_E18", 0, 1)], CLASSES)
        assert found["plot"] == plot


def test_exported_rows_have_what_the_source_states_of_places() -> None:
    rows = [{**decided(name, 0, 1), **dict.fromkeys(FIT, "-")} for name in ("2021_Ref_Plot2_E18", "b")]
    place = {"plot": "North", "row": "E", "number": 18, "variety": "Clapton"}
    found = export_rows("field2", date(2024, 5, 1), [{**PLANTS[0], "place": place}], rows, CLASSES, 0.0)
    names = ("plot", *STATED, "variety")
    assert [[row[name] for name in names] for row in found] == [["North", "E", 18, "Clapton"], [None] * 4]
    (plain, _) = export_rows("field2", date(2024, 5, 1), PLANTS, rows, CLASSES, 0.0)
    assert not set(STATED) & set(plain), "row and number of the plant's id come later"


def test_what_should_not_be_acted_on_keeps_its_reasons() -> None:
    found = only(decided("B2", 1, 1, decision="check", check_reason="unsure novel", label=0, is_outside=True))
    assert (found["decision"], found["check_reason"], found["is_outside"]) == ("check", "unsure novel", True)
    assert (found["label"], found["plot"], found["easting"], found["northing"]) == ("not ready", None, None, None)


def test_more_classes_have_names_and_no_probability_of_being_ready() -> None:
    row = decided("a", 1, 1, decision="scab", ready_probability=None)
    found = only(row, ("healthy", "scab", "rot"))
    assert (found["decision"], found["answer"], found["ready_probability"]) == ("scab", "scab", None)


def test_numbers_are_those_of_the_decision() -> None:
    row = decided("a", 1, 0, ready_probability=0.1, answer_reliability=0.9)
    same = ("is_corrected", "ready_probability", "answer_reliability", "cluster", "split")
    assert {name: only(row)[name] for name in same} == {name: row[name] for name in same}


def test_a_row_has_the_columns_of_the_export_that_concern_the_plant() -> None:
    of_run = {"campaign", "date", "method", "explained_class", "classifier", "clusters", "is_audit"}
    assert only(decided("a", 0, 1)).keys() == {column.name for column in DECISIONS.columns} - of_run


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


@pytest.mark.parametrize(
    ("plant_id", "plot"),
    [("2021_Ref_Plot2_E18", "2"), ("2021_08_23_Ref_Plot12_A1", "12"), ("plot_3/x", "3"), ("leaf-17", None)],
)
def test_the_plot_is_in_the_plants_id(plant_id: str, plot: str | None) -> None:
    assert only(decided(plant_id, 0, 1))["plot"] == plot


@given(st.lists(st.floats(0.5, 1), max_size=20))
def test_whoever_is_checked_first_is_most_often_wrong(reliabilities: list[float]) -> None:
    rows = [{"plant_id": str(i), "answer_reliability": reliability} for i, reliability in enumerate(reliabilities)]
    ordered = check_first(rows)
    chances = [1 - row["answer_reliability"] for row in ordered]
    assert chances == sorted(chances, reverse=True)
    assert sorted(row["plant_id"] for row in ordered) == sorted(row["plant_id"] for row in rows)
    assert check_first(rows[::-1]) == ordered


def test_a_row_takes_little_memory() -> None:
    """A dictionary of these columns takes 1.5 kB; a date may have a million rows."""
    n = 2000
    plants = [{"plant_id": f"Plot{i % 7}_E{i}", "easting": i + 0.5, "northing": i - 0.5} for i in range(n)]
    marks = dict.fromkeys(FIT, "-")
    rows = ({**decided(f"Plot{i % 7}_E{i}", 0, 1), **marks, "answer_reliability": i / n} for i in range(n))
    tracemalloc.start()
    found = export_rows("field2", date(2024, 5, 1), plants, rows, CLASSES, 0.05)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(found) == n and held < 600 * n
