"""Run GDAL's own programs, which come with another build of GDAL than rasterio's."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

# Options of `gdalwarp` that take the no-data value for a colour, where it is the white of saturated pixels.
WITH_WHITE = ("-q", "-srcnodata", "none")

needs_gdal = pytest.mark.skipif(shutil.which("gdal_translate") is None, reason="GDAL's programs are not installed")


def gdal(program: str, *arguments: object, text: str | None = None) -> str:
    """Run a program of GDAL, such as `gdal_translate`, and return what it prints."""
    done = subprocess.run([program, *map(str, arguments)], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def transform_points(points: Sequence[tuple[float, float]], *arguments: object) -> list[tuple[float, float]]:
    """Transform points (x, y) with `gdaltransform`: by a file from its pixels, or between two systems."""
    lines = "\n".join(f"{x!r} {y!r}" for x, y in points)
    found = [line.split() for line in gdal("gdaltransform", *arguments, text=lines).splitlines()]
    return [(float(one[0]), float(one[1])) for one in found]


def read_window(raster: Path, made: Path, corner: tuple[int, int], side: int, nodata: int | None) -> NDArray[np.uint8]:
    """Read a square of three bands with `gdal_translate`, black where all bands have the no-data value or outside.

    Parameters
    ----------
    made : file that the window is written to, a PPM.
    corner : left column and top row of the window, which may leave the raster.
    """
    gdal("gdal_translate", "-q", "-of", "PNM", "-srcwin", *corner, side, side, raster, made)
    with Image.open(made) as image:
        window = np.array(image)
    if nodata is not None:
        window[(window == nodata).all(axis=-1)] = 0
    return window


def warp_window(
    raster: Path, made: Path, crs: str, middle: tuple[float, float], metres: float, side: int
) -> NDArray[np.uint8]:
    """Read a square around a place with `gdalwarp`, which interpolates between pixels by its cubic kernel.

    Parameters
    ----------
    made : file that the window is written to, a GeoTIFF.
    crs : system in whose directions the square lies.
    middle : easting and northing there.
    metres, side : width of the square, in metres and in pixels.
    """
    (x, y), half = middle, metres / 2
    bounds = [repr(one) for one in (x - half, y - half, x + half, y + half)]
    square = ("-t_srs", crs, "-te", *bounds, "-ts", side, side)
    gdal("gdalwarp", *WITH_WHITE, "-overwrite", "-r", "cubic", *square, raster, made)
    with Image.open(made) as image:
        return np.array(image.convert("RGB"))


def centroid_of(layer: Path) -> tuple[float, float]:
    """Return the centroid of the one polygon of a layer, by the SQL of `ogrinfo`."""
    sql = f"select ST_X(ST_Centroid(geometry)) as x, ST_Y(ST_Centroid(geometry)) as y from {layer.stem}"
    found = gdal("ogrinfo", "-q", "-dialect", "sqlite", "-sql", sql, layer)
    x, y = (float(line.split("=")[1]) for line in found.splitlines() if "(Real) =" in line)
    return x, y
