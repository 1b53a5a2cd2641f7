"""Clusters of saliency maps: unit length, PCA, Gaussian affinity, normalised-Laplacian spectral clustering, neighbours.

Ng, Jordan & Weiss 2001 (NIPS 14) after Lapuschkin et al. 2019 (DOI 10.1038/s41467-019-08987-4); Kierdorf & Roscher
2023, section 2.5. Pure functions; no Prefect, no files.

Maps are compared as images, upsampled bilinearly. Upsampling is linear, so the same distances come from the native maps
with the upsampling operator's Gram matrix as metric, which costs a thousandth.
"""

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.linalg
import scipy.sparse.csgraph
import scipy.sparse.linalg
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from storage.errors import InputError
from tasks.saliency.upsample import upsampling_weights

Floats = NDArray[np.float64]
Affinity = Literal["sigma", "matlab", "gamma"]
DENSE_LIMIT = 2000  # below it LAPACK is fast, and exact where a disconnected graph has equal eigenvalues
SAME = 1 - 1e-9  # an affinity above it is between equal maps: they differ by rounding alone
MAPS_AT_ONCE = 32  # upsampled together; bounds what a step needs beside its result
LEAST_SHARE = 1e-6  # of the first axis's variance: above it axes from inner products are orthonormal to 1e-10
NO_EDGE = 1e-10  # an affinity below it binds nothing: its kernel distance is over 6.7 scales


@dataclass(frozen=True)
class PrincipalAxes:
    """PCA of the validation maps.

    Attributes
    ----------
    mean : (features,), of the vectors.
    components : (n_components, features), orthonormal rows, largest entry of each positive.
    variance_share : (n_components,) of the total variance.
    """

    mean: Floats
    components: Floats
    variance_share: Floats

    def coordinates(self, vectors: Floats) -> Floats:
        """Coordinates (n, n_components) of vectors (n, features)."""
        return (vectors - self.mean) @ self.components.T


@dataclass(frozen=True)
class Clustering:
    """Clusters of n maps.

    Attributes
    ----------
    labels : (n,) cluster of each map, 1 is the largest; equal sizes by their first member.
    eigenvalues : the largest q + 1 of the normalised affinity, descending.
    stability : mean adjusted Rand index between the k-means seeds, 1 is perfect.
    n_isolated : maps that no other map is near.
    n_components : connected parts of the affinity graph.
    """

    labels: NDArray[np.int64]
    eigenvalues: Floats
    stability: float
    n_isolated: int
    n_components: int

    @property
    def eigengap(self) -> float:
        """Between the q-th and the next eigenvalue: a small one says that q is arbitrary."""
        return float(self.eigenvalues[-2] - self.eigenvalues[-1])


def upsampling_root(native: int, size: int) -> Floats:
    """Root R (native, native) of the Gram matrix of bilinear upsampling from `native` to `size` samples: R'R = U'U."""
    weights = upsampling_weights(native, size)
    values, vectors = scipy.linalg.eigh(weights.T @ weights)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T


def map_vectors(maps: NDArray[np.floating], size: int, scaling: Literal["unit", "rms"] = "unit") -> Floats:
    """Vectors (n, rows * cols) whose distances are those of the maps (n, rows, cols) upsampled to `size` x `size`.

    `unit` scales each upsampled map to Euclidean length 1, zero maps stay zero; `rms` divides by `size`, so that
    distances are root-mean-square differences a pixel.
    """
    n, rows, cols = maps.shape
    left, right = upsampling_root(rows, size), upsampling_root(cols, size)
    vectors = np.empty((n, rows * cols))
    for start in range(0, n, MAPS_AT_ONCE):
        block = maps[start : start + MAPS_AT_ONCE].astype(np.float64)
        if (rows, cols) != (size, size):  # then both roots are the identity
            block = np.tensordot(np.tensordot(block, left, (1, 1)), right, (1, 1))  # (map, cols, y), (map, y, x)
        vectors[start : start + MAPS_AT_ONCE] = block.reshape(len(block), -1)
    if scaling == "rms":
        vectors /= size
        return vectors
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.where(length > 0, length, 1)
    return vectors


def fit_axes(vectors: Floats, n_components: int) -> PrincipalAxes:
    """PCA of vectors (n, features) to at most `n_components`; fewer where n - 1 or the features are fewer."""
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    keep = min(n_components, len(vectors) - 1, vectors.shape[1])
    total = float(np.vdot(centred, centred))
    found = gram_axes(centred, keep) if keep and vectors.shape[1] > len(vectors) else None
    squared, axes = found if found is not None else singular_axes(centred, keep)
    signs = np.sign(axes[np.arange(keep), np.abs(axes).argmax(axis=1)])
    axes *= signs[:, None]
    return PrincipalAxes(mean, axes, squared / total if total > 0 else np.zeros(keep))


def singular_axes(centred: Floats, keep: int) -> tuple[Floats, Floats]:
    """Squared singular values (keep,), descending, and right singular vectors (keep, features) of centred vectors."""
    _, singular, axes = scipy.linalg.svd(centred, full_matrices=False)
    return singular[:keep] ** 2, axes[:keep].copy()  # a view would keep all of them in memory


def gram_axes(centred: Floats, keep: int) -> tuple[Floats, Floats] | None:
    """The same from inner products (n, n): fifteen times as fast where maps have more pixels than there are maps.

    Inner products square the singular values and lose the small ones: None where an axis is asked for that has less
    than `LEAST_SHARE` of the first one's variance, as with fewer different maps than axes.
    """
    n = len(centred)
    values, vectors = scipy.linalg.eigh(centred @ centred.T, subset_by_index=[n - keep, n - 1])
    squared, vectors = values[::-1], vectors[:, ::-1]
    if squared[-1] <= LEAST_SHARE * squared[0]:
        return None
    return squared, (vectors / np.sqrt(squared)).T @ centred


def affinity_matrix(coordinates: Floats, reading: Affinity, scale: float) -> Floats:
    """Gaussian affinity (n, n) with zero diagonal.

    `sigma`: exp(-d^2 / (2 scale^2)); `matlab`: exp(-(d / scale)^2); `gamma`: exp(-scale d^2).
    """
    squared = cdist(coordinates, coordinates, "sqeuclidean")
    factor = {"sigma": 1 / (2 * scale**2), "matlab": 1 / scale**2, "gamma": scale}[reading]
    affinity = np.exp(-factor * squared)
    np.fill_diagonal(affinity, 0.0)
    return affinity


def spectral_embedding(affinity: Floats, q: int) -> tuple[Floats, Floats]:
    """Rows of unit length from the top q eigenvectors of D^-1/2 A D^-1/2, and the top q + 1 eigenvalues.

    Maps without neighbours keep a zero row.
    """
    degree = affinity.sum(axis=1)
    inverse_root = np.where(degree > 0, 1 / np.sqrt(np.where(degree > 0, degree, 1)), 0)
    normalised = inverse_root[:, None] * affinity * inverse_root[None, :]
    n = len(normalised)
    wanted = min(q + 1, n)
    if n <= DENSE_LIMIT:
        values, vectors = scipy.linalg.eigh(normalised, subset_by_index=[n - wanted, n - 1])
    else:
        values, vectors = scipy.sparse.linalg.eigsh(normalised, k=wanted, which="LA", v0=np.ones(n))
    values, vectors = values[::-1], vectors[:, ::-1][:, :q]
    values = np.concatenate([values, np.zeros(q + 1 - len(values))])
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1), values


def spectral_clusters(affinity: Floats, q: int, n_seeds: int, seed: int) -> Clustering:
    """Cluster n maps into q by their affinity (n, n); the best of several k-means runs.

    Raises
    ------
    InputError : no two maps are near each other at this kernel scale, or fewer different maps than clusters.
    """
    edges = affinity > NO_EDGE
    n_isolated = int((~edges.any(axis=1)).sum())
    if n_isolated == len(affinity):
        raise InputError(
            "Some saliency maps must be near each other at the kernel's scale",
            f"all {n_isolated} affinities of different maps are zero",
            "raise cluster.scale, or use cluster.affinity = gamma",
        )
    embedding, eigenvalues = spectral_embedding(affinity, q)
    # Equal maps need not meet in the embedding: the zero diagonal makes eigenvectors of their arbitrary differences.
    n_patterns = int(scipy.sparse.csgraph.connected_components(affinity > SAME, directed=False)[0])
    n_different = min(n_patterns, len(np.unique(embedding.round(9), axis=0)))
    if n_different < q:
        raise InputError(
            f"The saliency maps must show at least as many patterns as clusters ({q})",
            f"{n_different} different ones among {len(affinity)}",
            "lower cluster.n_clusters, or check whether the classifier answers from the image at all",
        )
    # scikit-learn's hints take n_init for a string and the inertia for None.
    runs = [KMeans(q, n_init=1, random_state=seed + k, tol=1e-6).fit(embedding) for k in range(n_seeds)]  # pyright: ignore
    labels = [np.asarray(run.labels_, np.int64) for run in runs]
    best = int(np.argmin(np.asarray([run.inertia_ for run in runs], np.float64)))
    pairs = [adjusted_rand_score(a, b) for a, b in itertools.combinations(labels, 2)]
    n_parts = int(scipy.sparse.csgraph.connected_components(edges, directed=False)[0])
    return Clustering(
        canonical_labels(labels[best]), eigenvalues, float(np.mean(pairs)) if pairs else 1.0, n_isolated, n_parts
    )


def canonical_labels(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Clusters numbered from 1 by size, descending, then by first member: independent of k-means' own numbers."""
    names, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    number = np.empty(len(names), np.int64)
    number[order] = np.arange(1, len(names) + 1)
    return number[np.searchsorted(names, labels)]


def assign_clusters(
    coordinates: Floats, reference: Floats, labels: NDArray[np.integer], k: int
) -> tuple[NDArray[np.int64], Floats]:
    """Cluster of the majority of the k nearest validation maps, and the share of the k that agree.

    Equal votes go to the cluster whose nearest map is nearer; fewer than k validation maps vote all. Shapes:
    coordinates (m, c), reference (n, c), labels (n,); returns (m,) and (m,) in 0..1.
    """
    nearest = np.argsort(cdist(coordinates, reference), axis=1, kind="stable")[:, :k]
    votes = np.asarray(labels)[nearest]
    n_equal = (votes[:, :, None] == votes[:, None, :]).sum(axis=2)
    winner = n_equal.argmax(axis=1)  # the first of the largest counts, and columns are ordered by distance
    rows = np.arange(len(votes))
    return votes[rows, winner].astype(np.int64), n_equal[rows, winner] / votes.shape[1]


def own_agreement(reference: Floats, labels: NDArray[np.integer], k: int) -> Floats:
    """For each validation map the share of its k nearest other maps that are in its own cluster, (n,)."""
    distance = cdist(reference, reference)
    np.fill_diagonal(distance, np.inf)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, : min(k, len(reference) - 1)]  # never the map itself
    return (np.asarray(labels)[nearest] == np.asarray(labels)[:, None]).mean(axis=1)


def prototypes(maps: NDArray[np.floating], labels: NDArray[np.integer]) -> Floats:
    """Mean map of each cluster, shape (clusters, rows, cols)."""
    return np.stack([maps[labels == c].astype(np.float64).mean(axis=0) for c in range(1, int(labels.max()) + 1)])
