"""Write the orthophotos of a grown season: one raster per plot and date, with one tile per plant.

The tiles lie side by side, so a crop around a plant's pixel coordinates is exactly its image. Two faults of real
orthophotos are imitated. The first plant of every plot lies mostly outside the flown area (no-data). The raster of the
last plot ends a quarter tile too early, so it cuts its last plants.
"""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from tasks.sources.synthetic.season import SPACING, Plant, Season

CRS = "EPSG:25832"  # ETRS89 / UTM zone 32N, metres
_MISSING_SHARE = 0.6  # share of a tile's width without data at the first plant of a plot
_CUT_SHARE = 0.25  # share of a tile's width by which the last plot's raster is too narrow


def write_orthophoto(path: Path, season: Season, plot: int, day: date, on_image: Callable[[], None]) -> None:
    """Write the tiled GeoTIFF of one plot and date: red, green, blue, and alpha, which is 0 for no-data."""
    plants = [plant for plant in season.plants if plant.plot == plot]
    raster = _lay_tiles(season, plants, day, on_image)
    # `from_origin` multiplies transforms in a way that affine 3 warns about, so the transform is written out.
    step = SPACING / season.params.image_size
    west, north = plants[0].easting - SPACING / 2, plants[0].northing + SPACING / 2
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", dtype="uint8", count=4, height=raster.shape[1], width=raster.shape[2], crs=CRS,
        transform=Affine(step, 0.0, west, 0.0, -step, north), tiled=True, blockxsize=256, blockysize=256,
        compress="deflate", photometric="RGB",
    ) as file:  # fmt: skip
        file.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
        file.write(raster)


def _lay_tiles(season: Season, plants: list[Plant], day: date, on_image: Callable[[], None]) -> NDArray[np.uint8]:
    """Return the four bands of one plot, shape (4, height, width)."""
    size = season.params.image_size
    raster = np.zeros((4, season.params.rows * size, season.params.plants_per_row * size), dtype=np.uint8)
    for plant in plants:
        y, x = (ord(plant.row) - ord("A")) * size, (plant.number - 1) * size
        raster[:3, y : y + size, x : x + size] = season.image(season.observation(plant.plant_id, day)).transpose(
            2, 0, 1
        )
        raster[3, y : y + size, x : x + size] = 255
        on_image()
    raster[:, :size, : round(_MISSING_SHARE * size)] = 0
    is_last_plot = plants[0].plot == season.params.n_plots
    return raster[:, :, : raster.shape[2] - is_last_plot * round(_CUT_SHARE * size)]


def pixel_table(season: Season, plot: int, day: date) -> str:
    """Return the text of a plot's pixel coordinates: plant, column and row of its centre, days after planting.

    Even plots use commas and odd plots white space, because the real files are described in both ways.
    """
    delimiter = "," if plot % 2 == 0 else " "
    rows: list[tuple[object, ...]] = [("image_name", "X", "Y", "DAP")]
    age = (day - season.params.planted).days
    rows += [(plant.plant_id, *_centre(season, plant), age) for plant in season.plants if plant.plot == plot]
    return "".join(delimiter.join(map(str, row)) + "\n" for row in rows)


def flagged_crops(season: Season) -> Iterator[tuple[str, date]]:
    """Yield plants and dates whose crop leaves the raster or is mostly no-data, in the order of the observations."""
    last_plot, last_number = season.params.n_plots, season.params.plants_per_row
    for seen in season.observations:
        plant = seen.plant
        is_first = plant.row == "A" and plant.number == 1
        if is_first or (plant.plot == last_plot and plant.number == last_number):
            yield plant.plant_id, seen.acquired


def _centre(season: Season, plant: Plant) -> tuple[int, int]:
    size = season.params.image_size
    return (plant.number - 1) * size + size // 2, (ord(plant.row) - ord("A")) * size + size // 2
