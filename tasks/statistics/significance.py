"""Significance: what of a result may be chance. Arrays in, numbers out.

Images of one plant resemble each other, so intervals come from a bootstrap that draws plants, not images (Field &
Welsh 2007, DOI 10.1111/j.1467-9868.2007.00593.x), with percentile bounds (Efron & Tibshirani 1993,
DOI 10.1201/9780429246593). The exact tests take images as independent: with several images of a plant their p-values
are too small.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy
from scipy.stats import binom, binomtest

from tasks.statistics.detection import detect, paired, resample_counts

Floats = NDArray[np.float64]
Interval = tuple[float, float]
Key = TypeVar("Key")
WEIGHTS_AT_ONCE = 2**20  # counts of a bootstrap, 8 MiB of them, and as much several times over for its statistics


@dataclass(frozen=True)
class ErrorShareTest:
    """Do errors gather in clusters more than by chance?

    `largest_share` is the largest error share among clusters of enough members, `p_largest` the chance of one at least
    as large; None without such a cluster.
    `heterogeneity` is G >= 0 of the table cluster x error over all clusters, `p_heterogeneity` the chance of one at
    least as large.
    """

    largest_share: float | None
    p_largest: float | None
    heterogeneity: float
    p_heterogeneity: float


@dataclass(frozen=True)
class Resamples:
    """Draws of g plants from g with replacement, told as how often each of n images occurs.

    All images of a plant are drawn together, so resamples differ in size where plants differ in images. The counts of
    a thousand resamples of a hundred thousand images would take 800 MB, and their statistics several times as much, so
    they come in blocks, always the same ones.

    Attributes
    ----------
    groups : n names, the plant of each image.
    n_resamples : of all blocks together.

    Raises
    ------
    ValueError : fewer than 2 plants, between which nothing could vary, or fewer than 1 resample.
    """

    groups: Sequence[str]
    n_resamples: int
    seed: int

    def __post_init__(self) -> None:
        n_plants = len(set(self.groups))
        if n_plants < 2:
            raise ValueError(f"A bootstrap over plants needs at least 2 of them, not {n_plants}")
        if self.n_resamples < 1:
            raise ValueError(f"A bootstrap needs at least 1 resample, not {self.n_resamples}")

    def blocks(self) -> Iterator[NDArray[np.int64]]:
        """Counts (b, n), at most `WEIGHTS_AT_ONCE` of them or one resample at a time."""
        names, member = np.unique(np.asarray(self.groups, np.str_), return_inverse=True)
        generator, at_once = np.random.default_rng(self.seed), max(1, WEIGHTS_AT_ONCE // len(member))
        for start in range(0, self.n_resamples, at_once):
            n_drawn = min(at_once, self.n_resamples - start)
            drawn = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), n_drawn)
            yield drawn.astype(np.int64)[:, member]

    def of(self, statistics: Callable[[NDArray[np.int64]], Mapping[Key, Floats]]) -> dict[Key, Floats]:
        """Statistics of all resamples, by a function that tells them of a block's counts (b, n)."""
        parts = [statistics(block) for block in self.blocks()]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def percentile_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Bounds that leave (1 - confidence) / 2 of the values (b,) below and as much above.

    Raises
    ------
    ValueError : no value, a value that is NaN, a confidence outside (0, 1).
    """
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != 1 or not numbers.size or np.isnan(numbers).any():
        raise ValueError(f"An interval needs one or more numbers, none NaN: got shape {numbers.shape}")
    if not 0 < confidence < 1:
        raise ValueError(f"The confidence of an interval is between 0 and 1, not {confidence}")
    low, high = np.quantile(numbers, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def bootstrap_accuracies(
    labels: ArrayLike, answers: ArrayLike, weights: ArrayLike, n_classes: int
) -> dict[str, Floats]:
    """`overall_accuracy` and `average_class_accuracy`, (b,) each, over resamples.

    A resample that lacks a class takes the mean recall of the classes it has.

    Parameters
    ----------
    labels, answers : (n,) class indices in [0, n_classes).
    weights : (b, n) as of `Resamples.blocks`.

    Raises
    ------
    ValueError : no image, shapes that differ, a class out of range, weights that are no counts.
    """
    truth, given = np.asarray(labels), np.asarray(answers)
    if truth.ndim != 1 or truth.shape != given.shape or not truth.size:
        raise ValueError(f"One label and one answer per image, of at least 1: got {truth.shape} and {given.shape}")
    if not np.isin(np.r_[truth, given], np.arange(n_classes)).all():
        raise ValueError(f"Every label and answer is a class index below {n_classes}")
    counts = resample_counts(weights, len(truth)).astype(np.float64)
    is_class = truth[:, None] == np.arange(n_classes)
    n, n_right = counts @ is_class, counts @ (is_class & (truth == given)[:, None])
    recall = n_right / np.maximum(n, 1)
    return {
        "overall_accuracy": n_right.sum(axis=1) / n.sum(axis=1),
        "average_class_accuracy": recall.sum(axis=1) / (n > 0).sum(axis=1),
    }


def bootstrap_difference(is_right_before: ArrayLike, is_right_after: ArrayLike, weights: ArrayLike) -> Floats:
    """Accuracy after minus accuracy before (b,), in [-1, 1], over resamples (b, n) of the same images.

    Raises
    ------
    ValueError : no image, lengths that differ, flags that are not true or false, weights that are no counts.
    """
    before, after = paired(is_right_before, is_right_after)
    before, _ = paired(before, before)
    counts = resample_counts(weights, len(after)).astype(np.float64)
    return counts @ (after - before) / counts.sum(axis=1)


def mcnemar(n_corrected: int, n_spoiled: int) -> float:
    """Chance of a difference at least this large, either way, if both happen equally often; 1 if neither did.

    The exact test of McNemar (1947, DOI 10.1007/BF02295996).

    Raises
    ------
    ValueError : a negative count.
    """
    if min(n_corrected, n_spoiled) < 0:
        raise ValueError(f"Counts are not negative: got {n_corrected} and {n_spoiled}")
    n = n_corrected + n_spoiled
    return float(binomtest(n_corrected, n).pvalue) if n else 1.0


def error_share_permutation(
    cluster: ArrayLike, is_wrong: ArrayLike, n_permutations: int, seed: int, least: int = 5
) -> ErrorShareTest:
    """Compare how errors is_wrong (n,) gather in clusters (n,) with clusters fixed and errors permuted.

    Permuted errors fall into fixed clusters as draws without replacement do, so their counts are drawn at once
    (multivariate hypergeometric). p = (1 + permutations at least as extreme) / (1 + permutations) (Phipson & Smyth
    2010, DOI 10.2202/1544-6115.1585), never 0. `least` members make a cluster count for the largest share.

    Raises
    ------
    ValueError : no image, lengths that differ, flags that are not true or false, fewer than 1 permutation.
    """
    named = np.asarray(cluster)
    _, wrong = paired(np.zeros(named.shape), is_wrong)
    if n_permutations < 1:
        raise ValueError(f"A permutation test needs at least 1 permutation, not {n_permutations}")
    _, member = np.unique(named, return_inverse=True)
    sizes = np.bincount(member)
    chance = np.random.default_rng(seed).multivariate_hypergeometric(
        sizes, int(wrong.sum()), n_permutations, method="marginals"
    )
    errors = np.vstack([np.bincount(member, wrong), chance])  # first row: as observed
    g = heterogeneity(sizes, errors)
    p_heterogeneity, is_large = _p_value(g), sizes >= least
    if not is_large.any():
        return ErrorShareTest(None, None, float(g[0]), p_heterogeneity)
    largest = (errors / sizes)[:, is_large].max(axis=1)
    return ErrorShareTest(float(largest[0]), _p_value(largest), float(g[0]), p_heterogeneity)


def heterogeneity(sizes: ArrayLike, errors: ArrayLike) -> Floats:
    """Likelihood-ratio statistic G = 2 sum O ln(O / E) (b,) of cluster sizes (q,) >= 1 and errors (b, q)."""
    n, wrong = np.asarray(sizes, np.float64), np.asarray(errors, np.float64)
    rate = wrong.sum(axis=1, keepdims=True) / n.sum()
    apart = xlogy(wrong, wrong / n) + xlogy(n - wrong, 1 - wrong / n)
    together = xlogy(wrong, rate) + xlogy(n - wrong, 1 - rate)
    return np.maximum(2 * (apart - together).sum(axis=1), 0)


def _p_value(values: Floats) -> float:
    """Share of values (1 + b,) at least as large as the first, up to rounding; the first counts."""
    return float((values >= values[0] - 1e-9 * (1 + values[0])).mean())


def label_probe(peak: ArrayLike, is_wrong: ArrayLike) -> float | None:
    """AUROC of "error" against minus the saliency map's peak (n,); None where no image or every image is wrong.

    Over 0.9 the maps carry the label: an image that is wrong shows it by an almost empty map.

    Raises
    ------
    ValueError : no image, lengths that differ, a peak that is NaN, flags that are not true or false.
    """
    return detect(peak, is_wrong).auroc


def confident_swaps(
    n: ArrayLike, n_wrong: ArrayLike, alpha: float = 0.05, least: int = 10
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Which clusters are wrong in more than half of their images beyond chance.

    Exact one-sided binomial test of error share > 1/2 per cluster, with the correction of Holm (1979, Scandinavian
    Journal of Statistics 6, 65-70) over all q clusters.

    Parameters
    ----------
    n, n_wrong : (q,) images and errors among them by cluster.
    alpha : chance of one or more false findings.
    least : members below which a cluster is never confident.

    Returns
    -------
    p (q,), p after correction (q,), is_confident (q,).

    Raises
    ------
    ValueError : no cluster, shapes that differ, counts not 0 <= n_wrong <= n, alpha outside (0, 1).
    """
    size, errors = np.asarray(n), np.asarray(n_wrong)
    if size.ndim != 1 or size.shape != errors.shape or not size.size:
        raise ValueError(f"One size and one error count per cluster, of at least 1: got {size.shape}, {errors.shape}")
    if (errors < 0).any() or (errors > size).any():
        raise ValueError("A cluster has between 0 and n errors")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is between 0 and 1, not {alpha}")
    p = np.asarray(binom.sf(errors - 1, size, 0.5), np.float64)
    corrected = _holm(p)
    return p, corrected, (corrected <= alpha) & (size >= least)


def _holm(p: Floats) -> Floats:
    """P-values (q,) corrected for q tests.

    Not that of statsmodels, which runs a full garbage collection at every call: half a second in a process with many
    objects.
    """
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(np.arange(len(p), 0, -1) * p[order]), 1)
    return corrected
