"""Test that heights and masks beside an orthophoto are told by bands and type, and named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from storage.errors import InputError
from tasks.ingest.params import IngestParams
from tasks.look.look import look_at_campaign
from tests.support.orthophotos import small_bands, small_transform, write_raster
from tests.support.small_field import CRS, DAY, make, read

HEIGHTS, GREY = small_bands(1).astype(np.float32), small_bands(1)
TWO_VALUES = np.where(GREY > 127, 255, 0).astype(np.uint8)
LAYERS: dict[str, tuple[NDArray[Any], dict[str, Any], str]] = {
    "dsm": (HEIGHTS, {}, "heights: 1 band of float32"),
    "dtm": (HEIGHTS.astype(np.int16), {}, "heights: 1 band of int16"),
    "both": (np.repeat(HEIGHTS, 2, axis=0), {}, "heights: 2 bands of float32"),
    "mask": (TWO_VALUES, {}, "mask: 1 band of uint8"),
    "zero_one": (TWO_VALUES // 255, {}, "mask: 1 band of uint8"),
    "bits": (TWO_VALUES // 255, {"nbits": 1}, "mask: 1 band of 1 bit"),
    "shade": (GREY, {}, "no colours: 1 band of uint8"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with a table of plants and no orthophoto."""
    (tmp_path / "plants.csv").write_text("id,easting,northing\na,365001.0,5614999.0")
    return tmp_path


def put(folder: Path, name: str, bands: NDArray[Any], **options: Any) -> str:
    write_raster(folder / f"{name}_{DAY}.tif", bands, small_transform(), CRS, **options)
    return f"{name}_{DAY}.tif"


@pytest.mark.parametrize("name", LAYERS)
def test_layers_beside_colours_are_left_out_and_named(folder: Path, name: str) -> None:
    bands, options, what = LAYERS[name]
    ortho, layer = put(folder, "ortho", small_bands()), put(folder, name, bands, **options)
    (folder / f"ortho_{DAY}.tif.aux.xml").write_text("<PAMDataset/>")  # as QGIS writes it beside a raster
    listing = read(folder, rasters="*{date}*")
    assert [one.path for one in listing.images] == [ortho]
    assert [note for note in listing.notes if "no orthophotos" in note] == [
        f"{DAY}: left out, as no orthophotos: {layer} ({what})"
    ]


def test_the_look_shows_what_was_left_out(folder: Path) -> None:
    put(folder, "ortho", small_bands())
    layers = [put(folder, "dsm", HEIGHTS), put(folder, "ortho_mask", TWO_VALUES)]
    look = look_at_campaign(make(folder, rasters="*{date}*.tif"), [DAY], IngestParams(), 0, is_trained=False)
    (note,) = [one for one in look.notes if "no orthophotos" in one]
    assert all(layer in note for layer in layers)


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "shade"])
def test_layers_alone_are_refused_by_name(folder: Path, name: str) -> None:
    bands, options, what = LAYERS[name]
    layer = put(folder, name, bands, **options)
    with pytest.raises(InputError) as caught:
        read(folder, rasters="*{date}*.tif")
    assert caught.value.found == f"{DAY} has no orthophoto; source.rasters finds {layer} ({what})"
    assert "heights and masks show no plants" in caught.value.rule and "source.bands = [1, 1, 1]" in caught.value.remedy


def test_a_grey_orthophoto_is_none_of_them(folder: Path) -> None:
    grey, mask = put(folder, "grey", GREY), put(folder, "mask", TWO_VALUES)
    source = make(folder, rasters="*{date}*.tif")
    listing = source.list_images([DAY])
    assert [one.path for one in listing.images] == [grey] and any(mask in note for note in listing.notes)
    window = GREY[0, 10:30, 10:30]
    np.testing.assert_array_equal(source.read_image(listing.images[0]), np.repeat(window[..., None], 3, axis=-1))


def test_a_large_grey_orthophoto_with_white_corners_is_no_mask(folder: Path) -> None:
    bands = np.full((1, 700, 700), 255, np.uint8)
    bands[:, 300:400, 300:400] = np.random.default_rng(2).integers(1, 255, (1, 100, 100))
    put(folder, "grey", bands)
    assert read(folder, rasters="*{date}*.tif").images


def test_stated_bands_take_a_float_band_for_an_image(folder: Path) -> None:
    name = put(folder, "ndvi", HEIGHTS)
    source = make(folder, rasters="*{date}*.tif", bands=(1, 1, 1), value_range=(0, 255))
    (image,) = source.list_images([DAY]).images
    assert image.path == name
    np.testing.assert_array_equal(source.read_image(image)[..., 0], GREY[0, 10:30, 10:30])


def test_a_damaged_orthophoto_beside_heights_loses_its_plants(folder: Path) -> None:
    (folder / f"ortho_{DAY}.tif").write_bytes(b"II*\0no raster")
    put(folder, "dsm", HEIGHTS)
    listing = read(folder, rasters="*{date}*.tif")
    assert [(one.plant_id, one.reason) for one in listing.left_out] == [("a", "unreadable_raster")]
