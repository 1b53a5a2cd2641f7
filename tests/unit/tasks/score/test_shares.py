"""Shares of ready plants: against expectation maximisation written out, and on data drawn with a known shift."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from tasks.score.shares import PSEUDO_PLANTS, estimate_share, ready_shares


def test_shares_of_dates_are_shrunk_towards_the_overall_share() -> None:
    found = ready_shares(np.asarray([True] * 10 + [False] * 30), ["a"] * 20 + ["b"] * 20)
    assert found.overall == pytest.approx(10 / 40)
    assert found.of_dates["a"] == pytest.approx((10 + PSEUDO_PLANTS * 0.25) / (20 + PSEUDO_PLANTS))
    assert found.of_dates["b"] == pytest.approx((0 + PSEUDO_PLANTS * 0.25) / (20 + PSEUDO_PLANTS))
    assert found.shift("a") == pytest.approx(logit(found.of_dates["a"]) - logit(0.25))
    assert found.shift("unknown") == 0


def test_counts_weigh_images() -> None:
    ready, days = np.asarray([True, False, True]), ["a", "a", "b"]
    twice = ready_shares(np.repeat(ready, 2), np.repeat(days, 2).tolist())
    assert ready_shares(ready, days, np.full(3, 2.0)) == twice


@pytest.mark.parametrize("is_ready", [True, False])
def test_a_share_is_never_0_or_1(is_ready: bool) -> None:
    found = ready_shares(np.asarray([is_ready] * 5), ["a"] * 5)
    assert 0 < found.overall < 1 and np.isfinite(found.shift("a"))


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.1, 0.9), st.floats(0, 1.5))
def test_estimate_is_the_fixed_point_of_expectation_maximisation(seed: int, overall: float, weight: float) -> None:
    """Saerens et al. 2002 with pseudo-plants, iterated slowly."""
    odds = np.random.default_rng(seed).normal(0, 2, 40)
    share = overall
    for _ in range(1500):
        after = expit(odds + weight * (logit(share) - logit(overall)))
        share = float(np.clip((after.sum() + PSEUDO_PLANTS * overall) / (40 + PSEUDO_PLANTS), 0.01, 0.99))
    assert estimate_share(odds, overall, weight) == pytest.approx(share, abs=2e-3)


@pytest.mark.parametrize("true_share", [0.15, 0.5, 0.85])
def test_estimate_finds_a_shifted_share(true_share: float) -> None:
    """The log-odds of a signal that is normal around -1 and 1 are twice the signal, at a share of one half."""
    random = np.random.default_rng(3)
    ready = random.uniform(size=2000) < true_share
    signal = random.normal(np.where(ready, 1.0, -1.0), 1.0)
    assert estimate_share(2 * signal, 0.5, 1.0) == pytest.approx(true_share, abs=0.03)


def test_without_weight_the_estimate_is_the_mean_probability() -> None:
    odds = np.asarray([-1.0, 0.3, 2.0])
    expected = (expit(odds).sum() + PSEUDO_PLANTS * 0.4) / (3 + PSEUDO_PLANTS)
    assert estimate_share(odds, 0.4, 0.0) == pytest.approx(expected, abs=1e-6)
