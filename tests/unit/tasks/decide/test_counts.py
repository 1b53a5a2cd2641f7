"""Numbers of ready plants: sums of probabilities, and intervals that cover the truth in simulation."""

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from tasks.classify.answers import Answers
from tasks.decide.counts import LEVEL, ready_counts
from tasks.decide.params import DecideParams
from tasks.score.combine import answer_sign, inputs
from tasks.score.date_share import DateShare, estimated_share, validated_share
from tasks.score.held_out import Validation, share_signals
from tasks.score.uncertainty import ReadyModel, ready_model, resampled_models

Floats = NDArray[np.float64]
LIMIT = DecideParams().max_share_shift


def drawn(random: np.random.Generator, n: int, share: float) -> tuple[Floats, NDArray[np.int64]]:
    """Signals (n,) of plants, and whether they are ready; log-odds at a share of one half are twice the signal."""
    ready = (random.uniform(size=n) < share).astype(np.int64)
    return random.normal(np.where(ready == 1, 1.0, -1.0), 1.0), ready


def signals_of(signal: Floats, data: Validation) -> dict[str, Floats]:
    """Signals of a classifier that answers by the sign of one signal; all others know nothing."""
    n = len(signal)
    constant = {name: np.full(n, 0.5) for name in ("error_share", "nearest_map_reliability", "feature_reliability")}
    known = {**constant, "trust_score": np.ones(n), "novelty": np.full(n, 0.5), "margin": 2 * np.abs(signal)}
    return known | share_signals(data, data.shares())


def images(signal: Floats, ready: NDArray[np.int64], plants: list[str]) -> Validation:
    logits = np.stack([-signal, signal], axis=1)
    return Validation(np.zeros((len(signal), 1)), Answers(logits, logits), ready, plants, ["day"] * len(signal))


def validated(random: np.random.Generator, n: int, share: float) -> tuple[Validation, dict[str, Floats]]:
    """Labelled validation images of n plants, and their signals."""
    signal, ready = drawn(random, n, share)
    data = images(signal, ready, [f"v{i}" for i in range(n)])
    return data, signals_of(signal, data)


def unseen(signal: Floats, ready: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Inputs of the model for plants of a new date, whose share is not known, and their answers."""
    new = images(signal, ready, [f"n{i}" for i in range(len(signal))])
    values = inputs({**signals_of(signal, new), "share_shift": np.zeros(len(signal))})
    return values, answer_sign(new.answers.predicted)


def counts_of(seed: int, share: float, n_validation: int, n: int) -> tuple[dict[str, float], int, float]:
    """Count one simulated date; return the field's row, the true number of ready plants, and the share's distance."""
    random = np.random.default_rng(seed)
    data, known = validated(random, n_validation, 0.5)
    model, resampled = ready_model(data, known), resampled_models(data, known, 60)
    there, truth = drawn(random, n, share)
    values, answer = unseen(there, truth)
    of_date = estimated_share(model, resampled, values, answer)
    probability = expit(model.ready_odds(values, answer, of_date.shift))
    (row,) = ready_counts(probability, values, answer, [None] * n, of_date, resampled)
    return row, int(truth.sum()), of_date.distance


def test_counts_are_sums_of_probabilities_by_plot() -> None:
    data, known = validated(np.random.default_rng(0), 40, 0.5)
    model, resampled = ready_model(data, known), resampled_models(data, known, 20)
    values, answer = inputs(known), answer_sign(data.answers.predicted)
    probability = expit(model.ready_odds(values, answer, 0.0))
    plots = ["10"] * 10 + ["9"] * 25 + [None] * 5
    rows = ready_counts(probability, values, answer, plots, validated_share(model, resampled, "day"), resampled)
    assert [(row["plot"], row["n"]) for row in rows] == [(None, 40), ("9", 25), ("10", 10)]
    assert [row["n_ready"] for row in rows] == pytest.approx(
        [probability.sum(), probability[10:35].sum(), probability[:10].sum()]
    )
    assert all(0 <= row["n_ready_lower"] <= row["n_ready_upper"] <= row["n"] for row in rows)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_plots() -> None:
    data, known = validated(np.random.default_rng(0), 40, 0.5)
    model, resampled = ready_model(data, known), resampled_models(data, known, 3)
    n = 20_000
    values, answer = np.tile(inputs(known), (n // 40, 1)), np.tile(answer_sign(data.answers.predicted), n // 40)
    probability, of_date = expit(model.ready_odds(values, answer, 0.0)), validated_share(model, resampled, "day")
    plots = [f"{i // 10}" for i in range(n)]
    tracemalloc.start()
    rows = ready_counts(probability, values, answer, plots, of_date, resampled)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(rows) == 2001 and peak < 20e6  # a number for every plant and plot would take 320 MB
    assert sum(row["n"] for row in rows[1:]) == n and rows[1]["n_ready"] == pytest.approx(probability[:10].sum())


@pytest.mark.parametrize("share", [0.5, 0.35])
def test_intervals_cover_the_true_number(share: float) -> None:
    """120 dates, those outside left out; with a true coverage of 0.9, fewer than 0.8 would have p < 0.005."""
    found = [counts_of(seed, share, 100, 150) for seed in range(120)]
    covered = [row["n_ready_lower"] <= n <= row["n_ready_upper"] for row, n, distance in found if distance <= LIMIT]
    assert len(covered) > 80 and sum(covered) / len(covered) >= LEVEL - 0.1


def test_interval_knows_the_uncertainty_of_the_model() -> None:
    """With few validation plants the interval is wider than chance among the plants alone would make it."""
    widths = [counts_of(seed, 0.5, n, 600)[0] for seed in range(3) for n in (30, 1000)]
    few, many = (np.mean([w["n_ready_upper"] - w["n_ready_lower"] for w in widths[i::2]]) for i in (0, 1))
    assert few > 1.5 * many


def test_a_share_that_does_not_differ_is_validations() -> None:
    row, _, _ = counts_of(1, 0.5, 100, 100)
    assert row["n"] == 100
    data, known = validated(np.random.default_rng(1), 100, 0.5)
    model = ready_model(data, known)
    found = estimated_share(
        model, resampled_models(data, known, 60), inputs(known), answer_sign(data.answers.predicted)
    )
    assert (found.source, found.shift, found.distance) == ("overall", 0.0, 0.0)
    assert found.share == model.shares.overall


def test_a_far_share_is_estimated_and_its_distance_told() -> None:
    random = np.random.default_rng(5)
    data, known = validated(random, 200, 0.5)
    model, resampled = ready_model(data, known), resampled_models(data, known, 60)
    there, truth = drawn(random, 400, 0.1)
    found = estimated_share(model, resampled, *unseen(there, truth))
    overall = model.shares.overall
    values, answer = unseen(there, truth)
    moved = saerens(model.ready_odds(values, answer, 0.0), overall)
    assert 0.05 < moved < 0.2  # shrunk from 0.1 towards 0.5
    # A single validation date says nothing of how far a share moves probabilities, so they do not move.
    assert found.source == "estimated" and moved < found.share < overall
    assert found.distance == pytest.approx(min(model.shares.of_dates.values()) - moved, abs=1e-6)
    assert DateShare(**found.as_json()) == found


def saerens(odds: Floats, overall: float) -> float:
    """Expectation maximisation, step by step, for n log-odds of being ready; ten plants are added of the old share."""
    share = overall
    for _ in range(2_000):
        ready = expit(odds + np.log(share / (1 - share)) - np.log(overall / (1 - overall)))
        share = (ready.sum() + 10 * overall) / (len(odds) + 10)
    return float(share)


def test_few_images_estimate_no_share() -> None:
    """29 plants of a date with few ready ones: validation's share is used, and the interval knows nothing else."""
    random = np.random.default_rng(5)
    data, known = validated(random, 200, 0.5)
    model, resampled = ready_model(data, known), resampled_models(data, known, 20)
    there, truth = drawn(random, 30, 0.02)
    for n, source in ((30, "estimated"), (29, "overall")):
        assert estimated_share(model, resampled, *unseen(there[:n], truth[:n])).source == source


def test_model_survives_json() -> None:
    data, known = validated(np.random.default_rng(2), 50, 0.4)
    model = ready_model(data, known)
    values, answer = inputs(known), answer_sign(data.answers.predicted)
    again = ReadyModel.of(model.as_json())
    assert np.array_equal(again.ready_odds(values, answer, 0.3), model.ready_odds(values, answer, 0.3))


def test_ready_odds_move_with_the_share_alone() -> None:
    """A shift of the share moves all log-odds of being ready by the same step, whatever was answered."""
    data, known = validated(np.random.default_rng(4), 60, 0.5)
    model, values, answer = ready_model(data, known), inputs(known), answer_sign(data.answers.predicted)
    moved = model.ready_odds(values, answer, 0.7) - model.ready_odds(values, answer, 0.0)
    np.testing.assert_allclose(moved, 0.7 * model.combination.weights[-1])
