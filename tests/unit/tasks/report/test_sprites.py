"""Test sheets of small pictures and coarse maps: what was packed is found again in its place."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tasks.report.sprites import coarse_map, sprite_sheets


def opened(sheet: bytes) -> NDArray[Any]:
    with Image.open(io.BytesIO(sheet)) as picture:
        assert picture.format == "WEBP"
        return np.asarray(picture.convert("RGB"), np.float64)


def test_tiles_lie_in_order_and_the_last_sheet_is_shorter() -> None:
    shades = np.linspace(20, 235, 113).round().astype(np.uint8)
    first, last = (opened(one) for one in sprite_sheets((np.full((40, 40, 3), s, np.uint8) for s in shades), 16, 90))
    assert first.shape == (160, 160, 3) and last.shape == (32, 160, 3)
    for number, shade in enumerate(shades):
        sheet, place = (first, number) if number < 100 else (last, number - 100)
        y, x = 16 * (place // 10), 16 * (place % 10)
        assert sheet[y + 4 : y + 12, x + 4 : x + 12].mean() == pytest.approx(shade, abs=3)


def test_an_image_that_is_not_square_keeps_its_middle() -> None:
    image = np.zeros((20, 60, 3), np.uint8)
    image[:, 20:40] = 200
    (sheet,) = sprite_sheets([image], 20, 100)
    assert np.abs(opened(sheet)[:, :20] - 200).max() < 12


def test_no_image_makes_no_sheet() -> None:
    assert sprite_sheets([], 16, 80) == []


def test_a_coarse_map_has_the_means_of_its_parts() -> None:
    saliency = np.random.default_rng(0).normal(size=(24, 16)).astype(np.float32)
    means = saliency.reshape(8, 3, 8, 2).mean(axis=(1, 3))
    expected = np.round(127 * means / np.abs(means).max())
    found = np.frombuffer(coarse_map(saliency), np.int8).reshape(8, 8)
    assert np.abs(found - expected).max() <= 1 and np.abs(found).max() == 127


def test_a_map_of_other_sides_keeps_its_mean() -> None:
    saliency = np.abs(np.random.default_rng(1).normal(size=(13, 5)))
    found = np.frombuffer(coarse_map(saliency), np.int8).astype(float)
    assert found.mean() / found.max() == pytest.approx(saliency.mean() / _largest_part(saliency), rel=0.02)


def _largest_part(saliency: NDArray[Any]) -> float:
    """Repeat rows and columns eightfold, so that eight equal parts cut none."""
    fine = saliency.repeat(8, axis=0).repeat(8, axis=1)
    return fine.reshape(8, saliency.shape[0], 8, saliency.shape[1]).mean(axis=(1, 3)).max()


@pytest.mark.parametrize(
    ("saliency", "value"), [(np.zeros((8, 8)), 0), (np.ones((3, 3)), 127), (-np.ones((9, 9)), -127)]
)
def test_flat_maps(saliency: NDArray[Any], value: int) -> None:
    assert set(np.frombuffer(coarse_map(saliency), np.int8).tolist()) == {value}
