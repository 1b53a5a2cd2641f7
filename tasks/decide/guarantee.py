"""Certify from which confidence on answers may be acted on, so that few of them are wrong. Pure functions.

A threshold is chosen on validation plants, and a threshold that was chosen because few errors lie above it promises too
much. Each threshold is therefore tested: is the share of wrong answers above it at most the tolerated one? The tests
are made so that, with the stated confidence, no threshold is accepted for which this is false (learn then test:
Angelopoulos et al. 2021, arXiv 2110.01052; selective risk: Geifman & El-Yaniv 2017, arXiv 1705.08500).

The tests are ordered from few answers to many, and each passes its level on to the next if it rejects (fallback
procedure: Wiens 2003, DOI 10.1002/pst.64). Images of one plant resemble each other, so errors and images are divided by
the design effect before the exact binomial test (Korn & Graubard 1998).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.stats import beta

from tasks.statistics.by_plant import design_effect, intra_plant_correlation

Floats = NDArray[np.float64]
STEP = 0.05  # step between tested thresholds, as a share of the images
# Shares of the images at which a test has a level of its own, with its part of the total level.
START_LEVELS = {0.2: 0.4, 0.5: 0.3, 0.8: 0.3}
MOST_TIMES = 100.0  # largest multiple of the validation plants that `plants_needed` asks for


@dataclass(frozen=True)
class Certificate:
    """Answers that may be acted on, with the tolerated share of errors.

    Attributes
    ----------
    threshold : least confidence of an answer that is acted on; None if nothing can be certified.
    n, n_wrong : validation answers from the threshold on, and how many of them are wrong; 0 without a threshold.
    n_plants : plants of these answers.
    n_more_plants : how many more validation plants would certify something, if errors stayed as frequent; 0 if
        something is certified, None if more plants alone do not help.
    """

    threshold: float | None
    n: int
    n_wrong: int
    n_plants: int
    n_more_plants: int | None


def certify(
    confidence: ArrayLike, is_wrong: ArrayLike, plants: Sequence[str], tolerated_error: float, confidence_level: float
) -> Certificate:
    """Certify the least confidence from which on at most a tolerated share of answers is wrong.

    Parameters
    ----------
    confidence : (n,) confidence of cross-fitted validation answers; higher means more likely right.
    is_wrong : (n,) whether each answer is wrong.
    plants : (n,) plant of each answer.
    tolerated_error : tolerated share of wrong answers among those acted on, in (0, 1).
    confidence_level : probability, over the draw of validation plants, with which the promise holds, in (0, 1).
    """
    scores, wrong = np.asarray(confidence, np.float64), np.asarray(is_wrong, np.bool_)
    order = np.argsort(-scores, kind="stable")
    scores, wrong, names = scores[order], wrong[order], np.asarray(plants, np.str_)[order]
    tests = _tests(scores, wrong, names)
    accepted = _fallback(
        [one.p_value(tolerated_error) for one in tests], [t.level for t in tests], 1 - confidence_level
    )
    if not any(accepted):
        n_more = plants_needed(tests, len(set(plants)), tolerated_error, 1 - confidence_level)
        return Certificate(None, 0, 0, 0, n_more)
    last = max(i for i, is_accepted in enumerate(accepted) if is_accepted)
    n, n_plants = tests[last].n, len(set(names[: tests[last].n].tolist()))
    return Certificate(float(scores[n - 1]), n, int(wrong[:n].sum()), n_plants, 0)


@dataclass(frozen=True)
class ThresholdTest:
    """Test of one threshold: answers from it on, errors among them, design effect, and its own part of the level."""

    n: int
    n_wrong: int
    effect: float
    level: float

    def p_value(self, tolerated_error: float, times: float = 1.0) -> float:
        """Return the exact binomial p-value of "more than the tolerated share is wrong".

        Counts are divided by the design effect and multiplied by `times`; the binomial tail is that of Clopper &
        Pearson, which takes fractions.
        """
        n, errors = times * self.n / self.effect, times * self.n_wrong / self.effect
        if errors >= n:
            return 1.0
        return float(beta.sf(tolerated_error, errors + 1, n - errors))


def _tests(scores: Floats, wrong: NDArray[np.bool_], names: NDArray[np.str_]) -> list[ThresholdTest]:
    """Return the tests of thresholds from few answers to many; answers of equal confidence are never parted."""
    n_all, rho = len(scores), intra_plant_correlation(wrong, names.tolist())
    ends = np.flatnonzero(np.r_[scores[1:] < scores[:-1], True]) + 1  # numbers of answers that a threshold can cut off
    found: dict[int, float] = {}
    for step in range(1, round(1 / STEP) + 1):
        n = int(ends[min(np.searchsorted(ends, step * STEP * n_all - 1e-9), len(ends) - 1)])
        found[n] = found.get(n, 0.0) + START_LEVELS.get(round(step * STEP, 6), 0.0)
    return [
        ThresholdTest(n, int(wrong[:n].sum()), design_effect(names[:n].tolist(), rho), level)
        for n, level in found.items()
    ]


def _fallback(p_values: Sequence[float], levels: Sequence[float], total: float) -> list[bool]:
    """Return which tests reject in the fallback procedure with these parts of the total level."""
    accepted: list[bool] = []
    passed = 0.0
    for p, own in zip(p_values, levels, strict=True):
        level = own * total + passed
        accepted.append(level > 0 and p <= level)
        passed = level if accepted[-1] else 0.0
    return accepted


def plants_needed(tests: Sequence[ThresholdTest], n_plants: int, tolerated_error: float, total: float) -> int | None:
    """Return how many more validation plants would certify a threshold, if errors stayed as frequent as they are.

    Each test that has a level of its own is asked for the multiple of its plants that would make it reject. The answer
    is None where even `MOST_TIMES` as many plants would not.
    """
    times = [
        found for one in tests if one.level > 0 if (found := _times_needed(one, tolerated_error, one.level * total))
    ]
    return None if not times else max(1, int(np.ceil((min(times) - 1) * n_plants)))


def _times_needed(one: ThresholdTest, tolerated_error: float, level: float) -> float | None:
    """Return the multiple of a test's counts at which its p-value falls to its level; None if there is none."""
    if one.p_value(tolerated_error, MOST_TIMES) > level:
        return None

    def excess(times: float) -> float:
        return one.p_value(tolerated_error, times) - level

    return float(brentq(excess, 1.0, MOST_TIMES, xtol=1e-3))  # pyright: ignore[reportArgumentType]
