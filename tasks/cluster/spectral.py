"""Clusters of saliency maps: Gaussian affinity and normalised-Laplacian spectral clustering of their coordinates.

Ng, Jordan & Weiss 2001 (NIPS 14) after Lapuschkin et al. 2019 (DOI 10.1038/s41467-019-08987-4); Kierdorf & Roscher
2023, section 2.5. Pure functions; no Prefect, no files.
"""

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg
import scipy.sparse.csgraph
import scipy.sparse.linalg
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from storage.errors import InputError
from tasks.cluster.affinity import Affinity, affinity_matrix, count_patterns, sparse_affinity
from tasks.explain.upsample import upsample

Floats = NDArray[np.float64]
DENSE_LIMIT = 2000  # up to it LAPACK is fast, and exact where a graph in parts has equal eigenvalues
SAME = 1 - 1e-9  # an affinity above it is between equal maps: they differ by rounding alone
EIGEN_TOLERANCE = 1e-12  # of a residual: eigenvalues further apart than this are told apart
WEAK_EDGE = 1e-9  # of the normalised affinity: parts that nothing stronger joins have, to iteration, equal eigenvalues
NO_EDGE = 1e-10  # an affinity below it binds nothing: its kernel distance is over 6.7 scales
KEPT_NEIGHBOURS = 50  # of each map in a sparse affinity


@dataclass(frozen=True)
class Clustering:
    """Clusters of n maps.

    Attributes
    ----------
    labels : (n,) cluster of each map, 1 is the largest; equal sizes by their first member.
    eigenvalues : the largest q + 1 of the normalised affinity, descending.
    seeds : (s, n) clusters by each k-means seed, in its own numbers.
    n_isolated : maps that no other map is near.
    n_components : connected parts of the affinity graph.
    is_exact : every pair of maps has its affinity; otherwise nearest neighbours alone.
    """

    labels: NDArray[np.int64]
    eigenvalues: Floats
    seeds: NDArray[np.int64]
    n_isolated: int
    n_components: int
    is_exact: bool = True

    @cached_property
    def stability(self) -> float:
        """Mean adjusted Rand index between the k-means seeds: 1 is perfect."""
        pairs = [adjusted_rand_score(a, b) for a, b in itertools.combinations(self.seeds, 2)]
        return float(np.mean(pairs)) if pairs else 1.0

    @property
    def eigengap(self) -> float:
        """Between the q-th and the next eigenvalue: a small one says that q is arbitrary."""
        return float(self.eigenvalues[-2] - self.eigenvalues[-1])


def cluster_maps(
    coordinates: Floats, reading: Affinity, scale: float, q: int, n_seeds: int, seed: int, max_exact: int
) -> Clustering:
    """Cluster maps by their coordinates (n, c): from all affinities, or above `max_exact` maps from a sparse affinity.

    The two agree on clusters that lie apart, not where they run into each other.

    Raises
    ------
    InputError : as `spectral_clusters`.
    """
    if len(coordinates) <= max_exact:
        return spectral_clusters(affinity_matrix(coordinates, reading, scale), q, n_seeds, seed)
    n_different = count_patterns(coordinates, q)  # neighbourhoods among equal maps are arbitrary, and fall apart
    if n_different < q:
        raise too_few_patterns(n_different, len(coordinates), q)
    affinity = sparse_affinity(coordinates, reading, scale, min(KEPT_NEIGHBOURS, len(coordinates) - 1))
    return spectral_clusters(affinity, q, n_seeds, seed)


def spectral_embedding(affinity: Floats | csr_array, q: int) -> tuple[Floats, Floats]:
    """Rows of unit length from the top q eigenvectors of D^-1/2 A D^-1/2, and the top q + 1 eigenvalues.

    Maps without neighbours keep a zero row.
    """
    degree = affinity.sum(axis=1)
    inverse_root = np.where(degree > 0, 1 / np.sqrt(np.where(degree > 0, degree, 1)), 0)
    solve = top_eigenvectors if len(degree) <= DENSE_LIMIT else top_eigenvectors_by_part
    values, vectors = solve(affinity, inverse_root, min(q + 1, len(degree)))
    values, vectors = np.concatenate([values, np.zeros(q + 1 - len(values))]), vectors[:, :q]
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1), values


def top_eigenvectors_by_part(affinity: Floats | csr_array, inverse_root: Floats, wanted: int) -> tuple[Floats, Floats]:
    """As `top_eigenvectors`, of each connected part of the graph by itself and the largest of them all.

    Every part has the eigenvalue 1 (eigenvector D^1/2 1), and iteration from one start finds one vector of a repeated
    eigenvalue, others by rounding or never (Parlett 1998, DOI 10.1137/1.9781611971163, on Lanczos). In one part the
    largest is simple (Perron & Frobenius). Of equal eigenvalues those of the largest parts come first. What is cut
    between parts moves no eigenvalue by more than n `WEAK_EDGE`.
    """
    member = graph_parts(affinity, WEAK_EDGE, inverse_root)
    found = list[tuple[float, NDArray[np.int64], Floats]]()
    for part in range(int(member.max()) + 1):
        chosen = np.flatnonzero(member == part)
        inside = affinity if len(chosen) == len(member) else affinity[np.ix_(chosen, chosen)]
        values, vectors = top_eigenvectors(inside, inverse_root[chosen], min(wanted, len(chosen)))
        found += [(float(value), chosen, vector) for value, vector in zip(values, vectors.T, strict=True)]
    found.sort(key=lambda pair: (-round(pair[0], 9), -len(pair[1])))
    whole = np.zeros((len(member), wanted))
    for column, (_, chosen, vector) in enumerate(found[:wanted]):
        whole[chosen, column] = vector
    return np.asarray([value for value, _, _ in found[:wanted]]), whole


def top_eigenvectors(affinity: Floats | csr_array, inverse_root: Floats, wanted: int) -> tuple[Floats, Floats]:
    """The largest eigenvalues (wanted,) of D^-1/2 A D^-1/2, descending, and eigenvectors (n, wanted)."""
    n = len(inverse_root)
    if n <= DENSE_LIMIT:
        whole = affinity if isinstance(affinity, np.ndarray) else affinity.toarray()
        normalised = inverse_root[:, None] * whole * inverse_root[None, :]
        values, vectors = scipy.linalg.eigh(normalised, subset_by_index=[n - wanted, n - 1])
    else:
        values, vectors = _iterate(affinity, inverse_root, wanted)
    return values[::-1], vectors[:, ::-1]


def _iterate(affinity: Floats | csr_array, inverse_root: Floats, wanted: int) -> tuple[Floats, Floats]:
    """Ascending eigenpairs of the normalised affinity, which is never formed."""
    n = len(inverse_root)

    def product(vector: Floats) -> Floats:
        scaled = inverse_root * vector.ravel()
        if isinstance(affinity, np.ndarray):  # reads one triangle, hence half the memory
            return inverse_root * scipy.linalg.blas.dsymv(1.0, affinity.T, scaled)  # pyright: ignore
        return inverse_root * (affinity @ scaled)

    operator = scipy.sparse.linalg.LinearOperator((n, n), matvec=product, dtype=np.float64)  # pyright: ignore
    start = np.random.default_rng(0).normal(size=n)  # ones are blind to what differs between mirrored halves
    more = {"ncv": min(n, max(20, 4 * wanted)), "tol": EIGEN_TOLERANCE}
    return scipy.sparse.linalg.eigsh(operator, k=wanted, which="LA", v0=start, **more)  # pyright: ignore


def spectral_clusters(affinity: Floats | csr_array, q: int, n_seeds: int, seed: int) -> Clustering:
    """Cluster n maps into q by their affinity (n, n), symmetric; the best of several k-means runs.

    Raises
    ------
    InputError : no two maps are near each other at this kernel scale, or fewer different maps than clusters.
    """
    is_exact = isinstance(affinity, np.ndarray)
    strongest = affinity.max(axis=1) if is_exact else affinity.max(axis=1).toarray().ravel()
    n = len(strongest)
    n_isolated = int((strongest <= NO_EDGE).sum())
    if n_isolated == n:
        raise InputError(
            f"all {n_isolated} affinities of different maps are zero",
            "Some saliency maps must be near each other at the kernel's scale",
            "raise cluster.scale, or use cluster.affinity = gamma",
        )
    embedding, eigenvalues = spectral_embedding(affinity, q)
    # Equal maps need not meet in the embedding: the zero diagonal makes eigenvectors of their arbitrary differences.
    n_different = min(count_parts(affinity, SAME), len(np.unique(embedding.round(9), axis=0)))
    if n_different < q:
        raise too_few_patterns(n_different, n, q)
    # scikit-learn's hints take n_init for a string and the inertia for None.
    runs = [KMeans(q, n_init=1, random_state=seed + k, tol=1e-6).fit(embedding) for k in range(n_seeds)]  # pyright: ignore
    seeds = np.asarray([run.labels_ for run in runs], np.int64)
    best = int(np.argmin(np.asarray([run.inertia_ for run in runs], np.float64)))
    n_parts = count_parts(affinity, NO_EDGE)
    return Clustering(canonical_labels(seeds[best]), eigenvalues, seeds, n_isolated, n_parts, is_exact)


def too_few_patterns(n_different: int, n: int, q: int) -> InputError:
    """The refusal of fewer different maps than clusters."""
    return InputError(
        f"{n_different} different ones among {n}",
        f"The saliency maps must show at least as many patterns as clusters ({q})",
        "lower cluster.n_clusters, or check whether the classifier answers from the image at all",
    )


def count_parts(affinity: Floats | csr_array, least: float) -> int:
    """Connected parts of the graph whose edges are affinities (n, n) above `least`."""
    return int(graph_parts(affinity, least).max()) + 1


def graph_parts(affinity: Floats | csr_array, least: float, weights: Floats | None = None) -> NDArray[np.int64]:
    """Connected part (n,) of each map, from 0, in the graph whose edges are affinities (n, n) above `least`.

    With weights (n,) an affinity counts times those of its two maps. scipy's takes a dense matrix by way of a list of
    all its edges, which would be larger than the matrix.
    """
    if not isinstance(affinity, np.ndarray):
        edges = affinity if weights is None else weights[:, None] * affinity * weights
        return np.asarray(scipy.sparse.csgraph.connected_components(edges > least, directed=False)[1], np.int64)
    member, unseen, reached, n_parts = np.zeros(len(affinity), np.int64), np.arange(len(affinity)), list[int](), 0
    while len(unseen):
        if not reached:
            n_parts += 1
            reached, member[unseen[0]], unseen = [int(unseen[0])], n_parts - 1, unseen[1:]
        row = reached.pop()
        strength = affinity[row, unseen] if weights is None else affinity[row, unseen] * weights[row] * weights[unseen]
        is_near = strength > least
        member[unseen[is_near]] = n_parts - 1
        reached += unseen[is_near].tolist()
        unseen = unseen[~is_near]
    return member


def canonical_labels(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Clusters numbered from 1 by size, descending, then by first member: independent of k-means' own numbers."""
    names, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    number = np.empty(len(names), np.int64)
    number[order] = np.arange(1, len(names) + 1)
    return number[np.searchsorted(names, labels)]


def match_clusters(prototypes: NDArray[np.floating], earlier: NDArray[np.floating]) -> tuple[NDArray[np.int64], Floats]:
    """Which cluster of an earlier fit each cluster looks like, one to one, and how much.

    Likeness is the cosine of the prototypes (q, rows, cols) and (p, rows2, cols2), upsampled to a common grid; zero
    prototypes are like nothing. Matches have the largest total likeness (Kuhn 1955). Returns cluster numbers (q,) from
    1, 0 where the earlier fit has too few, and likeness (q,) in -1..1, 0 there.
    """
    height, width = np.maximum(prototypes.shape[1:], earlier.shape[1:]).tolist()
    ours, theirs = (upsample(maps, height, width).reshape(len(maps), -1) for maps in (prototypes, earlier))
    ours, theirs = (
        maps / np.where(length > 0, length, 1)
        for maps in (ours, theirs)
        for length in (np.linalg.norm(maps, axis=1, keepdims=True),)
    )
    cosine = ours @ theirs.T
    found, other = linear_sum_assignment(cosine, maximize=True)
    matches, likeness = np.zeros(len(ours), np.int64), np.zeros(len(ours))
    matches[found], likeness[found] = other + 1, cosine[found, other]
    return matches, likeness
