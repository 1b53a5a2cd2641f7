"""Read from the nearest validation maps how often the classifier was wrong on maps like a new one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.batches import batches
from tasks.classify.answers import Floats
from tasks.cluster.axes import PrincipalAxes, Vectors, fit_axes
from tasks.cluster.nearest import assign_clusters, error_share_of_nearest, mean_distance
from tasks.cluster.params import ClusterParams, Kernel
from tasks.cluster.spectral import Clustering, cluster_maps

Signals = dict[str, Floats]  # by name, (n,) each
NEAREST = 15  # maps, or features, whose answers are looked at
BLOCK = 512  # map vectors at a time


@dataclass(frozen=True)
class MapEvidence:
    """What validation maps and their answers say.

    Attributes
    ----------
    coordinates : (n, c) of the maps on `axes`; residuals : (n,) length of what the axes leave out.
    labels : (n,) cluster of each map, from 1.
    is_wrong : (n,) whether the classifier's answer was wrong.
    """

    axes: PrincipalAxes
    coordinates: Floats
    residuals: Floats
    labels: NDArray[np.int64]
    is_wrong: NDArray[np.bool_]

    @property
    def error_shares(self) -> Floats:
        """Of every cluster, from cluster 1 on, (q,)."""
        sizes = np.bincount(self.labels)[1:]
        return np.bincount(self.labels, self.is_wrong)[1:] / np.maximum(sizes, 1)


def cluster_evidence(
    vectors: Vectors, is_wrong: NDArray[np.bool_], params: ClusterParams, kernel: Kernel
) -> tuple[MapEvidence, Clustering]:
    """Cluster map vectors (n, f) of validation images.

    Raises
    ------
    InputError : maps that no kernel of this scale groups, or fewer different ones than clusters.
    """
    axes = fit_axes(vectors, params.n_components)
    coordinates, residuals = place(axes, vectors)
    fit = cluster_maps(
        coordinates, kernel.affinity, kernel.scale, params.n_clusters, params.n_seeds, params.seed, params.max_exact
    )
    return MapEvidence(axes, coordinates, residuals, fit.labels, is_wrong), fit


def place(axes: PrincipalAxes, vectors: Vectors) -> tuple[Floats, Floats]:
    """Coordinates (n, c) of map vectors (n, f) and the length of what they leave out (n,), some at a time."""
    n = vectors.shape[0]
    coordinates, residuals = np.empty((n, len(axes.components))), np.empty(n)
    for part in batches(n, BLOCK):
        block = vectors[part]
        coordinates[part] = axes.coordinates(block)
        residuals[part] = axes.residuals(block, coordinates[part])
    return coordinates, residuals


def map_signals(evidence: MapEvidence, coordinates: Floats, residuals: Floats, k: int) -> Signals:
    """What the nearest validation maps say of n maps, that are none of them.

    `cluster`, `neighbour_agreement` and `error_share` by the `k` nearest, `nearest_map_reliability` by the 15 nearest,
    and `map_distance`, mean distance to the `k` nearest.
    """
    reference = evidence.coordinates
    cluster, agreement = assign_clusters(coordinates, reference, evidence.labels, k)
    return {
        "cluster": cluster.astype(np.float64),
        "neighbour_agreement": agreement,
        "error_share": evidence.error_shares[cluster - 1],
        "nearest_map_reliability": 1 - error_share_of_nearest(coordinates, reference, evidence.is_wrong, NEAREST),
        "map_distance": mean_distance(coordinates, residuals, reference, evidence.residuals, k),
    }


def joined(parts: Mapping[int, tuple[NDArray[np.bool_], Signals]], n: int) -> Signals:
    """Signals of n images from those of folds: which images each fold holds, and their signals."""
    first = next(iter(parts.values()))[1]
    whole = {name: np.empty(n) for name in first}
    for held_out, signals in parts.values():
        for name, values in signals.items():
            whole[name][held_out] = values
    return whole
