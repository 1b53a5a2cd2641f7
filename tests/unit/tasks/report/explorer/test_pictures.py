"""Test that the pictures of the plant explorer fit into their budget."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tasks.report.explorer.chosen import MOST_IMAGES
from tasks.report.explorer.pictures import LEVELS, PICTURE_BYTES, level_of, sheets_of


def noise(n: int, side: int = 16) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3)).astype(np.uint8)


def n_bytes(sheets: list[bytes]) -> int:
    return sum(map(len, sheets))


@pytest.mark.parametrize(
    ("n", "size", "side"), [(1, 224, 128), (1_500, 224, 128), (2_000, 224, 96), (6_000, 224, 64), (90_000, 224, 48)]
)
def test_more_images_have_smaller_tiles(n: int, size: int, side: int) -> None:
    assert level_of(n, size).side == side


def test_tiles_are_no_larger_than_the_images() -> None:
    assert level_of(5, 32).side == 32


def test_a_full_page_of_any_level_is_within_the_budget() -> None:
    levels = [(n, level_of(n, 224)) for n, _ in LEVELS]
    assert all(n * level.n_bytes <= PICTURE_BYTES for n, level in levels) and LEVELS[-1][0] == MOST_IMAGES
    assert sorted((level for _, level in levels), reverse=True) == [level for _, level in levels]


def test_small_images_keep_their_pictures_when_a_page_grows() -> None:
    assert len({level_of(n, 32) for n in range(1, 4_000)}) == 1


def test_every_picture_has_the_best_quality_that_fits() -> None:
    tiles = noise(230)
    best = sheets_of(tiles, 10**6)
    smaller = sheets_of(tiles, n_bytes(best) // len(tiles) - 1)
    assert n_bytes(smaller) < n_bytes(best)
    for sheets in (best, smaller):
        assert [Image.open(io.BytesIO(one)).size for one in sheets] == [(160, 160), (160, 160), (160, 48)]


def test_pictures_that_never_fit_have_the_lowest_quality() -> None:
    assert n_bytes(sheets_of(noise(20), 1)) == n_bytes(sheets_of(noise(20), 0)) < n_bytes(sheets_of(noise(20), 10**6))
