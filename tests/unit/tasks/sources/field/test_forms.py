"""Test that crops show the same plants in whatever form a raster is, and where masks hide pixels."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from tests.support.field_crops import DAY, correlation, crops_of, field, write_plants
from tests.support.orthophoto_forms import EXACT, RESAMPLED, Bands, palette, tiles
from tests.support.orthophotos import (
    NORTH,
    ORTHOPHOTOS,
    WEST,
    needs_orthophotos,
    small_bands,
    small_transform,
    write_raster,
)

Places = dict[str, tuple[float, float]]


@pytest.fixture(scope="module")
def real() -> tuple[Bands, Affine, Places]:
    """Return the bands of OSBS_029 without the value 0, their transform, and plants inside the raster."""
    with rasterio.open(ORTHOPHOTOS / "OSBS_029.tif") as raster:
        bands, matrix = np.maximum(raster.read(), 1), raster.transform
    spots = {"a": (90, 100), "b": (200, 200), "c": (310, 190), "d": (120, 300)}
    return bands, matrix, {name: (matrix.c + 0.1 * x, matrix.f - 0.1 * y) for name, (x, y) in spots.items()}


@needs_orthophotos
@pytest.mark.parametrize("form", [*EXACT, *RESAMPLED])
def test_other_forms_of_a_raster_show_the_same_plants(
    tmp_path: Path, real: tuple[Bands, Affine, Places], form: str
) -> None:
    bands, matrix, places = real
    options = {**EXACT, **RESAMPLED}[form](tmp_path, bands, matrix, "EPSG:32617")
    write_plants(tmp_path, places)
    listing, found = crops_of(field(tmp_path, "EPSG:32617", crop_metres=10.0, **options))
    assert listing.left_out == () and found.keys() == places.keys()
    for name, (x, y) in places.items():
        column, row = round((x - matrix.c) / 0.1), round((matrix.f - y) / 0.1)
        window = np.moveaxis(bands[:, row - 50 : row + 50, column - 50 : column + 50], 0, -1)
        if form in EXACT:
            np.testing.assert_array_equal(found[name], window)
        assert correlation(found[name], window, size=100) >= 0.98
        shifted = np.moveaxis(bands[:, row - 50 : row + 50, column - 40 : column + 60], 0, -1)
        assert correlation(found[name], shifted) < 0.9  # a metre beside the plant is seen
    if form.startswith("tiles"):
        joined = [one.path.count(" | ") + 1 for one in listing.images]
        assert max(joined) == (4 if form == "tiles side by side" else 1)
        assert [n > 1 for n in joined] == ["several_tiles" in one.flags for one in listing.images]
    if form == "VRT of tiles":
        assert {Path(one.path).name for one in listing.images} == {"whole.vrt"}


@pytest.mark.parametrize("margin", [0, 30])
def test_a_plant_between_two_pixels_is_cropped_alike_from_every_tile(tmp_path: Path, margin: int) -> None:
    bands, matrix = small_bands(side=160), Affine(0.1, 0.0, 404211.9, 0.0, -0.1, 3285142.9)
    spots = {str(n): (70.5 + n, 90.5 - n) for n in range(20)}
    write_plants(tmp_path, {name: (matrix.c + 0.1 * x, matrix.f - 0.1 * y) for name, (x, y) in spots.items()})
    options = tiles(tmp_path, bands, matrix, "EPSG:32617", margin)
    listing, found = crops_of(field(tmp_path, "EPSG:32617", crop_metres=10.0, **options))
    assert sum("several_tiles" in one.flags for one in listing.images) > 10
    for name, (x, y) in spots.items():
        left, top = int(x + 0.5) - 50, int(y + 0.5) - 50
        np.testing.assert_array_equal(found[name], np.moveaxis(bands[:, top : top + 100, left : left + 100], 0, -1))


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    bands = small_bands() // 50 * 50  # at most 216 colours
    palette(tmp_path, bands, small_transform(), "EPSG:32632")
    write_plants(tmp_path, {"a": (WEST + 2.0, NORTH - 2.0)})
    _, found = crops_of(field(tmp_path, "EPSG:32632"))
    np.testing.assert_array_equal(found["a"], np.moveaxis(bands[:, 30:50, 30:50], 0, -1))


@pytest.mark.parametrize("is_inside", [True, False])
def test_masked_pixels_are_black_and_count_as_missing(tmp_path: Path, is_inside: bool) -> None:
    bands = small_bands()
    mask = np.full(bands.shape[1:], 255, np.uint8)
    mask[:, :36] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=is_inside):
        path = write_raster(tmp_path / "ortho.tif", bands, small_transform(), "EPSG:32632")
        with rasterio.open(path, "r+") as file:
            file.write_mask(mask)
    write_plants(tmp_path, {"a": (WEST + 2.0, NORTH - 2.0), "b": (WEST + 1.0, NORTH - 2.0)})
    for nodata in ("mask", "ignore"):  # a mask is no colour
        listing, found = crops_of(field(tmp_path, "EPSG:32632", nodata=nodata))
        assert [one.plant_id for one in listing.left_out] == ["b"]
        assert listing.images[0].flags == ("crop_leaves_raster",)
        assert not found["a"][:, :6].any()
        np.testing.assert_array_equal(found["a"][:, 6:], np.moveaxis(bands[:, 30:50, 36:50], 0, -1))


def test_a_mask_beside_the_file_is_in_the_fingerprint(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "ortho.tif", small_bands(), small_transform(), "EPSG:32632")
    write_plants(tmp_path, {"a": (WEST + 2.0, NORTH - 2.0)})
    source = field(tmp_path, "EPSG:32632")
    (image,) = source.list_images([DAY]).images
    prints = {source.fingerprint(image)}
    for value in (255, 0):
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as file:
            file.write_mask(np.full((80, 80), value, np.uint8))
        prints.add(source.fingerprint(image))
    assert len(prints) == 3
