"""Write the orthophotos of a grown season, in which the images of the plants lie side by side as tiles.

So a crop around a plant is exactly its image. The layout `growliflower-orthophoto` has a raster for every plot and
date, with two faults of real orthophotos. The first plant of every plot lies mostly outside the flown area (no-data).
The raster of the last plot ends a quarter tile too early, so it cuts its last plants. The layout `field` has one whole
raster for every date, with no-data between the plots.
"""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.io import DatasetWriter
from rasterio.transform import Affine
from rasterio.windows import Window

from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.season import PLOT_SPACING, SPACING, Plant, Season

CRS = "EPSG:25832"  # ETRS89 / UTM zone 32N, metres
_MISSING_SHARE = 0.6  # share of a tile's width without data at the first plant of a plot
_CUT_SHARE = 0.25  # share of a tile's width by which the last plot's raster is too narrow


def write_orthophoto(path: Path, season: Season, plot: int, day: date, on_image: Callable[[], None]) -> None:
    """Write the tiled GeoTIFF of one plot and date: red, green, blue, and alpha, which is 0 for no-data."""
    size = season.params.image_size
    raster = _lay_tiles(season, plot, day, on_image)
    raster[:, :size, : round(_MISSING_SHARE * size)] = 0
    is_last_plot = plot == season.params.n_plots
    raster = raster[:, :, : raster.shape[2] - is_last_plot * round(_CUT_SHARE * size)]
    with _create(path, season, plot, raster.shape[1:]) as file:
        file.write(raster)


def write_field_orthophoto(path: Path, season: Season, day: date, on_image: Callable[[], None]) -> None:
    """Write the tiled GeoTIFF of the whole field on one date: red, green, blue, and alpha, which is 0 between plots."""
    params = season.params
    wide, high = params.plants_per_row * params.image_size, params.rows * params.image_size
    with _create(path, season, params.n_plots, (_top_of_plot(params, 1) + high, wide)) as file:
        for plot in range(1, params.n_plots + 1):
            window = Window(0, _top_of_plot(params, plot), wide, high)  # pyright: ignore[reportCallIssue]
            file.write(_lay_tiles(season, plot, day, on_image), window=window)


def _top_of_plot(params: SeasonParams, plot: int) -> int:
    """Return the first pixel row of a plot in the raster of the field, which begins with the last plot, in the north.

    Plants stand on whole pixels where images have a multiple of 8 pixels. In others their tiles lie up to half a pixel
    from them, which is the pixel that a reader of crops rounds to.
    """
    return int(np.floor((params.n_plots - plot) * PLOT_SPACING / SPACING * params.image_size + 0.5))


def _create(path: Path, season: Season, plot: int, shape: tuple[int, ...]) -> DatasetWriter:
    """Create a raster (height, width) whose upper left corner is that of a plot."""
    first = next(plant for plant in season.plants if plant.plot == plot)
    # `from_origin` multiplies transforms in a way that affine 3 warns about, so the transform is written out.
    step = SPACING / season.params.image_size
    west, north = first.easting - SPACING / 2, first.northing + SPACING / 2
    path.parent.mkdir(parents=True, exist_ok=True)
    file: DatasetWriter = rasterio.open(
        path, "w", driver="GTiff", dtype="uint8", count=4, height=shape[0], width=shape[1], crs=CRS,
        transform=Affine(step, 0.0, west, 0.0, -step, north), tiled=True, blockxsize=256, blockysize=256,
        compress="deflate", photometric="RGB",
    )  # fmt: skip
    file.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    return file


def _lay_tiles(season: Season, plot: int, day: date, on_image: Callable[[], None]) -> NDArray[np.uint8]:
    """Return the four bands of one plot, shape (4, height, width)."""
    size = season.params.image_size
    raster = np.zeros((4, season.params.rows * size, season.params.plants_per_row * size), dtype=np.uint8)
    for plant in (plant for plant in season.plants if plant.plot == plot):
        y, x = (ord(plant.row) - ord("A")) * size, (plant.number - 1) * size
        raster[:3, y : y + size, x : x + size] = season.image(season.observation(plant.plant_id, day)).transpose(
            2, 0, 1
        )
        raster[3, y : y + size, x : x + size] = 255
        on_image()
    return raster


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
