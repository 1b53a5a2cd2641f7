"""Find the nearest validation maps of a map, and from them its cluster, their errors and its novelty.

The cluster is that of Kierdorf & Roscher 2023 (arXiv 2305.15149), section 2.5. Pure functions; no Prefect, no files.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from storage.errors import InputError

Floats = NDArray[np.float64]
DISTANCES_AT_ONCE = 2**22  # distances held in memory at a time, 32 MiB
TIE = 1e-9  # share of the largest value: distances and scores that differ by less count as equal


def nearest(coordinates: Floats, reference: Floats, k: int, is_own: bool = False) -> tuple[NDArray[np.int64], Floats]:
    """Return index (m, k) and Euclidean distance (m, k) of the k nearest reference maps of each map, nearest first.

    Distances that are equal up to rounding are ordered by index. A flat map is equally far from many maps, and its
    neighbours must not depend on the processor or on how many maps are computed at once.

    Parameters
    ----------
    coordinates, reference : (m, c) of the maps and (n, c) of the reference maps.
    k : number of neighbours; all reference maps if there are fewer.
    is_own : whether the maps are the reference maps themselves; then none is its own neighbour.

    Raises
    ------
    InputError : there is no reference map, or none but the map itself.
    """
    n = len(reference)
    kept = min(k, n - is_own)
    if kept < 1:
        raise InputError(
            f"there {'is 1 validation map' if n == 1 else f'are {n} validation maps'} to compare a map with",
            "A map must have other validation maps to be compared with",
            "add labelled validation images",
        )
    index, distance = np.empty((len(coordinates), kept), np.int64), np.empty((len(coordinates), kept))
    at_once = max(1, DISTANCES_AT_ONCE // n)
    # With all reference maps at the origin, only distances of zero tie.
    step = TIE * np.abs(reference).max(initial=0) or 1.0
    for start in range(0, len(coordinates), at_once):
        rows = slice(start, start + at_once)
        found = np.asarray(cdist(coordinates[rows], reference), np.float64)
        if is_own:
            here = np.arange(len(found))
            found[here, start + here] = np.inf
        index[rows] = smallest(np.rint(found / step), kept)
        distance[rows] = np.take_along_axis(found, index[rows], axis=1)
    return index, distance


def smallest(values: Floats, k: int) -> NDArray[np.int64]:
    """Return the columns (m, k) of the k smallest values in each row of (m, n), ascending; ties go by column."""
    if k == values.shape[1]:
        return np.argsort(values, axis=1, kind="stable")
    columns = np.sort(np.argpartition(values, k - 1, axis=1)[:, :k], axis=1)
    chosen = np.take_along_axis(values, columns, axis=1)
    found = np.take_along_axis(columns, np.argsort(chosen, axis=1, kind="stable"), axis=1)
    # A partition picks arbitrary ones of those that tie for the last place.
    tied = np.flatnonzero((values <= chosen.max(axis=1, keepdims=True)).sum(axis=1) > k)
    found[tied] = np.argsort(values[tied], axis=1, kind="stable")[:, :k]
    return found


def assign_clusters(
    coordinates: Floats, reference: Floats, labels: NDArray[np.integer], k: int
) -> tuple[NDArray[np.int64], Floats]:
    """Return the cluster that most of the k nearest validation maps have, and the share of the k that have it.

    Ties go to the cluster whose nearest map is nearer. If there are fewer than k validation maps, all vote. Shapes:
    coordinates (m, c), reference (n, c), labels (n,); returns (m,) and (m,) in 0..1.
    """
    votes = np.asarray(labels)[nearest(coordinates, reference, k)[0]]
    n_equal = np.stack([(votes == vote[:, None]).sum(axis=1) for vote in votes.T], axis=1)
    winner = n_equal.argmax(axis=1)  # the first of the largest counts, and columns are ordered by distance
    rows = np.arange(len(votes))
    return votes[rows, winner].astype(np.int64), n_equal[rows, winner] / votes.shape[1]


def own_agreement(reference: Floats, labels: NDArray[np.integer], k: int) -> Floats:
    """Return for each validation map the share of its k nearest other maps that are in its own cluster, (n,)."""
    index, _ = nearest(reference, reference, k, is_own=True)
    return (np.asarray(labels)[index] == np.asarray(labels)[:, None]).mean(axis=1)


def error_share_of_nearest(coordinates: Floats, reference: Floats, is_wrong: NDArray[np.bool_], k: int) -> Floats:
    """Return the share (m,) of the k nearest validation maps whose images are classified wrongly, 0..1.

    Shapes as in `nearest`; is_wrong (n,).
    """
    return is_wrong[nearest(coordinates, reference, k)[0]].mean(axis=1)


def mean_distance(
    coordinates: Floats, residuals: Floats, reference: Floats, reference_residuals: Floats, k: int
) -> Floats:
    """Return the mean distance (m,) to the k nearest validation maps, in the unit of the coordinates.

    A map that shows something that no validation map shows lies off the principal axes. By its coordinates alone it
    could look ordinary. So the residual lengths (m,) and (n,) count as one more coordinate. The distance is
    sqrt(|c - c'|^2 + (r - r')^2), which is never more than the distance of the vectors themselves.
    """
    here, there = np.column_stack([coordinates, residuals]), np.column_stack([reference, reference_residuals])
    return nearest(here, there, k)[1].mean(axis=1)


def conformal_p(score: Floats, reference_scores: Floats) -> Floats:
    """Return the conformal p-value (m,) of scores (m,) among reference scores (n,): (1 + #{ref >= s}) / (1 + n).

    Large scores are unlike. Values lie in 1 / (1 + n)..1. A small value says that hardly any validation map is so
    unlike the others. For a map drawn like the reference maps, it is at most p with probability at most p. Scores that
    are equal up to rounding count as not smaller.

    Vovk, Gammerman & Shafer 2005, "Algorithmic Learning in a Random World"; Laxhammar & Falkman 2010
    ("Conformal prediction for distribution-independent anomaly detection in streaming vessel data", StreamKDD).
    """
    n = len(reference_scores)
    largest = np.abs(reference_scores).max(initial=0)
    margin = TIE * np.maximum(np.abs(score), largest)
    n_larger = n - np.searchsorted(np.sort(reference_scores), score - margin, side="left")
    return (1 + n_larger) / (1 + n)
