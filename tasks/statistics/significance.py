"""Significance: estimate which part of a result may be chance, by bootstrap and permutations. Arrays in, numbers out.

Images of one plant resemble each other. So intervals come from a bootstrap that draws plants, not images (Field &
Welsh 2007, DOI 10.1111/j.1467-9868.2007.00593.x), with percentile bounds (Efron & Tibshirani 1993,
DOI 10.1201/9780429246593). Permutations exchange whole plants too. Tests by the signs of plants are in `by_plant`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from tasks.statistics.detection import detect, paired, resample_counts

Floats = NDArray[np.float64]
Interval = tuple[float, float]
Key = TypeVar("Key")
WEIGHTS_AT_ONCE = 2**20  # counts in a block of resamples: 8 MiB, and several times as much for its statistics


@dataclass(frozen=True)
class ErrorShareTest:
    """Result of the test whether errors gather in clusters more than by chance.

    Attributes
    ----------
    largest_share, p_largest : largest error share among clusters of enough members, and the chance of one at least as
        large; None without such a cluster.
    heterogeneity, p_heterogeneity : G >= 0 of the table cluster x error over all clusters, and the chance of one at
        least as large.
    """

    largest_share: float | None
    p_largest: float | None
    heterogeneity: float
    p_heterogeneity: float


@dataclass(frozen=True)
class Resamples:
    """Bootstrap resamples of g plants from g with replacement, as the number of times that each of n images occurs.

    All images of a plant are drawn together, so resamples differ in size if plants differ in their number of images.
    The counts of 1,000 resamples of 100,000 images would take 800 MB, and their statistics several times as much. So
    they are drawn in blocks, which do not differ between calls.

    Attributes
    ----------
    groups : n names, the plant of each image.
    n_resamples : number of resamples in all blocks together.
    seed : seed of the draws.

    Raises
    ------
    ValueError : there are fewer than 2 plants or fewer than 1 resample.
    """

    groups: Sequence[str]
    n_resamples: int
    seed: int

    def __post_init__(self) -> None:
        n_plants = len(set(self.groups))
        if n_plants < 2:
            raise ValueError(f"The number of plants is {n_plants}. A bootstrap over plants needs at least 2")
        if self.n_resamples < 1:
            raise ValueError(f"n_resamples is {self.n_resamples}. A bootstrap needs at least 1 resample")

    def blocks(self) -> Iterator[NDArray[np.int64]]:
        """Yield blocks of counts (b, n), each with at most `WEIGHTS_AT_ONCE` counts or a single resample."""
        names, member = np.unique(np.asarray(self.groups, np.str_), return_inverse=True)
        generator, at_once = np.random.default_rng(self.seed), max(1, WEIGHTS_AT_ONCE // len(member))
        for start in range(0, self.n_resamples, at_once):
            n_drawn = min(at_once, self.n_resamples - start)
            drawn = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), n_drawn)
            yield drawn.astype(np.int64)[:, member]

    def of(self, statistics: Callable[[NDArray[np.int64]], Mapping[Key, Floats]]) -> dict[Key, Floats]:
        """Compute statistics of all resamples with a function that takes a block's counts (b, n)."""
        parts = [statistics(block) for block in self.blocks()]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def percentile_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Return bounds that leave (1 - confidence) / 2 of the values (b,) below and the same share above.

    Raises
    ------
    ValueError : there is no value, a value is NaN, or the confidence is outside (0, 1).
    """
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != 1 or not numbers.size or np.isnan(numbers).any():
        n_nan = int(np.isnan(numbers).sum())
        raise ValueError(f"Values have shape {numbers.shape}, {n_nan} are NaN. An interval needs numbers (b >= 1,)")
    if not 0 < confidence < 1:
        raise ValueError(f"The confidence of an interval is {confidence}. It must be between 0 and 1")
    low, high = np.quantile(numbers, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def bootstrap_accuracies(
    labels: ArrayLike, answers: ArrayLike, weights: ArrayLike, n_classes: int
) -> dict[str, Floats]:
    """Compute `overall_accuracy` and `average_class_accuracy` of b resamples, (b,) each.

    The average class accuracy of a resample that lacks a class is the mean recall of the other classes.

    Parameters
    ----------
    labels, answers : (n,) class indices in [0, n_classes).
    weights : (b, n) counts as from `Resamples.blocks`.

    Raises
    ------
    ValueError : there is no image, shapes differ, a class is out of range, or weights are no counts.
    """
    truth, given = np.asarray(labels), np.asarray(answers)
    if truth.ndim != 1 or truth.shape != given.shape or not truth.size:
        raise ValueError(
            f"Labels and answers have shapes {truth.shape} and {given.shape}. One label and one answer per image, of "
            "at least 1, are needed"
        )
    if not np.isin(np.r_[truth, given], np.arange(n_classes)).all():
        raise ValueError(f"A label or answer is out of range. Each must be a class index below {n_classes}")
    counts = resample_counts(weights, len(truth)).astype(np.float64)
    is_class = truth[:, None] == np.arange(n_classes)
    n, n_right = counts @ is_class, counts @ (is_class & (truth == given)[:, None])
    recall = n_right / np.maximum(n, 1)
    return {
        "overall_accuracy": n_right.sum(axis=1) / n.sum(axis=1),
        "average_class_accuracy": recall.sum(axis=1) / (n > 0).sum(axis=1),
    }


def bootstrap_difference(is_right_before: ArrayLike, is_right_after: ArrayLike, weights: ArrayLike) -> Floats:
    """Compute accuracy after minus accuracy before (b,), in [-1, 1], of resamples (b, n) of the same images.

    Raises
    ------
    ValueError : there is no image, lengths differ, a flag is not true or false, or weights are no counts.
    """
    before, after = paired(is_right_before, is_right_after)
    before, _ = paired(before, before)
    counts = resample_counts(weights, len(after)).astype(np.float64)
    return counts @ (after - before) / counts.sum(axis=1)


def error_share_permutation(
    cluster: ArrayLike,
    is_wrong: ArrayLike,
    plants: Sequence[str],
    n_permutations: int,
    seed: int,
    least: int = 5,
) -> ErrorShareTest:
    """Test whether errors is_wrong (n,) gather in clusters (n,) more than errors that are permuted between plants.

    A plant takes the answers of another plant with as many images, all of them and in their order. So answers of one
    plant stay together, and a plant alone with its number of images keeps its own. With one image a plant, errors are
    permuted freely. p = (1 + permutations at least as extreme) / (1 + permutations) (Phipson & Smyth 2010,
    DOI 10.2202/1544-6115.1585), so it is never 0.

    Parameters
    ----------
    plants : (n,) id of each image's plant; images of one plant in the order of their dates.
    least : smallest number of members of a cluster that counts for the largest error share.

    Raises
    ------
    ValueError : there is no image, lengths differ, a flag is not true or false, or there is no permutation.
    """
    named = np.asarray(cluster)
    _, flags = paired(np.zeros(named.shape), is_wrong)
    wrong, _ = paired(flags, np.zeros(len(plants)))
    if n_permutations < 1:
        raise ValueError(f"n_permutations is {n_permutations}. A permutation test needs at least 1")
    _, member = np.unique(named, return_inverse=True)
    sizes = np.bincount(member)
    is_inside = (member[:, None] == np.arange(len(sizes))).astype(np.float64)
    chance = [block @ is_inside for block in permuted_by_plant(wrong, plants, n_permutations, seed)]
    errors = np.vstack([wrong @ is_inside, *chance])  # the first row is the observed one
    g = heterogeneity(sizes, errors)
    p_heterogeneity, is_large = _p_value(g), sizes >= least
    if not is_large.any():
        return ErrorShareTest(None, None, float(g[0]), p_heterogeneity)
    largest = (errors / sizes)[:, is_large].max(axis=1)
    return ErrorShareTest(float(largest[0]), _p_value(largest), float(g[0]), p_heterogeneity)


def permuted_by_plant(values: Floats, plants: Sequence[str], n_permutations: int, seed: int) -> Iterator[Floats]:
    """Yield blocks (b, n) of permutations of values (n,) between plants with equally many images.

    Together the blocks have `n_permutations` rows, and each has at most `WEIGHTS_AT_ONCE` values or a single row.
    """
    _, member, n_images = np.unique(np.asarray(plants, np.str_), return_inverse=True, return_counts=True)
    order, starts = np.argsort(member, kind="stable"), np.cumsum(n_images) - n_images
    # Positions (k, m) of the images of all k plants with m images.
    alike = [order[starts[n_images == m][:, None] + np.arange(m)] for m in np.unique(n_images)]
    generator, at_once = np.random.default_rng(seed), max(1, WEIGHTS_AT_ONCE // len(values))
    for start in range(0, n_permutations, at_once):
        block = np.empty((min(at_once, n_permutations - start), len(values)))
        for places in alike:
            plant = generator.permuted(np.tile(np.arange(len(places)), (len(block), 1)), axis=1)
            block[:, places] = values[places][plant]
        yield block


def heterogeneity(sizes: ArrayLike, errors: ArrayLike) -> Floats:
    """Compute the likelihood-ratio statistic G = 2 sum O ln(O / E) (b,) of cluster sizes (q,) >= 1, errors (b, q)."""
    n, wrong = np.asarray(sizes, np.float64), np.asarray(errors, np.float64)
    rate = wrong.sum(axis=1, keepdims=True) / n.sum()
    apart = scipy.special.xlogy(wrong, wrong / n) + scipy.special.xlogy(n - wrong, 1 - wrong / n)
    together = scipy.special.xlogy(wrong, rate) + scipy.special.xlogy(n - wrong, 1 - rate)
    return np.maximum(2 * (apart - together).sum(axis=1), 0)


def _p_value(values: Floats) -> float:
    """Return the share of values (1 + b,) at least as large as the first, up to rounding; the first is included."""
    return float((values >= values[0] - 1e-9 * (1 + values[0])).mean())


def label_probe(peak: ArrayLike, is_wrong: ArrayLike) -> float | None:
    """Return the AUROC of errors against minus the saliency map's peak (n,); None if no or every image is wrong.

    Above 0.9 the maps contain the label: a wrong image is recognised by an almost empty map.

    Raises
    ------
    ValueError : there is no image, lengths differ, a peak is NaN, or a flag is not true or false.
    """
    return detect(peak, is_wrong).auroc


def holm(p: Floats) -> Floats:
    """Correct p-values (q,) for q tests by the method of Holm (1979, Scandinavian Journal of Statistics 6, 65-70).

    The function of statsmodels is not used, because it runs a full garbage collection at every call. That takes 0.5 s
    in a process with many objects.
    """
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(np.arange(len(p), 0, -1) * p[order]), 1)
    return corrected
