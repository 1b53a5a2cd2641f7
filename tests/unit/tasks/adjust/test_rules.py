"""Test the rules of swapping: the paper's threshold, and the confident rule against Holm's steps."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import binom

from tasks.adjust.rules import (
    AdjustParams,
    Decision,
    decide,
    reasons,
    swap,
    swap_warnings,
    swapped_without_fold,
)

PAPER, CONFIDENT = AdjustParams(rule="paper"), AdjustParams(rule="confident")


def decided(counts: list[tuple[int, int]], params: AdjustParams = PAPER, n_classes: int = 2) -> Decision:
    """Return the decision on clusters of (n, n_wrong), every image of another plant."""
    n, n_wrong = np.asarray(counts).T
    return decide(n, n_wrong, np.asarray([coin(*one) for one in counts]), params, n_classes)


def coin(n: int, n_wrong: int) -> float:
    """Return the chance of at least so many heads among n throws of a coin."""
    return float(binom.sf(n_wrong - 1, n, 0.5))


# The paper's rule


@pytest.mark.parametrize(("n_wrong", "n"), [(3, 4), (15, 20), (30, 40), (147, 196)])
def test_a_cluster_exactly_at_the_threshold_is_not_swapped(n_wrong: int, n: int) -> None:
    assert decided([(n, n_wrong), (n, n_wrong + 1)]).is_swapped.tolist() == [False, True]


@pytest.mark.parametrize(("threshold", "n_wrong", "n"), [(0.6, 3, 5), (0.7, 7, 10), (0.55, 11, 20), (0.9, 9, 10)])
def test_thresholds_without_an_exact_float_are_strict_too(threshold: float, n_wrong: int, n: int) -> None:
    assert decided([(n, n_wrong)], AdjustParams(rule="paper", threshold=threshold)).is_swapped.tolist() == [False]
    assert decided(
        [(10 * n, 10 * n_wrong + 1)], AdjustParams(rule="paper", threshold=threshold)
    ).is_swapped.tolist() == [True]


def test_a_threshold_of_one_swaps_nothing() -> None:
    assert not decided([(1, 1), (50, 50)], AdjustParams(rule="paper", threshold=1)).is_swapped.any()


@pytest.mark.parametrize("threshold", [0.49, 1.01])
def test_a_threshold_that_would_swap_right_answers_is_refused(threshold: float) -> None:
    with pytest.raises(ValidationError, match="threshold"):
        AdjustParams(rule="paper", threshold=threshold)


def test_the_default_is_the_confident_rule() -> None:
    assert AdjustParams() == CONFIDENT


# The confident rule

Counts = st.lists(
    st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=1, max_size=9
)


def holms_findings(p: list[Fraction], alpha: Fraction) -> list[bool]:
    """Find significant p-values by Holm's steps from the smallest one to the first that is too large."""
    found = [False] * len(p)
    for n_left, i in zip(range(len(p), 0, -1), sorted(range(len(p)), key=p.__getitem__), strict=True):
        if p[i] * n_left > alpha:
            break
        found[i] = True
    return found


Tested = st.lists(st.tuples(st.integers(1, 30), st.floats(0, 1)), min_size=1, max_size=9)  # n, and p-value


@given(Tested, st.sampled_from([0.01, 0.05, 0.2]), st.integers(1, 15))
def test_a_confident_swap_is_a_finding_of_holms_test(
    clusters: list[tuple[int, float]], alpha: float, least: int
) -> None:
    """The numbers of wrong answers have no say beside the p-values, which count plants."""
    n, p = np.asarray([one for one, _ in clusters]), [one for _, one in clusters]
    params = AdjustParams(rule="confident", alpha=alpha, least=least)
    found = decide(n, n // 2, np.asarray(p), params, 2)
    assert found.p_value.tolist() == p
    tested = [k for k, size in enumerate(n) if size >= least]
    is_finding = holms_findings([Fraction(p[k]) for k in tested], Fraction(alpha))
    swapped = {k for k, is_found in zip(tested, is_finding, strict=True) if is_found}
    assert found.is_swapped.tolist() == [k in swapped for k in range(len(n))]
    assert np.array_equal(found.p_holm <= alpha, found.is_swapped)
    assert set(found.p_holm[n < least]) <= {1.0}
    assert (found.p_holm >= found.p_value).all() and (found.p_holm <= 1).all()


@given(Counts)
def test_the_order_of_clusters_does_not_matter(counts: list[tuple[int, int]]) -> None:
    forth, back = decided(counts, CONFIDENT), decided(counts[::-1], CONFIDENT)
    assert np.array_equal(forth.is_swapped, back.is_swapped[::-1])
    np.testing.assert_allclose(forth.p_holm, back.p_holm[::-1], rtol=1e-12)


def test_a_small_cluster_is_never_swapped_confidently() -> None:
    assert decided([(9, 9), (100, 10)], CONFIDENT).is_swapped.tolist() == [False, False]
    assert decided([(10, 10), (100, 10)], CONFIDENT).is_swapped.tolist() == [True, False]
    assert decided([(9, 9), (100, 10)], PAPER).is_swapped.tolist() == [True, False]


def test_small_clusters_do_not_weaken_the_evidence_for_others() -> None:
    cluster, small = (20, 16), [(5, 1)] * 7
    assert decided([cluster, *small], CONFIDENT).p_holm.tolist() == [pytest.approx(coin(*cluster)), *[1.0] * 7]
    assert decided([cluster, *small], CONFIDENT).is_swapped.tolist() == [True, *[False] * 7]


def test_more_clusters_ask_for_more_evidence() -> None:
    alone, among = [(20, 15)], [(20, 15), *[(20, 4)] * 7]
    assert decided(alone, CONFIDENT).is_swapped.tolist() == [True]
    assert not decided(among, CONFIDENT).is_swapped.any()  # 8 times 0.0207 is over 0.05


# More than two classes


@given(Counts, st.sampled_from([PAPER, CONFIDENT]), st.integers(3, 6))
def test_with_more_than_two_classes_nothing_is_swapped(
    counts: list[tuple[int, int]], params: AdjustParams, n_classes: int
) -> None:
    found = decided(counts, params, n_classes)
    assert not found.is_swapped.any()
    said = reasons(found, np.asarray([n for n, _ in counts]), params, n_classes)
    assert said == ["no swap exists with more than two classes"] * len(counts)


# Answers

Marked = st.lists(st.tuples(st.integers(0, 1), st.booleans()), max_size=30)


@given(Marked)
def test_swapping_twice_changes_nothing(answers: list[tuple[int, bool]]) -> None:
    predicted = np.asarray([answer for answer, _ in answers], np.int64)
    marked = np.asarray([is_swapped for _, is_swapped in answers], np.bool_)
    once = swap(predicted, marked)
    assert np.array_equal(once != predicted, marked) and set(once.tolist()) <= {0, 1}
    assert np.array_equal(swap(once, marked), predicted)


FOLDS: dict[str, Any] = {
    "1": {"n": [20, 10], "n_wrong": [2, 10], "p_value": [1.0, 0.001], "problem": ""},
    "2": {"n": [20, 10], "n_wrong": [19, 1], "p_value": [2e-5, 1.0], "problem": ""},
    "3": {"n": [30], "n_wrong": [12], "p_value": [0.9], "problem": "no kernel"},
}
PLACES = [1, 1, 2, 2, 3, 3], [1, 2, 1, 2, 1, 1]  # fold and cluster of six images


@pytest.mark.parametrize("params", [PAPER, CONFIDENT], ids=["paper", "confident"])
def test_every_fold_is_adjusted_by_the_clusters_of_the_others(params: AdjustParams) -> None:
    assert swapped_without_fold(*PLACES, FOLDS, params, 2).tolist() == [False, True, True, False, False, False]


def test_errors_of_few_plants_are_no_reason_to_swap() -> None:
    """Ten of ten wrong, but of three plants: one in eight by chance."""
    few = {**FOLDS, "1": {**FOLDS["1"], "p_value": [1.0, 1 / 8]}}
    assert swapped_without_fold(*PLACES, few, CONFIDENT, 2).tolist() == [False, False, True, False, False, False]
    assert swapped_without_fold(*PLACES, few, PAPER, 2).tolist() == [False, True, True, False, False, False]


def test_the_smallest_cluster_is_smaller_without_a_fold() -> None:
    # Of 50 images a fold leaves out 10, so that 8 images stand for 10, and 7 do not.
    places = [1] * 10, [1, 2] * 5
    for n, is_swapped in ((8, True), (7, False)):
        counts = {"1": {"n": [40 - n, n], "n_wrong": [0, n], "p_value": [1.0, 1e-4]}}
        found = swapped_without_fold([*places[0], *[1] * 40], [*places[1], *[1] * 40], counts, CONFIDENT, 2)
        assert found.tolist() == [False, is_swapped] * 5 + [False] * 40


def test_three_classes_are_left_as_they_are_in_every_fold() -> None:
    assert not swapped_without_fold(*PLACES, FOLDS, PAPER, 3).any()


# What decided


def test_the_reasons_of_the_papers_rule() -> None:
    counts = [(4, 3), (4, 4), (9, 9), (10, 10), (9, 1)]
    assert reasons(decided(counts), np.asarray([n for n, _ in counts]), PAPER, 2) == [
        "error share not above 0.75",
        "error share above 0.75, on fewer than 10 validation images",
        "error share above 0.75, on fewer than 10 validation images",
        "error share above 0.75",
        "error share not above 0.75",
    ]


def test_the_reasons_of_the_confident_rule() -> None:
    counts = [(9, 9), (20, 20), (20, 11)]
    found = decided(counts, CONFIDENT)
    assert reasons(found, np.asarray([n for n, _ in counts]), CONFIDENT, 2) == [
        "fewer than 10 validation images",
        "wrong in more than half beyond chance",
        "wrong in more than half not beyond chance",
    ]


def swap_row(cluster: int, n: int, decision: str, rule: str = "paper", decided_by: str = "rule") -> dict[str, Any]:
    return {"cluster": cluster, "n": n, "decision": decision, "rule": rule, "decided_by": decided_by}


def test_small_clusters_that_the_papers_rule_swaps_are_warned_of() -> None:
    rows = [
        swap_row(1, 40, "swap"),
        swap_row(2, 10, "swap"),
        swap_row(3, 9, "swap"),
        swap_row(4, 9, "keep"),
        swap_row(5, 5, "swap", decided_by="person"),
        swap_row(6, 4, "swap", decided_by="timeout"),
        swap_row(7, 8, "abstain", decided_by="person"),
    ]
    (warning,) = swap_warnings(rows)
    assert warning.startswith('adjust.rule = "paper" swaps on the evidence of fewer than 10 validation images')
    assert warning.endswith(": cluster 3 (n = 9), 6 (n = 4)")
    assert swap_warnings(rows[:2]) == swap_warnings([{**row, "rule": "confident"} for row in rows]) == []
