"""Tell orthophotos from heights and masks that lie beside them, by the bands and types of their rasters."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from itertools import product

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from storage.errors import InputError
from tasks.sources.raster import highest_value

PLACES = (0.1, 0.3, 0.5, 0.7, 0.9)  # shares of width and height at which a mask is told by its values
SIDE = 64  # side of the windows there, pixels
MASK_VALUES = ({0, 1}, {0, 255})


@dataclass(frozen=True, slots=True)
class Layer:
    """A raster of one or two bands.

    Attributes
    ----------
    what : what it is, with its number of bands and their type.
    is_told : whether it is heights or a mask, and so no orthophoto, also where no raster has colours.
    """

    what: str
    is_told: bool


def find_layers(opened: Mapping[str, DatasetReader], has_bands: bool) -> dict[str, str]:
    """Return the rasters of a date that are no orthophotos, and what they are, by path.

    Parameters
    ----------
    opened : rasters of a date by path.
    has_bands : whether bands are stated as colours; then any raster may be an orthophoto where none has colours.
    """
    found = {path: layer_of(dataset) for path, dataset in opened.items()}
    return {} if has_bands and None not in found.values() else without_colours(found)


def without_colours(rasters: Mapping[str, Layer | None]) -> dict[str, str]:
    """Return what each of those rasters is that are no orthophotos, by path.

    Beside a raster of colours these are all of one or two bands. Where there is none, orthophotos may be grey, and only
    heights and masks are none.

    Parameters
    ----------
    rasters : what each raster is, by path; None for one of colours.
    """
    has_colours = None in rasters.values()
    return {path: one.what for path, one in rasters.items() if one is not None and (has_colours or one.is_told)}


def refuse_layers_alone(day: date, layers: Mapping[str, str]) -> None:
    """Raise InputError that a date has heights or masks, and no orthophoto."""
    raise InputError(
        f"{day} has no orthophoto; source.rasters finds {name_layers(layers)}",
        "An orthophoto must show colours or grey levels; heights and masks show no plants",
        "name the orthophoto in source.rasters; if the pixels are grey levels, set source.bands = [1, 1, 1]",
    )


def name_layers(layers: Mapping[str, str]) -> str:
    """Write rasters that are no orthophotos, with what they are."""
    return ", ".join(f"{path} ({what})" for path, what in layers.items())


def layer_of(dataset: DatasetReader) -> Layer | None:
    """Return what a raster of one or two bands is; None for one of colours."""
    if n_shown_bands(dataset) >= 3:
        return None
    kind = "heights" if has_heights(dataset) else "mask" if is_mask(dataset) else None
    n_bits = 1 if highest_value(dataset) == 1 else None
    of = "1 bit" if n_bits else dataset.dtypes[0]
    what = f"{kind or 'no colours'}: {dataset.count} band{'' if dataset.count == 1 else 's'} of {of}"
    return Layer(what, kind is not None)


def n_shown_bands(dataset: DatasetReader) -> int:
    """Return the number of bands of a raster without its alpha."""
    return sum(colour != ColorInterp.alpha for colour in dataset.colorinterp)


def has_heights(dataset: DatasetReader) -> bool:
    """Return whether the one or two bands of a raster are of a type that heights have: floating or signed."""
    return n_shown_bands(dataset) < 3 and all(np.dtype(one).kind in "fi" for one in dataset.dtypes)


def is_mask(dataset: DatasetReader) -> bool:
    """Return whether the one band of a raster has one bit, or shows only the values 0 and 255, or 0 and 1, in a sample.

    The sample is windows in a grid over the raster, so that a large grey orthophoto is not read as a whole.
    """
    if n_shown_bands(dataset) != 1 or dataset.dtypes[0] != "uint8":
        return False
    if highest_value(dataset) == 1:
        return True
    wide, high = min(SIDE, dataset.width), min(SIDE, dataset.height)
    values: set[int] = set()
    for x, y in product(PLACES, PLACES):
        corner = int((dataset.width - wide) * x), int((dataset.height - high) * y)
        window = Window(*corner, wide, high)  # pyright: ignore[reportCallIssue]
        try:
            values.update(np.unique(dataset.read(1, window=window)).tolist())
        except RasterioError:
            return False  # damaged; a crop that reads this part says so
    return any(values <= known for known in MASK_VALUES)
