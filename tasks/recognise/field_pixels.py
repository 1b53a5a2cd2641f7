"""Derive how the pixels of orthophotos are read: bands by their names, and the range of values that are not 8-bit."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from tasks.recognise.keys import Key
from tasks.recognise.rasters import Ortho
from tasks.sources.contract import UnreadableImage
from tasks.sources.raster import open_raster

N_WINDOWS, SIDE = 5, 128  # windows by side of an orthophoto that are read for its values, and their side in pixels
PERCENTILES = (1, 99)  # values that become black and white
N_SAMPLED = 8  # orthophotos whose values are read at most
COLOURS = ("red", "green", "blue")


def pixel_keys(root: Path, orthos: Sequence[Ortho]) -> list[Key]:
    """Return the keys of bands and of the range of values, where orthophotos need them."""
    bands = None if all(one.colours for one in orthos) else named_bands(orthos)
    keys: list[Key] = []
    if bands is not None:
        keys.append(bands)
    elif not all(one.colours for one in orthos):
        why = (
            f"Which bands are red, green and blue? {orthos[0].path} has {orthos[0].types} and does not mark them. "
            "Multispectral cameras often have blue first: [3, 2, 1]."
        )
        keys.append(Key("source", "bands", [1, 2, 3], why, is_question=True))
    if any("uint8" not in one.types or "," in one.types for one in orthos):
        numbers = [int(number) for key in keys if isinstance(key.value, list) for number in key.value]
        keys.append(range_key(root, orthos, numbers))
    return keys


def named_bands(orthos: Sequence[Ortho]) -> Key | None:
    """Return the key of bands that are named red, green and blue on all orthophotos; None if they are not."""
    found = {find_named(one.named) for one in orthos}
    bands = found.pop()
    if found or bands is None:
        return None
    return Key("source", "bands", list(bands), "The bands have these names in the orthophotos.")


def find_named(names: Sequence[str]) -> tuple[int, ...] | None:
    """Return the numbers of the bands whose names are red, green and blue; None if one is missing or there twice."""
    low = [name.strip().lower() for name in names]
    return tuple(low.index(one) + 1 for one in COLOURS) if all(low.count(one) == 1 for one in COLOURS) else None


def range_key(root: Path, orthos: Sequence[Ortho], bands: Sequence[int]) -> Key:
    """Return the key of the range of values: a proposal from percentiles of samples of the orthophotos.

    Parameters
    ----------
    bands : numbers of the bands that are read; empty for those that are marked.
    """
    step = -(-len(orthos) // N_SAMPLED)
    sampled = orthos[::step]
    parts = [part for one in sampled for part in sample(root, one, bands or one.colours or (1,))]
    values = np.concatenate(parts) if parts else np.array([0.0, 1.0])
    low, high = (two_digits(float(one), up) for one, up in zip(np.percentile(values, PERCENTILES), (0, 1), strict=True))
    if not low < high:
        high = low + 1
    why = (
        f"Which pixel values are black and white, the same on all dates? {orthos[0].path} has {orthos[0].types}. The "
        f"proposal is percentiles {PERCENTILES[0]} and {PERCENTILES[1]} of samples of {len(sampled)} orthophotos."
    )
    return Key("source", "value_range", [low, high], why, is_question=True)


def sample(root: Path, ortho: Ortho, bands: Sequence[int]) -> Iterator[NDArray[np.float64]]:
    """Yield the valid values of some windows of an orthophoto, so that large files need not be read."""
    try:
        with open_raster(root / ortho.path) as dataset:
            for column in window_starts(dataset.width):
                for row in window_starts(dataset.height):
                    window = Window(column, row, SIDE, SIDE).intersection(Window(0, 0, dataset.width, dataset.height))  # pyright: ignore[reportCallIssue]
                    values = dataset.read(list(bands), window=window, masked=True).astype(np.float64).compressed()
                    yield values[np.isfinite(values)]
    except (UnreadableImage, RasterioError):  # the listing tells of damaged files
        return


def window_starts(length: int) -> list[int]:
    """Return the first columns or rows of windows that are spread over a raster."""
    return sorted({int(one) for one in np.linspace(0, max(length - SIDE, 0), N_WINDOWS)})


def two_digits(value: float, up: int) -> float:
    """Return a value rounded down, or up, to two significant digits."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (np.floor(np.log10(abs(value))) - 1)
    return float(f"{(np.ceil if up else np.floor)(value / unit) * unit:.6g}")
