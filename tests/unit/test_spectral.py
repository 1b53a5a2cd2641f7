"""Clusters of maps against the slow way, scikit-learn, and cases worked by hand."""

import itertools
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform
from sklearn.cluster import SpectralClustering
from sklearn.datasets import make_moons
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsClassifier

from storage.errors import InputError
from tasks import spectral
from tasks.spectral import (
    Affinity,
    affinity_matrix,
    assign_clusters,
    canonical_labels,
    fit_axes,
    gram_axes,
    map_vectors,
    own_agreement,
    prototypes,
    singular_axes,
    spectral_clusters,
    spectral_embedding,
    upsampling_root,
)

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def random_maps(n: int, rows: int, cols: int, seed: int = 0) -> Floats:
    """Maps as Grad-CAM gives them: not negative, many zeros, peaks of any size."""
    generator = np.random.default_rng(seed)
    return np.maximum(generator.normal(size=(n, rows, cols)), 0) * generator.uniform(0.01, 5, (n, 1, 1))


def upsampled(maps: Floats, size: int) -> Floats:
    """Maps the slow way: every pixel, (n, size * size)."""
    pixels = torch.nn.functional.interpolate(
        torch.from_numpy(maps)[:, None], size=(size, size), mode="bilinear", align_corners=False
    )
    return pixels.numpy().reshape(len(maps), -1)


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


# Vectors


@pytest.mark.parametrize(("rows", "cols", "size"), [(8, 8, 256), (3, 3, 96), (2, 5, 64), (7, 7, 224), (1, 4, 32)])
@pytest.mark.parametrize("scaling", ["unit", "rms"])
def test_distances_are_those_of_upsampled_maps(
    rows: int, cols: int, size: int, scaling: Literal["unit", "rms"]
) -> None:
    maps = random_maps(9, rows, cols)
    slow = upsampled(maps, size)
    expected = pdist(unit(slow) if scaling == "unit" else slow / size)
    np.testing.assert_allclose(pdist(map_vectors(maps, size, scaling)), expected, atol=1e-6 * expected.max())


def test_root_mean_square_distances_are_differences_a_pixel() -> None:
    maps = np.stack([np.zeros((4, 4)), np.full((4, 4), 3.0)])
    assert pdist(map_vectors(maps, 64, "rms")) == pytest.approx([3.0])


@pytest.mark.parametrize(("native", "size"), [(8, 256), (3, 96), (123, 256), (7, 224), (1, 32), (64, 64), (20, 12)])
def test_the_root_belongs_to_torchs_upsampling(native: int, size: int) -> None:
    unit_samples = torch.eye(native, dtype=torch.float64)[None]
    operator = torch.nn.functional.interpolate(unit_samples, size=size, mode="linear", align_corners=False)[0].numpy()
    root = upsampling_root(native, size)
    np.testing.assert_allclose(root.T @ root, operator @ operator.T, atol=1e-10)


def test_vectors_do_not_depend_on_how_many_maps_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = random_maps(10, 3, 5)
    whole = map_vectors(maps, 32)
    monkeypatch.setattr(spectral, "MAPS_AT_ONCE", 4)
    assert np.array_equal(map_vectors(maps, 32), whole)


def test_maps_of_the_compared_size_need_no_upsampling() -> None:
    np.testing.assert_allclose(upsampling_root(5, 5), np.eye(5), atol=1e-12)


@pytest.mark.parametrize("size", [1e-12, 1e-3, 1e6])
def test_the_strength_of_a_map_does_not_matter_at_unit_length(size: float) -> None:
    maps = random_maps(5, 4, 4)
    np.testing.assert_allclose(map_vectors(maps * size, 64), map_vectors(maps, 64), atol=1e-9)


def test_zero_maps_are_zero_vectors() -> None:
    maps = random_maps(3, 4, 4)
    maps[1] = 0
    vectors = map_vectors(maps, 64)
    assert not vectors[1].any()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 0, 1])


# Principal axes


@pytest.mark.parametrize("n_components", [1, 3, 8])
def test_coordinates_are_scikit_learns_on_upsampled_maps_up_to_sign(n_components: int) -> None:
    maps, new = random_maps(30, 3, 4), random_maps(6, 3, 4, seed=1)
    slow = PCA(n_components, svd_solver="full").fit(unit(upsampled(maps, 48)))
    axes = fit_axes(map_vectors(maps, 48), n_components)
    np.testing.assert_allclose(axes.variance_share, slow.explained_variance_ratio_, rtol=1e-6)
    for some in (maps, new):
        found = axes.coordinates(map_vectors(some, 48))
        expected = slow.transform(unit(upsampled(some, 48)))
        signs = np.sign((found * expected).sum(axis=0))
        np.testing.assert_allclose(found * signs, expected, atol=1e-6)


@pytest.mark.parametrize(("n", "features", "asked", "kept"), [(30, 12, 50, 12), (7, 12, 50, 6), (30, 12, 4, 4)])
def test_there_are_no_more_axes_than_the_maps_have(n: int, features: int, asked: int, kept: int) -> None:
    axes = fit_axes(np.random.default_rng(0).normal(size=(n, features)), asked)
    assert axes.components.shape == (kept, features) and axes.variance_share.shape == (kept,)
    np.testing.assert_allclose(axes.components @ axes.components.T, np.eye(kept), atol=1e-12)


@pytest.mark.parametrize(("n", "features", "keep"), [(30, 400, 10), (30, 400, 29), (12, 13, 11), (2, 500, 1)])
@pytest.mark.parametrize("least", [0.3, 2e-3])  # spread of the last axis, as a share of the first one's
def test_axes_from_inner_products_are_those_of_the_singular_value_decomposition(
    n: int, features: int, keep: int, least: float
) -> None:
    generator = np.random.default_rng(0)
    sides = generator.normal(size=(n, n - 1)), generator.normal(size=(features, n - 1))
    left, right = (np.linalg.qr(side - side.mean(axis=0))[0] for side in sides)
    vectors = 3 + left * np.geomspace(1, least, n - 1) @ right.T
    centred = vectors - vectors.mean(axis=0)
    found, expected = gram_axes(centred, keep), singular_axes(centred, keep)
    assert found is not None
    signs = np.sign((found[1] * expected[1]).sum(axis=1))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-9)
    np.testing.assert_allclose(found[1] * signs[:, None], expected[1], atol=1e-9)
    fitted = fit_axes(vectors, keep)  # the way that fit_axes takes: more features than maps
    largest = expected[1][np.arange(keep), np.abs(expected[1]).argmax(axis=1)]
    np.testing.assert_allclose(fitted.components, expected[1] * np.sign(largest)[:, None], atol=1e-9)
    np.testing.assert_allclose(fitted.variance_share, expected[0] / (centred**2).sum(), rtol=1e-9)


@pytest.mark.parametrize(
    "vectors",
    [
        pytest.param(np.repeat(np.random.default_rng(0).normal(size=(6, 90)), 3, axis=0), id="six different maps"),
        pytest.param(np.ones((5, 40)), id="equal maps"),
        pytest.param(np.vander(np.linspace(0, 1, 15), 60), id="spread that falls below rounding"),
    ],
)
def test_axes_without_variance_are_left_to_the_singular_value_decomposition(vectors: Floats) -> None:
    n = len(vectors)
    assert gram_axes(vectors - vectors.mean(axis=0), n - 1) is None
    axes = fit_axes(vectors, 50)
    np.testing.assert_allclose(axes.components @ axes.components.T, np.eye(n - 1), atol=1e-9)
    found, centred = axes.coordinates(vectors), vectors - vectors.mean(axis=0)
    np.testing.assert_allclose(found @ found.T, centred @ centred.T, atol=1e-9)


def test_one_map_has_no_axes() -> None:
    axes = fit_axes(np.ones((1, 7)), 3)
    assert axes.components.shape == (0, 7) and axes.coordinates(np.ones((1, 7))).shape == (1, 0)


def test_axes_do_not_depend_on_the_order_of_maps() -> None:
    vectors = map_vectors(random_maps(20, 4, 4), 64)
    order = np.random.default_rng(1).permutation(20)
    first, second = fit_axes(vectors, 5), fit_axes(vectors[order], 5)
    np.testing.assert_allclose(second.coordinates(vectors), first.coordinates(vectors), atol=1e-9)


def test_equal_vectors_have_no_variance_to_share() -> None:
    axes = fit_axes(np.ones((5, 3)), 2)
    assert axes.variance_share.tolist() == [0, 0]
    np.testing.assert_allclose(axes.coordinates(np.ones((1, 3))), 0)


# Affinity


@pytest.mark.parametrize("scale", [0.2, 1.5])
def test_readings_of_the_kernel(scale: float) -> None:
    points = np.random.default_rng(0).normal(size=(6, 3))
    d = squareform(pdist(points))
    expected: dict[Affinity, Floats] = {
        "sigma": np.exp(-(d**2) / (2 * scale**2)),
        "matlab": np.exp(-((d / scale) ** 2)),
        "gamma": np.exp(-scale * d**2),
    }
    for reading, values in expected.items():
        found = affinity_matrix(points, reading, scale)
        assert (np.diag(found) == 0).all()
        np.testing.assert_allclose(found, values - np.eye(6), rtol=1e-9, atol=1e-300)


# Clusters


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
    assert f"all {n}" in caught.value.found
    assert "cluster.scale" in caught.value.remedy and "gamma" in caught.value.remedy


def test_isolated_maps_and_parts_of_the_graph_are_counted() -> None:
    points, _ = blobs((10, 8, 6), distance=100)
    points = np.concatenate([points, [[500.0, 0, 0], [0, 700.0, 0]]])
    found = clusters_of(points, 3)
    assert (found.n_isolated, found.n_components) == (2, 5)
    assert len(found.labels) == 26


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
        assert f"{n_patterns} different" in caught.value.found and "n_clusters" in caught.value.remedy
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


# Neighbours


@pytest.mark.parametrize("k", [1, 3, 5])
def test_new_maps_are_assigned_as_scikit_learn_does_where_votes_differ(k: int) -> None:
    reference, truth = blobs((20, 15, 10), distance=0.6, spread=0.2)
    new, _ = blobs((10, 10, 10), distance=0.6, spread=0.25, seed=1)
    model = KNeighborsClassifier(k).fit(reference, truth + 1)
    shares = np.asarray(model.predict_proba(new))
    best = np.sort(shares, axis=1)
    decided = best[:, -1] > best[:, -2]
    assert decided.sum() > 20
    labels, agreement = assign_clusters(new, reference, truth + 1, k)
    assert np.array_equal(labels[decided], np.asarray(model.predict(new))[decided])
    np.testing.assert_allclose(agreement, best[:, -1])


def test_equal_votes_go_to_the_cluster_whose_map_is_nearest() -> None:
    reference = np.asarray([[1.0], [2.0], [3.0], [4.0], [5.0]])
    labels = np.asarray([3, 1, 2, 1, 3])
    found, agreement = assign_clusters(np.zeros((1, 1)), reference, labels, 5)  # two votes each for 3 and 1
    assert found.tolist() == [3] and agreement.tolist() == [0.4]
    found, _ = assign_clusters(np.full((1, 1), 10.0), reference, labels, 4)  # nearest first: 3, 1, 2, 1
    assert found.tolist() == [1]
    found, _ = assign_clusters(np.full((1, 1), 10.0), reference, labels, 3)  # one vote each
    assert found.tolist() == [3]


def test_a_map_equal_to_a_reference_map_has_it_as_its_neighbour() -> None:
    reference, truth = blobs((12, 9), distance=0.5, spread=0.2)
    found, agreement = assign_clusters(reference, reference, truth + 1, 1)
    assert np.array_equal(found, truth + 1) and (agreement == 1).all()


def test_assignments_follow_their_maps() -> None:
    reference, truth = blobs((12, 9), distance=0.5, spread=0.2)
    new, _ = blobs((8, 8), distance=0.5, spread=0.2, seed=3)
    whole, share = assign_clusters(new, reference, truth + 1, 5)
    parts = [assign_clusters(part, reference, truth + 1, 5) for part in (new[:3], new[3:3], new[3:])]
    assert np.array_equal(np.concatenate([p[0] for p in parts]), whole)
    assert np.array_equal(np.concatenate([p[1] for p in parts]), share)


def test_fewer_reference_maps_than_neighbours_all_vote() -> None:
    found, agreement = assign_clusters(np.zeros((1, 1)), np.asarray([[1.0], [2.0], [3.0]]), np.asarray([1, 2, 2]), 5)
    assert found.tolist() == [2] and agreement == pytest.approx([2 / 3])


@given(
    points=st.lists(st.integers(-1000, 1000), min_size=2, max_size=12, unique=True),
    k=st.integers(1, 15),
    data=st.data(),
)
def test_own_agreement_counts_the_other_maps(points: list[int], k: int, data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.integers(1, 3), min_size=len(points), max_size=len(points)))
    found = own_agreement(np.asarray(points, np.float64)[:, None], np.asarray(labels), k)
    for i, here in enumerate(points):
        others = sorted((abs(there - here), j) for j, there in enumerate(points) if j != i)[:k]
        assert found[i] == pytest.approx(sum(labels[j] == labels[i] for _, j in others) / len(others))


def test_prototypes_are_mean_maps() -> None:
    maps = np.asarray([[[1.0, 3.0]], [[0.0, 8.0]], [[5.0, 5.0]], [[2.0, 4.0]]])
    assert prototypes(maps, np.asarray([2, 1, 1, 2])).tolist() == [[[2.5, 6.5]], [[1.5, 3.5]]]


def test_prototypes_weighted_by_size_are_the_mean_of_all() -> None:
    maps = random_maps(20, 3, 3)
    labels = canonical_labels(np.arange(20) % 3)
    sizes = np.bincount(labels)[1:]
    np.testing.assert_allclose(np.average(prototypes(maps, labels), axis=0, weights=sizes), maps.mean(axis=0))


def test_stability_is_the_mean_agreement_of_the_seeds() -> None:
    points = np.random.default_rng(2).normal(0, 0.3, (40, 3))
    affinity = affinity_matrix(points, "sigma", 0.2)
    single = [spectral_clusters(affinity, 4, 1, seed) for seed in (6, 7, 8)]
    expected = np.mean([adjusted_rand_score(a.labels, b.labels) for a, b in itertools.combinations(single, 2)])
    assert spectral_clusters(affinity, 4, 3, 6).stability == pytest.approx(expected)
    assert single[0].stability == 1
