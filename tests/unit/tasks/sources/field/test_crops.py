"""Test where crops lie: real orthophotos against Pillow, crops at borders, no-data, and fingerprints."""

import csv
import json
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import rasterio.warp
from numpy.typing import NDArray
from PIL import Image

from tasks.ingest.ingest import prepare_image
from tests.support.field_crops import DAY, crops_of, field, write_plants
from tests.support.orthophotos import (
    NORTH,
    ORTHOPHOTOS,
    STEP,
    WEST,
    needs_orthophotos,
    small_bands,
    small_transform,
    write_raster,
)


def pillow_window(path: Path, centre: tuple[float, float], side: int, nodata: int | None) -> NDArray[np.uint8]:
    """Read a window with Pillow, black outside and where all bands have the no-data value."""
    with Image.open(path) as image:
        left, top = round(centre[0] - side / 2), round(centre[1] - side / 2)
        whole = image.convert("RGB")
        found = np.array(whole.crop((left, top, left + side, top + side)))
    if nodata is not None:
        found[(found == nodata).all(axis=-1)] = 0
    return found


def crowns() -> dict[str, tuple[float, float]]:
    """Return the middle of every crown of OSBS_029 in pixels, of those whose middle is a whole pixel."""
    with (ORTHOPHOTOS / "OSBS_029.csv").open() as file:
        boxes = [[int(row[name]) for name in ("xmin", "xmax", "ymin", "ymax")] for row in csv.DictReader(file)]
    assert len(boxes) == 61
    return {
        f"crown {n}": ((x0 + x1) / 2, (y0 + y1) / 2)
        for n, (x0, x1, y0, y1) in enumerate(boxes)
        if (x0 + x1) % 2 == (y0 + y1) % 2 == 0
    }


@needs_orthophotos
@pytest.mark.parametrize("metres", [24.0, 4.0])
def test_crowns_are_centred_to_the_pixel(tmp_path: Path, metres: float) -> None:
    (tmp_path / "ortho.tif").symlink_to(ORTHOPHOTOS / "OSBS_029.tif")
    middles = crowns()
    west, north, step = 404211.9, 3285142.9, 0.1  # as `gdalinfo` states them
    write_plants(tmp_path, {name: (west + step * x, north - step * y) for name, (x, y) in middles.items()})
    source = field(tmp_path, "EPSG:32617", crop_metres=metres)
    listing, side = source.list_images([DAY]), round(metres / step)
    windows = {name: pillow_window(tmp_path / "ortho.tif", place, side, 255) for name, place in middles.items()}
    # Pillow fills with 0 outside the image, and no pixel of this image is black.
    inside = {name for name, window in windows.items() if window.any(axis=-1).mean() >= source.min_inside}
    assert {one.plant_id for one in listing.images} == inside and len(inside) >= 10
    assert {one.reason for one in listing.left_out} <= {"outside_raster"}
    for one in listing.images:
        window = windows[one.plant_id]
        np.testing.assert_array_equal(source.read_image(one), window)
        assert ("crop_leaves_raster" in one.flags) == (not window.any(axis=-1).all())
        resized = Image.fromarray(window).resize((32, 32), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(prepare_image(source.read_image(one), 32), np.array(resized))


@needs_orthophotos
def test_a_polygon_is_cropped_around_its_centroid(tmp_path: Path) -> None:
    for path in ORTHOPHOTOS.glob("australia.*"):
        (tmp_path / path.name).symlink_to(path)
    crs, plants = "EPSG:32753", {"path": "australia.shp", "crs": None, "id_column": "Field"}
    source = field(tmp_path, crs, plants=plants, rasters={str(DAY): "australia.tif"}, crop_metres=3.6)
    (image,) = source.list_images([DAY]).images
    assert image.plant_id == "0"
    ring = np.array(pyogrio.read_dataframe(tmp_path / "australia.shp").geometry[0].exterior.coords)[:, :2]
    origin = ring[0]
    x, y = (ring - origin).T
    cross = x[:-1] * y[1:] - x[1:] * y[:-1]  # shoelace formula
    middle = [float(((one[:-1] + one[1:]) * cross).sum() / (3 * cross.sum())) for one in (x, y)]
    assert (image.easting, image.northing) == pytest.approx((origin[0] + middle[0], origin[1] + middle[1]), abs=6e-4)
    centre = (origin[0] + middle[0] - 278966.322) / 0.018, (8597744.154 - origin[1] - middle[1]) / 0.018
    np.testing.assert_array_equal(
        source.read_image(image), pillow_window(ORTHOPHOTOS / "australia.tif", centre, 200, nodata=0)
    )


@needs_orthophotos
def test_positions_in_degrees_and_white_that_means_no_data(tmp_path: Path) -> None:
    # The file declares 255 as no-data and has no such pixel, so a plant gets a white middle.
    with rasterio.open(ORTHOPHOTOS / "soybean.tif") as raster:
        bands, crs, matrix = raster.read(), raster.crs, raster.transform
    bands[:, 440:450, 795:805] = 255
    write_raster(tmp_path / "ortho.tif", bands, matrix, crs.to_wkt(), nodata=255, compress="deflate")
    middles = {"white": (800.0, 445.0), "green": (300.2, 220.4)}
    # GDAL transforms to degrees; the source transforms back with PROJ.
    places = {
        name: (matrix.c + matrix.a * x + matrix.b * y, matrix.f + matrix.d * x + matrix.e * y)
        for name, (x, y) in middles.items()
    }
    lon, lat, *_ = rasterio.warp.transform(crs, "EPSG:4326", *zip(*places.values(), strict=True))
    points = [
        {"type": "Feature", "properties": {"id": name}, "geometry": {"type": "Point", "coordinates": place}}
        for name, *place in zip(places, lon, lat, strict=True)
    ]
    (tmp_path / "plants.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": points}))
    plants = {"path": "plants.geojson", "crs": None}
    source = field(tmp_path, "EPSG:32614", plants=plants, crop_metres=0.65)
    listing = source.list_images([DAY])
    centres = {one.plant_id: one.centre for one in listing.images}
    assert centres == {name: pytest.approx(middle, abs=0.01) for name, middle in middles.items()}
    assert any("1 of 2 plants have no-data pixels in their middle" in note for note in listing.notes)
    whole = field(tmp_path, "EPSG:32614", plants=plants, crop_metres=0.65, nodata="ignore")
    kept = whole.list_images([DAY])
    assert not any("no-data" in note for note in kept.notes)
    for one in kept.images:
        window = pillow_window(tmp_path / "ortho.tif", middles[one.plant_id], 60, None)
        np.testing.assert_array_equal(whole.read_image(one), window)
    for one in listing.images:
        window = pillow_window(tmp_path / "ortho.tif", middles[one.plant_id], 60, 255)
        np.testing.assert_array_equal(source.read_image(one), window)


def test_a_crop_of_odd_size_has_the_plant_in_its_middle_pixel(tmp_path: Path) -> None:
    bands = small_bands()
    write_raster(tmp_path / "ortho.tif", bands, small_transform(), "EPSG:32632")
    write_plants(tmp_path, {"a": (WEST + 40.4 * STEP, NORTH - 30.6 * STEP)})
    _, found = crops_of(field(tmp_path, "EPSG:32632", crop_metres=1.05))
    np.testing.assert_array_equal(found["a"], np.moveaxis(bands[:, 20:41, 30:51], 0, -1))


@pytest.mark.parametrize(("inside", "is_kept"), [(0.45, False), (0.55, True)])
def test_a_plant_at_the_border_needs_a_share_of_its_crop(tmp_path: Path, inside: float, is_kept: bool) -> None:
    write_raster(tmp_path / "ortho.tif", small_bands(), small_transform(), "EPSG:32632")
    write_plants(tmp_path, {"edge": (WEST + (inside - 0.5), NORTH - 2.0), "middle": (WEST + 2.0, NORTH - 2.0)})
    listing, found = crops_of(field(tmp_path, "EPSG:32632"))
    assert ("edge" in found) == is_kept
    if is_kept:
        (edge, _) = listing.images
        outside = round((1 - inside) * 20)
        assert edge.flags == ("crop_leaves_raster",) and not found["edge"][:, :outside].any()
        assert (found["edge"][:, outside:] > 0).all()
    else:
        (one,) = listing.left_out
        assert (one.reason, one.detail) == (
            "outside_raster", "45% of the crop has pixels; source.min_inside is 50%"
        )  # fmt: skip


def test_transparent_pixels_and_no_data_are_black_and_count_as_missing(tmp_path: Path) -> None:
    bands = np.concatenate([small_bands(), np.full((1, 80, 80), 255, np.uint8)])
    bands[3, :, :36] = 0
    write_raster(tmp_path / "ortho.tif", bands, small_transform(), "EPSG:32632", photometric="rgb", alpha="yes")
    write_plants(tmp_path, {"a": (WEST + 2.0, NORTH - 2.0), "b": (WEST + 1.0, NORTH - 2.0)})
    for nodata in ("mask", "ignore"):
        listing, found = crops_of(field(tmp_path, "EPSG:32632", nodata=nodata))
        assert [one.plant_id for one in listing.left_out] == ["b"]
        assert not found["a"][:, :6].any() and (found["a"][:, 6:] > 0).all()
    values = small_bands().astype(np.float32)
    values[:, :, :36] = np.nan
    write_raster(tmp_path / "ortho.tif", values, small_transform(), "EPSG:32632", nodata=np.nan)
    listing, found = crops_of(field(tmp_path, "EPSG:32632", value_range=(0, 255)))
    assert [one.plant_id for one in listing.left_out] == ["b"]
    assert not found["a"][:, :6].any() and (found["a"][:, 6:] > 0).all()


def test_fingerprints_follow_content_place_and_reading(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "ortho.tif", small_bands(), small_transform(), "EPSG:32632")
    write_plants(tmp_path, {"a": (WEST + 2.0, NORTH - 2.0), "b": (WEST + 2.0, NORTH - 2.1)})
    source = field(tmp_path, "EPSG:32632")
    first, second = source.list_images([DAY]).images
    prints = {source.fingerprint(first), source.fingerprint(second)}
    for other in ({"crop_metres": 1.1}, {"nodata": "ignore"}, {"value_range": (0, 200)}, {"bands": (3, 2, 1)}):
        prints.add(field(tmp_path, "EPSG:32632", **other).fingerprint(first))
    write_raster(path, small_bands()[::-1], small_transform(), "EPSG:32632")
    prints.add(source.fingerprint(first))
    assert len(prints) == 7
