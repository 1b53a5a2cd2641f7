"""Neighbours of maps against sorting, scikit-learn, and cases worked by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.neighbors import KNeighborsClassifier

from storage.errors import InputError
from tasks.cluster import nearest as module
from tasks.cluster.axes import fit_axes
from tasks.cluster.nearest import (
    assign_clusters,
    error_share_of_nearest,
    mean_distance,
    nearest,
    own_agreement,
)

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
POINTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=15)  # many equal distances


def blobs(sizes: tuple[int, ...], distance: float = 1.0, spread: float = 0.05, seed: int = 0) -> tuple[Floats, Labels]:
    """Points around corners of a simplex, shuffled, and the corner of each."""
    generator = np.random.default_rng(seed)
    truth = generator.permutation(np.repeat(np.arange(len(sizes)), sizes))
    corners = distance / np.sqrt(2) * np.eye(len(sizes))
    return corners[truth] + generator.normal(0, spread, (len(truth), len(sizes))), truth


# Clusters by neighbours


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


# Nearest


def each_its_own(n: int) -> tuple[Labels, Labels]:
    return np.arange(n), np.arange(n)


@given(new=POINTS, reference=POINTS, k=st.integers(1, 20))
def test_the_nearest_are_those_of_a_stable_sort(
    new: list[tuple[int, int]], reference: list[tuple[int, int]], k: int
) -> None:
    index, distance = nearest(np.asarray(new, np.float64), np.asarray(reference, np.float64), k)
    for i, here in enumerate(new):
        squares = [((here[0] - a) ** 2 + (here[1] - b) ** 2, j) for j, (a, b) in enumerate(reference)]
        assert index[i].tolist() == [j for _, j in sorted(squares)[:k]]
        np.testing.assert_allclose(distance[i], [d**0.5 for d, _ in sorted(squares)[:k]])


@given(points=POINTS.filter(lambda points: len(points) > 1), k=st.integers(1, 20))
def test_a_reference_map_is_never_its_own_neighbour(points: list[tuple[int, int]], k: int) -> None:
    coordinates = np.asarray(points, np.float64)
    index, distance = nearest(coordinates, coordinates, k, each_its_own(len(points)))
    for i in range(len(points)):
        others = np.delete(np.arange(len(points)), i)
        expected, apart = nearest(coordinates[[i]], coordinates[others], k)
        assert np.array_equal(index[i], others[expected[0]]) and np.array_equal(distance[i], apart[0])


@pytest.mark.parametrize("at_once", [1, 70, 2**22])
@pytest.mark.parametrize("per_plant", [None, 1, 3])
def test_neighbours_do_not_depend_on_how_many_are_sought_at_once(
    monkeypatch: pytest.MonkeyPatch, at_once: int, per_plant: int | None
) -> None:
    points, _ = blobs((20, 12))
    plants = None if per_plant is None else (np.arange(32) // per_plant, np.arange(32) // per_plant)
    expected = nearest(points, points, 4, plants)
    monkeypatch.setattr(module, "DISTANCES_AT_ONCE", at_once)
    found = nearest(points, points, 4, plants)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_neighbours_follow_the_order_of_reference_maps() -> None:
    reference, _ = blobs((20, 12))
    new, _ = blobs((5, 5), seed=1)
    order = np.random.default_rng(0).permutation(32)
    index, distance = nearest(new, reference, 6)
    found, apart = nearest(new, reference[order], 6)
    assert np.array_equal(order[found], index)
    np.testing.assert_allclose(apart, distance)


@pytest.mark.parametrize(("n", "is_own"), [(0, False), (0, True), (1, True)])
def test_without_other_maps_there_are_no_neighbours(n: int, is_own: bool) -> None:
    with pytest.raises(InputError, match="other validation maps"):
        nearest(np.zeros((n, 2)), np.zeros((n, 2)), 3, each_its_own(n) if is_own else None)


@given(
    new=POINTS,
    reference=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=15),
    k=st.integers(1, 20),
    data=st.data(),
)
def test_maps_of_the_same_plant_are_no_neighbours(
    new: list[tuple[int, int]], reference: list[tuple[int, int, int]], k: int, data: st.DataObject
) -> None:
    """Each map's neighbours are those of the reference without its plant; -1 is a plant without reference maps."""
    own = data.draw(st.lists(st.integers(-1, 3), min_size=len(new), max_size=len(new)))
    there = np.asarray([plant for _, _, plant in reference])
    points, known = np.asarray(new, np.float64), np.asarray([place[:2] for place in reference], np.float64)
    left = len(reference) - int(np.bincount(there).max())
    if left == 0:
        with pytest.raises(InputError, match="other validation maps"):
            nearest(points, known, k, (np.asarray(own), there))
        return
    index, distance = nearest(points, known, k, (np.asarray(own), there))
    for i, plant in enumerate(own):
        others = np.flatnonzero(there != plant)
        expected, apart = nearest(points[[i]], known[others], min(k, left))
        assert np.array_equal(index[i], others[expected[0]]) and np.array_equal(distance[i], apart[0])


def test_no_maps_have_no_neighbours() -> None:
    index, distance = nearest(np.zeros((0, 2)), np.zeros((4, 2)), 3)
    assert index.shape == distance.shape == (0, 3)


# Scores of neighbours


def test_error_shares_by_hand() -> None:
    reference = np.asarray([[0.0], [1.0], [2.0], [10.0]])
    is_wrong = np.asarray([True, False, False, True])
    found = error_share_of_nearest(np.asarray([[-1.0], [9.0], [1.4]]), reference, is_wrong, 2)
    assert found.tolist() == [0.5, 0.5, 0]
    assert error_share_of_nearest(reference, reference, is_wrong, 9).tolist() == [0.5] * 4


@pytest.mark.parametrize("k", [1, 3])
def test_the_residual_is_one_coordinate_more(k: int) -> None:
    generator = np.random.default_rng(0)
    new, reference = generator.normal(size=(6, 2)), generator.normal(size=(9, 2))
    r, s = generator.random(6), generator.random(9)
    d = np.sqrt(cdist(new, reference) ** 2 + (r[:, None] - s) ** 2)
    np.testing.assert_allclose(mean_distance(new, r, reference, s, k), np.sort(d, axis=1)[:, :k].mean(axis=1))


def test_the_distance_is_never_more_than_that_of_the_vectors() -> None:
    generator = np.random.default_rng(0)
    vectors, new = generator.normal(size=(30, 8)), generator.normal(size=(10, 8))
    axes = fit_axes(vectors, 3)
    placed = [(axes.coordinates(v), axes.residuals(v, axes.coordinates(v))) for v in (new, vectors)]
    found = mean_distance(*placed[0], *placed[1], 1)
    assert (found <= cdist(new, vectors).min(axis=1) + 1e-12).all()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_rounding_does_not_choose_between_maps_that_are_equally_far(scale: float) -> None:
    """Corners of a cube are equally far from its centre; rounding moves each of them a little."""
    corners = scale * np.asarray(list(itertools.product((-1.0, 1.0), repeat=6)))
    moved = corners * (1 + 1e-14 * np.random.default_rng(0).normal(size=corners.shape))
    centre = np.zeros((1, 6))
    assert nearest(centre, moved, 5)[0].tolist() == [[0, 1, 2, 3, 4]]
    nearer = moved.copy()
    nearer[40] *= 1 - 1e-6  # a difference that is more than rounding
    assert nearest(centre, nearer, 2)[0].tolist() == [[40, 0]]
