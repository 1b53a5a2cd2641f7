"""Count plants instead of images: correlation within plants, effective number of images, and exact tests.

Images of one plant on several dates resemble each other, so n images of k < n plants tell less than n independent ones.
A test of independent images then finds too much, and an interval is too narrow. Here a sum over images is tested by
the signs of whole plants (Fisher 1935, "The Design of Experiments", section 21), and an interval takes the effective
number of images (Rao & Scott 1992, DOI 10.2307/2532311; Korn & Graubard 1998, Survey Methodology 24, 193-201). With one
image a plant, every number here is that of independent images.
"""

from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

Plants = Sequence[str] | NDArray[np.generic]


def intra_plant_correlation(outcome: ArrayLike, plants: Plants, strata: ArrayLike | None = None) -> float:
    """Estimate how strongly a 0/1 outcome (n,) correlates between images of one plant, in 0..1.

    The estimator by analysis of variance (Donner 1986, DOI 10.2307/1403259), cut at 0 and 1. With `strata`,
    a plant's images in two strata count as two plants, and mean squares are pooled about the mean of each stratum. So
    the correlation is that within strata, and differences between strata do not raise it.

    Parameters
    ----------
    plants : (n,) id of each image's plant.
    strata : (n,) groups with means of their own, such as clusters; by default, all images are one group.

    Returns
    -------
    The correlation; 1, the cautious value, where the images do not tell it: no plant has several images, every stratum
    has a single plant, or outcomes are equal within every stratum.

    Raises
    ------
    ValueError : there is no image, lengths differ, or an outcome is neither 0 nor 1.
    """
    values, member, stratum = _grouped(outcome, plants, strata)
    m, of_plant = np.bincount(member), np.bincount(member, values)
    inside = np.zeros(len(m), np.int64)
    inside[member] = stratum  # stratum of each plant
    n_of, k = np.bincount(inside, m), len(m)
    mean = (np.bincount(inside, of_plant) / n_of)[inside]
    between = float((m * (of_plant / m - mean) ** 2).sum())
    within = float((of_plant * (1 - of_plant / m)).sum())
    n, q = int(m.sum()), len(n_of)
    if n == k or k == q or not between + within:
        return 1.0
    size = (n - float((np.bincount(inside, m**2) / n_of).sum())) / (k - q)  # mean images per plant, for unequal plants
    ms_between, ms_within = between / (k - q), within / (n - k)
    return float(np.clip((ms_between - ms_within) / (ms_between + (size - 1) * ms_within), 0, 1))


def design_effect(plants: Plants, rho: float) -> float:
    """Return by which factor images of repeated plants widen the variance of a share, from 1 up.

    `1 + (sum m_i^2 / n - 1) rho`, where m_i of the n images are of plant i (Rao & Scott 1992). It is 1 with one image a
    plant. The effective number of images is n divided by it.

    Parameters
    ----------
    plants : (n,) id of each image's plant.
    rho : intra-plant correlation of the outcome, in 0..1.

    Raises
    ------
    ValueError : there is no image, or the correlation is outside 0..1.
    """
    if not len(plants):
        raise ValueError("There is no image. A design effect needs the plant of at least 1 image")
    if not 0 <= rho <= 1:
        raise ValueError(f"The intra-plant correlation is {rho}. It must be in 0..1")
    m = np.unique(np.asarray(plants), return_counts=True)[1]
    return float(1 + ((m**2).sum() / m.sum() - 1) * rho)


def wilson_interval(share: float, n_effective: float, confidence: float) -> tuple[float, float]:
    """Return the Wilson score interval of a share for an effective number of images, which need not be whole.

    Wilson 1927, DOI 10.1080/01621459.1927.10502953, with the effective number for the number (Korn & Graubard 1998).

    Raises
    ------
    ValueError : the share is outside 0..1, the number is not positive, or the confidence is outside (0, 1).
    """
    if not (0 <= share <= 1 and n_effective > 0 and 0 < confidence < 1):
        raise ValueError(
            f"An interval was asked of share {share} and {n_effective} images at confidence {confidence}. The share "
            "must be in 0..1, the number above 0 and the confidence between 0 and 1"
        )
    z = float(scipy.special.ndtri((1 + confidence) / 2))
    centre = 2 * n_effective * share + z**2
    half = z * float(np.sqrt(4 * n_effective * share * (1 - share) + z**2))
    ends = ((centre - half) / (2 * (n_effective + z**2)), (centre + half) / (2 * (n_effective + z**2)))
    # Rounding may put an end of a share near 0 or 1 on the other side of the share itself.
    lower, upper = max(0.0, min(ends[0], share)), min(1.0, max(ends[1], share))
    return (lower if share else 0.0), (upper if share < 1 else 1.0)


def sign_flip_p_value(differences: ArrayLike) -> float:
    """Return the chance that k whole differences, each with a random sign, sum to at least what they sum to.

    Exact one-sided test that the differences are symmetric about 0, or stochastically smaller. Which signs come up is
    equally likely, so the chance is P(sum of a random subset of the differences <= 0). It falls when any difference
    rises, so that symmetry about 0 is the least favourable null hypothesis. The distribution of the sum is computed by
    convolution, and no sample is drawn. If all differences are 1 or -1, this is the binomial test of a fair coin.

    Parameters
    ----------
    differences : (k,) whole numbers, such as wrong minus right answers of each plant.

    Raises
    ------
    ValueError : the differences are no vector, or one is not whole.
    """
    values = np.asarray(differences)
    if values.ndim != 1 or (values != np.round(values)).any():
        raise ValueError(f"Differences have shape {values.shape}. They must be a vector (k,) of whole numbers")
    whole = values.astype(np.int64)
    chance = np.ones(1)  # of each sum, over random subsets of the sizes
    for size, count in zip(*np.unique(np.abs(whole[whole != 0]), return_counts=True), strict=True):
        one_size = np.zeros(size * count + 1)
        one_size[::size] = scipy.stats.binom.pmf(np.arange(count + 1), count, 0.5)
        chance = np.convolve(chance, one_size)
    return min(1.0, float(chance[whole[whole > 0].sum() :].sum()))


def failing_p_values(is_wrong: ArrayLike, plants: Plants, cluster: ArrayLike, n_clusters: int) -> NDArray[np.float64]:
    """Test for every cluster whether more than half of its answers are wrong; return p-values (n_clusters,).

    Sign-flip test by plants: d_j = e_j - m_j / 2, where e_j of the m_j images of plant j in the cluster are wrong, keep
    their size and have random signs under the null hypothesis. With one image a plant this is the exact binomial test.
    A cluster without an image has 1.

    Parameters
    ----------
    is_wrong : (n,) whether each image's answer is wrong.
    plants, cluster : (n,) id of each image's plant, and number of its cluster in 1..n_clusters.

    Raises
    ------
    ValueError : lengths differ, a flag is not true or false, or a cluster is out of range.
    """
    number = np.asarray(cluster, np.int64)
    if number.size and (number.min() < 1 or number.max() > n_clusters):
        raise ValueError(f"Clusters are {number.min()}..{number.max()}. They must be in 1..{n_clusters}")
    wrong, member, _ = _grouped(is_wrong, plants, None)
    excess = 2 * wrong.astype(np.int64) - 1  # twice d_j, image by image
    return np.asarray(
        [
            sign_flip_p_value(np.bincount(member[inside], excess[inside])) if inside.any() else 1.0
            for inside in (number == c for c in range(1, n_clusters + 1))
        ]
    )


def mcnemar(was_right: ArrayLike, is_right: ArrayLike, plants: Plants) -> float:
    """Return the two-sided p-value of a change of answers by McNemar's exact test over plants.

    Each plant's corrected minus spoiled answers have random signs under the null hypothesis. With one image a plant
    this is McNemar's exact test (1947, DOI 10.1007/BF02295996). Durkalski et al. 2003 (DOI 10.1002/sim.1438) compare
    tests for repeated pairs; this one is exact for few plants too. It is 1 where no plant changes.

    Parameters
    ----------
    was_right, is_right : (n,) whether each image's answer was right before the change and is right after it.
    plants : (n,) id of each image's plant.

    Raises
    ------
    ValueError : there is no image, lengths differ, or a flag is not true or false.
    """
    (before, member, _), (after, _, _) = (_grouped(flags, plants, None) for flags in (was_right, is_right))
    change = np.bincount(member, after - before)
    total = change.sum()
    return min(1.0, 2 * sign_flip_p_value(np.sign(total) * change)) if total else 1.0


def _grouped(
    outcome: ArrayLike, plants: Plants, strata: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return outcomes as numbers, and for each image the index of its plant, within its stratum, and of its stratum."""
    values, names = np.asarray(outcome, np.float64), np.asarray(plants)
    groups = np.zeros(len(names)) if strata is None else np.asarray(strata)
    if values.ndim != 1 or not values.shape == names.shape == groups.shape or not values.size:
        raise ValueError(
            f"Outcomes, plants and strata have shapes {values.shape}, {names.shape} and {groups.shape}. One of each "
            "per image, of at least 1, is needed"
        )
    if not np.isin(values, (0, 1)).all():
        raise ValueError("An outcome is neither 0 nor 1. Every outcome must be true or false")
    plant, stratum = (np.unique(one, return_inverse=True)[1].astype(np.int64) for one in (names, groups))
    _, member = np.unique(plant * (stratum.max() + 1) + stratum, return_inverse=True)
    return values, member.astype(np.int64), stratum
