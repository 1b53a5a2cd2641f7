"""Promises: which rows there are, which the decisions follow, and what the parameters change."""

import numpy as np
import pytest

from storage.tables.names import ALL_ANSWERS, PRODUCT_SCORE, SCORES
from tasks.decide.decisions import more_probable
from tasks.decide.guarantee import rank_answers
from tasks.decide.params import DecideParams
from tasks.decide.promises import TOLERATED, JudgedAnswers, promise_rows, thresholds

CLASSES = ("not ready", "ready")


def judged(n: int = 240, seed: int = 0) -> JudgedAnswers:
    """Answers whose probability is right; every other score is noise."""
    random = np.random.default_rng(seed)
    predicted, right = random.integers(0, 2, n), random.beta(4, 1, n)
    truth = np.where(random.uniform(size=n) < right, predicted, 1 - predicted)
    scores = {name: random.uniform(size=n) for name in SCORES}
    plants = [f"p{i // 2}" for i in range(n)]
    return JudgedAnswers(more_probable(predicted, right, 2), truth, predicted, plants, scores)


def test_every_score_and_class_has_the_curve() -> None:
    rows = promise_rows(judged(), CLASSES, DecideParams())
    keys = [(row["score"], row["answers"], row["tolerated_error"]) for row in rows]
    expected = [(s, a, t) for s in (PRODUCT_SCORE, *SCORES) for a in (ALL_ANSWERS, *CLASSES) for t in TOLERATED]
    assert sorted(keys) == sorted(expected)  # the default tolerance is one of the curve's
    assert {row["confidence"] for row in rows} == {0.9}


def test_a_row_is_the_certificate_of_its_answers() -> None:
    data = judged()
    rows = promise_rows(data, CLASSES, DecideParams())
    for answer, name in enumerate(CLASSES):
        (row,) = [r for r in rows if (r["score"], r["answers"], r["tolerated_error"]) == (PRODUCT_SCORE, name, 0.2)]
        chosen = data.answered.answer == answer
        plants = [p for p, is_chosen in zip(data.plants, chosen, strict=True) if is_chosen]
        is_wrong = (data.answered.answer != data.truth)[chosen]
        found = rank_answers(
            data.answered.reliability[chosen], is_wrong, plants, 1 - data.answered.reliability[chosen]
        ).certify(0.2, 0.9)
        assert (row["threshold"], row["n_answered"], row["n_wrong"]) == (found.threshold, found.n, found.n_wrong)
        assert row["n_validation"] == chosen.sum() and row["share_answered"] == found.n / chosen.sum()


@pytest.mark.parametrize(
    ("params", "used"),
    [
        (DecideParams(), {(ALL_ANSWERS, 0.15)}),
        (DecideParams(tolerated_error=0.12), {(ALL_ANSWERS, 0.12)}),
        (DecideParams(promise="each"), {("not ready", 0.15), ("ready", 0.15)}),
        (DecideParams(promise="each", tolerated_wrong_harvest=0.05), {("not ready", 0.15), ("ready", 0.05)}),
        (DecideParams(promise="each", tolerated_wrong_leave=0.3), {("not ready", 0.3), ("ready", 0.15)}),
    ],
)
def test_decisions_follow_the_campaigns_promise(params: DecideParams, used: set[tuple[str, float]]) -> None:
    rows = promise_rows(judged(), CLASSES, params)
    found = [row for row in rows if row["is_used"]]
    assert {(row["answers"], row["tolerated_error"]) for row in found} == used
    assert {row["score"] for row in found} == {PRODUCT_SCORE}
    limits = thresholds(rows, CLASSES)
    if params.promise == "together":
        assert limits[0] == limits[1] == found[0]["threshold"]
    else:
        assert limits == {CLASSES.index(row["answers"]): row["threshold"] for row in found}


def test_the_probability_answers_more_than_noise() -> None:
    rows = promise_rows(judged(600), CLASSES, DecideParams())
    share = {
        r["score"]: r["share_answered"] for r in rows if r["answers"] == ALL_ANSWERS and r["tolerated_error"] == 0.1
    }
    assert share[PRODUCT_SCORE] > 0.3
    assert all(share[name] < share[PRODUCT_SCORE] for name in SCORES)


def test_no_answer_of_a_class_means_no_promise() -> None:
    data = judged()
    answered = more_probable(np.zeros(240, np.int64), np.full(240, 0.9), 2)
    rows = promise_rows(
        JudgedAnswers(answered, data.truth, np.zeros(240, np.int64), data.plants, data.scores),
        CLASSES,
        DecideParams(promise="each"),
    )
    (ready,) = [row for row in rows if row["is_used"] and row["answers"] == "ready"]
    assert (ready["threshold"], ready["n_validation"], ready["n_more_plants"]) == (None, 0, None)
    assert thresholds(rows, CLASSES)[1] is None
