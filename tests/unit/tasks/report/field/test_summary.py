"""Test the summary of a date: its counts, and the sentences of the head of the field page."""

from dataclasses import replace
from typing import Any

import pytest

from tasks.export.looks import MARKERS, markers_of
from tasks.ingest.completeness import Completeness
from tasks.report.field.head import day_head, lead_sentence, promise_sentences, reliance_sentences
from tasks.report.field.summary import FieldDay, changed_sentence, decision_sentence, plot_rows, plots_of, summarise
from tests.support.field_rows import CLASSES, ROWS, plant


def counted(plot: str | None, expected: float, low: float, high: float) -> dict[str, Any]:
    return {"plot": plot, "n_ready": expected, "n_ready_lower": low, "n_ready_upper": high}


COUNTS = [counted(None, 1.8, 0.6, 3.2), counted("1", 1.5, 1, 2), counted("10", 0.3, 0, 1)]


def test_a_date_by_hand() -> None:
    left_out: list[Any] = [{"reason": reason} for reason in ("blank", "harvested", "harvested")]
    drift: list[Any] = [{"is_outside": True, "reason": "clusters"}, {"is_outside": False, "reason": ""}]
    found = summarise(FieldDay("2021-09-03", True, ROWS, 5, left_out, drift, COUNTS), CLASSES)
    assert found.counts == {"harvest": 1, "leave": 1, "check": 2} and found.n == 4 and found.n_to_act_on == 2
    assert (found.ready, found.n_right, found.mean_reliability) == (
        (1.8, 0.6, 3.2),
        pytest.approx(1.6),
        pytest.approx(0.675),
    )
    assert (found.changed, found.n_unplaced, found.n_unanswered) == ({"not_ready": 1}, 4, 5)
    assert found.left_out == [("harvested", 2), ("blank", 1)]
    assert found.outside == "plants fall into other clusters than in validation"
    assert lead_sentence(found) == "1 plant to harvest"
    assert found.outside_words == ["clusters"]
    assert reliance_sentences(found) == [
        "How many of 4 plants are ready cannot be told closely: 1 to 3.",
        "Of the 2 answers to act on, about 2 are expected to be right.",
        "1 answer was corrected where the classifier is probably wrong: 1 to not ready.",
        "5 more plants have no answer here because the classifier was trained on them.",
    ]
    close = replace(found, ready=(1.8, 1.4, 2.6))
    assert reliance_sentences(close)[0] == "About 2 of 4 plants are ready (1 to 3), certain or not."
    assert decision_sentence(found).startswith("3 September 2021: 4 plants, 1 to harvest, 1 to leave, 2 to check. ")
    assert "**Outside what was validated: plants fall" in decision_sentence(found)


def test_a_date_with_far_fewer_plants_than_expected_says_so() -> None:
    day = FieldDay("2021-09-03", True, ROWS, completeness=Completeness(4, 9))
    found = summarise(day, CLASSES)
    assert "**Incomplete: 4 of 9 expected plants.**" in decision_sentence(found)
    assert day_head(found).incomplete.startswith("Pictures are missing: 4 of 9 expected plants have one on this date.")
    whole = summarise(replace(day, completeness=Completeness(8, 9)), CLASSES)
    assert (whole.incomplete, day_head(whole).incomplete) == ("", "") and "Incomplete" not in decision_sentence(whole)


@pytest.mark.parametrize(
    ("rows", "lead", "first"),
    [
        ([], "No plant has an answer on this date", ""),
        ([ROWS[1]], "0 plants to harvest", "No answer of the classifier was corrected."),
        ([ROWS[2]], "0 plants to harvest", "Of the 1 answer to act on, about 1 is expected to be right."),
        ([ROWS[0]], "1 plant to harvest", "Of the 1 answer to act on, about 1 is expected to be right."),
    ],
)
def test_a_date_with_little_to_say(rows: list[dict[str, Any]], lead: str, first: str) -> None:
    found = summarise(FieldDay("2021-09-03", False, rows), CLASSES)
    assert lead_sentence(found) == lead and (reliance_sentences(found) or [""])[0] == first


def test_other_classes_are_counted_by_their_names() -> None:
    rows = [plant("a", "scab", 0.9, answer="scab"), plant("b", "check", 0.5, answer="rot")]
    found = summarise(FieldDay("2021-09-03", False, rows), ("healthy", "scab", "rot"))
    assert lead_sentence(found) == "1 of 2 plants has an answer to act on"
    assert changed_sentence(found) == reliance_sentences(found)[-1] == "No answer of the classifier was corrected."
    assert "0 healthy, 1 scab, 0 rot, 1 to check" in decision_sentence(found)


def test_plots_are_in_the_order_of_their_numbers_and_the_latest_date_is_first() -> None:
    days = [
        FieldDay("2021-08-23", False, ROWS[:1]),
        FieldDay("2021-09-03", False, [*ROWS, plant("e", "leave", 1, plot=None)], counts=COUNTS),
    ]
    rows = plot_rows([plots_of(day, CLASSES) for day in days])
    found = [(row["date"], row["plot"], row["n"]) for row in rows]
    assert found == [("2021-09-03", p, n) for p, n in (("1", 2), ("2", 1), ("10", 1), (None, 1))] + [
        ("2021-08-23", "1", 1)
    ]
    assert rows[0]["counts"] == {"harvest": 1, "leave": 0, "check": 1}
    ready = [row["ready"] for row in rows]  # plants without a plot are not the whole field
    assert ready == [(1.5, 1, 2), None, (0.3, 0, 1), None, None]
    assert plot_rows([plots_of(FieldDay("2021-09-03", False, [plant("e", "leave", 1, plot=None)]), CLASSES)]) == []
    named = [plant(name, "leave", 1, plot=plot) for name, plot in (("e", "North 10"), ("f", None), ("g", "North 2"))]
    rows = plot_rows([plots_of(FieldDay("2021-09-03", False, named), CLASSES)])
    assert [row["plot"] for row in rows] == ["North 2", "North 10", None]


def test_a_date_whose_share_of_ready_plants_is_far_from_validation_is_outside() -> None:
    drift: list[Any] = [{"is_outside": True, "reason": "novelty"}]
    found = summarise(FieldDay("2021-09-03", True, ROWS, drift=drift, is_share_outside=True), CLASSES)
    assert found.outside.endswith("; the share of ready plants is far from that on every validation date")
    assert found.outside_words == ["novelty", "share"]
    assert any(sentence.startswith("How many plants are ready is not known") for sentence in reliance_sentences(found))
    assert summarise(FieldDay("2021-09-03", True, ROWS), CLASSES).outside == ""


@pytest.mark.parametrize("n_classes", [2, 3, 6])
def test_decisions_differ_in_shape_and_colour(n_classes: int) -> None:
    classes = [f"class {i}" for i in range(n_classes)]
    markers = markers_of(classes)
    assert list(markers) == [*classes, "check"] and n_classes <= len(MARKERS)
    for look in ("symbol", "shape", "path", "light", "dark"):
        assert len({getattr(marker, look) for marker in markers.values()}) == n_classes + 1


def promise(**changes: Any) -> dict[str, Any]:
    row = {"answers": "all", "tolerated_error": 0.15, "confidence": 0.9, "threshold": 0.7, "is_used": True}
    return {**row, "n_plants": 112, "n_wrong": 9, "n_answered": 130, "n_validation": 200, "n_more_plants": 0, **changes}


@pytest.mark.parametrize(
    ("changes", "said", "behind"),
    [
        (
            {},
            "At least 85 of 100 answers acted on are right.",
            "Tested on 112 validation plants: 9 of their 130 answers",
        ),
        ({"answers": "not_ready"}, "At least 85 of 100 answers “not ready” acted on are right.", "confidence of 90 %"),
        (
            {"threshold": None, "n_more_plants": 1},
            "not shown that at most 15 of 100 would",
            "1 more checked validation plant w",
        ),
        ({"threshold": None, "n_more_plants": None}, "No answer can be acted on yet", "tolerate more errors"),
    ],
)
def test_what_is_promised_and_why(changes: dict[str, Any], said: str, behind: str) -> None:
    unused = promise(is_used=False, threshold=None)
    ((promised, evidence),) = promise_sentences([unused, promise(**changes)])
    assert said in promised and behind in evidence


def test_the_head_of_a_date_names_what_to_know() -> None:
    left_out: list[Any] = [{"reason": reason} for reason in ("blank", "harvested", "harvested", "strange_reason")]
    drift: list[Any] = [{"is_outside": True, "reason": "clusters novelty"}]
    head = day_head(summarise(FieldDay("2021-09-03", True, ROWS, 0, left_out, drift), CLASSES))
    assert head.numbers == [
        ("harvest", 1, "ready, and certain enough to act on"),
        ("leave", 1, "not ready, and certain enough to act on"),
        ("check", 2, "nothing is promised: look at the plant"),
    ]
    assert "other clusters than in validation; too many saliency maps" in head.warning
    assert head.left_out == "Left out: 2 harvested already, 1 picture empty, 1 strange reason."
