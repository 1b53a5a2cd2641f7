"""Vectors and principal axes against every pixel, scikit-learn, and arrays that lie in memory."""

from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA

from tasks.cluster import axes as module
from tasks.cluster.axes import (
    PrincipalAxes,
    Vectors,
    fit_axes,
    gram_axes,
    inner_products,
    isometric,
    map_vectors,
    moments,
    singular_axes,
    triangle,
    upsampling_root,
)

Floats = NDArray[np.float64]


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


class OnDisk:
    """Vectors that are read by slices alone; counts the rows of the longest."""

    def __init__(self, vectors: Floats) -> None:
        self._vectors = vectors
        self.shape: tuple[int, int] = (len(vectors), vectors.shape[1])
        self.longest = 0

    def __getitem__(self, rows: slice) -> Floats:
        block = self._vectors[rows].copy()
        self.longest = max(self.longest, len(block))
        return block


# Vectors


@pytest.mark.parametrize(
    ("rows", "cols", "size"), [(8, 8, 256), (3, 3, 96), (2, 5, 64), (7, 7, 224), (1, 4, 32), (20, 16, 12)]
)
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
    monkeypatch.setattr(module, "MAPS_AT_ONCE", 4)
    np.testing.assert_allclose(map_vectors(maps, 32), whole, rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("scaling", ["unit", "rms"])
def test_one_matrix_product_upsamples_as_two_do(
    monkeypatch: pytest.MonkeyPatch, scaling: Literal["unit", "rms"]
) -> None:
    maps = random_maps(10, 3, 5)
    whole = map_vectors(maps, 32, scaling)
    monkeypatch.setattr(module, "KRONECKER_LIMIT", 0)
    np.testing.assert_allclose(map_vectors(maps, 32, scaling), whole, rtol=1e-13, atol=1e-15)


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
    found, expected = gram_axes(vectors, *inner_products(vectors), keep), singular_axes(centred, keep)
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
    assert gram_axes(vectors, *inner_products(vectors), n - 1) is None
    axes = fit_axes(vectors, 50)
    np.testing.assert_allclose(axes.components @ axes.components.T, np.eye(n - 1), atol=1e-9)
    found, centred = axes.coordinates(vectors), vectors - vectors.mean(axis=0)
    np.testing.assert_allclose(found @ found.T, centred @ centred.T, atol=1e-9)


@pytest.mark.parametrize(("n", "features"), [(30, 400), (60, 20)])  # inner products of maps, and of features
@pytest.mark.parametrize("least", [1e-4, 3e-7, 1e-7, 3e-8, 1e-9, 1e-11])  # variance of the last axis beside the first
def test_axes_of_little_variance_are_the_planted_ones(n: int, features: int, least: float) -> None:
    generator, rank = np.random.default_rng(0), min(n - 1, features)
    scores = generator.normal(size=(n, rank))
    left = np.linalg.qr(scores - scores.mean(axis=0))[0]
    planted = np.linalg.qr(generator.normal(size=(features, rank)))[0].T
    variances = np.geomspace(1, least, rank)
    axes = fit_axes(left * np.sqrt(variances) @ planted, rank)
    np.testing.assert_allclose(axes.components @ axes.components.T, np.eye(rank), atol=1e-10)
    np.testing.assert_allclose(
        axes.components * np.sign((axes.components * planted).sum(axis=1))[:, None], planted, atol=1e-11
    )
    np.testing.assert_allclose(axes.variance_share, variances / variances.sum(), rtol=1e-10)


def test_one_map_has_no_axes() -> None:
    axes = fit_axes(np.ones((1, 7)), 3)
    assert axes.components.shape == (0, 7) and axes.coordinates(np.ones((1, 7))).shape == (1, 0)


def test_coordinates_of_8x8_maps_are_those_of_65536_pixels() -> None:
    maps = random_maps(40, 8, 8)
    pixels = unit(upsampled(maps, 256))
    expected = PCA(10, svd_solver="full").fit_transform(pixels)
    vectors = map_vectors(maps, 256)
    found = fit_axes(vectors, 10).coordinates(vectors)
    np.testing.assert_allclose(found * np.sign((found * expected).sum(axis=0)), expected, atol=1e-5)


def test_axes_do_not_depend_on_the_order_of_maps() -> None:
    vectors = map_vectors(random_maps(20, 4, 4), 64)
    order = np.random.default_rng(1).permutation(20)
    first, second = fit_axes(vectors, 5), fit_axes(vectors[order], 5)
    np.testing.assert_allclose(second.coordinates(vectors), first.coordinates(vectors), atol=1e-9)


def test_equal_vectors_have_no_variance_to_share() -> None:
    axes = fit_axes(np.ones((5, 3)), 2)
    assert axes.variance_share.tolist() == [0, 0]
    np.testing.assert_allclose(axes.coordinates(np.ones((1, 3))), 0)


# Vectors that lie in no memory


SHAPES = [(50, 8), (40, 40), (23, 60), (17, 16), (16, 17)]  # more vectors than features, and fewer


@pytest.mark.parametrize(("n", "features"), SHAPES)
@pytest.mark.parametrize("at_once", [1, 7, 16, 100])
def test_streamed_axes_are_those_of_an_array(
    monkeypatch: pytest.MonkeyPatch, n: int, features: int, at_once: int
) -> None:
    vectors = 5 + np.random.default_rng(0).normal(size=(n, features)) * np.geomspace(1, 0.05, features)
    keep = min(n, features) // 2
    whole = fit_axes(vectors, keep)
    monkeypatch.setattr(module, "VECTORS_AT_ONCE", at_once)
    streamed = OnDisk(vectors)
    found = fit_axes(streamed, keep)
    np.testing.assert_allclose(found.mean, vectors.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(found.components, whole.components, atol=1e-10)
    np.testing.assert_allclose(found.variance_share, whole.variance_share, atol=1e-12)
    np.testing.assert_allclose(found.coordinates(streamed), whole.coordinates(vectors), atol=1e-10)
    assert streamed.longest <= at_once


@pytest.mark.parametrize(("n", "features"), SHAPES)
def test_axes_are_those_of_the_singular_value_decomposition(
    monkeypatch: pytest.MonkeyPatch, n: int, features: int
) -> None:
    monkeypatch.setattr(module, "VECTORS_AT_ONCE", 9)
    vectors = 5 + np.random.default_rng(0).normal(size=(n, features)) * np.geomspace(1, 0.05, features)
    keep = min(n - 1, features)
    squared, expected = singular_axes(vectors - vectors.mean(axis=0), keep)
    found = fit_axes(vectors, keep)
    signs = np.sign((found.components * expected).sum(axis=1))
    np.testing.assert_allclose(found.components * signs[:, None], expected, atol=1e-9)
    np.testing.assert_allclose(found.variance_share, squared / squared.sum(), rtol=1e-9)


@pytest.mark.parametrize(("n", "features"), [(30, 8), (12, 40)])
@pytest.mark.parametrize("at_once", [4, 100])
def test_streamed_vectors_of_few_patterns_keep_their_inner_products(
    monkeypatch: pytest.MonkeyPatch, n: int, features: int, at_once: int
) -> None:
    monkeypatch.setattr(module, "VECTORS_AT_ONCE", at_once)
    vectors = np.random.default_rng(0).normal(size=(4, features))[np.arange(n) % 4]
    axes = fit_axes(OnDisk(vectors), 50)
    found, centred = axes.coordinates(vectors), vectors - vectors.mean(axis=0)
    np.testing.assert_allclose(axes.components @ axes.components.T, np.eye(len(axes.components)), atol=1e-10)
    np.testing.assert_allclose(found @ found.T, centred @ centred.T, atol=1e-10)
    assert axes.variance_share[:3].sum() == pytest.approx(1)


@pytest.mark.parametrize("at_once", [1, 3, 50])
def test_moments_far_from_zero_are_numpys(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(module, "VECTORS_AT_ONCE", at_once)
    vectors = 1e5 + np.random.default_rng(0).normal(size=(20, 4))
    mean, scatter = moments(OnDisk(vectors))
    np.testing.assert_allclose(mean, vectors.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(scatter, 19 * np.cov(vectors.T), rtol=1e-8, atol=1e-8)  # 1e10 would be lost to squares
    root = triangle(OnDisk(vectors), mean)
    np.testing.assert_allclose(root.T @ root, scatter, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("n", "features"), [(20, 12), (9, 30)])
def test_axes_do_not_depend_on_the_order_of_vectors(monkeypatch: pytest.MonkeyPatch, n: int, features: int) -> None:
    monkeypatch.setattr(module, "VECTORS_AT_ONCE", 4)
    vectors = np.random.default_rng(0).normal(size=(n, features))
    order = np.random.default_rng(1).permutation(n)
    first, second = fit_axes(vectors, 4), fit_axes(OnDisk(vectors[order]), 4)
    np.testing.assert_allclose(second.coordinates(vectors), first.coordinates(vectors), atol=1e-9)


# What the axes leave out


@pytest.mark.parametrize("keep", [1, 4, 9])
def test_residuals_and_coordinates_share_a_vectors_length(keep: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 9))
    axes = fit_axes(vectors, keep)
    coordinates = axes.coordinates(vectors)
    found = axes.residuals(vectors, coordinates)
    expected = ((vectors - axes.mean) ** 2).sum(axis=1) - (coordinates**2).sum(axis=1)
    np.testing.assert_allclose(found**2, expected, atol=1e-12)
    assert keep < 9 or (found < 1e-12).all()


def test_a_small_residual_beside_a_long_vector_is_not_lost() -> None:
    axes = PrincipalAxes(np.zeros(2), np.asarray([[1.0, 0.0]]), np.ones(1))
    vectors = np.asarray([[1e6, 1e-6], [3.0, 4.0], [2.0, 0.0]])
    assert axes.residuals(vectors, axes.coordinates(vectors)) == pytest.approx([1e-6, 4, 0], rel=1e-12)


def test_residuals_come_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).normal(size=(11, 5))
    axes = fit_axes(vectors, 2)
    whole = axes.residuals(vectors, axes.coordinates(vectors))
    monkeypatch.setattr(module, "VECTORS_AT_ONCE", 3)
    np.testing.assert_allclose(axes.residuals(OnDisk(vectors), axes.coordinates(vectors)), whole, rtol=1e-12)


# Isometric coordinates


@pytest.mark.parametrize(("n", "features"), SHAPES)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_isometric_coordinates_keep_distances_and_the_axes_of_every_part(
    monkeypatch: pytest.MonkeyPatch, n: int, features: int, is_streamed: bool
) -> None:
    monkeypatch.setattr(module, "VECTORS_AT_ONCE", 5)
    vectors = 2 + np.random.default_rng(0).normal(size=(n, features))
    given: Vectors = OnDisk(vectors) if is_streamed else vectors
    found = isometric(given)
    assert len(found) == n and found.shape[1] <= min(n, features)
    np.testing.assert_allclose(pdist(found), pdist(vectors), rtol=1e-9)
    own, expected = found - found.mean(axis=0), vectors - vectors.mean(axis=0)
    np.testing.assert_allclose(own @ own.T, expected @ expected.T, atol=1e-10)
    part = np.random.default_rng(1).permutation(n)[: n // 2]
    few, many = fit_axes(found[part], 3), fit_axes(vectors[part], 3)
    np.testing.assert_allclose(few.variance_share, many.variance_share, atol=1e-10)
    a, b = few.coordinates(found), many.coordinates(vectors)
    np.testing.assert_allclose(a * np.sign((a * b).sum(axis=0)), b, atol=1e-8)


def test_isometric_coordinates_have_no_more_dimensions_than_the_maps() -> None:
    patterns = np.random.default_rng(0).normal(size=(3, 40))
    found = isometric(patterns[np.arange(12) % 3])
    assert found.shape == (12, 2)
    np.testing.assert_allclose(pdist(found), pdist(patterns[np.arange(12) % 3]), atol=1e-7)
    equal = isometric(np.ones((5, 40)))
    assert equal.shape == (5, 1) and not equal.any()


def test_no_more_features_than_vectors_stay_as_they_are() -> None:
    vectors = np.random.default_rng(0).normal(size=(6, 5))
    assert isometric(vectors) is vectors
    assert np.array_equal(isometric(OnDisk(vectors)), vectors)
