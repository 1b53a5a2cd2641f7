"""Compare how two sets of plants spread over kinds, and say whether chance explains the difference. Pure functions.

Kinds are the clusters of saliency maps, or the classes that the classifier answers; they are numbered from 0. Images of
one plant are alike, so a plant counts once: by the shares of its images in each kind.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEAST = 20  # fewest validation plants of a date to compare; in eight equal clusters, fewer are over 0.3 off by chance
N_PERMUTATIONS, SEED = 9_999, 0  # permutations of the test, and their random seed
AT_ONCE = 2**22  # numbers of permuted plants held in memory at a time, 32 MiB
SAME = 1e-9  # distances that differ by less count as equal

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def plant_shares(kinds: ArrayLike, plants: ArrayLike, n_kinds: int) -> Floats:
    """Return the share of each plant's images in each kind, (plants, n_kinds), by plant in ascending order.

    Parameters
    ----------
    kinds, plants : (n,) kind of each image, from 0, and its plant.
    """
    names, which = np.unique(np.asarray(plants), return_inverse=True)
    counts = np.zeros((len(names), n_kinds))
    np.add.at(counts, (which, np.asarray(kinds, np.int64)), 1)
    return counts / counts.sum(axis=1, keepdims=True)


def mean_shares(shares: Floats) -> Floats:
    """Return the mean share (n_kinds,) of each kind over plants (p, n_kinds); zeros without plants."""
    return shares.sum(axis=0) / max(1, len(shares))


def total_variation(shares: Floats, others: Floats) -> Floats:
    """Return the total variation distance (...,) in 0..1 between shares (..., n_kinds) of two sets of plants.

    It is half the sum of |share - share|, which is the largest difference of their shares in any group of kinds.
    """
    return np.abs(shares - others).sum(axis=-1) / 2


def shift(kinds: ArrayLike, known: Floats) -> tuple[float, float]:
    """Return the total variation distance of new plants from validation plants, and its permutation p-value.

    Permuted is which plants are new. p = (1 + permutations at least as far apart) / (1 + permutations), which is never
    0 (Phipson & Smyth 2010, DOI 10.2202/1544-6115.1585). A new plant has one image, a validation plant one for each
    date. So a validation plant that is permuted among the new ones is there with one of its images, drawn at random:
    the shares of one image vary more than the mean shares of several. With one image a plant, this is the exact
    permutation test. The chi-square test of homogeneity needs expected counts that small clusters do not have.

    Parameters
    ----------
    kinds : (m,) kind of each new plant's image, from 0.
    known : (p, n_kinds) shares of each validation plant's images. The p-value assumes that these are other plants.

    Returns
    -------
    distance, p : 0 and 1 if there are no new plants or no validation plants.
    """
    n_kinds = known.shape[1]
    counts = np.bincount(np.asarray(kinds, np.int64), minlength=n_kinds)
    n_new, n_known = int(counts.sum()), len(known)
    if not (n_new and n_known):
        return 0.0, 1.0
    observed = float(total_variation(counts / n_new, mean_shares(known)))
    profiles, sizes = plant_profiles(counts, known)
    random, n_far, left = np.random.default_rng(SEED), 0, N_PERMUTATIONS
    while left:
        at_once = min(left, max(1, AT_ONCE // len(profiles)))
        drawn = random.multivariate_hypergeometric(sizes, n_new, at_once, method="marginals")
        new, others = one_image_each(drawn, profiles, random), (sizes - drawn) @ profiles
        n_far += int((total_variation(new / n_new, others / n_known) >= observed - SAME).sum())
        left -= at_once
    return observed, (1 + n_far) / (1 + N_PERMUTATIONS)


def plant_profiles(counts: Counts, known: Floats) -> tuple[Floats, Counts]:
    """Return the different shares (profiles, n_kinds) of all plants, and how many plants have each.

    Parameters
    ----------
    counts : (n_kinds,) new plants of each kind, with one image each.
    known : (p, n_kinds) shares of the validation plants.
    """
    every = np.concatenate([np.eye(len(counts)), known])
    profiles, which = np.unique(every, axis=0, return_inverse=True)
    sizes = np.bincount(which, np.concatenate([counts, np.ones(len(known))]))
    return profiles[sizes > 0], sizes[sizes > 0].astype(np.int64)


def one_image_each(drawn: Counts, profiles: Floats, random: np.random.Generator) -> Counts:
    """Count the kinds (permutations, n_kinds) of one image of each drawn plant.

    Parameters
    ----------
    drawn : (permutations, profiles) plants drawn with each profile.
    """
    is_single = profiles.max(axis=1) == 1
    counts = drawn[:, is_single] @ profiles[is_single].astype(np.int64)
    for profile, plants in zip(profiles[~is_single], drawn.T[~is_single], strict=True):
        counts += random.multinomial(plants, profile)
    return counts


def natural_shift(kinds: ArrayLike, plants: ArrayLike, dates: Sequence[str], n_kinds: int) -> float:
    """Return the largest total variation distance (0..1) of one validation date from the other validation dates.

    Dates with fewer than `LEAST` plants are not compared. By chance they are far from the others, and one of them would
    excuse every shift. The distance is 0 if no date is left.

    Parameters
    ----------
    kinds, plants, dates : (n,) kind of each validation image, from 0, its plant and its date.
    """
    of, names, days = np.asarray(kinds, np.int64), np.asarray(plants), np.asarray(dates, np.str_)
    shifts = [0.0]
    for day in np.unique(days):
        pair = [plant_shares(of[chosen], names[chosen], n_kinds) for chosen in (days == day, days != day)]
        if min(map(len, pair)) >= LEAST:
            shifts.append(float(total_variation(*map(mean_shares, pair))))
    return max(shifts)
