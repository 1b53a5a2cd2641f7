"""Test backgrounds of maps: against tiles that were drawn, without a source, and where nothing can be read."""

import io
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image

from storage.artifacts import Artifact, ArtifactRef, Recipe, Store
from tasks.ingest.background import MOST_BYTES, PICTURE, encode_view, keep_background
from tasks.ingest.survey import image_json
from tasks.sources import AnySource
from tasks.sources.growliflower.source import GrowliFlowerSource
from tasks.sources.synthetic.layouts import write_season
from tasks.sources.synthetic.season import SPACING, Season, SeasonParams, grow_season
from tasks.sources.views import View
from tests.support.orthophoto_season import field_of_season
from tests.support.orthophotos import write_raster

CRS = "EPSG:25832"
SIZE = 32  # of a tile, pixels
FEW = {"seed": 5, "n_plots": 2, "rows": 2, "plants_per_row": 6, "image_size": SIZE, "dates": ["2021-08-23"]}


@pytest.fixture(scope="module")
def season() -> Season:
    return grow_season(SeasonParams.model_validate(FEW))


@pytest.fixture(scope="module")
def written(season: Season, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("seasons")
    for layout in ("field", "growliflower-orthophoto", "growliflower"):
        write_season(season, root / layout, layout)
    return root


def source_of(root: Path, layout: str) -> AnySource:
    if layout == "field":
        return field_of_season(root / layout, date(2021, 10, 31))
    return GrowliFlowerSource(root=str(root / layout), crop_size=SIZE)


def keep(store: Store, source: AnySource, day: date, pixels: int = 400, listed: AnySource | None = None) -> Artifact:
    """Keep the background of a date, whose images are listed from another source if one is given."""
    images = [image_json(image) for image in (listed or source).list_images([day]).images]
    recipe = Recipe("images", 1, {"day": day.isoformat()})
    if not store.holds(recipe.ref):
        with store.create(recipe) as draft:
            draft.write_json("listing.json", {"images": images})
    made = keep_background.fn(store.address, day, source, CRS, pixels, recipe.ref)
    assert isinstance(made, ArtifactRef)
    return store.open(made)


def pixels_of(artifact: Artifact) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(artifact.read_bytes(PICTURE))))


@pytest.mark.parametrize("layout", ["field", "growliflower-orthophoto"])
def test_every_plant_lies_where_its_tile_was_drawn(season: Season, written: Path, tmp_path: Path, layout: str) -> None:
    """Compare the colours around each plant with its own drawing, which knows nothing of rasters and bounds."""
    day = season.params.dates[0]
    found = keep(Store(tmp_path / "store"), source_of(written, layout), day)
    picture, (west, south, east, north) = pixels_of(found), found.summary["bounds"]
    assert max(picture.shape[:2]) == 400
    scale = picture.shape[1] / (east - west)
    assert picture.shape[0] / (north - south) == pytest.approx(scale, rel=0.01)
    half = round(0.3 * SPACING * scale)
    # The first plant of a plot has no data, and the last plot is cut, in the layout of the release.
    for plant in (plant for plant in season.plants if 1 < plant.number < 6):
        x, y = (plant.easting - west) * scale, (north - plant.northing) * scale
        around = picture[round(y) - half : round(y) + half, round(x) - half : round(x) + half]
        drawn = season.image(season.observation(plant.plant_id, day))[6:-6, 6:-6]
        assert (around[..., 3] == 255).all()
        np.testing.assert_allclose(around[..., :3].mean((0, 1)), drawn.mean((0, 1)), atol=8)


def test_a_place_without_a_pixel_is_transparent(season: Season, written: Path, tmp_path: Path) -> None:
    found = keep(Store(tmp_path / "store"), source_of(written, "field"), season.params.dates[0])
    picture = pixels_of(found)
    corners = picture[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners[:, 3] == 0).all()
    share = float((picture[..., 3] == 255).mean())
    assert found.summary["share"] == pytest.approx(share, abs=0.002) and 0.1 < share < 0.9


def test_a_fault_stops_nothing_and_is_tried_again(season: Season, written: Path, tmp_path: Path) -> None:
    """Take the orthophoto away and bring it back: the artefact says why there is no picture, and then there is one."""
    day, store, listed = season.params.dates[0], Store(tmp_path / "store"), source_of(written, "field")
    root = tmp_path / "gone"
    root.mkdir()
    (root / "ortho_2021-01-01.tif").write_bytes(b"II*\0 no raster")
    for name in ("plants.gpkg", "harvest.xlsx"):
        (root / name).write_bytes((written / "field" / name).read_bytes())
    moved = field_of_season(root, date(2021, 10, 31))
    without = keep(store, moved, day, listed=listed)
    assert without.summary["fault"] == f"there is no orthophoto of {day} any more"
    assert PICTURE not in without.manifest.files
    damaged = (written / "field" / f"ortho_{day}.tif").read_bytes()
    (root / f"ortho_{day}.tif").write_bytes(damaged[:400] + bytes(len(damaged) - 400))
    assert f"ortho_{day}.tif" in keep(store, moved, day, listed=listed).summary["fault"]
    (root / f"ortho_{day}.tif").write_bytes(damaged)
    again = keep(store, moved, day, listed=listed)
    assert again.summary["fault"] == "" and PICTURE in again.manifest.files
    assert keep(store, moved, day, listed=listed).ref == again.ref


def test_patches_have_no_background_and_no_fault(season: Season, written: Path, tmp_path: Path) -> None:
    found = keep(Store(tmp_path / "store"), source_of(written, "growliflower"), season.params.dates[0])
    assert found.summary["fault"] == "" and PICTURE not in found.manifest.files


def test_a_raster_without_a_place_is_told(season: Season, written: Path, tmp_path: Path) -> None:
    """Strip the CRS of a plot; nobody knows then where its pixels lie."""
    root, day = tmp_path / "release", season.params.dates[0]
    write_season(season, root, "growliflower-orthophoto")
    path = sorted(root.rglob(f"*{day:%Y_%m_%d}*Plot1*.tif"))[0]
    with rasterio.open(path) as raster:
        bands, matrix = raster.read(), raster.transform
    write_raster(path, bands, matrix, None)
    source = GrowliFlowerSource(root=str(root), crop_size=SIZE)
    listed = source_of(written, "growliflower-orthophoto")
    said = keep(Store(tmp_path / "store"), source, day, listed=listed).summary["fault"]
    assert said == f"{path.name} does not state where on the earth its pixels lie"


def test_a_picture_is_compressed_and_then_shrunk_until_it_is_small_enough() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    view = View(noise, np.ones((300, 400), np.bool_))
    found = [encode_view(view, most) for most in (MOST_BYTES, 60_000, 20_000)]
    sizes = [Image.open(io.BytesIO(one)).size for one in found]
    assert len(found[0]) > 60_000 >= len(found[1]) > 20_000 >= len(found[2])
    assert sizes == [(400, 300), (400, 300), (200, 150)]
