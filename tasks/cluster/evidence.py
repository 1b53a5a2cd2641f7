"""Estimate from the nearest validation maps how often the classifier is wrong on maps like a new one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.batches import batches
from tasks.classify.answers import Floats
from tasks.cluster.axes import PrincipalAxes, Vectors, fit_axes
from tasks.cluster.nearest import Plants, assign_clusters, error_share_of_nearest, mean_distance
from tasks.cluster.params import ClusterParams, Kernel
from tasks.cluster.spectral import Clustering, cluster_maps

Signals = dict[str, Floats]  # values (n,) by the name of a signal
NEAREST = 15  # nearest maps, or feature vectors, whose answers are counted
BLOCK = 512  # map vectors held in memory at a time


@dataclass(frozen=True)
class MapEvidence:
    """Validation maps, their clusters and whether their answers were wrong.

    Attributes
    ----------
    coordinates : (n, c) coordinates of the maps on `axes`.
    residuals : (n,) length of the part of each map that the axes do not represent.
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
        """Return the share of wrong answers in each cluster, (q,) from cluster 1, in 0..1."""
        sizes = np.bincount(self.labels)[1:]
        return np.bincount(self.labels, self.is_wrong)[1:] / np.maximum(sizes, 1)


def cluster_evidence(
    vectors: Vectors, is_wrong: NDArray[np.bool_], params: ClusterParams, kernel: Kernel
) -> tuple[MapEvidence, Clustering]:
    """Cluster map vectors (n, f) of validation images.

    Raises
    ------
    InputError : no two maps are near each other at this kernel scale, fewer different maps than clusters, or
        eigenvalues of the affinity that are too close.
    """
    axes = fit_axes(vectors, params.n_components)
    coordinates, residuals = place(axes, vectors)
    fit = cluster_maps(
        coordinates, kernel.affinity, kernel.scale, params.n_clusters, params.n_seeds, params.seed, params.max_exact
    )
    return MapEvidence(axes, coordinates, residuals, fit.labels, is_wrong), fit


def place(axes: PrincipalAxes, vectors: Vectors) -> tuple[Floats, Floats]:
    """Return coordinates (n, c) and residual lengths (n,) of map vectors (n, f), computed in blocks."""
    n = vectors.shape[0]
    coordinates, residuals = np.empty((n, len(axes.components))), np.empty(n)
    for part in batches(n, BLOCK):
        block = vectors[part]
        coordinates[part] = axes.coordinates(block)
        residuals[part] = axes.residuals(block, coordinates[part])
    return coordinates, residuals


def map_signals(evidence: MapEvidence, coordinates: Floats, residuals: Floats, k: int) -> Signals:
    """Return signals of n maps from their nearest validation maps; the maps must not be validation maps themselves.

    These are the signals of `vote_signals`, and `map_distance`: mean distance to the `k` nearest.
    """
    distance = mean_distance(coordinates, residuals, evidence.coordinates, evidence.residuals, k)
    return {**vote_signals(evidence, coordinates, k), "map_distance": distance}


def vote_signals(evidence: MapEvidence, coordinates: Floats, k: int, plants: Plants | None = None) -> Signals:
    """Return signals of n maps, given by coordinates (n, c), from the clusters and answers of their nearest maps.

    The `k` nearest give `cluster`, `neighbour_agreement` and `error_share`. The 15 nearest give
    `nearest_map_reliability`. With `plants`, validation maps of a map's own plant are left out (see `nearest.nearest`).
    """
    reference = evidence.coordinates
    cluster, agreement = assign_clusters(coordinates, reference, evidence.labels, k, plants)
    wrong = error_share_of_nearest(coordinates, reference, evidence.is_wrong, NEAREST, plants)
    return {
        "cluster": cluster.astype(np.float64),
        "neighbour_agreement": agreement,
        "error_share": evidence.error_shares[cluster - 1],
        "nearest_map_reliability": 1 - wrong,
    }


def joined(parts: Mapping[int, tuple[NDArray[np.bool_], Signals]], n: int) -> Signals:
    """Join the signals of folds into those of all n images; `parts` has each fold's images (n,) and their signals."""
    first = next(iter(parts.values()))[1]
    whole = {name: np.empty(n) for name in first}
    for held_out, signals in parts.values():
        for name, values in signals.items():
            whole[name][held_out] = values
    return whole
