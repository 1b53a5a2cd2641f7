"""Test the sentences about what is promised: certified or not, about all answers or those of each class."""

from typing import Any

import pytest

from tasks.decide.promised import guarantee_sentence, guarantee_sentences, used_promises


def promise(answers: str = "all", threshold: float | None = 0.71, **changes: Any) -> dict[str, Any]:
    certified = {
        "n_answered": 190,
        "n_plants": 112,
        "n_wrong": 17,
        "n_more_plants": 0,
    }
    lacking = {"n_answered": 0, "n_plants": 0, "n_wrong": 0, "n_more_plants": 37}
    return {
        "answers": answers,
        "tolerated_error": 0.15,
        "confidence": 0.9,
        "threshold": threshold,
        "n_validation": 240,
        "is_used": True,
        **(lacking if threshold is None else certified),
        **changes,
    }


def test_a_promise_about_all_answers_together() -> None:
    assert guarantee_sentence(promise()) == (
        "At least 85 of 100 answers acted on are right, by 112 validation plants (17 of their 190 answers wrong; "
        "confidence 90 %)."
    )


def test_a_promise_about_each_class_names_it_and_its_own_tolerance() -> None:
    rows = [promise("not_ready", tolerated_error=0.1), promise("ready", tolerated_error=0.225, confidence=0.95)]
    not_ready, ready = guarantee_sentences(rows)
    assert not_ready.startswith("At least 90 of 100 answers “not ready” acted on are right, by 112 validation plants")
    assert ready.startswith("At least 77.5 of 100 answers “ready” acted on are right") and "confidence 95 %" in ready


@pytest.mark.parametrize(
    ("answers", "n_more", "says"),
    [
        ("all", 37, "About 37 more checked validation plants would, if errors stay as frequent."),
        ("all", 1, "About 1 more checked validation plant would, if errors stay as frequent."),
        ("ready", None, "More checked plants alone would not change that: tolerate more errors, or check by hand."),
    ],
)
def test_where_nothing_is_certified_the_sentence_says_what_is_lacking(
    answers: str, n_more: int | None, says: str
) -> None:
    found = guarantee_sentence(promise(answers, None, n_more_plants=n_more))
    which = "" if answers == "all" else " “ready”"
    assert found == (
        f"No answer{which} can be acted on yet: 240 validation answers do not show that at most 15 of 100 would be "
        f"wrong. {says}"
    )
    assert "At least" not in found  # nothing is promised


def test_one_class_may_be_certified_without_the_other() -> None:
    first, second = guarantee_sentences([promise("not_ready"), promise("ready", None)])
    assert first.startswith("At least 85") and second.startswith("No answer “ready” can be acted on yet")


def test_only_the_promises_that_decisions_follow_are_said() -> None:
    rows = [promise(is_used=False, tolerated_error=tolerated) for tolerated in (0.05, 0.1)]
    used = promise("ready")
    assert used_promises([*rows, used]) == [used]
    assert len(guarantee_sentences([*rows, used])) == 1 and guarantee_sentences(rows) == []
