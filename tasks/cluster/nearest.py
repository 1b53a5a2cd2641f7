"""Find the nearest validation maps of a map, and from them its cluster and how often answers there are wrong.

The cluster is that of Kierdorf & Roscher 2023 (arXiv 2305.15149), section 2.5. Pure functions; no Prefect, no files.
"""

import numpy as np
import scipy
from numpy.typing import NDArray

from storage.errors import InputError

Floats = NDArray[np.float64]
# Numbers of the plants of some maps (m,) and of the reference maps (n,). Reference maps of a map's own plant are not
# counted among its nearest. A number that no reference map has, such as -1, leaves none out.
Plants = tuple[NDArray[np.integer], NDArray[np.integer]]
DISTANCES_AT_ONCE = 2**22  # distances held in memory at a time, 32 MiB
TIE = 1e-9  # share of the largest value: distances and scores that differ by less count as equal


def nearest(
    coordinates: Floats, reference: Floats, k: int, plants: Plants | None = None
) -> tuple[NDArray[np.int64], Floats]:
    """Return index (m, k) and Euclidean distance (m, k) of the k nearest reference maps of each map, nearest first.

    Distances that are equal up to rounding are ordered by index. A flat map is equally far from many maps, and its
    neighbours must not depend on the processor or on how many maps are computed at once.

    Parameters
    ----------
    coordinates, reference : (m, c) of the maps and (n, c) of the reference maps.
    k : number of neighbours; if fewer are left for the plant with most reference maps, that number for every map.
    plants : whose reference maps are left out; None leaves none out.

    Raises
    ------
    InputError : there is no reference map, or none of another plant.
    """
    n = len(reference)
    kept = n_kept(n, k, plants)
    index, distance = np.empty((len(coordinates), kept), np.int64), np.empty((len(coordinates), kept))
    at_once = max(1, DISTANCES_AT_ONCE // n)
    # With all reference maps at the origin, only distances of zero tie.
    step = TIE * np.abs(reference).max(initial=0) or 1.0
    for start in range(0, len(coordinates), at_once):
        rows = slice(start, start + at_once)
        found = distances_to(coordinates, reference, rows, plants)
        index[rows] = smallest(np.rint(found / step), kept)
        distance[rows] = np.take_along_axis(found, index[rows], axis=1)
    return index, distance


def n_kept(n: int, k: int, plants: Plants | None) -> int:
    """Return how many of n reference maps can be neighbours of every map: k, or fewer if there are not so many.

    Raises
    ------
    InputError : there is no reference map, or none of another plant.
    """
    largest = 0 if plants is None or n == 0 else int(np.unique(plants[1], return_counts=True)[1].max())
    kept = min(k, n - largest)
    if kept < 1:
        raise InputError(
            f"there {'is 1 validation map' if n == 1 else f'are {n} validation maps'} to compare a map with",
            "A map must have other validation maps to be compared with",
            "add labelled validation images",
        )
    return kept


def distances_to(coordinates: Floats, reference: Floats, rows: slice, plants: Plants | None) -> Floats:
    """Return distances of some rows of the maps to all reference maps; infinite to those of a map's own plant."""
    found = np.asarray(scipy.spatial.distance.cdist(coordinates[rows], reference), np.float64)
    if plants is not None:
        found[plants[0][rows, None] == plants[1]] = np.inf
    return found


def smallest(values: Floats, k: int) -> NDArray[np.int64]:
    """Return the columns (m, k) of the k smallest values in each row of (m, n), ascending; ties go by column."""
    if k == values.shape[1]:
        return np.argsort(values, axis=1, kind="stable")
    columns = np.sort(np.argpartition(values, k - 1, axis=1)[:, :k], axis=1)
    chosen = np.take_along_axis(values, columns, axis=1)
    found = np.take_along_axis(columns, np.argsort(chosen, axis=1, kind="stable"), axis=1)
    # A partition picks arbitrary ones of those that tie for the last place.
    last = chosen.max(axis=1)
    for row in np.flatnonzero((values <= last[:, None]).sum(axis=1) > k).tolist():
        nearer, equal = np.flatnonzero(values[row] < last[row]), np.flatnonzero(values[row] == last[row])
        first = np.sort(np.concatenate([nearer, equal[: k - len(nearer)]]))
        found[row] = first[np.argsort(values[row][first], kind="stable")]
    return found


def assign_clusters(
    coordinates: Floats, reference: Floats, labels: NDArray[np.integer], k: int, plants: Plants | None = None
) -> tuple[NDArray[np.int64], Floats]:
    """Return the cluster that most of the k nearest validation maps have, and the share of the k that have it.

    Ties go to the cluster whose nearest map is nearer. If there are fewer than k validation maps, all vote. Shapes:
    coordinates (m, c), reference (n, c), labels (n,); returns (m,) and (m,) in 0..1. `plants` as in `nearest`.
    """
    votes = np.asarray(labels)[nearest(coordinates, reference, k, plants)[0]]
    n_equal = np.stack([(votes == vote[:, None]).sum(axis=1) for vote in votes.T], axis=1)
    winner = n_equal.argmax(axis=1)  # the first of the largest counts, and columns are ordered by distance
    rows = np.arange(len(votes))
    return votes[rows, winner].astype(np.int64), n_equal[rows, winner] / votes.shape[1]


def own_agreement(reference: Floats, labels: NDArray[np.integer], k: int) -> Floats:
    """Return for each validation map the share of its k nearest other maps that are in its own cluster, (n,)."""
    each = np.arange(len(reference))
    index, _ = nearest(reference, reference, k, (each, each))
    return (np.asarray(labels)[index] == np.asarray(labels)[:, None]).mean(axis=1)


def error_share_of_nearest(
    coordinates: Floats, reference: Floats, is_wrong: NDArray[np.bool_], k: int, plants: Plants | None = None
) -> Floats:
    """Return the share (m,) of the k nearest validation maps whose images are classified wrongly, 0..1.

    Shapes and `plants` as in `nearest`; is_wrong (n,).
    """
    return is_wrong[nearest(coordinates, reference, k, plants)[0]].mean(axis=1)


def with_residuals(coordinates: Floats, residuals: Floats) -> Floats:
    """Append residual lengths (m,) to coordinates (m, c) as one more coordinate.

    A map that shows something that no validation map shows lies off the principal axes. By its coordinates alone it
    could look ordinary. The distance sqrt(|c - c'|^2 + (r - r')^2) is never more than that of the vectors themselves.
    """
    return np.column_stack([coordinates, residuals])


def mean_distance(
    coordinates: Floats, residuals: Floats, reference: Floats, reference_residuals: Floats, k: int
) -> Floats:
    """Return the mean distance (m,) to the k nearest validation maps, in the unit of the coordinates.

    The residual lengths (m,) and (n,) count as one more coordinate (see `with_residuals`).
    """
    here, there = with_residuals(coordinates, residuals), with_residuals(reference, reference_residuals)
    return nearest(here, there, k)[1].mean(axis=1)
