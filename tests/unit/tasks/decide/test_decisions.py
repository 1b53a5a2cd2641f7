"""Answers and decisions: none contradicts its probability, and every veto is named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.decide.decisions import (
    CHECK_REASONS,
    check_reasons,
    decision_words,
    doubted,
    more_probable,
    plot_of,
    right_where_shifted,
)

CLASSES = ("not ready", "ready")
PROBABILITY = st.floats(0, 1)


def test_the_other_class_is_answered_where_it_is_more_probable() -> None:
    found = more_probable(np.asarray([0, 1, 1, 0]), np.asarray([0.9, 0.2, 0.5, 0.49]), 2)
    assert found.answer.tolist() == [0, 0, 1, 1]
    assert found.is_corrected.tolist() == [False, True, False, True]
    assert found.reliability == pytest.approx([0.9, 0.8, 0.5, 0.51])


def test_with_three_classes_no_answer_is_corrected() -> None:
    found = more_probable(np.asarray([2, 0]), np.asarray([0.2, 0.6]), 3)
    assert found.answer.tolist() == [2, 0] and found.reliability.tolist() == [0.2, 0.6]
    assert not found.is_corrected.any()


def test_only_clusters_that_are_mostly_wrong_are_corrected_where_the_share_is_outside() -> None:
    combined, of_classifier = np.asarray([0.2, 0.2, 0.2, 0.9]), np.asarray([0.6, 0.7, 0.8, 0.9])
    found = right_where_shifted(combined, of_classifier, np.asarray([0.1, 0.5, 0.51, 0.9]))
    assert found.tolist() == [0.6, 0.7, 0.2, 0.9]
    assert more_probable(np.asarray([1, 1, 1, 1]), found, 2).answer.tolist() == [1, 1, 0, 1]


@given(
    st.lists(st.tuples(st.integers(0, 1), PROBABILITY, PROBABILITY, st.booleans(), st.booleans()), min_size=1),
    st.none() | st.floats(0.5, 1),
)
def test_no_decision_contradicts_its_probability(
    rows: list[tuple[int, float, float, bool, bool]], threshold: float | None
) -> None:
    predicted, right, novelty, is_doubted, is_outside = (np.asarray(one) for one in zip(*rows, strict=True))
    answered = more_probable(predicted, right, 2)
    limits = {0: threshold, 1: threshold}
    reasons = check_reasons(answered, limits, novelty, 0.02, is_doubted, is_outside)
    ready = np.where(predicted == 1, right, 1 - right)
    for i, word in enumerate(decision_words(answered.answer, reasons, CLASSES)):
        if word == "harvest":
            assert ready[i] >= 0.5
        if word == "leave":
            assert ready[i] <= 0.5
        if word != "check":
            assert threshold is not None and max(ready[i], 1 - ready[i]) >= threshold
            assert novelty[i] >= 0.02 and not is_doubted[i] and not is_outside[i]
        else:
            assert reasons[i] and set(reasons[i].split()) <= set(CHECK_REASONS)


def test_reasons_name_everything_that_speaks_against_an_answer() -> None:
    answered = more_probable(np.asarray([1, 1, 0]), np.asarray([0.9, 0.6, 0.9]), 2)
    no, yes = np.zeros(3, bool), np.ones(3, bool)
    limits = {1: 0.8, 0: None}
    assert check_reasons(answered, limits, np.ones(3), 0.02, no, no) == ["", "unsure", "unpromised"]
    found = check_reasons(answered, limits, np.asarray([0.019, 0.02, 1.0]), 0.02, yes, yes)
    assert found == ["novel reviewed outside", "unsure reviewed outside", "unpromised reviewed outside"]


@pytest.mark.parametrize(
    ("choice", "expected"), [("abstain", [True, True]), ("swap", [True, False]), ("keep", [False, True])]
)
def test_a_person_doubts_answers_that_say_the_opposite(choice: str, expected: list[bool]) -> None:
    is_corrected = np.asarray([False, True])
    assert doubted(np.asarray([3, 3]), is_corrected, {3: choice}).tolist() == expected  # pyright: ignore[reportArgumentType]
    assert not doubted(np.asarray([1, 1]), is_corrected, {3: choice}).any()  # pyright: ignore[reportArgumentType]


def test_other_classes_are_their_own_decisions() -> None:
    assert decision_words(np.asarray([2, 0, 1]), ["", "unsure", ""], ("healthy", "scab", "rot")) == [
        "rot",
        "check",
        "scab",
    ]


@pytest.mark.parametrize(("plant", "plot"), [("2021_Ref_Plot2_E18", "2"), ("plot7-3", "7"), ("row 4", None)])
def test_plot_of_an_id(plant: str, plot: str | None) -> None:
    assert plot_of(plant) == plot
