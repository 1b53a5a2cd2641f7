"""The certified threshold: exact tests against other programs, hand-worked cases, and the promise in simulation."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapie.risk_control.fwer_control import FWERFixedSequenceTesting
from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value
from numpy.typing import NDArray
from scipy.stats import binom, binomtest

from tasks.decide.guarantee import Certificate, ThresholdTest, plants_needed, rank_answers

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def certify(
    confidence: Floats, is_wrong: Flags, plants: Sequence[str], expected: Floats, tolerated: float, level: float
) -> Certificate:
    return rank_answers(confidence, is_wrong, plants, expected).certify(tolerated, level)


def ids(n: int) -> list[str]:
    return [f"p{i}" for i in range(n)]


@pytest.mark.parametrize(("n", "n_wrong", "tolerated"), [(20, 0, 0.15), (50, 3, 0.15), (40, 6, 0.2), (7, 7, 0.1)])
def test_p_value_is_the_exact_binomial_test(n: int, n_wrong: int, tolerated: float) -> None:
    expected = binomtest(n_wrong, n, tolerated, alternative="less").pvalue
    assert ThresholdTest(n, n_wrong, 1.0).p_value(tolerated) == pytest.approx(expected, rel=1e-9)


def test_design_effect_halves_answers_and_errors() -> None:
    assert ThresholdTest(80, 4, 2.0).p_value(0.15) == pytest.approx(ThresholdTest(40, 2, 1.0).p_value(0.15))


def test_power_is_the_chance_that_the_test_rejects() -> None:
    """60 answers at a tolerated 15 %, 4 % wrong: enumerate every number of errors."""
    test = ThresholdTest(60, 0, 1.0)
    rejects = [binomtest(errors, 60, 0.15, alternative="less").pvalue <= 0.1 for errors in range(61)]
    expected = sum(binom.pmf(errors, 60, 0.04) for errors in range(61) if rejects[errors])
    assert test.power(0.04, 0.15, 0.1) == pytest.approx(expected)


def test_certifies_up_to_the_last_test_that_rejects() -> None:
    """100 answers, the first 60 right, the others half wrong: the fixed sequence by hand, from where power is 0.9."""
    is_wrong, expected = np.r_[np.zeros(60, bool), np.arange(40) % 2 == 0], np.full(100, 0.01)
    found = certify(np.linspace(1, 0.5, 100), is_wrong, ids(100), expected, 0.15, 0.9)
    powers = {
        n: sum(binom.pmf(k, n, 0.01) for k in range(n + 1) if binom.cdf(k, n, 0.15) <= 0.1) for n in range(5, 101, 5)
    }
    n = max(n for n, power in powers.items() if power >= 0.9)
    assert (
        binom.cdf(int(is_wrong[:n].sum()), n, 0.15) > 0.1
    )  # 100 answers: the tests begin too far, and nothing is certified
    assert (found.threshold, found.n) == (None, 0)

    expected = np.r_[np.full(60, 0.01), np.full(40, 0.5)]
    found = certify(np.linspace(1, 0.5, 100), is_wrong, ids(100), expected, 0.15, 0.9)
    certain = [n for n in range(5, 101, 5) if binom.cdf(int(is_wrong[:n].sum()), n, 0.15) <= 0.1]
    assert found.n == max(certain) and found.n_wrong == is_wrong[: found.n].sum() and found.n_plants == found.n
    assert found.threshold == pytest.approx(np.linspace(1, 0.5, 100)[found.n - 1]) and found.n_more_plants == 0


@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.15, 0.2]), st.sampled_from([0.8, 0.9, 0.95]))
def test_thresholds_are_those_of_mapie(seed: int, tolerated: float, level: float) -> None:
    """One image a plant: p-values and the fixed sequence from MAPIE, where the tests begin from scipy."""
    random = np.random.default_rng(seed)
    n_all, error = int(random.integers(40, 300)), random.uniform(0.01, 0.2)
    confidence, expected = np.sort(random.uniform(0.5, 1, n_all))[::-1], np.linspace(0.2, 1.8, n_all) * error
    wrong = random.uniform(size=n_all) < expected
    ends = np.unique(np.ceil(np.arange(1, 21) / 20 * n_all - 1e-9).astype(int))
    shares = np.asarray([max(wrong[:n].sum() - 1e-9, 0) / n for n in ends])  # MAPIE rounds up what it multiplies again
    values = compute_hoeffding_bentkus_p_value(shares, ends.astype(float), tolerated, binary=True)[:, 0]
    powers = np.asarray(
        [
            binom.cdf((binom.cdf(np.arange(n + 1), n, tolerated) <= 1 - level).sum() - 1, n, expected[:n].mean())
            for n in ends
        ]
    )
    start = int(np.flatnonzero(powers >= 0.9)[-1]) if (powers >= 0.9).any() else int(powers.argmax())
    rejected = FWERFixedSequenceTesting().run(values[start:], 1 - level)
    found = certify(confidence, wrong, ids(n_all), expected, tolerated, level)
    assert found.n == (ends[start + len(rejected) - 1] if len(rejected) else 0)


def test_answers_of_equal_confidence_are_never_parted() -> None:
    confidence = np.repeat([0.9, 0.8, 0.7], 40)
    found = certify(confidence, np.zeros(120, bool), ids(120), np.zeros(120), 0.15, 0.9)
    assert found.n == 120 and found.threshold == 0.7
    wrong = np.repeat([False, False, True], 40)
    assert certify(confidence, wrong, ids(120), wrong * 0.9, 0.15, 0.9).n in (40, 80)


@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.15, 0.2]))
def test_order_of_images_and_monotone_scores_do_not_matter(seed: int, tolerated: float) -> None:
    random = np.random.default_rng(seed)
    confidence, wrong = random.uniform(0.5, 1, 90), random.uniform(size=90) < 0.12
    plants = np.repeat(np.asarray(ids(45)), 2)
    order = random.permutation(90)
    one = certify(confidence, wrong, plants.tolist(), 1 - confidence, tolerated, 0.9)
    two = certify(confidence[order] ** 3, wrong[order], plants[order].tolist(), 1 - confidence[order], tolerated, 0.9)
    assert (one.n, one.n_wrong, one.n_plants, one.n_more_plants) == (
        two.n,
        two.n_wrong,
        two.n_plants,
        two.n_more_plants,
    )


def test_repeated_plants_promise_less() -> None:
    """Four equal images of each plant tell no more than one."""
    wrong = np.arange(30) % 15 == 14
    once = certify(np.linspace(1, 0.5, 30), wrong, ids(30), np.full(30, 0.05), 0.2, 0.9)
    four = certify(
        np.repeat(np.linspace(1, 0.5, 30), 4),
        np.repeat(wrong, 4),
        np.repeat(ids(30), 4).tolist(),
        np.full(120, 0.05),
        0.2,
        0.9,
    )
    assert four.n <= 4 * once.n


def test_nothing_certified_says_how_many_more_plants() -> None:
    """10 right answers do not certify 15 %; so many more do, and one fewer does not."""
    found = certify(np.linspace(1, 0.5, 10), np.zeros(10, bool), ids(10), np.zeros(10), 0.15, 0.9)
    assert (found.threshold, found.n) == (None, 0)
    assert found.n_more_plants is not None and found.n_more_plants > 0
    n = 10 + found.n_more_plants
    assert certify(np.linspace(1, 0.5, n), np.zeros(n, bool), ids(n), np.zeros(n), 0.15, 0.9).threshold is not None


def test_more_plants_do_not_help_where_too_many_are_wrong() -> None:
    found = certify(np.linspace(1, 0.5, 60), np.arange(60) % 2 == 0, ids(60), np.full(60, 0.5), 0.15, 0.9)
    assert found == Certificate(None, 0, 0, 0, None)
    assert plants_needed([ThresholdTest(20, 10, 1.0)], 60, 0.15, 0.1) is None


@pytest.mark.parametrize(("images", "correlation"), [(1, 0.0), (3, 0.7)])
def test_promise_is_broken_in_at_most_the_allowed_share_of_campaigns(images: int, correlation: float) -> None:
    """The least favourable case: every threshold has exactly the tolerated share of errors, so any answer breaks it.

    300 campaigns of 60 plants; with a true rate of 0.10 broken promises, more than 0.145 would have p < 0.01.
    """
    n_broken, n_campaigns, tolerated = 0, 300, 0.15
    for seed in range(n_campaigns):
        random = np.random.default_rng(seed)
        of_plant = np.repeat(random.uniform(size=60), images)
        own = random.uniform(size=60 * images)
        is_shared = random.uniform(size=60 * images) < np.sqrt(correlation)
        is_wrong = np.where(is_shared, of_plant, own) < tolerated * 1.0001
        plants = np.repeat(ids(60), images).tolist()
        confidence, expected = random.uniform(size=(2, 60 * images))
        expected = 0.3 * expected  # knows nothing
        n_broken += certify(confidence, is_wrong, plants, expected, tolerated, 0.9).threshold is not None
    assert n_broken / n_campaigns <= 0.145
