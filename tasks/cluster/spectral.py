"""Cluster saliency maps: spectral clustering (normalised Laplacian) of the Gaussian affinity of their coordinates.

Ng, Jordan & Weiss 2001 (NIPS 14) after Lapuschkin et al. 2019 (DOI 10.1038/s41467-019-08987-4); Kierdorf & Roscher
2023, section 2.5. Pure functions; no Prefect, no files.
"""

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy
from numpy.typing import NDArray

from storage.errors import InputError
from tasks.cluster.affinity import Affinity, affinity_matrix, count_patterns, sparse_affinity
from tasks.cluster.lanczos import largest_eigenpairs
from tasks.explain.upsample import upsample

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = NDArray[np.float64]
DENSE_LIMIT = 2000  # most maps solved by LAPACK, which is exact where a graph in parts has equal eigenvalues
SAME = 1 - 1e-9  # affinity above which two maps are equal up to rounding
WEAK_EDGE = 1e-9  # normalised affinity; parts joined by nothing stronger have equal eigenvalues for an iteration
NO_EDGE = 1e-10  # affinity below which maps are not joined: their distance is over 6.7 scales
KEPT_NEIGHBOURS = 50  # nearest maps kept per row of a sparse affinity


@dataclass(frozen=True)
class Clustering:
    """Clusters of n maps.

    Attributes
    ----------
    labels : (n,) cluster of each map; 1 is the largest, and equal sizes are ordered by their first member.
    eigenvalues : (q + 1,) largest eigenvalues of the normalised affinity, descending.
    seeds : (s, n) clusters by each k-means seed, each with its own numbering.
    n_isolated : number of maps that no other map is near.
    n_components : number of connected parts of the affinity graph.
    is_exact : whether all pairs of maps have their affinity; otherwise only nearest neighbours have.
    """

    labels: NDArray[np.int64]
    eigenvalues: Floats
    seeds: NDArray[np.int64]
    n_isolated: int
    n_components: int
    is_exact: bool = True

    @cached_property
    def stability(self) -> float:
        """Return the mean adjusted Rand index between the k-means seeds; 1 is perfect agreement."""
        from sklearn.metrics import adjusted_rand_score

        pairs = [adjusted_rand_score(a, b) for a, b in itertools.combinations(self.seeds, 2)]
        return float(np.mean(pairs)) if pairs else 1.0

    @property
    def eigengap(self) -> float:
        """Return the gap between the q-th and the next eigenvalue; a small gap says that q is arbitrary."""
        return float(self.eigenvalues[-2] - self.eigenvalues[-1])


def cluster_maps(
    coordinates: Floats, reading: Affinity, scale: float, q: int, n_seeds: int, seed: int, max_exact: int
) -> Clustering:
    """Cluster maps by their coordinates (n, c), with a sparse affinity above `max_exact` maps.

    Dense and sparse affinity give the same clusters where these lie apart, but not where they run into each other.

    Raises
    ------
    InputError : no two maps are near each other at this kernel scale, fewer different maps than clusters, or
        eigenvalues of the affinity that are too close.
    """
    if len(coordinates) <= max_exact:
        return spectral_clusters(affinity_matrix(coordinates, reading, scale), q, n_seeds, seed)
    n_different = count_patterns(coordinates, q)  # neighbours among equal maps are arbitrary and form separate parts
    if n_different < q:
        raise too_few_patterns(n_different, len(coordinates), q)
    affinity = sparse_affinity(coordinates, reading, scale, min(KEPT_NEIGHBOURS, len(coordinates) - 1))
    return spectral_clusters(affinity, q, n_seeds, seed)


def spectral_embedding(affinity: "Floats | csr_array", q: int) -> tuple[Floats, Floats]:
    """Return the embedding (n, q) and the top q + 1 eigenvalues of D^-1/2 A D^-1/2.

    Rows are those of the top q eigenvectors, scaled to length 1. Maps without neighbours keep a zero row.
    """
    degree = affinity.sum(axis=1)
    inverse_root = np.where(degree > 0, 1 / np.sqrt(np.where(degree > 0, degree, 1)), 0)
    solve = top_eigenvectors if len(degree) <= DENSE_LIMIT else top_eigenvectors_by_part
    values, vectors = solve(affinity, inverse_root, min(q + 1, len(degree)))
    values, vectors = np.concatenate([values, np.zeros(q + 1 - len(values))]), vectors[:, :q]
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1), values


def top_eigenvectors_by_part(
    affinity: "Floats | csr_array", inverse_root: Floats, wanted: int
) -> tuple[Floats, Floats]:
    """Return the largest eigenpairs of all connected parts of the graph, each part solved by itself.

    Shapes are those of `top_eigenvectors`. Every part has the eigenvalue 1 (eigenvector D^1/2 1). Iteration from one
    start finds one vector of a repeated eigenvalue, and others by rounding or never (Parlett 1998,
    DOI 10.1137/1.9781611971163, on Lanczos). Within one part the largest eigenvalue is simple (Perron & Frobenius).
    Equal eigenvalues are ordered by the size of their part, largest first. Edges cut between parts move no eigenvalue
    by more than n `WEAK_EDGE`.
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


def top_eigenvectors(affinity: "Floats | csr_array", inverse_root: Floats, wanted: int) -> tuple[Floats, Floats]:
    """Return the largest eigenvalues (wanted,) of D^-1/2 A D^-1/2, descending, and eigenvectors (n, wanted)."""
    n = len(inverse_root)
    if n <= DENSE_LIMIT:
        whole = affinity if isinstance(affinity, np.ndarray) else affinity.toarray()
        normalised = inverse_root[:, None] * whole * inverse_root[None, :]
        values, vectors = scipy.linalg.eigh(normalised, subset_by_index=[n - wanted, n - 1])
    else:
        values, vectors = largest_eigenpairs(lambda vector: product(affinity, inverse_root, vector), n, wanted)
    return values[::-1], vectors[:, ::-1]


def product(affinity: "Floats | csr_array", inverse_root: Floats, vector: Floats) -> Floats:
    """Return D^-1/2 A D^-1/2 times a vector (n,), without forming that matrix."""
    scaled = inverse_root * vector
    if isinstance(affinity, np.ndarray):  # dsymv reads one triangle and so half the memory
        return inverse_root * scipy.linalg.blas.dsymv(1.0, affinity.T, scaled)  # pyright: ignore
    return inverse_root * (affinity @ scaled)


def spectral_clusters(affinity: "Floats | csr_array", q: int, n_seeds: int, seed: int) -> Clustering:
    """Cluster n maps into q clusters by their symmetric affinity (n, n), with the best of several k-means runs.

    Raises
    ------
    InputError : no two maps are near each other at this kernel scale, fewer different maps than clusters, or
        eigenvalues of the affinity that are too close.
    """
    is_exact = isinstance(affinity, np.ndarray)
    strongest = affinity.max(axis=1) if is_exact else affinity.max(axis=1).toarray().ravel()
    n = len(strongest)
    n_isolated = int((strongest <= NO_EDGE).sum())
    if n_isolated == n:
        raise InputError(
            f"all affinities between the {n_isolated} saliency maps are zero",
            "Some saliency maps must be near each other at the kernel's scale",
            "raise cluster.scale, or use cluster.affinity = gamma",
        )
    embedding, eigenvalues = spectral_embedding(affinity, q)
    # Equal maps need not coincide in the embedding, because the zero diagonal gives eigenvectors of their differences.
    n_different = min(count_parts(affinity, SAME, strongest), len(np.unique(embedding.round(9), axis=0)))
    if n_different < q:
        raise too_few_patterns(n_different, n, q)
    # scikit-learn's type hints declare n_init as a string and the inertia as None.
    from sklearn.cluster import KMeans

    runs = [KMeans(q, n_init=1, random_state=seed + k, tol=1e-6).fit(embedding) for k in range(n_seeds)]  # pyright: ignore
    seeds = np.asarray([run.labels_ for run in runs], np.int64)
    best = int(np.argmin(np.asarray([run.inertia_ for run in runs], np.float64)))
    n_parts = count_parts(affinity, NO_EDGE, strongest)
    return Clustering(canonical_labels(seeds[best]), eigenvalues, seeds, n_isolated, n_parts, is_exact)


def too_few_patterns(n_different: int, n: int, q: int) -> InputError:
    """Return the error for fewer different maps than clusters."""
    return InputError(
        f"{n} saliency maps show only {n_different} different pattern{'s' * (n_different != 1)}, for {q} clusters",
        f"The saliency maps must show at least as many patterns as clusters ({q})",
        "lower cluster.n_clusters, or check whether the classifier answers from the image at all",
    )


def count_parts(affinity: "Floats | csr_array", least: float, strongest: Floats) -> int:
    """Count the connected parts of the graph whose edges are affinities (n, n) above `least`.

    `strongest` (n,) is the largest affinity of each map.
    """
    if strongest.max() <= least:  # the search would read the whole matrix to find no edge
        return len(strongest)
    return int(graph_parts(affinity, least).max()) + 1


def graph_parts(affinity: "Floats | csr_array", least: float, weights: Floats | None = None) -> NDArray[np.int64]:
    """Return the connected part (n,) of each map, from 0, in the graph of affinities (n, n) above `least`.

    With weights (n,), an affinity is first multiplied by the weights of its two maps. A dense matrix is searched here,
    because scipy would turn it into a list of edges that is larger than the matrix.
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
    """Number clusters from 1 by descending size, then by first member, whatever numbers k-means gave them."""
    names, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    number = np.empty(len(names), np.int64)
    number[order] = np.arange(1, len(names) + 1)
    return number[np.searchsorted(names, labels)]


def match_clusters(prototypes: NDArray[np.floating], earlier: NDArray[np.floating]) -> tuple[NDArray[np.int64], Floats]:
    """Match each cluster with the most similar cluster of an earlier fit, one to one.

    Likeness is the cosine of the prototypes (q, rows, cols) and (p, rows2, cols2), upsampled to a common grid. A zero
    prototype has likeness 0. Matches have the largest total likeness (Kuhn 1955).

    Returns
    -------
    Numbers (q,) of earlier clusters from 1, and likeness (q,) in -1..1. Both are 0 where the earlier fit has too few.
    """
    height, width = np.maximum(prototypes.shape[1:], earlier.shape[1:]).tolist()
    ours, theirs = (upsample(maps, height, width).reshape(len(maps), -1) for maps in (prototypes, earlier))
    ours, theirs = (
        maps / np.where(length > 0, length, 1)
        for maps in (ours, theirs)
        for length in (np.linalg.norm(maps, axis=1, keepdims=True),)
    )
    cosine = ours @ theirs.T
    found, other = scipy.optimize.linear_sum_assignment(cosine, maximize=True)
    matches, likeness = np.zeros(len(ours), np.int64), np.zeros(len(ours))
    matches[found], likeness[found] = other + 1, cosine[found, other]
    return matches, likeness
