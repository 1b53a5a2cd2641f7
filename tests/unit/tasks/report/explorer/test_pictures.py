"""Test that the pictures of the plant explorer fit into their budget."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tasks.report.explorer.pictures import fitted_sheets, tile_side


def noise(n: int, side: int = 16) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("n", "size", "side"), [(1, 224, 128), (1_000, 224, 128), (2_000, 224, 96), (5_000, 224, 64), (10_000, 224, 48)]
)
def test_more_images_have_smaller_tiles(n: int, size: int, side: int) -> None:
    assert tile_side(n, size) == side


def test_tiles_are_no_larger_than_the_images() -> None:
    assert tile_side(5, 32) == 32


def test_every_picture_is_shown_at_the_best_quality_that_fits() -> None:
    tiles = noise(230)
    shown, best = fitted_sheets(tiles, 10**6)
    assert shown.tolist() == list(range(230)) and len(best) == 3
    n_best = sum(map(len, best))
    again, smaller = fitted_sheets(tiles, n_best - 1)
    assert again.tolist() == shown.tolist() and sum(map(len, smaller)) < n_best
    assert [Image.open(io.BytesIO(sheet)).size for sheet in smaller] == [(160, 160), (160, 160), (160, 48)]


def test_fewer_are_shown_where_no_quality_fits() -> None:
    shown, sheets = fitted_sheets(noise(600), 30_000)
    assert 0.5 * 30_000 < sum(map(len, sheets)) <= 30_000
    assert len(shown) < 600 and len(sheets) == -(-len(shown) // 100)
    assert shown[0] == 0 and np.ptp(np.diff(shown)) <= np.diff(shown).max() // 2 + 1  # all over, not the first ones
