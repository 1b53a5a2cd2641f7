"""Estimate a share of a finite population from simple random samples of its strata. Pure functions.

The plants of a field are counted, and a random sample of them is looked at. So nothing is assumed about the plants: all
chance is in the draw, and a population that was looked at as a whole has no interval left. What is known about single
members that were not drawn at random bounds the share, and enters no estimate.

One stratum has exact bounds by the hypergeometric distribution (Wright 1991, DOI 10.1007/978-1-4612-3140-0). Several
have Clopper and Pearson's bounds for the effective number of sampled members (Korn & Graubard 1998, Survey Methodology
24, 193-201; compared with others by Franco et al. 2019, DOI 10.1093/jssam/smy019).
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy


@dataclass(frozen=True)
class Stratum:
    """Counts of one stratum.

    Attributes
    ----------
    size : number of members.
    n, n_wrong : sampled members, and those among them with the property whose share is asked for.
    n_known, n_known_wrong : members that are known but were not drawn at random, and those with the property.

    Raises
    ------
    ValueError : counts contradict each other.
    """

    size: int
    n: int
    n_wrong: int
    n_known: int = 0
    n_known_wrong: int = 0

    def __post_init__(self) -> None:
        if not (
            0 <= self.n_wrong <= self.n
            and 0 <= self.n_known_wrong <= self.n_known
            and 0 < self.size >= self.n + self.n_known
        ):
            raise ValueError(f"{self} is not possible. Parts must be at most the whole, and the whole at least 1")


@dataclass(frozen=True)
class Share:
    """Estimated share of a population with a property, 0..1; None where a stratum has no sampled member.

    Attributes
    ----------
    lower, upper : ends of its interval.
    p_above : chance of a sample with as many if the share were the tolerated one or less.
    """

    estimate: float | None
    lower: float
    upper: float
    p_above: float


def estimate_share(strata: Sequence[Stratum], tolerated: float, confidence: float) -> Share:
    """Estimate the share of a population from its strata, and test whether it is above a tolerated one.

    Parameters
    ----------
    strata : at least one; together they are the population.
    tolerated : share of the null hypothesis, 0..1.
    confidence : level of the two-sided interval, in (0, 1).
    """
    size = sum(one.size for one in strata)
    least = sum(one.n_wrong + one.n_known_wrong for one in strata) / size
    most = sum(one.size - (one.n - one.n_wrong) - (one.n_known - one.n_known_wrong) for one in strata) / size
    is_known_above = least > tolerated
    if not all(one.n for one in strata):
        return Share(None, least, most, 0.0 if is_known_above else 1.0)
    estimate = sum(one.size * one.n_wrong / one.n for one in strata) / size
    bounds = _exact if len(strata) == 1 else _by_effective_number
    lower, upper, p_above = bounds(strata, tolerated, (1 - confidence) / 2)
    return Share(
        float(np.clip(estimate, least, most)),
        float(np.clip(lower, least, most)),
        float(np.clip(upper, least, most)),
        0.0 if is_known_above else p_above,
    )


def effective_number(strata: Sequence[Stratum]) -> float:
    """Return how many independent members tell as much as the samples do; infinite if all members were sampled.

    It is `1 / sum w_h^2 (N_h - n_h) / ((N_h - 1) n_h)` with the weights w_h = N_h / N, for shares that are equal in all
    strata. Samples in proportion to the strata then tell at least as much where shares differ.
    """
    size = sum(one.size for one in strata)
    variance = sum(
        (one.size / size) ** 2 * (one.size - one.n) / ((one.size - 1) * one.n) for one in strata if one.size > one.n
    )
    return 1 / variance if variance else np.inf


def _exact(strata: Sequence[Stratum], tolerated: float, alpha: float) -> tuple[float, float, float]:
    """Return both bounds, each at level alpha, and the p-value, by the hypergeometric distribution."""
    (one,) = strata
    size, n, n_wrong = one.size, one.n, one.n_wrong

    def at_least(k: int) -> float:
        return float(scipy.stats.hypergeom.sf(n_wrong - 1, size, k, n))

    # Chances rise or fall with the number k of wrong members, so the ends are found by bisection.
    lower = bisect_left(range(size + 1), alpha, key=at_least)
    upper = (
        bisect_left(range(size + 1), -alpha, key=lambda k: -float(scipy.stats.hypergeom.cdf(n_wrong, size, k, n))) - 1
    )
    return lower / size, upper / size, at_least(int(np.floor(tolerated * size + 1e-9)))


def _by_effective_number(strata: Sequence[Stratum], tolerated: float, alpha: float) -> tuple[float, float, float]:
    """Return both bounds, each at level alpha, and the p-value, by the effective number of sampled members."""
    size, n = sum(one.size for one in strata), effective_number(strata)
    share = sum(one.size * one.n_wrong / one.n for one in strata) / size
    if np.isinf(n):
        return share, share, float(share <= tolerated)
    right, wrong = (1 - share) * n, share * n
    lower = float(scipy.stats.beta.ppf(alpha, wrong, right + 1)) if wrong else 0.0
    upper = float(scipy.stats.beta.ppf(1 - alpha, wrong + 1, right)) if right > 1e-9 else 1.0
    return lower, upper, float(scipy.special.betainc(wrong, right + 1, tolerated)) if wrong else 1.0
