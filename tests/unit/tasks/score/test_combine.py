"""The combined model: its limits, its signs, and its fit against a plain search."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import zscore
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from tasks.score.combine import INPUTS, Combination, fit_combination, inputs

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Signals = dict[str, Floats]
NAMES = ("error_share", "nearest_map_reliability", "margin", "feature_reliability", "trust_score", "novelty")


def noise(n: int, seed: int = 0) -> Signals:
    """Signals that know nothing."""
    generator = np.random.default_rng(seed)
    return {name: generator.uniform(size=n) * (5 if name == "margin" else 1) for name in NAMES}


def constant(n: int, value: float = 0.5) -> Signals:
    return {name: np.full(n, value) for name in NAMES}


def answers(n: int, seed: int = 0) -> Signals:
    """Answers of two classes, on dates with different shares of ready plants."""
    generator = np.random.default_rng(seed + 100)
    return {"answer": generator.choice([-1.0, 1.0], n), "share_shift": generator.choice([-0.8, 0.1, 0.9], n)}


def errors(n: int, share: float = 0.3, seed: int = 1) -> Flags:
    return np.random.default_rng(seed).uniform(size=n) < share


# Limits


@pytest.mark.parametrize("value", [0.5, 0.1, 1 / 3])  # the mean of equal thirds is not always a third
@pytest.mark.parametrize("n_wrong", [0, 3, 7, 10])
def test_without_a_signal_there_is_the_base_rate(value: float, n_wrong: int) -> None:
    model = fit_combination(constant(10, value), np.arange(10) < n_wrong)
    expected = (10 - n_wrong + 0.5) / 11  # half a right and half a wrong answer are added
    assert model.reliability(constant(4, value)) == pytest.approx([expected] * 4, abs=1e-4)


@pytest.mark.parametrize("n", [7, 10, 30, 49, 121])
@pytest.mark.parametrize("value", [0.1, 0.7, 1 / 3])
def test_a_signal_that_never_varied_decides_nothing_alone(n: int, value: float) -> None:
    """Rounding makes the spread of equal numbers a little more than zero, by which another value would be far away."""
    model = fit_combination({**noise(n), "nearest_map_reliability": np.full(n, value)}, errors(n))
    new = noise(20, seed=2)
    found = [model.reliability({**new, "nearest_map_reliability": np.full(20, v)}) for v in (value, value + 0.1)]
    np.testing.assert_allclose(found[1], found[0], atol=1e-6)


@pytest.mark.parametrize("n_wrong", [0, 1, 29, 30])
def test_a_probability_where_nearly_all_is_right_or_wrong(n_wrong: int) -> None:
    is_wrong = np.arange(30) < n_wrong
    found = fit_combination(noise(30), is_wrong).reliability(noise(30))
    assert ((found > 0) & (found < 1)).all()
    assert found.mean() == pytest.approx(1 - n_wrong / 30, abs=0.04)


@given(st.integers(2, 40), st.floats(0, 1), st.integers(0, 1000))
def test_weights_are_never_negative_and_answers_are_probabilities(n: int, share: float, seed: int) -> None:
    model = fit_combination(noise(n, seed), errors(n, share, seed + 1))
    own, new = model.reliability(noise(n, seed)), model.reliability(noise(n, seed + 2))
    assert (model.weights >= 0).all() and ((own > 0) & (own < 1)).all()
    assert ((new >= 0) & (new <= 1)).all()  # far outside of a few known images the last bits are lost


def test_a_signal_that_is_always_misleading_gets_no_weight() -> None:
    is_wrong = errors(100)
    signals: Signals = {**noise(100), "feature_reliability": np.where(is_wrong, 1.0, 0.1) * noise(100)["novelty"]}
    model = fit_combination(signals, is_wrong)
    assert model.weights[INPUTS.index("feature_reliability")] == 0


def test_a_classifier_that_is_surest_where_it_fails_loses_its_weight() -> None:
    is_wrong = errors(200)
    model = fit_combination({**noise(200), "margin": 3.0 * is_wrong + noise(200)["novelty"]}, is_wrong)
    assert model.weights[INPUTS.index("margin")] == 0


# What the signals add


@pytest.mark.parametrize("name", NAMES)
def test_a_perfectly_informative_signal_raises_the_auroc(name: str) -> None:
    is_wrong, new_wrong = errors(120), errors(80, seed=7)
    speaks_for_errors = name == "error_share"
    known, new = noise(120), noise(80, seed=8)
    before = fit_combination(known, is_wrong).reliability(new)
    informed = fit_combination({**known, name: np.where(is_wrong == speaks_for_errors, 1.0, 0.0)}, is_wrong)
    after = informed.reliability({**new, name: np.where(new_wrong == speaks_for_errors, 1.0, 0.0)})
    assert roc_auc_score(~new_wrong, after) > max(0.9, roc_auc_score(~new_wrong, before) + 0.2)


def test_inputs_speak_for_right_answers() -> None:
    signals = {**constant(1), "error_share": np.asarray([0.2]), "trust_score": np.asarray([3.0])}
    found = dict(zip(INPUTS, inputs(signals)[0], strict=True))
    assert found["reliability"] == pytest.approx(0.8) and found["trust_score"] == pytest.approx(0.75)
    assert found["margin"] == 0.5


@given(st.integers(1, 6), st.floats(0.1, 3))
def test_more_of_any_signal_never_lowers_the_probability(which: int, step: float) -> None:
    model, new = fit_combination(noise(60), errors(60)), noise(20, seed=3)
    name = NAMES[which - 1]
    better = {**new, name: new[name] - step if name == "error_share" else new[name] + step}
    assert (model.reliability(better) >= model.reliability(new) - 1e-12).all()


# The fit


def loss(model: Combination, signals: Signals, is_wrong: Flags) -> float:
    """Written out, with the half right and half wrong answer at the mean."""
    p = model.reliability(signals)
    start = np.asarray([0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])  # the margin, the classifier's own confidence
    at_mean = expit(model.intercept)
    own = -np.log(np.where(is_wrong, 1 - p, p)).sum() - 0.5 * np.log(at_mean) - 0.5 * np.log(1 - at_mean)
    return float(own + (10.0 / 2 * (model.weights - start) ** 2).sum())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("is_useful", [True, False])
def test_the_weight_of_two_answers_by_hand(name: str, is_useful: bool) -> None:
    """Solve 10 (w - w0) = 2 expit(-w) where the signal is right twice, 10 (w - w0) = -2 expit(w) where it is wrong.

    The signal's standardised values are +1 and -1, so that the intercept is zero. The margin's weight starts at w0 = 1,
    the others' at 0. The penalty is 10 / 2 (w - w0)^2 in units of one image's log-loss.
    """
    start, sign = (1.0 if name == "margin" else 0.0), (1 if is_useful else -1)
    signals: Signals = {**constant(2), name: np.asarray([0.0, 0.5] if name == "error_share" else [1.0, 0.0])}
    model = fit_combination(signals, np.asarray([False, True]) if is_useful else np.asarray([True, False]))
    weight: Any = brentq(lambda w: 10 * (w - start) - sign * 2 * expit(-sign * w), -5, 5)
    expected = np.where(np.arange(9) == NAMES.index(name), max(weight, 0), [0, 0, 1, 0, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(model.weights, expected, atol=1e-4)
    assert model.intercept == pytest.approx(0, abs=1e-4)


def test_weights_are_those_of_scikit_learns_penalised_regression() -> None:
    """A margin that never varies keeps its weight. The other five are an ordinary regression of penalty 1 / C = 10."""
    is_wrong = errors(80)
    signals: Signals = {k: 0.4 * v + 0.15 * ((k == "error_share") == is_wrong) for k, v in noise(80).items()}
    signals["error_share"] *= 0.85  # no cluster is mostly wrong
    model = fit_combination({**signals, "margin": np.full(80, 0.5)}, is_wrong)
    trust = signals["trust_score"] / (1 + signals["trust_score"])
    rest = [signals[k] for k in ("nearest_map_reliability", "feature_reliability")]
    values: Any = zscore(np.stack([1 - signals["error_share"], *rest, trust, signals["novelty"]], axis=1))
    rows = np.vstack([values, np.zeros((2, 5))])  # half a right and half a wrong answer at the mean
    right, counts = np.r_[~is_wrong, True, False], np.r_[np.ones(80), 0.5, 0.5]
    other = LogisticRegression(C=0.1, tol=1e-10, max_iter=1000).fit(rows, right, counts)
    assert (other.coef_ > 0.05).all()  # so that the bound at zero is not met
    np.testing.assert_allclose(np.delete(model.weights[:6], 2), other.coef_[0], atol=1e-3)
    assert model.intercept == pytest.approx(other.intercept_[0], abs=1e-3)
    assert model.weights[2] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_no_step_away_from_the_fit_is_better(seed: int) -> None:
    signals, is_wrong = {**noise(60, seed), **answers(60, seed)}, errors(60, seed=seed + 10)
    model = fit_combination(signals, is_wrong)
    least = loss(model, signals, is_wrong)
    generator = np.random.default_rng(seed)
    for size in (1e-3, 1e-2, 0.1, 1.0):
        for _ in range(50):
            moved = model.weights + size * generator.normal(size=9)
            moved[:7] = np.maximum(moved[:7], 0)
            other = Combination(model.mean, model.scale, moved, model.intercept + size * generator.normal())
            assert loss(other, signals, is_wrong) >= least - 1e-5


def test_counts_are_copies_of_an_image() -> None:
    signals, is_wrong = {**noise(40), **answers(40)}, errors(40)
    counts = np.random.default_rng(1).integers(0, 4, 40)
    model = fit_combination(signals, is_wrong, counts.astype(np.float64))
    copied = fit_combination({name: np.repeat(v, counts) for name, v in signals.items()}, np.repeat(is_wrong, counts))
    np.testing.assert_allclose(model.weights, copied.weights, atol=1e-4)
    np.testing.assert_allclose(model.reliability(signals), copied.reliability(signals), atol=1e-4)


def test_the_answer_and_the_share_of_a_date_correct_what_the_signals_do_not_know() -> None:
    """Two dates with few and many ready plants, and a classifier that says ready half the time on both."""
    random, n = np.random.default_rng(0), 2000
    is_late, says_ready = random.uniform(size=n) < 0.5, random.uniform(size=n) < 0.5
    is_ready = random.uniform(size=n) < np.where(is_late, 0.8, 0.2)
    shift = np.where(is_late, 1.0, -1.0) * np.log(4)
    signals = {**constant(n), "answer": np.where(says_ready, 1.0, -1.0), "share_shift": shift}
    found = fit_combination(signals, says_ready != is_ready).reliability(signals)
    for late in (False, True):
        for answer in (False, True):
            cell = (is_late == late) & (says_ready == answer)
            assert found[cell].mean() == pytest.approx((says_ready == is_ready)[cell].mean(), abs=0.03)


def test_where_a_cluster_is_mostly_wrong_the_surest_answers_are_believed_least() -> None:
    """Half the images are in a cluster with an error share of 0.8; there, the classifier is surest when it is wrong."""
    random, n = np.random.default_rng(0), 400
    is_failing, margin = np.arange(n) % 2 == 0, random.uniform(0, 3, n)
    right = expit(np.where(is_failing, -2 * (margin - 0.8), 2 * (margin - 0.8)))
    signals = {**constant(n), "margin": margin, "error_share": np.where(is_failing, 0.8, 0.2)}
    model = fit_combination(signals, random.uniform(size=n) > right)
    sure, unsure = np.full(1, 2.5), np.full(1, 0.2)
    of = {
        s: [
            float(model.reliability({**constant(1), "error_share": np.full(1, s), "margin": m})[0])
            for m in (sure, unsure)
        ]
        for s in (0.2, 0.8)
    }
    assert of[0.2][0] > of[0.2][1] and of[0.8][0] < of[0.8][1]
    assert dict(zip(INPUTS, inputs({**constant(1), "error_share": np.full(1, 0.8)})[0], strict=True))[
        "failing"
    ] == pytest.approx(-0.5 * 0.6)


def test_without_the_answers_class_both_inputs_are_zero() -> None:
    assert (inputs(noise(5))[:, 7:] == 0).all()
    known = inputs({**noise(2), "answer": np.asarray([1.0, -1.0]), "share_shift": np.asarray([0.3, 0.3])})
    np.testing.assert_allclose(known[:, 7:], [[1, 0.3], [-1, -0.3]])


def test_images_in_another_order_give_the_same_model() -> None:
    signals, is_wrong = noise(60), errors(60)
    order = np.random.default_rng(2).permutation(60)
    model = fit_combination(signals, is_wrong)
    other = fit_combination({name: values[order] for name, values in signals.items()}, is_wrong[order])
    np.testing.assert_allclose(other.weights, model.weights, atol=1e-4)
    assert other.intercept == pytest.approx(model.intercept, abs=1e-4)


def test_a_model_survives_json() -> None:
    model = fit_combination(noise(40), errors(40))
    stored: dict[str, Any] = json.loads(json.dumps(model.as_json()))
    assert stored["inputs"] == list(INPUTS)
    assert np.array_equal(Combination.of(stored).reliability(noise(9)), model.reliability(noise(9)))
