"""Clusters of maps against the slow way, scikit-learn, and cases worked by hand."""

import itertools
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import pdist, squareform
from sklearn.cluster import SpectralClustering
from sklearn.datasets import make_moons
from sklearn.metrics import adjusted_rand_score

from storage.errors import InputError
from tasks.cluster import spectral
from tasks.cluster.affinity import Affinity, affinity_matrix, sparse_affinity
from tasks.cluster.axes import fit_axes, map_vectors
from tasks.cluster.spectral import (
    canonical_labels,
    cluster_maps,
    count_parts,
    graph_parts,
    match_clusters,
    spectral_clusters,
    spectral_embedding,
)

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
READINGS: tuple[Affinity, ...] = get_args(Affinity)


def random_maps(n: int, rows: int, cols: int, seed: int = 0) -> Floats:
    """Maps as Grad-CAM gives them: not negative, many zeros, peaks of any size."""
    generator = np.random.default_rng(seed)
    return np.maximum(generator.normal(size=(n, rows, cols)), 0) * generator.uniform(0.01, 5, (n, 1, 1))


def unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


def blobs(sizes: tuple[int, ...], distance: float = 1.0, spread: float = 0.05, seed: int = 0) -> tuple[Floats, Labels]:
    """Points around corners of a simplex, shuffled, and the corner of each."""
    generator = np.random.default_rng(seed)
    truth = generator.permutation(np.repeat(np.arange(len(sizes)), sizes))
    corners = distance / np.sqrt(2) * np.eye(len(sizes))
    return corners[truth] + generator.normal(0, spread, (len(truth), len(sizes))), truth


def clusters_of(points: Floats, q: int, scale: float = 0.2, seed: int = 0) -> spectral.Clustering:
    return spectral_clusters(affinity_matrix(points, "sigma", scale), q, n_seeds=5, seed=seed)


# Clusters


EVERY_WAY = [(reading, max_exact) for reading in READINGS for max_exact in (1, 1000)]


@pytest.mark.parametrize(("reading", "max_exact"), EVERY_WAY)
def test_every_reading_finds_clusters_that_lie_apart(reading: Affinity, max_exact: int) -> None:
    points, truth = blobs((90, 80, 70))
    scale = {"gamma": 10.0, "local": 1.0}.get(reading, 0.3)
    found = cluster_maps(points, reading, scale, 3, n_seeds=3, seed=0, max_exact=max_exact)
    assert adjusted_rand_score(found.labels, truth) == 1
    assert found.is_exact == (max_exact == 1000) and found.n_isolated == 0 and len(found.eigenvalues) == 4


@pytest.mark.parametrize(("reading", "max_exact"), EVERY_WAY)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_maps_are_refused_by_every_reading(reading: Affinity, max_exact: int, value: float) -> None:
    maps = np.full((70, 3, 3), value) * np.random.default_rng(0).uniform(1, 9, (70, 1, 1))
    vectors = map_vectors(maps.astype(np.float32), 64)
    coordinates = fit_axes(vectors, 50).coordinates(vectors)
    with pytest.raises(InputError, match="patterns as clusters") as caught:
        cluster_maps(coordinates, reading, 0.5, 2, 2, 0, max_exact)
    assert "70 saliency maps show only 1 different" in caught.value.found


@pytest.mark.parametrize(("reading", "max_exact"), EVERY_WAY)
def test_two_maps_are_two_clusters_and_never_three(reading: Affinity, max_exact: int) -> None:
    points = np.asarray([[0.0, 0.0], [1.0, 0.0]])
    assert cluster_maps(points, reading, 1.0, 2, 2, 0, max_exact).labels.tolist() == [1, 2]
    with pytest.raises(InputError, match=r"patterns as clusters \(3\)"):
        cluster_maps(points, reading, 1.0, 3, 2, 0, max_exact)


@pytest.mark.parametrize("reading", READINGS)
def test_one_map_is_refused(reading: Affinity) -> None:
    with pytest.raises(InputError, match="near each other"):
        cluster_maps(np.zeros((1, 2)), reading, 1.0, 2, 2, 0, 10)


@pytest.mark.parametrize(("reading", "max_exact"), EVERY_WAY)
def test_a_graph_in_parts_is_told(reading: Affinity, max_exact: int) -> None:
    points, truth = blobs((70, 65, 60), distance=40)
    found = cluster_maps(points, reading, {"median": 0.01, "local": 1.0}.get(reading, 0.5), 3, 3, 0, max_exact)
    assert found.n_components == 3 and adjusted_rand_score(found.labels, truth) == 1


@pytest.mark.parametrize("max_exact", [1, 1000])
def test_many_equal_maps_are_one_cluster(max_exact: int) -> None:
    points, truth = blobs((100, 80))
    points = np.concatenate([np.full((120, 2), 5.0), points])
    found = cluster_maps(points, "local", 1.0, 3, 3, 0, max_exact)
    assert adjusted_rand_score(found.labels, np.concatenate([np.full(120, 9), truth])) == 1


@pytest.mark.parametrize("n", [40, 51, 200])
def test_above_the_limit_each_map_keeps_its_fifty_nearest(n: int) -> None:
    """Affinities of a map with its 50 nearest, and with those that it is one of the 50 nearest to; others are 0."""
    points = np.random.default_rng(0).normal(size=(n, 3))
    d = squareform(pdist(points))
    is_near = d.argsort(axis=1).argsort(axis=1) <= 50  # a map is its own nearest
    affinity = np.where(is_near | is_near.T, np.exp(-(d**2) / (2 * 0.8**2)), 0) - np.eye(n)
    found = cluster_maps(points, "sigma", 0.8, 4, 1, 0, max_exact=n - 1)
    np.testing.assert_allclose(found.eigenvalues, np.linalg.eigvalsh(normalised(affinity))[::-1][:5], atol=1e-9)
    assert not found.is_exact


@pytest.mark.parametrize("max_exact", [1, 1000])
def test_clusters_follow_their_maps(max_exact: int) -> None:
    points, _ = blobs((90, 70, 60))
    order = np.random.default_rng(3).permutation(len(points))
    straight = cluster_maps(points, "sigma", 0.2, 3, 3, 0, max_exact)
    shuffled = cluster_maps(points[order], "sigma", 0.2, 3, 3, 0, max_exact)
    assert np.array_equal(shuffled.labels, straight.labels[order])


def test_a_sparse_matrix_of_all_pairs_gives_the_clusters_of_the_dense_one(monkeypatch: pytest.MonkeyPatch) -> None:
    affinity = affinity_matrix(blobs((30, 20, 12), distance=0.6, spread=0.1)[0], "sigma", 0.2)
    dense = spectral_clusters(affinity, 3, 3, 0)
    for limit in (2000, 10):  # by LAPACK and by iteration
        monkeypatch.setattr(spectral, "DENSE_LIMIT", limit)
        found = spectral_clusters(csr_array(affinity), 3, 3, 0)
        assert np.array_equal(found.labels, dense.labels) and not found.is_exact
        np.testing.assert_allclose(found.eigenvalues, dense.eigenvalues, atol=1e-12)


@settings(deadline=None)
@given(n=st.integers(1, 25), n_edges=st.integers(0, 40), seed=st.integers(0, 2**20))
def test_parts_of_a_graph_are_scipys(n: int, n_edges: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    affinity = np.zeros((n, n))
    affinity[generator.integers(0, n, n_edges), generator.integers(0, n, n_edges)] = generator.random(n_edges)
    affinity = np.maximum(affinity, affinity.T)
    expected = connected_components(affinity > 0.3, directed=False)[0]
    strongest = affinity.max(axis=1)
    assert [count_parts(one, 0.3, strongest) for one in (affinity, csr_array(affinity))] == [expected, expected]
    weights = generator.uniform(0.3, 2, n)
    parts = connected_components(affinity * np.outer(weights, weights) > 0.3, directed=False)[1]
    for found in (graph_parts(affinity, 0.3, weights), graph_parts(csr_array(affinity), 0.3, weights)):
        assert np.array_equal(found, parts)


@pytest.mark.parametrize("sizes", [(20, 15, 9), (12, 12, 12, 12), (40, 5)])
def test_well_separated_clusters_are_scikit_learns_and_the_planted_ones(sizes: tuple[int, ...]) -> None:
    points, truth = blobs(sizes)
    affinity = affinity_matrix(points, "sigma", 0.2)
    found = spectral_clusters(affinity, len(sizes), n_seeds=3, seed=0)
    other = SpectralClustering(len(sizes), affinity="precomputed", random_state=0, assign_labels="kmeans")
    assert adjusted_rand_score(found.labels, truth) == 1
    assert adjusted_rand_score(found.labels, other.fit(affinity + np.eye(len(points))).labels_) == 1
    assert found.stability == 1 and found.n_isolated == 0
    assert np.bincount(found.labels)[1:].tolist() == sorted(sizes, reverse=True)


def test_moons_are_told_apart_where_distances_to_centres_are_not_enough() -> None:
    points, truth = make_moons(200, noise=0.05, random_state=0)
    assert adjusted_rand_score(clusters_of(np.asarray(points), 2, scale=0.12).labels, truth) == 1


def test_the_embedding_solves_the_eigenproblem() -> None:
    points, _ = blobs((10, 8, 6), distance=0.6, spread=0.1)
    affinity = affinity_matrix(points, "sigma", 0.2)
    degree = affinity.sum(axis=1)
    values, vectors = np.linalg.eigh(affinity / np.sqrt(np.outer(degree, degree)))
    embedding, eigenvalues = spectral_embedding(affinity, 3)
    np.testing.assert_allclose(eigenvalues, values[::-1][:4], atol=1e-10)
    assert eigenvalues[0] == pytest.approx(1)
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1)
    # Signs and rotations are free, inner products of the rows are not.
    expected = unit(vectors[:, -3:])
    np.testing.assert_allclose(embedding @ embedding.T, expected @ expected.T, atol=1e-8)


def test_the_eigengap_is_wide_at_the_planted_number_of_clusters() -> None:
    points, _ = blobs((15, 12, 10), distance=1.0)
    gaps = {q: clusters_of(points, q).eigengap for q in (2, 3, 4)}
    assert gaps[3] > 0.3 > max(gaps[2], gaps[4])


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**20))
def test_the_partition_does_not_depend_on_the_order_of_maps(seed: int) -> None:
    points, _ = blobs((14, 10, 7))
    order = np.random.default_rng(seed).permutation(len(points))
    straight, shuffled = clusters_of(points, 3), clusters_of(points[order], 3)
    assert np.array_equal(shuffled.labels, straight.labels[order])  # different sizes, so the numbers are the same too


def test_the_partition_depends_on_distances_over_the_scale_alone() -> None:
    points, _ = blobs((14, 10, 7), distance=0.7, spread=0.1)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    moved = clusters_of(40 * points @ turn + 3, 3, scale=8.0)
    assert np.array_equal(moved.labels, clusters_of(points, 3, scale=0.2).labels)


def test_the_same_seed_gives_the_same_clusters() -> None:
    points = np.random.default_rng(0).normal(0, 0.3, (60, 4))  # nothing to find
    first, again = clusters_of(points, 5, seed=4), clusters_of(points, 5, seed=4)
    assert np.array_equal(first.labels, again.labels) and first.stability == again.stability < 0.95


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_canonical_labels_count_down_in_size_and_then_by_first_member(labels: list[int]) -> None:
    found = canonical_labels(np.asarray(labels)).tolist()
    assert adjusted_rand_score(labels, found) == 1
    members = [[i for i, c in enumerate(found) if c == k] for k in range(1, max(found) + 1)]
    assert members == sorted(members, key=lambda m: (-len(m), m[0]))


def test_canonical_labels_by_hand() -> None:
    assert canonical_labels(np.asarray([7, 0, 0, 3, 7, 5, 0])).tolist() == [2, 1, 1, 3, 2, 4, 1]


@pytest.mark.parametrize("n", [3, 12])
def test_maps_that_are_all_isolated_are_refused_with_the_remedy(n: int) -> None:
    with pytest.raises(InputError, match="near each other") as caught:
        clusters_of(100 * np.eye(n), 2)
    assert f"between the {n} saliency maps are zero" in caught.value.found
    assert "cluster.scale" in caught.value.remedy and "gamma" in caught.value.remedy


def test_isolated_maps_and_parts_of_the_graph_are_counted() -> None:
    points, _ = blobs((10, 8, 6), distance=100)
    points = np.concatenate([points, [[500.0, 0, 0], [0, 700.0, 0]]])
    found = clusters_of(points, 3)
    assert (found.n_isolated, found.n_components) == (2, 5)
    assert len(found.labels) == 26


@pytest.mark.parametrize(("affinity", "n_isolated"), [(0.0, 1), (1e-11, 1), (1e-10, 1), (1.1e-10, 0), (1e-7, 0)])
def test_a_map_is_isolated_where_no_affinity_is_over_1e_10(affinity: float, n_isolated: int) -> None:
    """Beside two groups of three maps there is one more, which counts as a part of the graph where it is isolated."""
    whole = np.kron(np.eye(2), 0.5 - 0.1 * np.eye(3)) - 0.4 * np.eye(6)
    whole[0, 3] = whole[3, 0] = 0.1
    whole = np.pad(whole, (0, 1))
    whole[0, 6] = whole[6, 0] = affinity
    found = spectral_clusters(whole, 2, 1, 0)
    assert (found.n_isolated, found.n_components) == (n_isolated, 1 + n_isolated)


def test_zero_maps_are_one_pattern_among_others() -> None:
    maps = np.concatenate([np.zeros((6, 4, 4)), *(np.repeat(m[None], 8, axis=0) for m in random_maps(2, 4, 4))])
    maps[6:] += 0.01 * np.random.default_rng(0).uniform(size=(16, 4, 4))
    vectors = map_vectors(maps, 64)
    found = clusters_of(fit_axes(vectors, 50).coordinates(vectors), 3)
    assert found.labels.tolist() == [3] * 6 + [1] * 8 + [2] * 8


@pytest.mark.parametrize(
    ("n_patterns", "q", "is_refused"), [(1, 2, True), (2, 2, False), (2, 3, True), (3, 3, False), (3, 8, True)]
)
@pytest.mark.parametrize("scale", [0.2, 5.0])
def test_fewer_patterns_than_clusters_are_refused(n_patterns: int, q: int, is_refused: bool, scale: float) -> None:
    """Equal maps have arbitrary eigenvectors between them, which k-means would gladly cut into clusters."""
    strength = np.random.default_rng(1).uniform(0.1, 9, (24, 1, 1))  # maps that differ in strength show one pattern
    maps = random_maps(n_patterns, 4, 4)[np.arange(24) % n_patterns] * strength
    vectors = map_vectors(maps.astype(np.float32), 64)
    coordinates = fit_axes(vectors, 50).coordinates(vectors)
    if is_refused:
        with pytest.raises(InputError, match=rf"patterns as clusters \({q}\)") as caught:
            clusters_of(coordinates, q, scale)
        word = "pattern" if n_patterns == 1 else "patterns"
        assert f"{n_patterns} different {word}," in caught.value.found and "n_clusters" in caught.value.remedy
    else:
        found = clusters_of(coordinates, q, scale)
        assert adjusted_rand_score(found.labels, np.arange(24) % n_patterns) == 1


@pytest.mark.parametrize("distance", [0.8, 10.0])  # a connected graph, and one that falls apart: equal eigenvalues
def test_the_solver_for_many_maps_finds_the_same_clusters(monkeypatch: pytest.MonkeyPatch, distance: float) -> None:
    points, truth = blobs((20, 16, 12, 9), distance=distance)
    dense = clusters_of(points, 4)
    monkeypatch.setattr(spectral, "DENSE_LIMIT", 10)
    iterated = clusters_of(points, 4)
    assert np.array_equal(iterated.labels, dense.labels)
    assert adjusted_rand_score(dense.labels, truth) == 1
    np.testing.assert_allclose(iterated.eigenvalues, dense.eigenvalues, atol=1e-8)


def normalised(affinity: Floats) -> Floats:
    degree = affinity.sum(axis=1)
    return affinity / np.sqrt(np.outer(degree, degree))


@pytest.mark.parametrize(
    ("sizes", "max_exact", "spread"),
    [
        ((700, 600, 500, 300), 1, 0.1),
        ((700, 600, 500, 300), 10_000, 0.3),
        ((2020, 50, 30, 20), 1, 0.1),
        ((2020, 50, 30, 20), 10_000, 0.3),
    ],
)
def test_a_graph_in_parts_has_the_eigenvalue_1_of_each(sizes: tuple[int, ...], max_exact: int, spread: float) -> None:
    """Iteration from one vector found 1, 1, 1, 0.84, or 1, 1, 0.90, 0.89, and cut a part instead of telling it."""
    points, truth = blobs(sizes, distance=10.0, spread=spread)
    found = cluster_maps(points, "sigma", 0.2, 4, 1, 0, max_exact)
    assert adjusted_rand_score(found.labels, truth) == 1 and found.n_components == 4
    np.testing.assert_allclose(found.eigenvalues[:4], 1, atol=1e-12)
    if max(sizes) < 1000:  # numpy's takes seconds for more
        lots = [points[truth == part] for part in range(4)]
        whole = [affinity_matrix(x, "sigma", 0.2) if max_exact > 1 else near_affinity(x) for x in lots]
        expected = np.sort(np.concatenate([np.linalg.eigvalsh(normalised(one)) for one in whole]))
        assert found.eigenvalues[4] == pytest.approx(expected[-5]) and found.eigengap == pytest.approx(1 - expected[-5])


def near_affinity(points: Floats) -> Floats:
    """Affinities of the part's maps with their nearest: far from the others, none of those is among them."""
    return sparse_affinity(points, "sigma", 0.2, min(50, len(points) - 1)).toarray()


@pytest.mark.parametrize("is_dense", [True, False])
@pytest.mark.parametrize("link", [0.0, 1e-10, 2e-9, 1e-8, 1e-6, 1e-2])
def test_parts_that_a_single_weak_edge_joins_are_told(
    monkeypatch: pytest.MonkeyPatch, is_dense: bool, link: float
) -> None:
    points, truth = blobs((250, 40, 30, 20), distance=10.0, spread=0.1)
    affinity, first = near_affinity(points) if not is_dense else affinity_matrix(points, "sigma", 0.2), None
    for part in range(4):
        member = int(np.flatnonzero(truth == part)[0])
        if first is not None:
            strength = link * np.sqrt(affinity[first].sum() * affinity[member].sum())
            affinity[first, member] = affinity[member, first] = strength
        first = member
    monkeypatch.setattr(spectral, "DENSE_LIMIT", 25)
    embedding, eigenvalues = spectral_embedding(affinity if is_dense else csr_array(affinity), 4)
    np.testing.assert_allclose(eigenvalues, np.linalg.eigvalsh(normalised(affinity))[::-1][:5], atol=1e-8)
    alike = embedding @ embedding.T  # rows of one part are equal, of two at right angles
    np.testing.assert_allclose(alike, truth[:, None] == truth, atol=0.1 if link > 1e-5 else 1e-4)


@pytest.mark.parametrize("is_dense", [True, False])
def test_mirrored_halves_are_told_apart_by_iteration(monkeypatch: pytest.MonkeyPatch, is_dense: bool) -> None:
    half = np.random.default_rng(0).normal([0.4, 0, 0], 0.1, (150, 3))
    affinity = affinity_matrix(np.concatenate([half, half * [-1, 1, 1]]), "sigma", 0.2)
    monkeypatch.setattr(spectral, "DENSE_LIMIT", 10)
    _, eigenvalues = spectral_embedding(affinity if is_dense else csr_array(affinity), 2)
    np.testing.assert_allclose(eigenvalues, np.linalg.eigvalsh(normalised(affinity))[::-1][:3], atol=1e-10)


def test_of_more_parts_than_clusters_the_largest_are_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    points, truth = blobs((30, 25, 20, 6, 5, 4), distance=10.0)
    monkeypatch.setattr(spectral, "DENSE_LIMIT", 10)
    found = clusters_of(points, 4)
    assert found.n_components == 6 and found.eigengap == pytest.approx(0)
    assert [len(set(found.labels[truth == part].tolist())) for part in range(6)] == [1] * 6
    assert len({found.labels[truth == part][0] for part in range(3)}) == 3


def test_isolated_maps_beside_parts_have_no_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.concatenate([blobs((30, 20), distance=10.0)[0], [[90.0, 0], [0, 90.0]]])
    monkeypatch.setattr(spectral, "DENSE_LIMIT", 10)
    embedding, eigenvalues = spectral_embedding(affinity_matrix(points, "sigma", 0.2), 2)
    assert eigenvalues[:2] == pytest.approx(1) and not embedding[-2:].any()
    np.testing.assert_allclose(np.linalg.norm(embedding[:-2], axis=1), 1)


def test_stability_is_the_mean_agreement_of_the_seeds() -> None:
    points = np.random.default_rng(2).normal(0, 0.3, (40, 3))
    affinity = affinity_matrix(points, "sigma", 0.2)
    single = [spectral_clusters(affinity, 4, 1, seed) for seed in (6, 7, 8)]
    expected = np.mean([adjusted_rand_score(a.labels, b.labels) for a, b in itertools.combinations(single, 2)])
    assert spectral_clusters(affinity, 4, 3, 6).stability == pytest.approx(expected)
    assert single[0].stability == 1


# Clusters of two fits


def test_prototypes_are_matched_to_themselves_in_any_order() -> None:
    maps = random_maps(6, 4, 4)
    order = np.random.default_rng(0).permutation(6)
    matches, likeness = match_clusters(maps[order], 7 * maps)
    assert np.array_equal(matches, order + 1)
    assert likeness == pytest.approx(np.ones(6))


@pytest.mark.parametrize(("q", "p"), [(4, 4), (3, 5), (5, 3), (1, 4)])
def test_matches_have_the_largest_likeness_of_all_assignments(q: int, p: int) -> None:
    maps, earlier = random_maps(q, 3, 3), random_maps(p, 3, 3, seed=1)
    cosine = unit(maps.reshape(q, -1)) @ unit(earlier.reshape(p, -1)).T
    matches, likeness = match_clusters(maps, earlier)
    ways = (
        [cosine[i, j] for i, j in zip(rows, cols, strict=True)]
        for rows in itertools.combinations(range(q), min(q, p))
        for cols in itertools.permutations(range(p), min(q, p))
    )
    assert likeness.sum() == pytest.approx(max(sum(way) for way in ways))
    used = matches[matches > 0]
    assert len(used) == len(set(used.tolist())) == min(q, p)
    np.testing.assert_allclose(likeness, [cosine[i, m - 1] if m else 0 for i, m in enumerate(matches)])


def test_matches_follow_the_order_of_both_fits() -> None:
    maps, earlier = random_maps(5, 4, 4), random_maps(4, 4, 4, seed=1)
    matches, likeness = match_clusters(maps, earlier)
    order, other = np.random.default_rng(0).permutation(5), np.random.default_rng(1).permutation(4)
    found, how_much = match_clusters(maps[order], earlier[other])
    number = np.concatenate([[0], np.argsort(other) + 1])
    assert np.array_equal(found, number[matches[order]])
    np.testing.assert_allclose(how_much, likeness[order])


def test_prototypes_of_other_sizes_are_compared_as_images() -> None:
    rising = np.linspace(0, 1, 16)
    maps = np.stack([np.tile(rising, (16, 1)), np.tile(rising[:, None], (1, 16))])
    earlier = np.stack([maps[1, ::8, ::8], maps[0, ::8, ::8], np.ones((2, 2))])
    matches, likeness = match_clusters(maps, earlier)
    assert matches.tolist() == [2, 1] and (likeness > 0.9).all()


def test_zero_prototypes_are_like_nothing() -> None:
    matches, likeness = match_clusters(np.zeros((1, 2, 2)), random_maps(2, 2, 2))
    assert matches[0] in (1, 2) and likeness.tolist() == [0]
