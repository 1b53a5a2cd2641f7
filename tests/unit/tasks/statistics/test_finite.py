"""Check estimates of shares of finite populations against enumeration, and their coverage in simulation."""

from itertools import combinations
from math import comb, inf

import numpy as np
import pytest
from scipy.stats import binomtest

from tasks.statistics.finite import Stratum, effective_number, estimate_share

ALPHA = 0.05


def chance(size: int, wrong: int, n: int, at_least: int) -> float:
    """Return the chance of at least so many wrong members in a draw, by counting every draw."""
    draws = list(combinations([i < wrong for i in range(size)], n))
    return sum(sum(draw) >= at_least for draw in draws) / len(draws)


class TestOneStratum:
    @pytest.mark.parametrize("n_wrong", [0, 1, 3, 5])
    def test_bounds_are_those_of_enumerated_draws(self, n_wrong: int) -> None:
        size, n = 12, 5
        found = estimate_share([Stratum(size, n, n_wrong)], 0.25, 1 - ALPHA)
        possible = range(n_wrong, size - (n - n_wrong) + 1)
        is_kept = [
            k
            for k in possible
            if chance(size, k, n, n_wrong) >= ALPHA / 2 and 1 - chance(size, k, n, n_wrong + 1) > ALPHA / 2
        ]
        assert found.estimate == pytest.approx(n_wrong / n)
        assert (found.lower * size, found.upper * size) == pytest.approx((min(is_kept), max(is_kept)))
        assert found.p_above == pytest.approx(chance(size, 3, n, n_wrong))

    def test_a_population_that_was_looked_at_as_a_whole_is_known(self) -> None:
        found = estimate_share([Stratum(10, 10, 3)], 0.25, 0.95)
        assert (found.estimate, found.lower, found.upper, found.p_above) == (0.3, 0.3, 0.3, 0)
        assert estimate_share([Stratum(10, 10, 2)], 0.25, 0.95).p_above == 1

    def test_a_tolerated_number_that_floats_miss_is_tolerated(self) -> None:
        """0.29 * 100 is slightly below 29 in floating point."""
        assert estimate_share([Stratum(100, 100, 29)], 0.29, 0.95).p_above == 1


class TestKnownMembers:
    def test_they_bound_the_share_and_do_not_move_the_estimate(self) -> None:
        alone = estimate_share([Stratum(200, 20, 2)], 0.15, 0.95)
        with_known = estimate_share([Stratum(200, 20, 2, 40, 10)], 0.15, 0.95)
        assert with_known.estimate == alone.estimate == 0.1
        assert alone.lower < with_known.lower == 12 / 200
        assert with_known.upper == min(alone.upper, 1 - (18 + 30) / 200)
        assert with_known.p_above == alone.p_above

    def test_wrong_ones_beyond_what_is_tolerated_leave_no_doubt(self) -> None:
        for sampled in (0, 4):
            found = estimate_share([Stratum(20, sampled, 0, 5, 4)], 0.15, 0.95)
            assert found.p_above == 0 and found.lower == 0.2

    def test_without_a_random_draw_there_is_no_estimate(self) -> None:
        found = estimate_share([Stratum(20, 2, 1), Stratum(10, 0, 0, 3, 1)], 0.15, 0.95)
        assert found.estimate is None and found.p_above == 1
        assert (found.lower, found.upper) == pytest.approx((2 / 30, 27 / 30))

    def test_counts_that_contradict_each_other_are_refused(self) -> None:
        for counts in ((10, 5, 6), (10, 8, 0, 3), (0, 0, 0), (10, 5, 1, 2, 3)):
            with pytest.raises(ValueError, match="is not possible"):
                Stratum(*counts)


class TestSeveralStrata:
    def test_estimate_weighs_by_size(self) -> None:
        found = estimate_share([Stratum(300, 10, 2), Stratum(100, 10, 6)], 0.15, 0.95)
        assert found.estimate == pytest.approx(0.75 * 0.2 + 0.25 * 0.6)

    def test_large_strata_sampled_alike_give_clopper_and_pearson(self) -> None:
        """The finite population correction vanishes, and equal sampling is as good as one sample."""
        found = estimate_share([Stratum(10**7, 30, 4), Stratum(10**7, 30, 5)], 0.1, 0.95)
        exact = binomtest(9, 60, 0.1, alternative="greater")
        interval = binomtest(9, 60).proportion_ci(0.95, "exact")
        assert (found.lower, found.upper) == pytest.approx((interval.low, interval.high), rel=1e-4)
        assert found.p_above == pytest.approx(exact.pvalue, rel=1e-4)

    def test_effective_number_is_that_of_the_variance_over_all_draws(self) -> None:
        """Compare with the variance of the estimate over every pair of draws from two strata of equal share."""
        strata = [Stratum(6, 2, 0), Stratum(4, 3, 0)]
        populations = [[1, 1, 1, 0, 0, 0], [1, 1, 0, 0]]
        means = [
            0.6 * np.mean(a) + 0.4 * np.mean(b)
            for a in combinations(populations[0], 2)
            for b in combinations(populations[1], 3)
        ]
        assert len(means) == comb(6, 2) * comb(4, 3)
        assert effective_number(strata) == pytest.approx(0.25 / np.var(means))
        assert effective_number([Stratum(6, 6, 1), Stratum(4, 4, 1)]) == inf

    def test_populations_that_are_known_as_a_whole_have_no_interval(self) -> None:
        strata = [Stratum(6, 6, 1), Stratum(4, 4, 1)]
        found = estimate_share(strata, 0.15, 0.95)
        assert (found.estimate, found.lower, found.upper, found.p_above) == (0.2, 0.2, 0.2, 0)
        assert estimate_share(strata, 0.2, 0.95).p_above == 1

    @pytest.mark.parametrize("n_wrong", [0, 10])
    def test_equal_answers_leave_an_interval(self, n_wrong: int) -> None:
        found = estimate_share([Stratum(100, 10, n_wrong), Stratum(50, 10, n_wrong)], 0.15, 0.95)
        assert found.estimate == n_wrong / 10
        assert (found.lower, found.upper)[n_wrong == 0] == pytest.approx(abs(n_wrong / 10 - 0.15), abs=0.1)
        assert (found.lower == 0) == (n_wrong == 0) and (found.upper == 1) == (n_wrong == 10)


@pytest.mark.parametrize("wrong", [(30, 20), (60, 2), (8, 1)])
@pytest.mark.parametrize("n", [(10, 10), (3, 20)])
def test_intervals_hold_the_share_and_kept_limits_are_seldom_rejected(
    wrong: tuple[int, int], n: tuple[int, int]
) -> None:
    """Draw from 200 and 100 members; sampling out of proportion and unequal shares included."""
    generator, sizes, n_draws = np.random.default_rng(0), (200, 100), 150
    truth = sum(wrong) / sum(sizes)
    is_held, is_rejected = np.zeros(n_draws, np.bool_), np.zeros(n_draws, np.bool_)
    for i in range(n_draws):
        strata = [
            Stratum(size, k, int(generator.hypergeometric(bad, size - bad, k)))
            for size, bad, k in zip(sizes, wrong, n, strict=True)
        ]
        found = estimate_share(strata, truth, 0.95)
        is_held[i] = found.lower - 1e-12 <= truth <= found.upper + 1e-12
        is_rejected[i] = found.p_above <= ALPHA
    assert is_held.mean() > 0.91 and is_rejected.mean() < 0.09
