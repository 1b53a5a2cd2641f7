"""Look at fields with orthophotos: maps over thumbnails, and dates that lie beside each other."""

import io
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import Affine

from tasks.ingest.params import IngestParams
from tasks.look.findings import find_misregistered
from tasks.look.look import CampaignLook, look_at_campaign
from tasks.look.map import MOST_BYTES, draw_map, places_of
from tasks.look.orthophotos import THUMBNAIL, compare_flights, read_flights
from tasks.look.page import render_look
from tasks.look.registration import Step
from tasks.sources.contract import SourceImage
from tasks.sources.field.source import FieldSource
from tasks.sources.growliflower.source import GrowliFlowerSource
from tasks.sources.synthetic.layouts import write_season
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.season import grow_season
from tasks.sources.views import frame_of, part_of
from tests.support.orthophotos import ORTHOPHOTOS, needs_orthophotos, write_raster
from tests.support.small_field import CRS, DAY, LATER, make, write_field
from tests.unit.tasks.look.test_look import Page

LAST = date(2024, 5, 15)
OFF = (0.13, -0.085)  # metres by which the middle date's orthophoto lies beside the others; no whole pixels
PARAMS = IngestParams()


@pytest.fixture(scope="module")
def soybeans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a real orthophoto for three dates: as it is, moved and in another light, and with another pixel size."""
    root = tmp_path_factory.mktemp("soybeans")
    with rasterio.open(ORTHOPHOTOS / "soybean.tif") as raster:
        bands, crs, matrix = raster.read(), raster.crs.to_wkt(), raster.transform
        x, y = raster.xy(*(axis.ravel() for axis in np.mgrid[20:640:64, 20:1220:64]))
    shutil.copy(ORTHOPHOTOS / "soybean.tif", root / f"ortho_{DAY:%Y%m%d}.tif")
    light = (bands * 0.7 + np.random.default_rng(0).normal(10, 5, bands.shape)).clip(1, 254).astype(np.uint8)
    moved = Affine(matrix.a, 0.0, matrix.c + OFF[0], 0.0, matrix.e, matrix.f + OFF[1])
    write_raster(root / f"ortho_{LATER:%Y%m%d}.tif", light, moved, crs)
    small = np.stack([np.asarray(Image.fromarray(band).resize((926, 493))) for band in bands])
    coarse = Affine(matrix.a * 1235 / 926, 0.0, matrix.c, 0.0, matrix.e * 657 / 493, matrix.f)
    write_raster(root / f"ortho_{LAST:%Y%m%d}.tif", small, coarse, crs)
    lines = [f"p{i},{east!r},{north!r}" for i, (east, north) in enumerate(zip(x.tolist(), y.tolist(), strict=True))]
    (root / "plants.csv").write_text("\n".join(["id,easting,northing", *lines]))
    return root


def soybean_field(root: Path, **options: Any) -> FieldSource:
    plants = {"crs": "EPSG:32414"}
    return make(root, crs="EPSG:32614", crop_metres=0.3, plants=plants, **options)


def look(source: FieldSource, *days: date) -> CampaignLook:
    return look_at_campaign(source, days, PARAMS, n_needed=2, is_trained=False)


@needs_orthophotos
@pytest.mark.slow
def test_a_date_that_lies_beside_the_others_is_named(soybeans: Path) -> None:
    found = look(soybean_field(soybeans), DAY, LATER, LAST)
    (one,) = [finding for finding in found.findings if finding.kind == "misregistered"]
    (name,) = one.named
    assert name.startswith(f"{LATER} lies about 0.13 m east and 0.0") and f"m south of {DAY} (" in name
    numbers = name.split(f"set [source.shift] {LATER} = [")[1].rstrip("]").split(", ")
    assert [float(number) for number in numbers] == pytest.approx(OFF, abs=0.011)  # written to the centimetre
    assert all(step.is_sure and step.n_places >= 10 for step in found.steps) and len(found.steps) == 2
    page = render_look("soybeans", found)
    assert name in page and "+0.13" in page and "Do the dates lie on each other?" in page


@needs_orthophotos
@pytest.mark.slow
def test_the_shift_that_is_named_corrects_it(soybeans: Path) -> None:
    """Set it, and set a wrong one, to which the shift that is named then adds."""
    for shift, kinds in (((0.13, -0.09), []), ((0.13, 0.2), ["misregistered"])):
        source = soybean_field(soybeans, shift={LATER: shift})
        everywhere = places_of(source.list_images([DAY]).images)
        steps = compare_flights(
            read_flights(source, [DAY, LATER], everywhere, source.crs, source.crop_side()), source.crop_side()
        )
        found = find_misregistered(
            [*steps, Step(LATER, LAST, -steps[0].east, -steps[0].north, 9, 9)], 0.3, source.shift
        )
        assert [one.kind for one in found] == kinds
        if kinds:
            (name,) = found[0].named
            numbers = name.split(f"set [source.shift] {LATER} = [")[1].rstrip("]").split(", ")
            assert [float(number) for number in numbers] == pytest.approx(OFF, abs=0.011)
            assert f"lies about 0.28 m south of {DAY}" in name or "0.29 m south" in name


@pytest.mark.slow
def test_maps_lie_over_the_orthophoto(tmp_path: Path) -> None:
    """Look at a field whose west half is red and whose east half is blue."""
    write_field(tmp_path)
    for day, value in ((DAY, 220), (LATER, 230)):  # equal pixels on two dates would count as duplicates
        path = tmp_path / f"ortho_{day:%Y%m%d}.tif"
        with rasterio.open(path, "r+") as raster:
            bands = np.zeros((3, 80, 80), np.uint8)
            bands[0, :, :40], bands[2, :, 40:] = value, value
            raster.write(bands)
    found = look(make(tmp_path), DAY, LATER)
    for day in found.days:
        with Image.open(io.BytesIO(day.detail)) as opened:
            assert opened.format == "WEBP" and max(opened.size) <= 1400
        with Image.open(io.BytesIO(day.map)) as opened:
            assert opened.format == "WEBP" and max(opened.size) <= 1400
            pixels = np.asarray(opened.convert("RGB"), np.float64)
        height, width = pixels.shape[:2]
        middle = pixels[height // 3 : height // 2]
        parts = slice(width // 4, width // 3), slice(-width // 3, -width // 4)
        red, blue = (np.median(middle[:, part], axis=(0, 1)) for part in parts)
        assert red[0] > 180 and red[2] < 60 and blue[2] > 180 and blue[0] < 60
    assert [len(found.steps), found.steps[0].n_places] == [1, 0]  # no texture, so nothing can be compared
    page = Page(render_look("field", found))
    assert not page.wrong and not page.open
    assert [one.split(";")[0] for one in page.addresses].count("data:image/webp") == 4


@pytest.mark.slow
def test_an_orthophoto_that_cannot_be_shown_is_told(tmp_path: Path) -> None:
    write_field(tmp_path)
    path = tmp_path / f"ortho_{DAY:%Y%m%d}.tif"
    with rasterio.open(path) as raster:
        profile, bands = raster.profile, raster.read()
    write_raster(path, bands, profile["transform"], CRS, tiled=True, blockxsize=16, blockysize=16, compress="deflate")
    content = bytearray(path.read_bytes())
    content[-600:] = bytes(600)
    path.write_bytes(content)
    found = look(make(tmp_path), DAY, LATER)
    broken, whole = found.days
    assert "ortho_20240501.tif" in broken.fault and broken.detail == b"" and broken.map.startswith(b"\x89PNG")
    assert whole.fault == "" and whole.detail
    assert "The orthophoto cannot be shown: ortho_20240501.tif" in render_look("field", found)


@pytest.mark.slow
def test_pictures_are_bounded_in_bytes_and_pixels() -> None:
    """Draw twenty thousand plants over noise, which compresses worst."""
    random = np.random.default_rng(0)
    places = {f"p{i}": (float(x), float(y)) for i, (x, y) in enumerate(random.uniform(0, 90, (20_000, 2)))}
    images = [
        SourceImage(name, DAY, "train", "plants", "a.tif", easting=x, northing=y) for name, (x, y) in places.items()
    ]
    noise = random.integers(0, 256, (THUMBNAIL, THUMBNAIL, 3), dtype=np.uint8)
    picture = draw_map(images, places, frame_of(places.values()), noise)
    with Image.open(io.BytesIO(picture)) as opened:
        assert max(opened.size) <= 1400
    assert 100_000 < len(picture) <= MOST_BYTES


@pytest.mark.parametrize("bounds", [(0, 0, 4000, 20), (0, 0, 20, 4000), (5, 5, 7, 7)])
def test_a_part_keeps_its_proportions(bounds: tuple[float, float, float, float]) -> None:
    part = part_of(bounds, 1000)
    assert max(part.width, part.height) == 1000
    assert part.width / part.height == pytest.approx((bounds[2] - bounds[0]) / (bounds[3] - bounds[1]), rel=0.01)


@pytest.mark.slow
def test_orthophotos_of_the_release_lie_under_the_map_too(tmp_path: Path) -> None:
    """Patches of the same season have no orthophoto, and nothing is missing then."""
    few = {"seed": 5, "n_plots": 2, "rows": 2, "plants_per_row": 5, "image_size": 32, "dates": ["2021-08-23"]}
    season = grow_season(SeasonParams.model_validate(few))
    for layout in ("growliflower-orthophoto", "growliflower"):
        write_season(season, tmp_path / layout, layout)
    source = GrowliFlowerSource(root=str(tmp_path / "growliflower-orthophoto"), crop_size=32)
    found = look_at_campaign(source, season.params.dates, PARAMS, n_needed=2, is_trained=False)
    assert [one.map[8:12] for one in found.days] == [one.detail[8:12] for one in found.days] == [b"WEBP"]
    assert found.steps == [] and [one.fault for one in found.days] == [""]
    patches = GrowliFlowerSource(root=str(tmp_path / "growliflower"))
    plain = look_at_campaign(patches, season.params.dates, PARAMS, n_needed=2, is_trained=False)
    assert [(one.map[1:4], one.detail, one.fault) for one in plain.days] == [(b"PNG", b"", "")]
