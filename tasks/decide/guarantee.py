"""Certify from which confidence on answers may be acted on, so that few of them are wrong. Pure functions.

A threshold is chosen on validation plants, and a threshold that was chosen because few errors lie above it promises too
much. Each threshold is therefore tested: is the share of wrong answers above it at most the tolerated one? The tests
are made so that, with the stated confidence, no threshold is accepted for which this is false (learn then test:
Angelopoulos et al. 2021, arXiv 2110.01052; selective risk: Geifman & El-Yaniv 2017, arXiv 1705.08500).

The tests are ordered from few answers to many. They begin where a test will probably reject, and go on to more answers
as long as each rejects at the whole level. This is the fallback procedure (Wiens 2003, DOI 10.1002/pst.64) with all
weight on one test. Where to begin is decided by the probabilities that other plants have taught, not by the errors that
are tested, so it costs no level. Images of one plant resemble each other, so errors and images are divided by the
design effect before the exact binomial test (Korn & Graubard 1998).
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from tasks.statistics.by_plant import design_effect, intra_plant_correlation

Floats = NDArray[np.float64]
STEP = 0.05  # step between tested thresholds, as a share of the images
POWER = 0.9  # probability to reject, if errors are as frequent as expected, of the test with which the tests begin
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


@dataclass(frozen=True)
class RankedAnswers:
    """Validation answers, the most confident first, with the tests of thresholds that any tolerance shares.

    Attributes
    ----------
    scores, plants : (n,) confidence of each answer, and number of its plant.
    tests, expected : tests of thresholds from few answers to many, and the share of wrong answers expected in each.
    """

    scores: Floats
    plants: NDArray[np.int64]
    tests: Sequence["ThresholdTest"]
    expected: Sequence[float]

    def certify(self, tolerated_error: float, confidence_level: float) -> Certificate:
        """Certify the least confidence from which on at most a tolerated share of answers is wrong.

        Parameters
        ----------
        tolerated_error : tolerated share of wrong answers among those acted on, in (0, 1).
        confidence_level : probability, over the draw of validation plants, with which the promise holds, in (0, 1).
        """
        tests, level = self.tests, 1 - confidence_level
        start = _start(tests, self.expected, tolerated_error, level)
        last = start - 1
        while last + 1 < len(tests) and tests[last + 1].p_value(tolerated_error) <= level:
            last += 1
        if last < start:
            n_plants = len(np.unique(self.plants))
            return Certificate(None, 0, 0, 0, plants_needed(tests, n_plants, tolerated_error, level))
        n = tests[last].n
        return Certificate(float(self.scores[n - 1]), n, tests[last].n_wrong, len(np.unique(self.plants[:n])), 0)


def rank_answers(
    confidence: ArrayLike, is_wrong: ArrayLike, plants: Sequence[str], expected: ArrayLike
) -> RankedAnswers:
    """Sort n >= 1 validation answers by confidence, and prepare the tests of thresholds.

    Parameters
    ----------
    confidence : (n,) confidence of cross-fitted validation answers; higher means more likely right.
    is_wrong : (n,) whether each answer is wrong.
    plants : (n,) plant of each answer.
    expected : (n,) probability that each answer is wrong, learned from other plants. It decides where the tests begin;
        the promise holds whether it is right or not.
    """
    scores, wrong = np.asarray(confidence, np.float64), np.asarray(is_wrong, np.bool_)
    order = np.argsort(-scores, kind="stable")
    number = np.unique(np.asarray(plants, np.str_), return_inverse=True)[1].astype(np.int64)[order]
    scores, wrong, likely = scores[order], wrong[order], np.asarray(expected, np.float64)[order]
    tests = _tests(scores, wrong, number)
    return RankedAnswers(scores, number, tests, [float(likely[: one.n].mean()) for one in tests])


@dataclass(frozen=True)
class ThresholdTest:
    """Test of one threshold: answers from it on, errors among them, and their design effect."""

    n: int
    n_wrong: int
    effect: float

    def p_value(self, tolerated_error: float, times: float = 1.0) -> float:
        """Return the exact binomial p-value of "more than the tolerated share is wrong".

        Counts are divided by the design effect and multiplied by `times`.
        """
        return _p_value(self.n_wrong, self.n, self.effect / times, tolerated_error)

    def power(self, expected: float, tolerated_error: float, level: float) -> float:
        """Return the probability that the test rejects at a level if a share `expected` of answers is wrong."""
        n_rejecting = bisect_right(
            range(self.n + 1), level, key=lambda errors: _p_value(errors, self.n, self.effect, tolerated_error)
        )
        return float(scipy.stats.binom.cdf(n_rejecting - 1, self.n, expected))


def _p_value(n_wrong: int, n: int, effect: float, tolerated_error: float) -> float:
    """Return the binomial tail of Clopper & Pearson, which takes fractions, for counts divided by an effect."""
    errors = n_wrong / effect
    return float(scipy.special.betaincc(errors + 1, max(n / effect - errors, 1e-12), tolerated_error))


def _tests(scores: Floats, wrong: NDArray[np.bool_], plants: NDArray[np.int64]) -> list[ThresholdTest]:
    """Return the tests of thresholds from few answers to many; answers of equal confidence are never parted."""
    n_all, rho = len(scores), intra_plant_correlation(wrong, plants)
    ends = np.flatnonzero(np.r_[scores[1:] < scores[:-1], True]) + 1  # numbers of answers that a threshold can cut off
    wanted = np.arange(1, round(1 / STEP) + 1) * STEP * n_all
    cuts = np.unique(ends[np.minimum(np.searchsorted(ends, wanted - 1e-9), len(ends) - 1)]).tolist()
    return [ThresholdTest(n, int(wrong[:n].sum()), design_effect(plants[:n], rho)) for n in cuts]


def _start(tests: Sequence[ThresholdTest], expected: Sequence[float], tolerated_error: float, level: float) -> int:
    """Return the test with which the tests begin: of those that reject with probability `POWER`, that of most answers.

    The probability is computed as if the answers of each test were wrong as often as `expected`. If no test reaches it,
    the tests begin with the most promising one.
    """
    power = np.asarray([one.power(share, tolerated_error, level) for one, share in zip(tests, expected, strict=True)])
    is_likely = np.flatnonzero(power >= POWER)
    return int(is_likely[-1] if len(is_likely) else power.argmax())


def plants_needed(tests: Sequence[ThresholdTest], n_plants: int, tolerated_error: float, level: float) -> int | None:
    """Return how many more validation plants would certify a threshold, if errors stayed as frequent as they are.

    Each test is asked for the multiple of its plants with which it would reject. The answer is None where even
    `MOST_TIMES` as many plants would not be enough for any.
    """
    times = [found for one in tests if (found := _times_needed(one, tolerated_error, level)) is not None]
    return None if not times else max(1, int(np.ceil((min(times) - 1) * n_plants)))


def _times_needed(one: ThresholdTest, tolerated_error: float, level: float) -> float | None:
    """Return the multiple of a test's counts at which its p-value falls to a level; None if there is none."""

    def excess(times: float) -> float:
        return one.p_value(tolerated_error, times) - level

    if excess(MOST_TIMES) > 0:
        return None
    return float(scipy.optimize.brentq(excess, 1.0, MOST_TIMES, xtol=1e-3)) if excess(1.0) > 0 else 1.0  # pyright: ignore
