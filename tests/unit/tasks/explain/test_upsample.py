"""Upsampling on read against PyTorch's, for the shapes that the saliency methods give."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasks.explain.upsample import upsample, upsampling_weights

SHAPES = [
    pytest.param((8, 8), (256, 256), id="Grad-CAM"),
    pytest.param((123, 123), (256, 256), id="occlusion"),
    pytest.param((256, 256), (256, 256), id="LIME"),
    pytest.param((8, 6), (256, 192), id="Grad-CAM of a tall image"),
    pytest.param((120, 251), (250, 512), id="occlusion of a wide image"),
    pytest.param((96, 128), (96, 128), id="LIME of a wide image"),
    pytest.param((256, 200), (192, 150), id="a smaller picture"),
    pytest.param((1, 1), (5, 7), id="one window"),
    pytest.param((1, 4), (3, 4), id="one row"),
]


def signed_maps(n: int, rows: int, cols: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=(n, rows, cols))


@pytest.mark.parametrize(("native", "shown"), SHAPES)
def test_upsampling_is_torchs(native: tuple[int, int], shown: tuple[int, int]) -> None:
    maps = signed_maps(3, *native)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(maps)[:, None], size=shown, mode="bilinear", align_corners=False
    )
    found = upsample(maps, *shown)
    assert found.shape == (3, *shown) and found.dtype == np.float64
    np.testing.assert_allclose(found, expected[:, 0].numpy(), atol=1e-12)


def test_single_maps_and_stored_types() -> None:
    maps = signed_maps(2, 3, 4).astype(np.float16)
    assert np.array_equal(upsample(maps[1], 6, 9), upsample(maps, 6, 9)[1])
    np.testing.assert_allclose(upsample(maps, 6, 9), upsample(maps.astype(np.float64), 6, 9), atol=1e-15)


def test_two_samples_as_four_worked_by_hand() -> None:
    assert upsample(np.asarray([[0.0, 4.0]]), 1, 4).tolist() == [[0.0, 1.0, 3.0, 4.0]]
    assert upsample(np.asarray([[-2.0], [2.0]]), 4, 1).tolist() == [[-2.0], [-1.0], [1.0], [2.0]]


@given(native=st.integers(1, 40), size=st.integers(1, 80))
def test_weights_are_shares_of_two_neighbours(native: int, size: int) -> None:
    weights = upsampling_weights(native, size)
    assert weights.shape == (size, native) and weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-14)
    for row in weights:
        (used,) = np.nonzero(row)
        assert len(used) == 1 or (len(used) == 2 and used[1] == used[0] + 1)
    np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-12)  # a mirrored map is the map mirrored


@given(native=st.integers(1, 9), size=st.integers(9, 60))
def test_a_map_stays_within_its_range_and_keeps_its_signs(native: int, size: int) -> None:
    maps = signed_maps(4, native, native)
    shown = upsample(maps, size, size)
    assert (shown.min(axis=(1, 2)) >= maps.min(axis=(1, 2)) - 1e-12).all()
    assert (shown.max(axis=(1, 2)) <= maps.max(axis=(1, 2)) + 1e-12).all()
