"""Affinities of maps against the formulas, pair by pair."""

from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform

from tasks.cluster import affinity as module
from tasks.cluster import spectral
from tasks.cluster.affinity import Affinity, affinity_matrix, count_patterns, sparse_affinity
from tasks.cluster.axes import fit_axes, map_vectors

Floats = NDArray[np.float64]
READINGS: tuple[Affinity, ...] = get_args(Affinity)


def random_maps(n: int, rows: int, cols: int, seed: int = 0) -> Floats:
    """Maps as Grad-CAM gives them: not negative, many zeros, peaks of any size."""
    generator = np.random.default_rng(seed)
    return np.maximum(generator.normal(size=(n, rows, cols)), 0) * generator.uniform(0.01, 5, (n, 1, 1))


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


def slow_affinity(points: Floats, reading: Affinity, scale: float) -> Floats:
    """The formulas, pair by pair."""
    d = squareform(pdist(points))
    if reading == "local":
        own = [np.sort(np.delete(d[i], i))[:7][-1] for i in range(len(d))]
        return np.exp(-(d**2) / (scale**2 * np.outer(own, own))) - np.eye(len(d))
    sigma = scale * np.median(pdist(points)) if reading == "median" else scale
    exponent = {"matlab": (d / scale) ** 2, "gamma": scale * d**2}.get(reading, d**2 / (2 * sigma**2))
    return np.exp(-exponent) - np.eye(len(d))


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("shift", [0.0, 1e3])
@pytest.mark.parametrize(("exact_below", "tile"), [(2000, 256), (0, 7), (0, 256)])
def test_affinities_are_those_of_the_formula(
    monkeypatch: pytest.MonkeyPatch, reading: Affinity, shift: float, exact_below: int, tile: int
) -> None:
    monkeypatch.setattr(module, "EXACT_BELOW", exact_below)
    monkeypatch.setattr(module, "TILE", tile)
    points = shift + np.random.default_rng(0).normal(size=(30, 4))
    found = affinity_matrix(points, reading, 0.7)
    np.testing.assert_allclose(found, slow_affinity(points, reading, 0.7), rtol=1e-8, atol=1e-300)
    assert np.array_equal(found, found.T)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("far", [0.0, 1e6])  # beside an outlier, products lose everything else
def test_near_maps_keep_their_distance_in_products(
    monkeypatch: pytest.MonkeyPatch, reading: Affinity, far: float
) -> None:
    monkeypatch.setattr(module, "TILE", 8)
    points = np.random.default_rng(0).normal(size=(20, 3))
    points[10:] = points[:10] + 1e-5 * np.random.default_rng(1).normal(size=(10, 3))
    points[0] += far
    expected = affinity_matrix(points, reading, 1e-5)
    monkeypatch.setattr(module, "EXACT_BELOW", 0)
    assert expected[1, 11] > 0
    np.testing.assert_allclose(affinity_matrix(points, reading, 1e-5), expected, rtol=1e-4, atol=1e-12)


def test_distances_in_products_keep_ten_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Near maps stand in different tiles, since the tiles of the diagonal are always computed from differences."""
    monkeypatch.setattr(module, "EXACT_BELOW", 0)
    monkeypatch.setattr(module, "TILE", 16)
    generator = np.random.default_rng(0)
    points = np.tile(generator.normal(size=(40, 4)), (5, 1))
    points += np.repeat([0.0, 1e-5, 1e-4, 1e-3, 1e-2], 40)[:, None] * generator.normal(size=(200, 4))
    expected = squareform(pdist(points, "sqeuclidean"))
    np.testing.assert_allclose(module.squared_distances(points), expected, rtol=1e-10)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("exact_below", [0, 2000])
def test_equal_maps_have_full_affinity(monkeypatch: pytest.MonkeyPatch, reading: Affinity, exact_below: int) -> None:
    """Ten equal maps have no distance to their seventh neighbour, two have one."""
    monkeypatch.setattr(module, "EXACT_BELOW", exact_below)
    strength = np.random.default_rng(1).uniform(0.1, 9, (24, 1, 1))
    maps = random_maps(14, 4, 4)[[0] * 10 + [1] * 2 + list(range(2, 14))] * strength
    vectors = map_vectors(maps.astype(np.float32), 64)
    found = affinity_matrix(fit_axes(vectors, 50).coordinates(vectors), reading, 0.5)
    assert np.isfinite(found).all() and (found <= 1).all()
    assert (found[:10, :10] + np.eye(10) > spectral.SAME).all() and found[10, 11] > spectral.SAME
    assert (found[12:] < spectral.SAME).all()


@pytest.mark.parametrize("reading", ["median", "local"])
def test_relative_readings_do_not_depend_on_the_unit(reading: Affinity) -> None:
    points = np.random.default_rng(0).normal(size=(30, 4))
    found = affinity_matrix(40 * points, reading, 0.5)
    np.testing.assert_allclose(found, affinity_matrix(points, reading, 0.5), rtol=1e-9, atol=1e-300)


def test_the_median_is_that_of_different_maps() -> None:
    points = np.asarray([[0.0]] * 20 + [[1.0], [3.0]])  # most pairs are equal; 20 are at 1, 20 at 3, one at 2
    assert affinity_matrix(points, "median", 1.0)[0, 21] == pytest.approx(np.exp(-9 / (2 * 2**2)))


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("n_neighbours", [8, 29])
def test_a_sparse_affinity_keeps_the_nearest(reading: Affinity, n_neighbours: int) -> None:
    points = np.random.default_rng(0).normal(size=(30, 4))
    whole, found = affinity_matrix(points, reading, 0.8), sparse_affinity(points, reading, 0.8, n_neighbours).toarray()
    d = squareform(pdist(points))
    is_near = d.argsort(axis=1).argsort(axis=1) <= n_neighbours
    np.testing.assert_allclose(found, np.where(is_near | is_near.T, whole, 0), rtol=1e-9)
    assert np.array_equal(found, found.T)


@pytest.mark.parametrize("reading", READINGS)
def test_affinities_follow_their_maps(reading: Affinity) -> None:
    points = np.random.default_rng(0).normal(size=(30, 4))
    order = np.random.default_rng(1).permutation(30)
    here = np.ix_(order, order)
    found, sparse = affinity_matrix(points[order], reading, 0.8), sparse_affinity(points[order], reading, 0.8, 9)
    np.testing.assert_allclose(found, affinity_matrix(points, reading, 0.8)[here], rtol=1e-9)
    expected = sparse_affinity(points, reading, 0.8, 9).toarray()[here]
    np.testing.assert_allclose(sparse.toarray(), expected, rtol=1e-9)


def test_patterns_are_counted_up_to_a_limit() -> None:
    points = np.repeat(np.random.default_rng(0).normal(size=(5, 3)), 4, axis=0)
    assert [count_patterns(points, limit) for limit in (1, 3, 5, 9)] == [1, 3, 5, 5]
    assert count_patterns(np.zeros((6, 3)), 4) == 1


@pytest.mark.parametrize("size", [1.0, 1e3, 1e6])
@pytest.mark.parametrize("centre", [0.0, 1e5])  # of the second coordinate; where the maps lie does not matter
def test_maps_that_differ_by_less_than_a_millionth_of_their_spread_are_one_pattern(size: float, centre: float) -> None:
    """The limit is a squared distance of 1e-12 of the variance, so that the unit of the coordinates does not matter."""
    generator = np.random.default_rng(0)
    points = np.repeat(generator.normal(size=(5, 3)), 4, axis=0) + np.asarray([0, centre, 0])
    shift = generator.choice([-1, 1], (20, 3))
    assert count_patterns(size * (points + 1e-7 * shift), 20) == 5
    assert count_patterns(size * (points + 1e-5 * np.arange(20)[:, None] * shift), 20) == 20


@pytest.mark.parametrize(("n", "every"), [(2000, 1), (2001, 2)])
def test_the_median_of_a_sparse_affinity_is_that_of_at_most_two_thousand_maps(n: int, every: int) -> None:
    points = np.random.default_rng(0).normal(size=(n, 2))
    median = np.median(pdist(points[::every]))
    rows, columns = (found := sparse_affinity(points, "median", 0.5, 3).tocoo()).coords
    d = np.linalg.norm(points[rows] - points[columns], axis=1)
    np.testing.assert_allclose(found.data, np.exp(-(d**2) / (2 * (0.5 * median) ** 2)), rtol=1e-9)
