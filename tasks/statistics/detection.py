"""Detection: how well a confidence of being right tells a classifier's errors from its right answers.

Arrays in, numbers out. Scores that come from clusters have few distinct values, so every number here is exact for
ties: images of equal confidence form a plateau, and each statistic is its mean over all orders within the plateaus.

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
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlog1py

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Detection:
    """How well a confidence detects errors.

    `auroc` is in [0, 1], 1/2 by chance, higher is better, None where no image or every image is wrong. `aurc` and
    `e_aurc` are in [0, 1], `augrc` in [0, 1/2]: lower is better. In a small sample even the best `e_aurc` exceeds 0.
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
    """How well a confidence (n,), higher where more likely right, detects the errors is_wrong (n,).

    Raises
    ------
    ValueError : no image, lengths that differ, a confidence that is NaN, flags that are not true or false.
    """
    _, wrong = paired(confidence, is_wrong)
    found = bootstrap_detect(confidence, wrong, np.ones((1, len(wrong)), np.int64))
    auroc = float(found["auroc"][0]) if found["auroc"].size else None
    rest = {name: float(found[name][0]) for name in ("aurc", "e_aurc", "augrc")}
    return Detection(n=len(wrong), n_wrong=int(wrong.sum()), auroc=auroc, **rest)


def bootstrap_detect(confidence: ArrayLike, is_wrong: ArrayLike, weights: ArrayLike) -> dict[str, Floats]:
    """The statistics of `detect` for many resamples at once.

    Parameters
    ----------
    confidence, is_wrong : (n,) as of `detect`.
    weights : (b, n) how often each image occurs in each resample: integers >= 0, in no row all 0.

    Returns
    -------
    `aurc`, `e_aurc`, `augrc` (b,) and `auroc` (b - u,): the u resamples without an error or without a right answer
    have no AUROC and are left out. Which ones depends on `is_wrong` and `weights` only, so differences between two
    confidences of the same images stay paired.

    Raises
    ------
    ValueError : as of `detect`, and weights that are not such counts.
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
        "augrc": inversions / n**2 + rate**2 / 2,  # (1 - AUROC) a (1 - a) + (1 - a)^2 / 2, also without an AUROC
    }


def best_aurc(error_rate: ArrayLike) -> Floats:
    """AURC of the best order of a large sample: r + (1 - r) ln(1 - r), which is 0 at r = 0 and 1 at r = 1."""
    rate = np.asarray(error_rate, np.float64)
    return rate + xlog1py(1 - rate, -rate)


def _plateau_counts(values: Floats, wrong: Flags, weights: Counts) -> tuple[Counts, Counts]:
    """Images and errors (b, p) of the p plateaus, the most confident first."""
    order = np.argsort(-values, kind="stable")
    ranked, weighted = values[order], weights[:, order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    n_items = np.add.reduceat(weighted, starts, axis=1)
    return n_items, np.add.reduceat(weighted * wrong[order], starts, axis=1)


def _risk_sum(n_items: Counts, n_errors: Counts) -> Floats:
    """Sum over plateaus and j = 1..m of (E0 + j E / m) / (n0 + j), (b,), with harmonic numbers for the sums over j."""
    n0, e0 = (np.cumsum(counts, axis=1) - counts for counts in (n_items, n_errors))
    harmonic = np.r_[0.0, np.cumsum(1 / np.arange(1, n_items.sum(axis=1).max() + 1))]
    step = harmonic[n0 + n_items] - harmonic[n0]
    share = n_errors / np.maximum(n_items, 1)
    return (n_errors + (e0 - n0 * share) * step).sum(axis=1)


def _inversions(n_items: Counts, n_errors: Counts) -> Floats:
    """Pairs (b,) of an error and a right answer in which the error has more confidence, ties counted half."""
    return ((n_items - n_errors) * (2 * np.cumsum(n_errors, axis=1) - n_errors)).sum(axis=1) / 2


def risk_coverage(confidence: ArrayLike, is_wrong: ArrayLike) -> tuple[Floats, Floats]:
    """The risk-coverage curve: coverage k / n and error rate among the k most confident images, k = 1..n, both (n,).

    Within a plateau errors are spread evenly, so the rate is the mean over its orders; the mean of the rates is the
    AURC.

    Raises
    ------
    ValueError : as of `detect`.
    """
    values, wrong = paired(confidence, is_wrong)
    n_items, n_errors = (c[0] for c in _plateau_counts(values, wrong, np.ones((1, len(wrong)), np.int64)))
    accepted = np.arange(1, len(wrong) + 1)
    errors = np.interp(accepted, np.r_[0, np.cumsum(n_items)], np.r_[0, np.cumsum(n_errors)])
    return accepted / len(wrong), errors / accepted


def brier(probability: ArrayLike, is_right: ArrayLike) -> float:
    """Mean squared difference between a probability (n,) of being right and is_right (n,): in [0, 1], lower is better.

    Raises
    ------
    ValueError : as of `detect`, and a probability outside [0, 1].
    """
    values, right = _probabilities(probability, is_right)
    return float(((values - right) ** 2).mean())


def calibration(probability: ArrayLike, is_right: ArrayLike, n_bins: int = 10) -> list[CalibrationRow]:
    """Bins of about equal counts, by increasing probability, that never part equal probabilities.

    Equal counts, since a classifier's probabilities crowd near 1, where bins of equal width would hide them in one.
    With at most `n_bins` distinct values, as a cluster's score has, each value is a bin; with more, an image goes to
    the bin of its plateau's middle rank, and bins may be fewer than `n_bins`.

    Raises
    ------
    ValueError : as of `brier`, and fewer than 1 bin.
    """
    values, right = _probabilities(probability, is_right)
    if n_bins < 1:
        raise ValueError(f"Calibration needs at least 1 bin, not {n_bins}")
    distinct, plateau, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    bins = np.arange(len(distinct)) if len(distinct) <= n_bins else (n_bins * middle / len(values)).astype(np.int64)
    members = [bins[plateau] == k for k in np.unique(bins)]
    inside = ((values[chosen], right[chosen]) for chosen in members)
    return [CalibrationRow(float(v.min()), float(v.max()), len(v), float(v.mean()), float(r.mean())) for v, r in inside]


def calibration_error(rows: Sequence[CalibrationRow]) -> float:
    """Mean over images of |mean probability - share right| of their bin, in [0, 1]; chance alone makes it exceed 0.

    Raises
    ------
    ValueError : no bin.
    """
    if not rows:
        raise ValueError("A calibration error needs at least 1 bin, not 0")
    return sum(row.n * abs(row.mean_probability - row.share_right) for row in rows) / sum(row.n for row in rows)


def cluster_calibration(cluster: ArrayLike, error_share: ArrayLike, is_wrong: ArrayLike) -> float:
    """Sum over clusters of (n_q / n) |r_q - error rate|, in [0, 1].

    Parameters
    ----------
    cluster : (n,) cluster of each image, an integer.
    error_share : (n,) r_q of the image's cluster, in [0, 1], from other images (validation).
    is_wrong : (n,) errors on these images (test).

    Raises
    ------
    ValueError : as of `brier`, and a cluster with more than one error share.
    """
    share, wrong = _probabilities(error_share, is_wrong)
    member = np.unique(np.asarray(cluster), return_inverse=True)[1]
    if member.shape != share.shape:
        raise ValueError(f"Every image has one cluster: got shapes {member.shape} and {share.shape}")
    n = np.bincount(member)
    r = np.zeros(len(n))
    r[member] = share
    if (r[member] != share).any():
        raise ValueError("All images of a cluster share its error share: got several in one cluster")
    return float((n * np.abs(r - np.bincount(member, wrong) / n)).sum() / len(share))


def paired(values: ArrayLike, flags: ArrayLike) -> tuple[Floats, Flags]:
    """Values (n,) and flags (n,) of the same n >= 1 images; ValueError as of `detect`."""
    numbers, marks = np.asarray(values, np.float64), np.asarray(flags)
    if numbers.ndim != 1 or numbers.shape != marks.shape or not numbers.size:
        raise ValueError(f"One value and one flag per image, of at least 1: got shapes {numbers.shape}, {marks.shape}")
    if np.isnan(numbers).any():
        raise ValueError(f"Every value is a number: {int(np.isnan(numbers).sum())} of {len(numbers)} are NaN")
    if not np.isin(marks, (0, 1)).all():
        raise ValueError("Every flag is true or false")
    return numbers, marks.astype(np.bool_)


def _probabilities(values: ArrayLike, flags: ArrayLike) -> tuple[Floats, Flags]:
    numbers, marks = paired(values, flags)
    if numbers.min() < 0 or numbers.max() > 1:
        raise ValueError(f"Probabilities are in [0, 1]: got {numbers.min():g} to {numbers.max():g}")
    return numbers, marks


def resample_counts(weights: ArrayLike, n: int) -> Counts:
    """Weights (b, n) of the resamples of n images as integers; ValueError as of `bootstrap_detect`."""
    counts = np.asarray(weights)
    if counts.ndim != 2 or counts.shape[1] != n or not len(counts):
        raise ValueError(f"Weights are (resamples >= 1, {n} images): got shape {counts.shape}")
    if not np.issubdtype(counts.dtype, np.integer) or counts.min() < 0 or not counts.any(axis=1).all():
        raise ValueError("Weights count how often an image was drawn: integers >= 0, in no resample all 0")
    return counts.astype(np.int64)
