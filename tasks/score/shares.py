"""Estimate the share of ready plants on a date, which moves every probability of being ready. Pure functions.

Between dates the share changes, because plants grow. If only the share changes, the log-odds of being ready move by the
difference of the shares' log-odds (Saerens, Latinne & Decaestecker 2002, DOI 10.1162/089976602753284446). The combined
model learns from validation how much of this difference its other inputs do not know already.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PSEUDO_PLANTS = 10.0  # weight of validation's overall share in the share of one date, in plants
LEAST_SHARE = 0.01  # a share is kept this far from 0 and 1, where its log-odds would be infinite


@dataclass(frozen=True)
class ReadyShares:
    """Shares of ready plants among labelled validation images.

    Attributes
    ----------
    overall : share on all dates together.
    of_dates : share on each date, shrunk towards `overall`, by date.
    """

    overall: float
    of_dates: Mapping[str, float]

    def shift(self, day: str) -> float:
        """Return the log-odds of a date's share minus those of the overall share; 0 for an unknown date."""
        return float(scipy.special.logit(self.of_dates.get(day, self.overall)) - scipy.special.logit(self.overall))


def ready_shares(is_ready: NDArray[np.bool_], dates: Sequence[str], weights: Floats | None = None) -> ReadyShares:
    """Return the shares of ready plants among n >= 1 labelled images.

    Parameters
    ----------
    is_ready : (n,) whether the plant is ready.
    dates : (n,) acquisition date of each image.
    weights : (n,) how often each image counts; by default once.
    """
    counted = np.ones(len(is_ready)) if weights is None else weights
    overall = _inside(float((counted * is_ready).sum() / max(counted.sum(), 1e-9)))
    days, which = np.unique(np.asarray(dates, np.str_), return_inverse=True)
    n, n_ready = np.bincount(which, counted), np.bincount(which, counted * is_ready)
    shrunk = (n_ready + PSEUDO_PLANTS * overall) / (n + PSEUDO_PLANTS)
    return ReadyShares(overall, {str(day): _inside(float(one)) for day, one in zip(days, shrunk, strict=True)})


def estimate_share(ready_odds: Floats, overall: float, weight: float, weights: Floats | None = None) -> float:
    """Estimate the share of ready plants on a date without labels, shrunk towards validation's share.

    The share is the one that the probabilities give back when they are corrected for it: the fixed point of Saerens'
    expectation maximisation, with `PSEUDO_PLANTS` plants of validation's share added.

    Parameters
    ----------
    ready_odds : (n,) log-odds of being ready at validation's overall share.
    overall : that share, in (0, 1).
    weight : how far the log-odds move per unit of the shift of the share, >= 0.
    weights : (n,) how often each image counts; by default once.
    """
    counted = np.ones(len(ready_odds)) if weights is None else weights
    low, high, given = LEAST_SHARE, 1 - LEAST_SHARE, (ready_odds, overall, weight, counted)
    if _excess(low, *given) <= 0:
        return low
    if _excess(high, *given) >= 0:
        return high
    # The arrays are arguments, because brentq keeps a closure in a reference cycle until the next garbage collection.
    return float(scipy.optimize.brentq(_excess, low, high, args=given, xtol=1e-6))  # pyright: ignore[reportArgumentType]


def _excess(share: float, ready_odds: Floats, overall: float, weight: float, counted: Floats) -> float:
    """Return by how much the corrected probabilities' share of ready plants exceeds `share`."""
    shifted = scipy.special.expit(ready_odds + weight * (scipy.special.logit(share) - scipy.special.logit(overall)))
    found = (counted @ shifted + PSEUDO_PLANTS * overall) / (counted.sum() + PSEUDO_PLANTS)
    return float(found - share)


def _inside(share: float) -> float:
    return min(max(share, LEAST_SHARE), 1 - LEAST_SHARE)
