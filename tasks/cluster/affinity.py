"""Compute the Gaussian affinity of saliency maps, of all pairs or only of nearest neighbours.

The kernel scale can be read in five ways (see `affinity_matrix`). Pure functions; no Prefect, no files.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import scipy
from numpy.typing import NDArray

from tasks.cluster.params import Affinity

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = NDArray[np.float64]
EXACT_BELOW = 2000  # largest number of maps whose distances are all computed from differences
TILE = 256  # rows and columns of distances computed together, so that they stay in the processor's cache
NEAR = 1e-4  # share of the largest squared length; smaller squared distances are computed from differences
SAME_SHARE = 1e-12  # share of the mean square distance from the mean; equal maps lie closer than that
SAME_SQUARE = 1e-14  # squared distance of equal maps where all are equal: rounding of unit vectors from float32
LOCAL_NEIGHBOUR = 7  # neighbour whose distance is a map's own scale, chosen by Zelnik-Manor & Perona
MEDIAN_MAPS = 2000  # most maps whose distances give the median of a sparse affinity


def affinity_matrix(coordinates: Floats, reading: Affinity, scale: float) -> Floats:
    """Return the Gaussian affinity (n, n), with zero diagonal, of coordinates (n, c).

    Readings of the scale, with d the distance of two maps:

    - `sigma`: exp(-d^2 / (2 scale^2));
    - `matlab`: exp(-(d / scale)^2);
    - `gamma`: exp(-scale d^2);
    - `median`: like `sigma`, with sigma = `scale` times the median distance of different maps;
    - `local`: exp(-d^2 / (scale^2 s_i s_j)), with s_i the distance of map i to its 7th nearest other map, or to the
      farthest one if there are fewer (Zelnik-Manor & Perona 2004, NIPS 17).
    """
    affinity = squared_distances(coordinates)
    least = rounding_limit(coordinates)
    lengths = None
    if reading == "local":
        position = min(LOCAL_NEIGHBOUR, len(affinity) - 1)  # the map itself comes first
        nearest = np.concatenate([np.partition(affinity[rows], position)[:, position] for rows in strips(affinity)])
        lengths = np.sqrt(np.maximum(nearest, least))
    factor = kernel_factor(reading, scale, median_square(affinity, least) if reading == "median" else 0.0)
    for rows in strips(affinity):
        for cols in strips(affinity, rows.stop):
            product = None if lengths is None else np.multiply.outer(lengths[rows], lengths[cols])
            apply_kernel(affinity[rows, cols], factor, product, least)
            affinity[cols, rows] = affinity[rows, cols].T
    np.fill_diagonal(affinity, 0.0)
    return affinity


def sparse_affinity(coordinates: Floats, reading: Affinity, scale: float, n_neighbours: int) -> "csr_array":
    """Return the affinities (n, n) of each map with its nearest neighbours, as a sparse symmetric matrix.

    A pair is kept if either map is among the nearest of the other. The readings are those of `affinity_matrix`. For
    `median`, the median distance is that of at most 2,000 evenly spaced maps.
    """
    from sklearn.neighbors import NearestNeighbors

    n = len(coordinates)
    found = NearestNeighbors(n_neighbors=n_neighbours).fit(coordinates)
    index = np.asarray(found.kneighbors(return_distance=False), np.int64)
    squared = np.empty(index.shape)
    for rows in strips(squared):  # from differences, because scikit-learn's distances lose digits of near maps
        difference = coordinates[rows, None] - coordinates[index[rows]]
        squared[rows] = np.einsum("ijk,ijk->ij", difference, difference)
    least, product, median = rounding_limit(coordinates), None, 0.0
    if reading == "local":
        position = min(LOCAL_NEIGHBOUR, n_neighbours) - 1
        lengths = np.sqrt(np.maximum(np.partition(squared, position)[:, position], least))
        product = lengths[:, None] * lengths[index]
    elif reading == "median":
        some = coordinates[:: -(-n // MEDIAN_MAPS)]
        median = median_square(squared_distances(some), least)
    apply_kernel(squared, kernel_factor(reading, scale, median), product, least)
    directed = scipy.sparse.csr_array((squared.ravel(), index.ravel(), np.arange(n + 1) * n_neighbours), shape=(n, n))
    return directed.maximum(directed.T).tocsr()


def strips(matrix: Floats, stop: int | None = None) -> Iterator[slice]:
    """Return slices of `TILE` rows of a matrix, up to row `stop`."""
    end = len(matrix) if stop is None else stop
    return (slice(start, min(start + TILE, end)) for start in range(0, end, TILE))


def squared_distances(coordinates: Floats) -> Floats:
    """Return squared Euclidean distances (n, n) of coordinates (n, c), exactly symmetric.

    The formula |a|^2 + |b|^2 - 2 a'b takes a fifth of the time of differences, but loses digits of small distances.
    Those are computed again from differences.
    """
    n = len(coordinates)
    if n <= EXACT_BELOW:
        return np.asarray(scipy.spatial.distance.cdist(coordinates, coordinates, "sqeuclidean"), np.float64)
    centred = coordinates - coordinates.mean(axis=0)
    lengths = np.einsum("ij,ij->i", centred, centred)
    squared, limit = np.empty((n, n)), NEAR * lengths.max()
    for rows in strips(squared):
        for cols in strips(squared, rows.stop):
            tile = (-2 * centred[rows]) @ centred[cols].T
            tile += lengths[rows, None]
            tile += lengths[cols]
            near = np.nonzero((tile < limit).any(axis=1))[0]
            tile[near] = scipy.spatial.distance.cdist(centred[rows][near], centred[cols], "sqeuclidean")
            squared[rows, cols] = tile
            squared[cols, rows] = tile.T
    return squared


def rounding_limit(coordinates: Floats) -> float:
    """Return the squared distance up to which two maps of coordinates (n, c) differ only by rounding."""
    return max(SAME_SHARE * float(np.var(coordinates, axis=0).sum()), SAME_SQUARE)


def count_patterns(coordinates: Floats, limit: int) -> int:
    """Count different maps, at most `limit`: each map in turn removes those that equal it."""
    least, n_found = rounding_limit(coordinates), 0
    while len(coordinates) and n_found < limit:
        coordinates = coordinates[((coordinates - coordinates[0]) ** 2).sum(axis=1) > least]
        n_found += 1
    return n_found


def median_square(squared: Floats, least: float) -> float:
    """Return the median of the squared distances (n, n) between different maps; 0 where all maps are equal."""
    pairs = np.concatenate([row[:i] for i, row in enumerate(squared)])
    pairs = pairs[pairs > least]
    return float(np.median(pairs, overwrite_input=True)) if len(pairs) else 0.0


def kernel_factor(reading: Affinity, scale: float, median: float) -> float:
    """Return the factor of squared distances in the exponent; `median` is their median, for that reading only."""
    if reading == "gamma":
        return scale
    if reading == "median":
        return 1 / (2 * scale**2 * median) if median > 0 else 0.0  # equal maps have affinity 1 by any factor
    return 1 / (2 * scale**2) if reading == "sigma" else 1 / scale**2


def apply_kernel(squared: Floats, factor: float, lengths: Floats | None, least: float) -> None:
    """Turn squared distances into affinities, in place; `lengths` are products of two maps' own scales.

    With `lengths`, squared distances up to `least` count as zero. A map with seven equal maps has an own scale that is
    itself only rounding, so the quotient would be arbitrary.
    """
    if lengths is not None:
        squared[squared <= least] = 0
        squared /= lengths
    squared *= -factor
    np.exp(squared, out=squared)
