"""Test parts of orthophotos at other pixel sizes: against block means, in other forms of the raster, and at edges."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.transform import Affine

from tasks.sources.contract import UnreadableImage
from tasks.sources.views import Part, View
from tests.support.orthophoto_forms import EXACT, RESAMPLED, Form, warped
from tests.support.orthophotos import NORTH, STEP, WEST, small_bands, small_transform, write_raster
from tests.support.small_field import CRS, DAY, LATER, make, write_field

SIDE = 80  # of the small raster, pixels
WHOLE = (WEST, NORTH - SIDE * STEP, WEST + SIDE * STEP, NORTH)
TURNED: dict[str, Form] = {
    f"turned by {turn} degrees": lambda *raster, turn=turn: warped(*raster, to=CRS, turn=turn) for turn in (25, 200)
}
FORMS = {**EXACT, **RESAMPLED, **TURNED}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_field(tmp_path)


def smooth_bands() -> NDArray[np.uint8]:
    """Return bands that hardly differ from one pixel to the next, so that resampling changes them little."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    return np.stack([40 + 180 * x, 40 + 180 * y, 130 + 60 * np.sin(6 * (x + y))]).astype(np.uint8)


def block_means(bands: NDArray[np.uint8], factor: int) -> NDArray[np.float64]:
    n, height, width = bands.shape
    blocks = bands.reshape(n, height // factor, factor, width // factor, factor)
    return np.moveaxis(blocks.mean(axis=(2, 4)), 0, -1)


def view(root: Path, part: Part, **options: Any) -> View:
    (found,) = make(root, **options).read_views(DAY, [part], CRS)
    return found


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_a_thumbnail_has_the_means_of_blocks(root: Path, factor: int) -> None:
    found = view(root, Part(WHOLE, SIDE // factor, SIDE // factor))
    assert found.valid.all()
    np.testing.assert_allclose(found.pixels, block_means(small_bands(), factor), atol=1)


@pytest.mark.parametrize("form", FORMS)
def test_other_forms_of_a_raster_have_the_same_thumbnail(root: Path, form: str) -> None:
    bands = smooth_bands()
    options = FORMS[form](root, bands, small_transform(), CRS)
    rasters = options.pop("rasters", {str(DAY): "ortho.tif"})
    inner = (WEST + 1, NORTH - 3, WEST + 3, NORTH - 1)
    found = view(root, Part(inner, 20, 20), rasters=rasters, crop_metres=1.5, **options)
    expected = block_means(bands[:, 20:60, 20:60], 2)
    assert found.valid.all()
    np.testing.assert_allclose(found.pixels, expected, atol=1 if form in EXACT else 6)


def test_overviews_are_used(root: Path) -> None:
    """Write overviews of another colour, which only a coarse part shows."""
    path = root / f"ortho_{DAY:%Y%m%d}.tif"
    with rasterio.open(path, "r+") as raster:
        raster.build_overviews([2, 4], Resampling.nearest)
    with rasterio.open(path, "r+", overview_level=1) as coarse:
        coarse.write(np.full((3, SIDE // 4, SIDE // 4), 7, np.uint8))
    assert (view(root, Part(WHOLE, SIDE // 4, SIDE // 4)).pixels == 7).all()
    assert (view(root, Part(WHOLE, SIDE // 8, SIDE // 8)).pixels == 7).all()
    fine = view(root, Part(WHOLE, SIDE, SIDE)).pixels
    np.testing.assert_array_equal(fine, np.moveaxis(small_bands(), 0, -1))


def test_a_part_that_leaves_the_orthophoto_is_black_there(root: Path) -> None:
    half = (WEST - 2, NORTH - 4, WEST + 2, NORTH)
    found = view(root, Part(half, 40, 40))
    assert not found.valid[:, :19].any() and found.valid[:, 20:].all()  # one pixel may touch the edge
    assert not found.pixels[:, :19].any()
    far = view(root, Part((WEST + 90, NORTH + 90, WEST + 94, NORTH + 94), 8, 8))
    assert not far.valid.any() and not far.pixels.any()


@pytest.mark.parametrize("nodata", ["mask", "ignore"])
def test_no_data_is_missing_unless_it_is_ignored(root: Path, nodata: str) -> None:
    bands = small_bands()
    bands[:, :40] = 255
    write_raster(root / f"ortho_{DAY:%Y%m%d}.tif", bands, small_transform(), CRS, nodata=255)
    found = view(root, Part(WHOLE, 20, 20), nodata=nodata)
    assert found.valid[10:].all() and (found.pixels[10:] > 0).all()
    assert (
        found.valid[:10].all() == (nodata == "ignore")
        and (found.pixels[:10] == (255 if nodata == "ignore" else 0)).all()
    )


def test_three_bands_without_marks_and_a_palette(root: Path) -> None:
    path = root / f"ortho_{DAY:%Y%m%d}.tif"
    write_raster(path, small_bands(), small_transform(), CRS, photometric="minisblack")
    np.testing.assert_allclose(view(root, Part(WHOLE, 20, 20)).pixels, block_means(small_bands(), 4), atol=1)
    index = (small_bands(1) % 3).astype(np.uint8)
    colours = {0: (200, 10, 20, 255), 1: (30, 190, 40, 255), 2: (50, 60, 180, 255)}
    write_raster(path, index, small_transform(), CRS, photometric="palette")
    with rasterio.open(path, "r+") as raster:
        raster.write_colormap(1, colours)
    found = view(root, Part(WHOLE, SIDE, SIDE)).pixels
    np.testing.assert_array_equal(found, np.array([colours[n][:3] for n in range(3)], np.uint8)[index[0]])


def test_the_shift_is_taken_out(root: Path) -> None:
    matrix = Affine(STEP, 0.0, WEST + 0.5, 0.0, -STEP, NORTH - 0.25)
    write_raster(root / f"ortho_{LATER:%Y%m%d}.tif", small_bands(), matrix, CRS)
    source, parts = make(root, shift={LATER: (0.5, -0.25)}), [Part(WHOLE, 40, 40)]
    (before,), (after,) = (source.read_views(day, parts, CRS) for day in (DAY, LATER))
    np.testing.assert_array_equal(before.pixels, after.pixels)


def test_a_damaged_orthophoto_cannot_be_read(root: Path) -> None:
    path = root / f"ortho_{DAY:%Y%m%d}.tif"
    write_raster(path, small_bands(), small_transform(), CRS, compress="deflate")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    with pytest.raises(UnreadableImage, match="ortho_20240501"):
        view(root, Part(WHOLE, 20, 20))
