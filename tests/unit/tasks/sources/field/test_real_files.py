"""Test crops of real orthophotos, and of the forms that GDAL's programs make of them, against GDAL's own reading.

GDAL's programs (`gdal_translate`, `gdalwarp`, `gdaltransform`) come with another build of GDAL and PROJ than rasterio.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image
from skimage.registration import phase_cross_correlation

from tests.support.field_crops import DAY, correlation, crops_of, field, write_plants
from tests.support.gdal_programs import (
    WITH_WHITE,
    centroid_of,
    gdal,
    needs_gdal,
    read_window,
    transform_points,
    warp_window,
)
from tests.support.orthophoto_forms import FINER, warped
from tests.support.orthophotos import ORTHOPHOTOS, needs_orthophotos

pytestmark = [pytest.mark.slow, needs_orthophotos, needs_gdal]

Places = dict[str, tuple[float, float]]
"""Position or pixel (x, y) by plant."""
Crops = dict[str, NDArray[np.uint8]]


@dataclass(frozen=True)
class Photo:
    """A real orthophoto and plants in it.

    Attributes
    ----------
    crs : projected system of its crops.
    metres, side : width of a crop, in metres and in pixels.
    nodata : no-data value of the file.
    plants : keys of the source that name plants.
    middles : pixel of each plant, whose whole crop lies in the raster.
    """

    path: Path
    crs: str
    metres: float
    side: int
    nodata: int
    plants: dict[str, Any]
    middles: Places

    def windows(self, folder: Path) -> Crops:
        """Read the crops of all plants with `gdal_translate`."""
        made = folder / "window.ppm"
        corners = {name: corner_of(middle, self.side) for name, middle in self.middles.items()}
        return {name: read_window(self.path, made, corner, self.side, self.nodata) for name, corner in corners.items()}

    def interpolated(self, raster: Path, folder: Path) -> Crops:
        """Read the crops of all plants from a form of it with `gdalwarp`, each around its place to parts of a pixel."""
        middles = list(self.middles.values())
        places = transform_points(transform_points(middles, self.path), "-s_srs", self.own_crs, "-t_srs", self.crs)
        made = folder / "window.tif"
        of_plant = dict(zip(self.middles, places, strict=True))
        return {name: warp_window(raster, made, self.crs, at, self.metres, self.side) for name, at in of_plant.items()}

    @property
    def own_crs(self) -> str:
        """Return the system of the file."""
        with rasterio.open(self.path) as raster:
            return raster.crs.to_wkt()

    def write_plants(self, root: Path) -> None:
        """Write the file of plants: a link to the real one, or positions in degrees."""
        if self.path.stem == "australia":
            for file in ORTHOPHOTOS.glob("australia.*"):
                (root / file.name).symlink_to(file)
        else:
            places = transform_points(list(self.middles.values()), "-t_srs", "EPSG:4326", self.path)
            write_plants(root, dict(zip(self.middles, places, strict=True)))


def corner_of(middle: tuple[float, float], side: int) -> tuple[int, int]:
    """Return the window of an even side around the corner of pixels nearest to a place; of two the later one."""
    column, row = (int(np.floor(one + 0.5)) for one in middle)
    return column - side // 2, row - side // 2


def crowns() -> Places:
    """Return the middle of every crown of OSBS_029, on whole or half pixels."""
    with (ORTHOPHOTOS / "OSBS_029.csv").open() as file:
        rows = [{name: int(row[name]) for name in ("xmin", "xmax", "ymin", "ymax")} for row in csv.DictReader(file)]
    return {f"crown {n}": ((r["xmin"] + r["xmax"]) / 2, (r["ymin"] + r["ymax"]) / 2) for n, r in enumerate(rows)}


def pines(metres: float) -> Photo:
    """Return the airborne photograph of pines, with some crowns whose crop lies inside."""
    side = round(metres * 10)
    margin = side // 2 + 1
    inside = [(name, one) for name, one in crowns().items() if all(margin <= place <= 400 - margin for place in one)]
    every = len(inside) // 3
    return Photo(
        ORTHOPHOTOS / "OSBS_029.tif", "EPSG:32617", metres, side, 255, {"crs": "EPSG:4326"}, dict(inside[1::every])
    )


def tree() -> Photo:
    """Return the drone photograph of a crown that is a polygon."""
    path = ORTHOPHOTOS / "australia.tif"
    (middle,) = transform_points([centroid_of(ORTHOPHOTOS / "australia.shp")], "-i", path)
    plants = {"path": "australia.shp", "crs": None, "id_column": "Field"}
    return Photo(path, "EPSG:32753", 3.6, 200, 0, plants, {"0": middle})


def trial() -> Photo:
    """Return the drone photograph of soybeans, with places in a grid."""
    grid = {f"{x} {y}": (x + 0.2, y + 0.4) for x, y in ((100, 560), (650, 100), (1100, 330))}
    return Photo(ORTHOPHOTOS / "soybean.tif", "EPSG:32614", 0.65, 60, 255, {"crs": "EPSG:4326"}, grid)


PHOTOS: dict[str, Callable[[], Photo]] = {
    "pines in 4 m": lambda: pines(4.0),
    "pines in 24 m": lambda: pines(24.0),
    "tree": tree,
    "soybeans": trial,
}


@pytest.fixture(scope="module", params=PHOTOS)
def photo(request: pytest.FixtureRequest) -> Photo:
    return PHOTOS[request.param]()


@pytest.fixture(scope="module")
def windows(photo: Photo, tmp_path_factory: pytest.TempPathFactory) -> Crops:
    return photo.windows(tmp_path_factory.mktemp("windows"))


@pytest.fixture(scope="module")
def interpolated(photo: Photo, tmp_path_factory: pytest.TempPathFactory) -> Crops:
    return photo.interpolated(photo.path, tmp_path_factory.mktemp("windows"))


@pytest.fixture(scope="module")
def of_crowns(tmp_path_factory: pytest.TempPathFactory) -> Crops:
    """Read the windows of 24 m around all crowns with `gdal_translate`."""
    photo, made = ORTHOPHOTOS / "OSBS_029.tif", tmp_path_factory.mktemp("crowns") / "window.ppm"
    return {name: read_window(photo, made, corner_of(middle, 240), 240, 255) for name, middle in crowns().items()}


@pytest.mark.parametrize("side", [240, 40])
def test_all_crowns_are_centred_to_the_pixel(tmp_path: Path, of_crowns: Crops, side: int) -> None:
    photo, middles = ORTHOPHOTOS / "OSBS_029.tif", crowns()
    assert len(middles) == 61
    (tmp_path / "ortho.tif").symlink_to(photo)
    write_plants(tmp_path, dict(zip(middles, transform_points(list(middles.values()), photo), strict=True)))
    listing, found = crops_of(field(tmp_path, "EPSG:32617", crop_metres=side / 10, min_inside=0.1))
    assert found.keys() == middles.keys() and listing.left_out == ()
    middle = slice(120 - side // 2, 120 + side // 2)
    for name, window in of_crowns.items():
        np.testing.assert_array_equal(found[name], window[middle, middle])


def translated(*options: object, to: str = "ortho.tif", **keys: Any) -> Callable[[Photo, Path], dict[str, Any]]:
    """Return a form that `gdal_translate` makes with these options, and the keys that read it."""

    def make(photo: Photo, root: Path) -> dict[str, Any]:
        gdal("gdal_translate", "-q", *options, photo.path, root / to)
        return {"rasters": {str(DAY): to}, **keys}

    return make


def reprojected(to: str) -> Callable[[Photo, Path], dict[str, Any]]:
    """Return a form that `gdalwarp` makes in another system, with pixels half as wide to keep the detail."""

    def make(photo: Photo, root: Path) -> dict[str, Any]:
        options = (*WITH_WHITE, "-r", "cubic", "-dstalpha", "-t_srs", to)
        gdal("gdalwarp", *options, "-of", "VRT", photo.path, root / "sizes.vrt")
        with rasterio.open(root / "sizes.vrt") as raster:
            size = FINER * raster.width, FINER * raster.height
        gdal("gdalwarp", *options, "-ts", *size, photo.path, root / "ortho.tif")
        return {}

    return make


def next_zone(photo: Photo, root: Path) -> dict[str, Any]:
    """Reproject to the next UTM zone in the west, where north points elsewhere."""
    return reprojected(f"EPSG:{int(photo.crs[5:]) - 1}")(photo, root)


def with_alpha(photo: Photo, root: Path) -> dict[str, Any]:
    """Add an alpha band that is 0 where all bands have the no-data value, in the photograph's own pixels."""
    gdal("gdalwarp", "-q", "-wo", "UNIFIED_SRC_NODATA=YES", "-dstalpha", photo.path, root / "ortho.tif")
    return {}


def sixteen_bits(photo: Photo, root: Path) -> dict[str, Any]:
    """Spread the values, and the no-data value with them, over 16 bits."""
    options = ("-ot", "UInt16", "-scale", 0, 255, 0, 65535, "-a_nodata", photo.nodata * 257)
    return translated(*options, value_range=(0, 65535))(photo, root)


def tiles(photo: Photo, root: Path) -> dict[str, Any]:
    """Cut the photograph into tiles of which neighbours share 30 pixels."""
    with rasterio.open(photo.path) as raster:
        width, height = raster.width, raster.height
    wide, high = -(-width // 2), -(-height // 2)
    names: list[str] = []
    for left in range(0, width, wide):
        for top in range(0, height, high):
            names.append(f"tile_{left}_{top}.tif")
            size = min(wide + 30, width - left), min(high + 30, height - top)
            gdal("gdal_translate", "-q", "-srcwin", left, top, *size, photo.path, root / names[-1])
    return {"rasters": {str(DAY): names}}


def vrt(photo: Photo, root: Path) -> dict[str, Any]:
    """Join the tiles in a VRT."""
    names: list[str] = tiles(photo, root)["rasters"][str(DAY)]
    gdal("gdalbuildvrt", "-q", root / "ortho.vrt", *(root / name for name in names))
    return {"rasters": {str(DAY): "ortho.vrt"}}


def turned(photo: Photo, root: Path) -> dict[str, Any]:
    """Turn the photograph by 25 degrees with rasterio, because no program of GDAL writes turned pixels."""
    with rasterio.open(photo.path) as raster:
        bands, matrix, crs = np.maximum(raster.read(), 1), raster.transform, raster.crs.to_wkt()
    return warped(root, bands, matrix, crs, crs, turn=25.0)


LOSSLESS = [
    one
    for option in ("QUALITY=100", "REVERSIBLE=YES", "YCC=NO", "BLOCKXSIZE=256", "BLOCKYSIZE=256")
    for one in ("-co", option)
]
EXACT: dict[str, Callable[[Photo, Path], dict[str, Any]]] = {
    "COG": translated("-of", "COG", "-co", "COMPRESS=DEFLATE", "-co", "BLOCKSIZE=128"),
    "BigTIFF in strips": translated("-co", "BIGTIFF=YES", "-co", "TILED=NO"),
    "JPEG 2000": translated("-of", "JP2OpenJPEG", *LOSSLESS, to="ortho.jp2"),
    "16 bits": sixteen_bits,
    "alpha": with_alpha,
    "tiles with overlap": tiles,
    "VRT of tiles": vrt,
}
RESAMPLED: dict[str, Callable[[Photo, Path], dict[str, Any]]] = {
    "turned by 25 degrees": turned,
    "degrees": reprojected("EPSG:4326"),
    "Web Mercator": reprojected("EPSG:3857"),
    "next UTM zone": next_zone,
}


def crops_in(photo: Photo, root: Path, form: Callable[[Photo, Path], dict[str, Any]]) -> Crops:
    """Make a form of a photograph, and read the crops of its plants."""
    photo.write_plants(root)
    keys = form(photo, root)
    listing, found = crops_of(field(root, photo.crs, crop_metres=photo.metres, plants=photo.plants, **keys))
    assert found.keys() == photo.middles.keys() and listing.left_out == ()
    return found


@pytest.mark.parametrize("form", EXACT)
def test_forms_of_the_same_pixels_show_the_same_plants(tmp_path: Path, photo: Photo, windows: Crops, form: str) -> None:
    for name, crop in crops_in(photo, tmp_path, EXACT[form]).items():
        np.testing.assert_array_equal(crop, windows[name])


@pytest.mark.parametrize("form", RESAMPLED)
def test_resampled_forms_show_the_same_plants(tmp_path: Path, photo: Photo, interpolated: Crops, form: str) -> None:
    found = crops_in(photo, tmp_path, RESAMPLED[form])
    by_gdal = photo.interpolated(tmp_path / "ortho.tif", tmp_path)
    for name, crop in found.items():
        # What GDAL reads from the same form, pixel by pixel.
        assert correlation(crop, by_gdal[name], photo.side) >= 0.99
        # The photograph itself in full resolution. Pines have detail of single pixels. Warping them to pixels of equal
        # width loses it in the form itself: in crops of 4 m, GDAL's cubic reading then reaches 0.96 to 0.97, and ours
        # 0.96 to 0.98. Bilinear reading loses it too: here it reaches 0.97.
        assert correlation(crop, interpolated[name], photo.side) >= 0.98
        assert max(shift_between(crop, interpolated[name])) < 0.2


def shift_between(crop: NDArray[np.uint8], other: NDArray[np.uint8]) -> tuple[float, float]:
    """Return by how many pixels of the second crop two crops are shifted, by phase correlation."""
    grey = [np.asarray(Image.fromarray(one).convert("L"), np.float64) for one in (resized(crop, len(other)), other)]
    shift = phase_cross_correlation(grey[0], grey[1], upsample_factor=20)[0]
    return abs(float(shift[0])), abs(float(shift[1]))


def resized(crop: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return a crop at another size."""
    return np.array(Image.fromarray(crop).resize((side, side)))
