"""Say of a map whether validation has any like it, by a cross-conformal p-value. Pure functions.

Each validation map has a distance to its nearest maps in other folds, so it leaves its own fold out. A new map must
leave the same fold out where it is compared with that validation map. Otherwise it has more maps to be near to, and
looks less novel than it is (Barber et al. 2021, DOI 10.1214/20-AOS1965, CV+; Vovk 2015, DOI 10.1007/s10472-013-9368-4).
"""

import numpy as np
from numpy.typing import NDArray

from tasks.cluster.nearest import DISTANCES_AT_ONCE, TIE, Floats, Plants, distances_to, n_kept


def distances_without_folds(
    maps: Floats, reference: Floats, folds: NDArray[np.integer], k: int, plants: Plants | None = None
) -> Floats:
    """Return the mean distance (m, f) to the k nearest validation maps outside fold 1, outside fold 2, and so on.

    Parameters
    ----------
    maps, reference : (m, c) and (n, c) coordinates of maps and of validation maps (see `nearest.with_residuals`).
    folds : (n,) fold of each validation map, from 1 to f.
    plants : whose validation maps are left out (see `nearest.nearest`).

    Raises
    ------
    InputError : outside a fold there is no validation map, or none of another plant.
    """
    n_folds = int(folds.max())
    kept = [_n_outside(folds != fold, k, plants) for fold in range(1, n_folds + 1)]
    found, at_once = np.empty((len(maps), n_folds)), max(1, DISTANCES_AT_ONCE // len(reference))
    for start in range(0, len(maps), at_once):
        rows = slice(start, start + at_once)
        distances = distances_to(maps, reference, rows, plants)
        # The k nearest outside a fold are among the k nearest of every other fold.
        near = [_least(distances[:, folds == fold], k) for fold in range(1, n_folds + 1)]
        for fold, n in enumerate(kept):
            outside = np.concatenate(near[:fold] + near[fold + 1 :], axis=1)
            found[rows, fold] = _least(outside, n).mean(axis=1)
    return found


def _n_outside(is_outside: NDArray[np.bool_], k: int, plants: Plants | None) -> int:
    others = None if plants is None else (plants[0], plants[1][is_outside])
    return n_kept(int(is_outside.sum()), k, others)


def _least(values: Floats, k: int) -> Floats:
    """Return the k smallest values in each row, or all if there are fewer, ascending."""
    if k >= values.shape[1]:
        return np.sort(values, axis=1)
    return np.sort(np.partition(values, k - 1, axis=1)[:, :k], axis=1)


def cross_conformal_p(
    distances: Floats, known: Floats, folds: NDArray[np.integer], plants: Plants | None = None
) -> Floats:
    """Return the cross-conformal p-value (m,) of maps: (1 + #{i : known_i >= distance without fold of i}) / (1 + n).

    Values lie in 1 / (1 + n)..1. A small value says that hardly any validation map is so far from the others. Distances
    that are equal up to rounding count as not smaller.

    A map drawn like the validation maps has a value of at most p with probability at most 2p + sqrt(2 / n) in theory
    (Barber et al. 2021, section 4), and about p in simulations. The theory asks for the axes of each fold. Here a new
    map is placed on the axes of all validation maps, which makes it look a little less novel: in simulations 0.037 to
    0.052 of maps are under 0.05, and 0.024 with few maps of many pixels that differ by noise alone.

    Parameters
    ----------
    distances : (m, f) distance of each map to its nearest validation maps outside each fold.
    known, folds : (n,) distance of each validation map to its nearest maps in other folds, and its fold from 1.
    plants : whose validation maps are not counted (see `nearest.nearest`), neither in the sum nor in n.
    """
    n = np.full(len(distances), len(known))
    n_larger = sum(
        (_n_at_least(distances[:, fold - 1], known, folds == fold) for fold in range(1, distances.shape[1] + 1)),
        np.zeros(len(distances), np.int64),
    )
    if plants is not None:
        here, there = plants
        for one in np.flatnonzero(np.isin(here, there)).tolist():
            own = there == here[one]
            fold = int(folds[own][0])  # all maps of a plant are in one fold
            n_larger[one] -= int(_n_at_least(distances[[one], fold - 1], known, own)[0])
            n[one] -= int(own.sum())
    return (1 + n_larger) / (1 + n)


def _n_at_least(distance: Floats, known: Floats, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many of the chosen known distances are at least as large as each distance (m,)."""
    margin = TIE * np.maximum(np.abs(distance), np.abs(known).max(initial=0))
    ordered = np.sort(known[chosen])
    return len(ordered) - np.searchsorted(ordered, distance - margin, side="left")
