"""Detection: measure how well a confidence separates a classifier's errors from its right answers.

Arrays in, numbers out. Scores of clusters have few distinct values, so every statistic is exact for ties. Images of
equal confidence form a plateau, and each statistic is its mean over all orders within the plateaus.

- AUROC of error detection: the chance that a right answer has more confidence than a wrong one, ties counted half
  (Hanley & McNeil 1982, DOI 10.1148/radiology.143.1.7063747).
- AURC: the mean, over all coverages, of the error rate among the most confident images (Geifman & El-Yaniv 2017,
  DOI 10.48550/arXiv.1705.08500); E-AURC: its excess over the best order of a large sample, r + (1 - r) ln(1 - r) at
  error rate r (Geifman, Uziel & El-Yaniv 2019, DOI 10.48550/arXiv.1805.08206).
- AUGRC: the mean, over all coverages, of the share of all images that are accepted and wrong (Traub et al. 2024,
  DOI 10.48550/arXiv.2407.01032).
- Brier score (Brier 1950, DOI 10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2) and calibration (Guo et al. 2017,
  DOI 10.48550/arXiv.1706.04599).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Detection:
    """Statistics of how well a confidence detects errors.

    `auroc` is in [0, 1], 1/2 by chance, and higher is better. It is None if no image or every image is wrong. `aurc`
    and `e_aurc` are in [0, 1], `augrc` is in [0, 1/2], and lower is better. In a small sample even the best `e_aurc`
    exceeds 0.
    """

    n: int
    n_wrong: int
    auroc: float | None
    aurc: float
    e_aurc: float
    augrc: float


class CalibrationRow(NamedTuple):
    """One bin of `calibration`: its smallest, largest and mean probability, its images and the share that is right."""

    lower: float
    upper: float
    n: int
    mean_probability: float
    share_right: float


def detect(confidence: ArrayLike, is_wrong: ArrayLike) -> Detection:
    """Measure how well a confidence (n,), higher for answers more likely right, detects the errors is_wrong (n,).

    Raises
    ------
    ValueError : there is no image, lengths differ, a confidence is NaN, or a flag is not true or false.
    """
    _, wrong = paired(confidence, is_wrong)
    found = bootstrap_detect(confidence, wrong, np.ones((1, len(wrong)), np.int64))
    auroc = float(found["auroc"][0]) if found["auroc"].size else None
    rest = {name: float(found[name][0]) for name in ("aurc", "e_aurc", "augrc")}
    return Detection(n=len(wrong), n_wrong=int(wrong.sum()), auroc=auroc, **rest)


def bootstrap_detect(confidence: ArrayLike, is_wrong: ArrayLike, weights: ArrayLike) -> dict[str, Floats]:
    """Compute the statistics of `detect` for many resamples at once.

    Parameters
    ----------
    confidence, is_wrong : (n,) as in `detect`.
    weights : (b, n) number of times that each image occurs in each resample: integers >= 0, not all 0 in any row.

    Returns
    -------
    `aurc`, `e_aurc`, `augrc` (b,) and `auroc` (b - u,). The u resamples without an error or without a right answer have
    no AUROC and are left out. They depend on `is_wrong` and `weights` only, so differences between two confidences of
    the same images remain paired.

    Raises
    ------
    ValueError : an argument is refused by `detect`, or weights are not such counts.
    """
    values, wrong = paired(confidence, is_wrong)
    n_items, n_errors = _plateau_counts(values, wrong, resample_counts(weights, len(wrong)))
    n, errors = n_items.sum(axis=1), n_errors.sum(axis=1)
    aurc = _risk_sum(n_items, n_errors) / n
    inversions = _inversions(n_items, n_errors)
    pairs = errors * (n - errors)
    is_defined = pairs > 0
    rate = errors / n
    return {
        "auroc": 1 - inversions[is_defined] / pairs[is_defined],
        "aurc": aurc,
        "e_aurc": aurc - best_aurc(rate),
        # (1 - AUROC) a (1 - a) + (1 - a)^2 / 2 at accuracy a, in a form that needs no AUROC.
        "augrc": inversions / n**2 + rate**2 / 2,
    }


def best_aurc(error_rate: ArrayLike) -> Floats:
    """Return the AURC of the best order of a large sample: r + (1 - r) ln(1 - r), 0 at r = 0 and 1 at r = 1."""
    rate = np.asarray(error_rate, np.float64)
    return rate + scipy.special.xlog1py(1 - rate, -rate)


def _plateau_counts(values: Floats, wrong: Flags, weights: Counts) -> tuple[Counts, Counts]:
    """Count images and errors (b, p) of the p plateaus, the most confident first."""
    order = np.argsort(-values, kind="stable")
    ranked, weighted = values[order], weights[:, order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    n_items = np.add.reduceat(weighted, starts, axis=1)
    return n_items, np.add.reduceat(weighted * wrong[order], starts, axis=1)


def _risk_sum(n_items: Counts, n_errors: Counts) -> Floats:
    """Sum (E0 + j E / m) / (n0 + j) over plateaus and j = 1..m, (b,), with harmonic numbers for the sums over j."""
    n0, e0 = (np.cumsum(counts, axis=1) - counts for counts in (n_items, n_errors))
    harmonic = np.r_[0.0, np.cumsum(1 / np.arange(1, n_items.sum(axis=1).max() + 1))]
    step = harmonic[n0 + n_items] - harmonic[n0]
    share = n_errors / np.maximum(n_items, 1)
    return (n_errors + (e0 - n0 * share) * step).sum(axis=1)


def _inversions(n_items: Counts, n_errors: Counts) -> Floats:
    """Count the pairs (b,) of an error and a right answer in which the error has more confidence, ties as half."""
    return ((n_items - n_errors) * (2 * np.cumsum(n_errors, axis=1) - n_errors)).sum(axis=1) / 2


def risk_coverage(confidence: ArrayLike, is_wrong: ArrayLike) -> tuple[Floats, Floats]:
    """Compute the risk-coverage curve: coverage k / n (n,) and error rate (n,) of the k most confident images.

    Here k is 1..n. Within a plateau errors are spread evenly, so the rate is the mean over its orders. The mean of the
    rates is the AURC.

    Raises
    ------
    ValueError : an argument is refused by `detect`.
    """
    values, wrong = paired(confidence, is_wrong)
    n_items, n_errors = (c[0] for c in _plateau_counts(values, wrong, np.ones((1, len(wrong)), np.int64)))
    accepted = np.arange(1, len(wrong) + 1)
    errors = np.interp(accepted, np.r_[0, np.cumsum(n_items)], np.r_[0, np.cumsum(n_errors)])
    return accepted / len(wrong), errors / accepted


def brier(probability: ArrayLike, is_right: ArrayLike) -> float:
    """Return the mean squared difference between a probability (n,) of being right and is_right (n,).

    The score is in [0, 1], and lower is better.

    Raises
    ------
    ValueError : an argument is refused by `detect`, or a probability is outside [0, 1].
    """
    values, right = _probabilities(probability, is_right)
    return float(((values - right) ** 2).mean())


def calibration(probability: ArrayLike, is_right: ArrayLike, n_bins: int = 10) -> list[CalibrationRow]:
    """Group images into bins of about equal counts, by increasing probability, that never split equal probabilities.

    The bins have equal counts, because a classifier's probabilities crowd near 1 and would share a bin of equal width.
    With at most `n_bins` distinct values, for example scores of clusters, each value is a bin. With more, an image
    belongs to the bin of its plateau's middle rank, and there may be fewer bins than `n_bins`.

    Raises
    ------
    ValueError : an argument is refused by `brier`, or `n_bins` is below 1.
    """
    values, right = _probabilities(probability, is_right)
    if n_bins < 1:
        raise ValueError(f"n_bins is {n_bins}. Calibration needs at least 1 bin")
    distinct, plateau, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    bins = np.arange(len(distinct)) if len(distinct) <= n_bins else (n_bins * middle / len(values)).astype(np.int64)
    members = [bins[plateau] == k for k in np.unique(bins)]
    inside = ((values[chosen], right[chosen]) for chosen in members)
    return [CalibrationRow(float(v.min()), float(v.max()), len(v), float(v.mean()), float(r.mean())) for v, r in inside]


def calibration_error(rows: Sequence[CalibrationRow]) -> float:
    """Return the mean over images of |mean probability - share right| of their bin, in [0, 1].

    Even a perfectly calibrated probability gives more than 0 by chance.

    Raises
    ------
    ValueError : there is no bin.
    """
    if not rows:
        raise ValueError("There is no bin. A calibration error needs at least 1 bin")
    return sum(row.n * abs(row.mean_probability - row.share_right) for row in rows) / sum(row.n for row in rows)


def cluster_calibration(cluster: ArrayLike, error_share: ArrayLike, is_wrong: ArrayLike) -> float:
    """Return the sum over clusters of (n_q / n) |r_q - error rate|, in [0, 1].

    Parameters
    ----------
    cluster : (n,) cluster of each image, an integer.
    error_share : (n,) r_q of the image's cluster, in [0, 1], from other images (validation).
    is_wrong : (n,) errors on these images (test).

    Raises
    ------
    ValueError : an argument is refused by `brier`, or a cluster has more than one error share.
    """
    share, wrong = _probabilities(error_share, is_wrong)
    member = np.unique(np.asarray(cluster), return_inverse=True)[1]
    if member.shape != share.shape:
        raise ValueError(
            f"Clusters and error shares have shapes {member.shape} and {share.shape}. Every image must have one cluster"
        )
    n = np.bincount(member)
    r = np.zeros(len(n))
    r[member] = share
    if (r[member] != share).any():
        raise ValueError("A cluster has several error shares. All images of a cluster must share its error share")
    return float((n * np.abs(r - np.bincount(member, wrong) / n)).sum() / len(share))


def paired(values: ArrayLike, flags: ArrayLike) -> tuple[Floats, Flags]:
    """Return values (n,) and flags (n,) of the same n >= 1 images as arrays.

    Raises
    ------
    ValueError : there is no image, lengths differ, a value is NaN, or a flag is not true or false.
    """
    numbers, marks = np.asarray(values, np.float64), np.asarray(flags)
    if numbers.ndim != 1 or numbers.shape != marks.shape or not numbers.size:
        raise ValueError(
            f"Values and flags have shapes {numbers.shape} and {marks.shape}. One value and one flag per image, of at "
            "least 1, are needed"
        )
    if np.isnan(numbers).any():
        n_nan = int(np.isnan(numbers).sum())
        raise ValueError(f"Of the values, {n_nan} of {len(numbers)} are NaN. Every value must be a number")
    if not np.isin(marks, (0, 1)).all():
        raise ValueError("A flag has another value than 0 and 1. Every flag must be true or false")
    return numbers, marks.astype(np.bool_)


def _probabilities(values: ArrayLike, flags: ArrayLike) -> tuple[Floats, Flags]:
    numbers, marks = paired(values, flags)
    if numbers.min() < 0 or numbers.max() > 1:
        raise ValueError(f"Values are {numbers.min():g} to {numbers.max():g}. Probabilities are in [0, 1]")
    return numbers, marks


def resample_counts(weights: ArrayLike, n: int) -> Counts:
    """Return the weights (b, n) of b >= 1 resamples of n images as integers.

    Raises
    ------
    ValueError : weights have another shape, are no integers >= 0, or are all 0 in a resample.
    """
    counts = np.asarray(weights)
    if counts.ndim != 2 or counts.shape[1] != n or not len(counts):
        raise ValueError(f"Weights have shape {counts.shape}. It must be (resamples >= 1, {n} images)")
    if not np.issubdtype(counts.dtype, np.integer) or counts.min() < 0 or not counts.any(axis=1).all():
        raise ValueError("Weights are no counts of draws. They must be integers >= 0, not all 0 in any resample")
    return counts.astype(np.int64)
