"""Test which decisions a person may make on clusters, and how they replace the rule's decisions."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.artifacts import ArtifactRef
from storage.errors import InputError
from storage.records.reviews import Review
from tasks.adjust.review_choices import (
    allowed_choices,
    check_choices,
    check_words,
    honoured,
    person_choices,
    review_rows,
)
from tasks.report.method.cautions import review_note

WHEN = datetime(2021, 9, 10, 8, 30, tzinfo=UTC)
MARKS = {"method": "gradcam", "explained_class": "predicted", "classifier": "c", "clusters": "k"}


def by_rule(*swapped: bool) -> list[dict[str, Any]]:
    """Return rows of the table `swaps` with the rule's decisions on clusters 1, 2, ..."""
    return [
        {
            **MARKS,
            "cluster": cluster,
            "n": 10,
            "n_wrong": 8 if is_swapped else 2,
            "error_share": 0.8 if is_swapped else 0.2,
            "is_proposed": is_swapped,
            "decision": "swap" if is_swapped else "keep",
            "decided_by": "rule",
            "reviewer": None,
            "is_swapped": is_swapped,
            "reason": "the share",
        }
        for cluster, is_swapped in enumerate(swapped, 1)
    ]


def review(choices: dict[int, Any], reviewer: str = "Ada", reason: str = "markers") -> Review:
    scores = ArtifactRef(kind="scores", digest="s")
    who = {"reviewer": reviewer, "reason": reason, "decided": WHEN}
    return Review.model_validate(
        {"campaign": "field", "method": "gradcam", "scores": scores, "choices": choices, **who}
    )


def test_decisions_worked_by_hand() -> None:
    """A person swaps one cluster and keeps one against the rule, and abstains on one; the rule decides the fourth."""
    swaps = by_rule(False, True, True, True)
    reviews = review_rows(swaps, review({1: "swap", 2: "keep", 3: "abstain"}), 72)
    shown = [(r["cluster"], r["proposed"], r["decision"], r["reviewer"], r["decided"]) for r in reviews]
    when = "2021-09-10T08:30:00+00:00"
    assert shown == [
        (1, "keep", "swap", "Ada", when),
        (2, "swap", "keep", "Ada", when),
        (3, "swap", "abstain", "Ada", when),
    ]
    found = honoured(swaps, reviews)
    assert [r["is_swapped"] for r in found] == [True, False, False, True]
    assert [r["decision"] for r in found] == ["swap", "keep", "abstain", "swap"]
    assert [r["decided_by"] for r in found] == ["person"] * 3 + ["rule"]
    assert [r["reason"] for r in found] == ["markers"] * 3 + ["the share"]
    assert [r["is_proposed"] for r in found] == [False, True, True, True]
    assert person_choices(reviews) == {1: "swap", 2: "keep", 3: "abstain"}


def test_without_an_answer_the_rule_decides_and_says_so() -> None:
    swaps = by_rule(False, True)
    reviews = review_rows(swaps, None, 1.5)
    assert [(r["decision"], r["reviewer"], r["decided"]) for r in reviews] == [
        ("keep", None, None),
        ("swap", None, None),
    ]
    found = honoured(swaps, reviews)
    assert [r["is_swapped"] for r in found] == [False, True]
    assert {r["decided_by"] for r in found} == {"timeout"} and {r["reviewer"] for r in found} == {None}
    assert found[0]["reason"] == "the share (nobody answered within 1.5 hours: the rule decided)"
    assert person_choices(reviews) == {}


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.data())
def test_a_person_decides_where_they_did_and_the_rule_elsewhere(swapped: list[bool], data: st.DataObject) -> None:
    swaps = by_rule(*swapped)
    clusters = st.integers(1, len(swapped))
    choices = data.draw(st.dictionaries(clusters, st.sampled_from(["swap", "keep", "abstain"]), min_size=1))
    for row, is_swapped in zip(honoured(swaps, review_rows(swaps, review(choices), 72)), swapped, strict=True):
        if row["cluster"] in choices:
            assert row["is_swapped"] is (choices[row["cluster"]] == "swap") and row["decided_by"] == "person"
        else:
            assert row["is_swapped"] is is_swapped and row["decided_by"] == "rule"


def test_with_more_than_two_classes_nothing_is_swapped() -> None:
    assert allowed_choices(2) == ("swap", "keep", "abstain") and allowed_choices(3) == ("keep", "abstain")
    check_choices({1: "abstain"}, [1, 2], 3)
    with pytest.raises(InputError, match="swap for cluster 2"):
        check_choices({1: "keep", 2: "swap"}, [1, 2], 3)


@pytest.mark.parametrize(
    ("choices", "found"),
    [({}, "no decision"), ({1: "keep", 7: "swap", 9: "keep"}, "no cluster 7, 9"), ({1: "burn"}, "burn")],
)
def test_what_cannot_be_honoured_is_refused(choices: dict[int, str], found: str) -> None:
    with pytest.raises(InputError, match=found):
        check_choices(choices, [1, 2], 2)


@pytest.mark.parametrize(("reviewer", "reason"), [("", "why"), ("Ada", "  "), (" ", "")])
def test_who_and_why_are_needed(reviewer: str, reason: str) -> None:
    check_words("Ada", "why")
    with pytest.raises(InputError, match="who decided and why"):
        check_words(reviewer, reason)


def test_the_report_names_who_and_why() -> None:
    swaps = by_rule(False, True, True)
    assert review_note(swaps) is None
    note = review_note(honoured(swaps, review_rows(swaps, review({2: "keep", 3: "swap"}), 72)))
    assert note is not None and "Ada" in note.text and "2 of 3 clusters" in note.text
    assert note.decisions == [
        "cluster 2: keep (the rule said swap), by Ada: markers",
        "cluster 3: swap (as the rule said), by Ada: markers",
    ]
    late = review_note(honoured(swaps, review_rows(swaps, None, 72)))
    assert late is not None and "nobody answered in time" in late.text and late.decisions == []
