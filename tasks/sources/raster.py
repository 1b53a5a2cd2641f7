"""Cut plants out of orthophotos by their pixel coordinates, without reading the whole raster."""

import hashlib
import re
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from storage.errors import InputError
from tasks.sources.contract import UnreadableImage
from tasks.sources.files import WARNING_FILTERS, digest_file, read_text, to_float

NOTHING = Window(0, 0, 0, 0)  # pyright: ignore[reportCallIssue]  # window of a crop outside the raster


@dataclass(frozen=True, slots=True)
class PixelCoordinate:
    """One row of a `*pix_Coordinates*` file: image name and pixel (x, y) of the plant, x to the right, y down."""

    line: int
    name: str
    x: float
    y: float


def read_pixel_coordinates(path: Path) -> list[PixelCoordinate]:
    """Read `image_name X Y ...` rows, separated by commas, semicolons or white space, with or without a header.

    Raises
    ------
    InputError : a row has fewer than three columns, or an X or Y that is not a finite number.
    """
    rows = [(number, split_cells(line)) for number, line in enumerate(read_text(path).splitlines(), 1) if line.strip()]
    columns = (0, 1, 2)
    if rows and len(rows[0][1]) >= 3 and to_float(rows[0][1][1]) is None:
        header = [cell.lower() for cell in rows.pop(0)[1]]
        if {"image_name", "x", "y"} <= set(header):
            columns = (header.index("image_name"), header.index("x"), header.index("y"))
    return [to_coordinate(path, line, cells, columns) for line, cells in rows]


def split_cells(line: str) -> list[str]:
    """Split a row at its commas or semicolons, or at white space if it has neither."""
    separator = "," if "," in line else ";" if ";" in line else None
    return [cell.strip().strip('"') for cell in line.strip().split(separator)]


def to_coordinate(path: Path, line: int, cells: list[str], columns: tuple[int, int, int]) -> PixelCoordinate:
    """Read one row of pixel coordinates, or raise InputError."""
    if len(cells) > max(columns):
        name, x, y = (cells[column] for column in columns)
        right, down = to_float(x), to_float(y)
        if right is not None and down is not None:
            return PixelCoordinate(line, re.split(r"[\\/]", name)[-1], right, down)
    raise InputError(
        f"{path}, line {line}, holds {cells}",
        "A row of pixel coordinates must be `image_name X Y DAP`",
        "correct the row",
    )


@contextmanager
def open_raster(path: Path) -> Generator[DatasetReader, None, None]:
    """Open a raster, which may lack a georeference.

    Raises
    ------
    UnreadableImage : the file is no raster or is damaged, or a read inside the `with` block fails.
    """
    try:
        with WARNING_FILTERS, warnings.catch_warnings():
            # Pixel coordinates need no georeference, so the warning that it is missing is ignored.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path)
        with dataset:
            yield dataset
    except (RasterioError, OSError) as error:
        raise UnreadableImage(f"{path.name}: {error}") from error


def crop_corner(centre: tuple[float, float], size: int) -> tuple[int, int]:
    """Return the left column and the top row of a crop, in which the centre's pixel is at `size // 2` on both axes."""
    return int(np.floor(centre[0] + 0.5)) - size // 2, int(np.floor(centre[1] + 0.5)) - size // 2


def inside_window(dataset: DatasetReader, centre: tuple[float, float], size: int) -> Window:
    """Return the part of a crop that lies inside the raster, which may be empty."""
    left, top = crop_corner(centre, size)
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + size, dataset.width), min(top + size, dataset.height)
    return Window(x0, y0, x1 - x0, y1 - y0) if x1 > x0 and y1 > y0 else NOTHING  # pyright: ignore[reportCallIssue]


def rgb_bands(dataset: DatasetReader) -> list[int]:
    """Return the numbers of the red, green and blue band; a grey raster gives its band three times.

    Raises
    ------
    UnreadableImage : the raster is not 8-bit, has a palette, or does not mark its red, green and blue bands.
    """
    if set(dataset.dtypes) != {"uint8"}:
        raise UnreadableImage(f"{', '.join(sorted(set(dataset.dtypes)))} pixels; convert the raster to 8-bit RGB")
    colours = list(dataset.colorinterp)
    wanted = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if all(colour in colours for colour in wanted):
        return [colours.index(colour) + 1 for colour in wanted]
    if dataset.count == 3:
        return [1, 2, 3]
    if dataset.count <= 2 and ColorInterp.palette not in colours:
        return [1, 1, 1]
    found = ", ".join(colour.name for colour in colours)
    raise UnreadableImage(f"bands {found}: red, green and blue are not marked; convert the raster to 8-bit RGB")


def read_crop(path: Path, centre: tuple[float, float], size: int) -> NDArray[np.uint8]:
    """Read the square around a plant, with black pixels outside the raster.

    Parameters
    ----------
    path : raster file.
    centre : pixel (x, y) of the plant.
    size : side of the square, pixels.

    Returns
    -------
    Pixels, shape (size, size, 3), RGB, 0..255.

    Raises
    ------
    UnreadableImage : the raster is damaged, or not 8-bit RGB or grey.
    """
    crop = np.zeros((size, size, 3), dtype=np.uint8)
    with open_raster(path) as dataset:
        bands = rgb_bands(dataset)
        window = inside_window(dataset, centre, size)
        if window.width and window.height:
            left, top = crop_corner(centre, size)
            x, y = int(window.col_off) - left, int(window.row_off) - top
            pixels = np.moveaxis(dataset.read(bands, window=window), 0, -1)
            crop[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    return crop


def crop_flags(dataset: DatasetReader, centre: tuple[float, float], size: int) -> tuple[str, ...] | None:
    """Return the flags of a crop, reading only the mask of its window.

    Returns
    -------
    `crop_leaves_raster` if a part lies outside the raster. `mostly_no_data` if more than half of the square lies
    outside or is no-data by the raster's alpha, mask or no-data value. None instead of flags if no pixel lies inside.
    """
    window = inside_window(dataset, centre, size)
    n_inside = int(window.width) * int(window.height)
    if n_inside == 0:
        return None
    has_mask = any(MaskFlags.all_valid not in flags for flags in dataset.mask_flag_enums)
    n_valid = int(np.count_nonzero(dataset.dataset_mask(window=window))) if has_mask else n_inside
    flags: list[str] = []
    if n_inside < size * size:
        flags.append("crop_leaves_raster")
    if 2 * n_valid < size * size:
        flags.append("mostly_no_data")
    return tuple(flags)


def crop_fingerprint(path: Path, centre: tuple[float, float], size: int) -> str:
    """Return the SHA-256 (hex) of a raster's content, the crop's centre and its size."""
    stat = path.stat()
    raster = digest_raster(str(path), stat.st_size, stat.st_mtime_ns)
    return hashlib.sha256(f"{raster} {centre[0]!r} {centre[1]!r} {size}".encode()).hexdigest()


@lru_cache(maxsize=256)
def digest_raster(path: str, n_bytes: int, modified_ns: int) -> str:
    """Return the SHA-256 (hex) of a raster's bytes, cached by path, length and time of change."""
    return digest_file(Path(path))
