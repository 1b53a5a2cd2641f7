"""Test that every wrong input of a field is refused with what was found, the rule and a remedy."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from pydantic import ValidationError
from rasterio.transform import Affine

from storage.errors import InputError
from tests.support.orthophotos import STEP, small_bands, small_transform, write_raster
from tests.support.small_field import CRS, DAY, LINES, SPOTS, make, read, save


def raster_of(**options: Any) -> Callable[[Path], Any]:
    """Return a function that writes another orthophoto of the first date."""
    known: dict[str, Any] = {"bands": small_bands(), "transform": small_transform(), "crs": CRS}
    return lambda root: write_raster(root / f"ortho_{DAY:%Y%m%d}.tif", **{**known, **options})


def plants_of(*lines: str, header: str = "id,easting,northing") -> Callable[[Path], None]:
    return lambda root: save(root, *lines, header=header)


def layer_of(
    name: str, layer: str = "plants", crs: str | None = CRS, shape: str = "POINT (1 1)"
) -> Callable[..., None]:
    def write(root: Path) -> None:
        frame: Any = geopandas.GeoDataFrame({"id": ["a"]}, geometry=[shapely.from_wkt(shape)], crs=crs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # pyogrio warns where there is no CRS
            frame.to_file(root / name, layer=layer, engine="pyogrio")

    return write


def both(*writers: Callable[[Path], Any]) -> Callable[[Path], Any]:
    return lambda root: [writer(root) for writer in writers]


def nothing(root: Path) -> None:
    """Leave the folder as it is."""


X, Y = SPOTS[0]
GPKG: dict[str, Any] = {"path": "p.gpkg", "crs": None}
REFUSED: dict[str, tuple[Callable[[Path], Any], dict[str, Any], str]] = {
    "no plants": (lambda root: (root / "plants.csv").unlink(), {}, "There is no file .*correct source.plants.path"),
    "no workbook": (lambda root: (root / "p.xlsx").write_bytes(b"PK"), {"plants": {"path": "p.xlsx"}}, "as a workbook"),
    "OpenDocument": (lambda root: (root / "p.ods").write_bytes(b"PK"), {"plants": {"path": "p.ods"}}, "save the table"),
    "no column of variety": (nothing, {"plants": {"variety_column": "x"}}, "no column x; its columns are id, easting"),
    "few plants and no crop": (nothing, {"crop_metres": None}, "3 plants of plants.csv have no spacing.*at least 20"),
    "margin too wide": (
        plants_of(*(f"{n},{X + 0.1 * n},{Y}" for n in range(20))), {"block_metres": 0.5, "block_margin": 3.0},
        "margin of 3 m between blocks leaves no plant for .*larger blocks",
    ),
    "header alone": (plants_of(), {}, "plants.csv has no rows"),
    "no layer": (lambda root: (root / "p.gpkg").write_bytes(b"x"), {"plants": GPKG}, "cannot be read as a map layer"),
    "two layers": (both(layer_of("p.gpkg"), layer_of("p.gpkg", "plots")), {"plants": GPKG}, "has 2 layers: plants, pl"),
    "another layer": (layer_of("p.gpkg"), {"plants": {**GPKG, "layer": "x"}}, "cannot be read as a map layer"),
    "no column": (layer_of("p.gpkg"), {"plants": {**GPKG, "plot_column": "x"}}, "no column x; its columns are id"),
    "no column of text": (nothing, {"plants": {"plot_column": "x"}}, "no column x; its columns are id, easting, nor"),
    "no column of x": (nothing, {"plants": {"x_column": "lon"}}, "no column lon"),
    "text without CRS": (nothing, {"plants": {"crs": None}}, "source.plants.crs is not set"),
    "layer without CRS": (layer_of("p.gpkg", crs=None), {"plants": GPKG}, "states no coordinate reference system"),
    "two CRSs": (layer_of("p.gpkg"), {"plants": {**GPKG, "crs": "EPSG:32633"}}, "states WGS 84 / UTM zone 32N, and"),
    "unknown CRS": (nothing, {"plants": {"crs": "EPSG:99"}}, "no such coordinate reference system as EPSG:99"),
    "line": (layer_of("p.gpkg", shape="LINESTRING (0 0, 1 1)"), {"plants": GPKG}, "without a position: 1"),
    "empty point": (layer_of("p.gpkg", shape="POINT EMPTY"), {"plants": GPKG}, "without a position: 1"),
    "NaN": (plants_of(f"a,nan,{Y}", LINES[1]), {}, "without a position: 1.*line 2.*two finite numbers"),
    "infinite": (plants_of(f"a,inf,{Y}"), {}, "without a position: 1"),
    "word": (plants_of(f"a,west,{Y}"), {}, "without a position: 1"),
    "empty id": (plants_of(LINES[0], f",{X},{Y}"), {}, "id is empty in plants.csv: line 3"),
    "same id": (plants_of(*LINES, LINES[0]), {}, "same id: 1.*a +line 2, line 5"),
    "same place": (plants_of(*LINES, LINES[0]), {"plants": {"id_column": None}}, "same id: 1.*E365001.00_N5614999.00"),
    "unknown split": (
        plants_of(f"a,{X},{Y},holdout", header="id,easting,northing,set"),
        {"plants": {"split_column": "set"}},
        "Unknown splits in plants.csv, column set: 'holdout'",
    ),
    "one plot": (
        plants_of(f"a,{X},{Y},7", header="id,easting,northing,plot"),
        {"plants": {"plot_column": "plot"}},
        "at least three blocks",
    ),
    "no plot": (
        plants_of(f"a,{X},{Y},", header="id,easting,northing,plot"),
        {"plants": {"plot_column": "plot"}},
        "plot is empty in plants.csv: line 2",
    ),
    "swapped columns": (plants_of(f"a,{Y},{X}"), {}, "x and y are swapped"),
    "latitude first": (plants_of("a,50.67,7.09"), {"plants": {"crs": "EPSG:4326"}}, "x and y are swapped"),
    "zone before the easting": (plants_of(f"a,{32e6 + X},{Y}"), {}, "number of the UTM zone"),
    "metres as degrees": (nothing, {"plants": {"crs": "EPSG:4326"}}, "lie nowhere in WGS 84"),
    "another region": (
        nothing, {"plants": {"crs": "EPSG:32614"}}, "longitude -100.* set source.crs to EPSG:32614",
    ),
    "another field": (plants_of(f"a,{X + 500},{Y}"), {}, "No plant of plants.csv lies in an orthophoto: plants have x"),
    "no raster": (nothing, {"rasters": "{date}.tif"}, r"No raster below .* fits .*; the folder has ortho_20240501.tif"),
    "no such file": (nothing, {"rasters": {"2024-05-01": "x.tif"}}, "x.tif of 2024-05-01 cannot be read .*missing"),
    "no such date": (nothing, {"rasters": {"2024-05-02": "ortho_20240501.tif"}}, "no image for 2024-05-01"),
    "impossible date": (lambda root: (root / "ortho_20240231.tif").touch(), {}, "holds no date"),
    "bar in a name": (lambda root: (root / "ortho_20240501.tif").rename(root / "o | 20240501.tif"),
                      {"rasters": "o*{date}.tif"}, "has a bar in its name"),
    "raster without CRS": (raster_of(crs=None), {}, "has no CRS"),
    "broken link": (
        lambda root: (root / "ortho_20240520.tif").symlink_to("away.tif"), {}, "cannot be read: a link to a file that",
    ),
    "folder as a raster": (lambda root: (root / "ortho_20240520.tif").mkdir(), {}, "cannot be read: a folder with"),
    "palette with a range": (
        raster_of(bands=small_bands(1), photometric="palette"), {"value_range": (0, 99)}, "has a palette",
    ),
    "16 bits": (raster_of(bands=small_bands().astype(np.uint16)), {}, "type uint16.*source.value_range"),
    "float": (raster_of(bands=small_bands().astype(np.float32)), {}, "type float32.*source.value_range"),
    "bands unknown": (raster_of(bands=small_bands(5), photometric="minisblack"), {}, "set source.bands"),
    "bands not there": (nothing, {"bands": (1, 2, 4)}, r"source.bands is \[1, 2, 4\], and .* has 3 bands"),
    "crop too small": (nothing, {"crop_metres": 0.5}, "Pixels of .* are 0.05 m, so a crop of 0.5 m has 10 pixels"),
    "crop too large": (nothing, {"crop_metres": 900}, "has 1.8e.04 pixels"),
    "degrees in a metric CRS": (
        raster_of(transform=Affine(4e-7, 0.0, 7.0, 0.0, -4e-7, 50.0), crs=CRS), {}, "A crop must have 16 to 4096",
    ),
    "two orthophotos of a date": (
        both(lambda root: write_raster(root / f"{DAY}/a.tif", small_bands(), small_transform(), CRS),
             lambda root: write_raster(root / f"{DAY}/b.tif", small_bands(), small_transform(), "EPSG:32633")),
        {"rasters": "{date}/*.tif"}, "different CRSs or pixel sizes",
    ),
    "harvest in another season": (
        lambda root: (root / "harvest.csv").write_text("plant_id,harvest_date\na,2014-05-02\n"), {}, "outside the seas",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_inputs_are_refused(root: Path, case: str) -> None:
    spoil, options, message = REFUSED[case]
    spoil(root)
    with pytest.raises(InputError, match=f"(?s){message}") as caught:
        read(root, **options)
    assert all((caught.value.found, caught.value.rule, caught.value.remedy))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rasters": "ortho.tif"}, "{date} once"),
        ({"rasters": "{date}/{date}.tif"}, "{date} once"),
        ({"rasters": {}}, "names no file"),
        ({"rasters": {"2024-05-01": []}}, "names no file"),
        ({"crs": "EPSG:4326"}, "two axes in metres"),
        ({"crs": "EPSG:2264"}, "two axes in metres"),
        ({"bands": (0, 1, 2)}, "counted from 1"),
        ({"value_range": (1, 0)}, "must be the smaller"),
        ({"crop_metres": 0}, "greater than 0"),
        ({"block_margin": 1.0}, "add block_metres"),
        ({"block_metres": 1.0, "block_margin": -1.0}, "greater than or equal to 0"),
        (
            {"crop_metres": None, "harvest_table": {"flag_column": "f", "ready_column": "r"}},
            "holds harvest dates, flags",
        ),
        ({"harvest_table": {"observed_until": "2024-05-09", "ready_column": "r"}}, "observed_until is given too"),
        ({"plants": {"id_column": None, "row_column": "row"}}, "add number_column"),
        ({"plants": {"split_column": "set"}, "block_metres": 2.0}, "only one of both"),
    ],
)
def test_wrong_keys_are_refused(root: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make(root, **options)


def test_steps_of_the_small_raster() -> None:
    assert small_bands().shape[1] * STEP == 4.0  # metres, which the tests above count on
