"""Read parts of a date's orthophoto at any pixel size, north up in the system of the plants: thumbnails and windows."""

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Protocol, runtime_checkable

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.warp import Resampling

from tasks.sources.field.grids import corners_of
from tasks.sources.field.pixels import Reading, find_bands, read_window
from tasks.sources.projections import transform

MARGIN = 0.03  # share of the longer side of the plants' bounds that a map shows around them
ROUNDING = 1e-6  # share by which sizes of pixels that are meant to be equal may differ

Bounds = tuple[float, float, float, float]
"""West, south, east and north, metres."""


@dataclass(frozen=True, slots=True)
class Part:
    """Part of an orthophoto: its bounds in the system of the plants, and the size in which it is read, pixels."""

    bounds: Bounds
    width: int
    height: int

    @property
    def pixel(self) -> float:
        """Return the width of a pixel, metres."""
        return (self.bounds[2] - self.bounds[0]) / self.width

    def moved(self, east: float, north: float) -> "Part":
        """Return the part that lies so many metres further east and north."""
        west, south, right, top = self.bounds
        return replace(self, bounds=(west + east, south + north, right + east, top + north))


@dataclass(frozen=True, slots=True)
class View:
    """Pixels of a part, shape (height, width, 3), RGB, 0..255, north up; and where the orthophoto has some."""

    pixels: NDArray[np.uint8]
    valid: NDArray[np.bool_]


@runtime_checkable
class Photographed(Protocol):
    """A source whose fields are shown by georeferenced orthophotos."""

    def read_views(self, day: date, parts: Sequence[Part], crs: str) -> list[View]:
        """Read parts of a date's orthophoto.

        Parameters
        ----------
        crs : EPSG code of the projected system of the plants, in which the parts are stated.

        Raises
        ------
        UnreadableImage : the orthophoto is damaged, or states no place.
        InputError : the orthophoto cannot be read as stated, or is no longer there.
        """
        ...


def frame_of(places: Collection[tuple[float, float]]) -> Bounds:
    """Return the bounds (m) of a map that shows all places, at least one, with a margin."""
    known = np.asarray(list(places))
    low, high = known.min(axis=0), known.max(axis=0)
    margin = max(1.0, MARGIN * float((high - low).max()))
    (west, south), (east, north) = (low - margin).tolist(), (high + margin).tolist()
    return west, south, east, north


def part_of(bounds: Bounds, longest: int) -> Part:
    """Return the part of an orthophoto within bounds, read with so many pixels on its longer side."""
    wide, high = bounds[2] - bounds[0], bounds[3] - bounds[1]
    scale = longest / max(wide, high)
    return Part(bounds, max(1, round(wide * scale)), max(1, round(high * scale)))


def read_parts(tiles: Sequence[DatasetReader], parts: Sequence[Part], reading: Reading) -> list[View]:
    """Read parts of an orthophoto from its open, georeferenced tiles, black where there is no pixel.

    Tiles are joined, and turned or otherwise projected ones are warped. Overviews are used where there are some.
    """
    placed = [(tile, area_of(tile, reading.crs)) for tile in tiles]
    return [read_view(placed, part, reading) for part in parts]


def area_of(tile: DatasetReader, crs: str) -> Bounds:
    """Return the bounds of a tile in another CRS."""
    x, y = transform(*corners_of(tile), tile.crs.to_wkt(), crs)
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def pixel_of(tile: DatasetReader, crs: str) -> float:
    """Return the width of a tile's pixels in another CRS, metres."""
    x, y = transform(*corners_of(tile), tile.crs.to_wkt(), crs)
    return float(np.hypot(x[1] - x[0], y[1] - y[0])) / tile.width


def read_view(tiles: Sequence[tuple[DatasetReader, Bounds]], part: Part, reading: Reading) -> View:
    """Read a part from the tiles that it touches; where tiles overlap, the first counts."""
    pixels = np.zeros((part.height, part.width, 3), np.uint8)
    valid = np.zeros((part.height, part.width), np.bool_)
    for tile, area in tiles:
        if touch(area, part.bounds) and not valid.all():
            found, known = read_warped(tile, part, reading)
            taken = known & ~valid
            pixels[taken] = found[taken]
            valid |= taken
    return View(pixels, valid)


def touch(one: Bounds, other: Bounds) -> bool:
    """Return whether two areas have a point in common."""
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def read_warped(tile: DatasetReader, part: Part, reading: Reading) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read a part of one tile, averaged over its pixels: RGB (height, width, 3), and where there are pixels."""
    west, south, east, north = part.bounds
    colours = tile.colorinterp
    options: dict[str, Any] = {
        "crs": reading.crs,
        "transform": Affine((east - west) / part.width, 0.0, west, 0.0, (south - north) / part.height, north),
        "width": part.width,
        "height": part.height,
        "resampling": Resampling.nearest if ColorInterp.palette in colours else Resampling.average,
        "add_alpha": ColorInterp.alpha not in colours,
        **({"src_nodata": None} if reading.nodata == "ignore" else {}),
    }
    # The added band would hide that three bands without marks are red, green and blue.
    bands = reading.bands or (None if tile.count < 3 else tuple(find_bands(tile) or ()))
    level = overview_level(tile, part.pixel / pixel_of(tile, reading.crs))
    coarse = nullcontext(tile) if level is None else rasterio.open(tile.name, overview_level=level)
    with coarse as dataset, WarpedVRT(dataset, **options) as warped:
        return read_window(warped, (0, 0), (part.width, part.height), replace(reading, bands=bands))


def overview_level(dataset: DatasetReader, ratio: float) -> int | None:
    """Return the coarsest overview whose pixels are no larger than `ratio` pixels of the raster; None for none."""
    factors = enumerate(overview_factors(dataset))
    fine = [level for level, factor in factors if factor <= ratio * (1 + ROUNDING)]
    return fine[-1] if fine else None


def overview_factors(dataset: DatasetReader) -> list[int]:
    """Return how many pixels of a raster one pixel of each overview covers along a side.

    GDAL counts no overviews of a file on a server unless it is cloud-optimised, but opens them one by one.
    """
    factors = [int(one) for one in dataset.overviews(1)]
    if factors or not dataset.name.startswith("/vsi"):
        return factors
    while True:
        try:
            with rasterio.open(dataset.name, overview_level=len(factors)) as coarse:
                factors.append(round(dataset.width / coarse.width))
        except RasterioError:
            return factors
