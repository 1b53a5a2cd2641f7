"""Read windows of an orthophoto as 8-bit RGB with a mask of valid pixels: bands, scaling of values, no-data."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window

from storage.errors import InputError
from tasks.sources.raster import COLOURS, NOTHING, read_rgb_bands

UNCOLOURED = {ColorInterp.cyan, ColorInterp.Y, ColorInterp.hue}  # first bands of colour spaces other than RGB


@dataclass(frozen=True, slots=True)
class Reading:
    """How the pixels of all orthophotos of a campaign are read.

    Attributes
    ----------
    crop_metres : side of a crop, metres of `crs`.
    crs : projected CRS in whose directions crops lie.
    min_inside : least share of a crop's pixels that must exist.
    nodata : whether pixels of the no-data value are missing (`mask`) or colours (`ignore`).
    bands : numbers of the red, green and blue band, from 1; None for those that are marked as such.
    value_range : values that become 0 and 255; None if pixels are 8-bit and stay as they are.
    """

    crop_metres: float
    crs: str
    min_inside: float
    nodata: Literal["mask", "ignore"]
    bands: tuple[int, int, int] | None
    value_range: tuple[float, float] | None


def check_pixels(dataset: DatasetReader, name: str, reading: Reading) -> None:
    """Refuse an orthophoto whose bands or values cannot be read as they are stated.

    Raises
    ------
    InputError : pixels are not 8-bit and no range is stated, a band is not there, no bands are marked as colours, or
        bands or a range are stated for a palette.
    """
    types = ", ".join(sorted(set(dataset.dtypes)))
    if reading.value_range is None and set(dataset.dtypes) != {"uint8"}:
        raise InputError(
            f"The orthophoto {name} has pixels of type {types}",
            "Pixels that are not 8-bit need a fixed range of values, equal for all dates, that becomes black to white",
            "set source.value_range, such as [0, 65535], or [0, 0.3] for reflectance",
        )
    if ColorInterp.palette in dataset.colorinterp and (reading.bands or reading.value_range):
        raise InputError(
            f"The orthophoto {name} has a palette, and source.bands or source.value_range is set",
            "Pixels of a palette are numbers of colours, which have no range and no bands",
            "expand it to red, green and blue, for example with `gdal_translate -expand rgb`",
        )
    if any("complex" in one for one in dataset.dtypes):
        raise InputError(f"The orthophoto {name} has pixels of type {types}", "Pixels must be numbers", "convert it")
    if reading.bands is not None and max(reading.bands) > dataset.count:
        raise InputError(
            f"source.bands is {list(reading.bands)}, and {name} has {dataset.count} bands",
            "source.bands must name bands of every orthophoto, counted from 1",
            "correct source.bands",
        )
    if reading.bands is None and find_bands(dataset) is None:
        found = ", ".join(colour.name for colour in dataset.colorinterp)
        raise InputError(
            f"The orthophoto {name} has the bands {found}",
            "The red, green and blue band must be known",
            "set source.bands to their numbers, such as [3, 2, 1]",
        )


def find_bands(dataset: DatasetReader) -> list[int] | None:
    """Return the numbers of the red, green and blue band: those marked, the first three of three, or grey thrice.

    A fourth band may be alpha. None where the bands are not known.
    """
    colours = list(dataset.colorinterp)
    if all(colour in colours for colour in COLOURS):
        return [colours.index(colour) + 1 for colour in COLOURS]
    shown = [number for number, colour in enumerate(colours, 1) if colour != ColorInterp.alpha]
    if len(shown) == 3 and not UNCOLOURED.intersection(colours):
        return shown
    return [shown[0]] * 3 if len(shown) == 1 else None


def read_window(
    dataset: DatasetReader, corner: tuple[int, int], size: tuple[int, int], reading: Reading
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read a window that may leave the raster, as 8-bit RGB (h, w, 3), black where there is no pixel, and its mask."""
    valid = read_mask(dataset, corner, size, reading)
    pixels = np.zeros((*valid.shape, 3), np.uint8)
    window, place = inside(dataset, corner, size)
    if window.width and window.height:
        pixels[place], known = read_colours(dataset, window, reading)
        valid[place] &= known
    pixels[~valid] = 0
    return pixels, valid


def read_mask(
    dataset: DatasetReader, corner: tuple[int, int], size: tuple[int, int], reading: Reading
) -> NDArray[np.bool_]:
    """Return where a window (h, w) has pixels: inside the raster, and valid by its alpha, mask or no-data value."""
    valid = np.zeros(size[::-1], np.bool_)
    window, place = inside(dataset, corner, size)
    if window.width and window.height:
        flags = dataset.mask_flag_enums
        is_whole = all(MaskFlags.all_valid in band for band in flags)
        is_ignored = reading.nodata == "ignore" and has_nodata(dataset)
        valid[place] = True if is_whole or is_ignored else dataset.dataset_mask(window=window) > 0
    return valid


def has_nodata(dataset: DatasetReader) -> bool:
    """Return whether the mask of a raster is that of a no-data value."""
    return any(MaskFlags.nodata in flags for flags in dataset.mask_flag_enums)


def inside(
    dataset: DatasetReader, corner: tuple[int, int], size: tuple[int, int]
) -> tuple[Window, tuple[slice, slice]]:
    """Return the part of a window that lies inside the raster, and its place in the window; both may be empty."""
    (left, top), (width, height) = corner, size
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + width, dataset.width), min(top + height, dataset.height)
    if x1 <= x0 or y1 <= y0:
        return NOTHING, (slice(0), slice(0))
    window = Window(x0, y0, x1 - x0, y1 - y0)  # pyright: ignore[reportCallIssue]
    return window, (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))


def read_colours(
    dataset: DatasetReader, window: Window, reading: Reading
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | bool]:
    """Read a window inside the raster as 8-bit RGB (h, w, 3), and where its values are numbers."""
    if reading.bands is None and reading.value_range is None:
        return read_rgb_bands(dataset, window), True
    values = np.moveaxis(dataset.read(list(reading.bands or find_bands(dataset) or ()), window=window), 0, -1)
    if reading.value_range is None:
        return values, True
    low, high = reading.value_range
    known = np.isfinite(values).all(axis=-1)
    scaled = (np.nan_to_num(values.astype(np.float64)) - low) * (255 / (high - low))
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8), known
