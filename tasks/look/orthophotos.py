"""Read what a look shows and compares of a field's orthophotos: a thumbnail and a detail of each date, and windows."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from tasks.look.images import SEED
from tasks.look.map import Place
from tasks.look.registration import CROP_PIXELS, WINDOW_CROPS, Step, choose_places, compare_dates, prepare_window
from tasks.sources.contract import UnreadableImage
from tasks.sources.field.source import FieldSource
from tasks.sources.views import Bounds, Part, Photographed, frame_of, part_of

THUMBNAIL = 1000  # longer side of a date's orthophoto on the page, pixels
DETAIL_CROPS = 10  # side of the detail, crops
DETAIL = 700  # side of the detail, pixels


@dataclass(frozen=True)
class Flight:
    """What was read of a date's orthophoto.

    Attributes
    ----------
    field, middle : bounds (m) of the whole field, and of some plants in its middle.
    photos : orthophoto within `field` and within `middle`, RGB (h, w, 3), white where it has no pixel; empty if it
        cannot be read.
    windows : windows at the places of `choose_places`, None where the orthophoto shows too little.
    fault : why the orthophoto cannot be read; empty if it can.
    """

    field: Bounds
    middle: Bounds
    photos: tuple[NDArray[np.uint8], ...]
    windows: list[NDArray[np.float64] | None]
    fault: str = ""


def detail_of(everywhere: Mapping[str, Place], crop_metres: float) -> Bounds:
    """Return the bounds (m) of a square around the plant that is nearest to the middle of all plants."""
    known = np.asarray(list(everywhere.values()))
    middle = known[np.abs(known - np.median(known, axis=0)).max(axis=1).argmin()]
    return square(middle.tolist(), DETAIL_CROPS * crop_metres)


def square(middle: Sequence[float], side: float) -> Bounds:
    """Return the bounds of a square."""
    x, y = middle
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


def read_flights(
    source: Photographed, days: Sequence[date], everywhere: Mapping[str, Place], crs: str, crop_metres: float
) -> dict[date, Flight]:
    """Read the map, the detail and the windows of every date, at the same places on all of them.

    Windows, by which dates are compared, are read of the source `field` alone. Others state where a plant lies in the
    orthophoto of each date, so dates that lie beside each other do not matter there.
    """
    known, side = np.asarray(list(everywhere.values())), WINDOW_CROPS * crop_metres
    is_compared = len(days) > 1 and isinstance(source, FieldSource)
    chosen = known[choose_places(known, side / 4, SEED)].tolist() if is_compared else []
    parts = [
        part_of(frame_of(everywhere.values()), THUMBNAIL),
        part_of(detail_of(everywhere, crop_metres), DETAIL),
        *(part_of(square(place, side), WINDOW_CROPS * CROP_PIXELS) for place in chosen),
    ]
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(days, pool.map(lambda day: read_flight(source, day, parts, crs), days), strict=True))


def spacing_of(everywhere: Mapping[str, Place]) -> float:
    """Return the median distance (m) of a plant from the next; 1 for one plant, or plants in one place."""
    known = np.asarray(list(everywhere.values()))
    return float(np.median(KDTree(known).query(known, k=2)[0][:, 1])) or 1.0 if len(known) > 1 else 1.0


def read_flight(source: Photographed, day: date, parts: Sequence[Part], crs: str) -> Flight:
    """Read the parts of one date: the field, its middle, and windows."""
    field, middle = parts[0].bounds, parts[1].bounds
    try:
        views = source.read_views(day, parts, crs)
    except UnreadableImage as error:
        return Flight(field, middle, (), [None] * len(parts[2:]), str(error))
    windows = [prepare_window(view.pixels, view.valid) for view in views[2:]]
    photos = tuple(np.where(view.valid[..., None], view.pixels, np.uint8(255)) for view in views[:2])
    return Flight(field, middle, photos, windows)


def compare_flights(flights: Mapping[date, Flight], crop_metres: float) -> list[Step]:
    """Compare the orthophotos of each date and the date before."""
    return [
        compare_dates((before, after), flights[before].windows, flights[after].windows, crop_metres)
        for before, after in pairwise(flights)
    ]
