"""Draw the plants of a date by their split, in metres, over the orthophoto where there is one; no files."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from storage.tables.names import SPLIT_NAMES, Split
from tasks.report.figures import page_layout, png_bytes
from tasks.sources.contract import SourceImage
from tasks.sources.views import Bounds

# Colour (Okabe & Ito's) and shape of a split, told apart with any colour vision and without colours.
MARKERS: Mapping[Split, tuple[str, str]] = {
    "train": ("#0072B2", "o"),
    "val": ("#E69F00", "^"),
    "test": ("#009E73", "s"),
    "new": ("#CC79A7", "D"),
}
ABSENT = "#9AA39D"  # colour of plants that have no image on the date
SIDE = 5.0  # longer side of the map, inches
PHOTO_DPI = 200  # resolution of a map over an orthophoto, in dots per inch
MOST_BYTES = 400_000  # size of a map over an orthophoto, which is compressed until it is no larger
QUALITIES = (85, 70, 50, 30, 10)  # of WebP, tried in this order
LEAST_RING = 12.0  # square points; smaller marks are dots, because rings of that size hide the plant as well
LEGEND_WIDTH = 1.4  # inches of an entry of the legend, of which a narrow map has fewer in a row
LEGEND_AREA = 30.0  # square points of a mark in the legend, however small the marks on the map are

Place = tuple[float, float]


def places_of(images: Sequence[SourceImage]) -> dict[str, Place]:
    """Return easting and northing (m) of every plant that has them; of several the last counts."""
    return {
        one.plant_id: (one.easting, one.northing)
        for one in images
        if one.easting is not None and one.northing is not None
    }


def draw_map(
    images: Sequence[SourceImage],
    everywhere: Mapping[str, Place],
    frame: Bounds,
    photo: NDArray[np.uint8] | None = None,
) -> bytes:
    """Draw the plants of a date's images that lie in a frame: as PNG, or as WebP over a photograph of the frame.

    Parameters
    ----------
    everywhere : places of the plants of all dates, at least one.
    frame : bounds of the map, metres.
    photo : orthophoto of the frame, shape (h, w, 3), RGB, 0..255, north up; None for none.
    """
    west, south, east, north = frame
    span = np.array([east - west, north - south])
    width, height = np.clip(SIDE * span / span.max(), 0.3 * SIDE, SIDE)
    figure = Figure(figsize=(width + 0.8, height + 1.1), layout=page_layout())
    panel = figure.subplots()
    if photo is not None:
        panel.imshow(photo, extent=(0.0, span[0], 0.0, span[1]))
    inside = {plant: place for plant, place in everywhere.items() if is_in(place, frame)}
    draw_plants(panel, [one for one in images if one.plant_id in inside], inside, (west, south), photo is not None)
    panel.set_aspect("equal")
    panel.set_xlim(0, span[0])
    panel.set_ylim(0, span[1])
    panel.set_xlabel("metres east")
    panel.set_ylabel("metres north")
    panel.spines[["top", "right"]].set_visible(False)
    if places_of(images).keys() & inside.keys():
        columns = max(1, int(figure.get_figwidth() / LEGEND_WIDTH))
        legend = figure.legend(loc="outside upper left", ncols=columns, frameon=False, fontsize=8, handletextpad=0.2)
        for handle in legend.legend_handles:
            if isinstance(handle, PathCollection):
                handle.set_sizes([LEGEND_AREA])
    return png_bytes(figure) if photo is None else webp_bytes(figure)


def is_in(place: Place, frame: Bounds) -> bool:
    """Return whether a place lies in a frame."""
    return frame[0] <= place[0] <= frame[2] and frame[1] <= place[1] <= frame[3]


def draw_plants(
    panel: Axes, images: Sequence[SourceImage], everywhere: Mapping[str, Place], low: Place, is_over_photo: bool
) -> None:
    """Mark plants by split, and those without an image by a grey dot; over a photograph by rings that show the plant.

    Parameters
    ----------
    low : place of the panel's corner.
    """
    area = float(np.clip(6000 / max(1, len(everywhere)), 2, 40))  # square points
    here = places_of(images)
    rest = np.asarray([place for plant, place in everywhere.items() if plant not in here]).reshape(-1, 2)
    panel.scatter(rest[:, 0] - low[0], rest[:, 1] - low[1], area / 6, color=ABSENT, linewidths=0)
    for split, (colour, marker) in MARKERS.items():
        of_split = {one.plant_id: here[one.plant_id] for one in images if one.split == split and one.plant_id in here}
        if not of_split:
            continue
        x, y = (np.asarray(list(of_split.values())) - low).T
        label = f"{SPLIT_NAMES[split]} ({len(of_split)})"
        if is_over_photo and area >= LEAST_RING:
            ring: dict[str, Any] = {"s": 3 * area, "marker": marker, "facecolors": "none"}
            panel.scatter(x, y, edgecolors="white", linewidths=2.4, **ring)
            panel.scatter(x, y, edgecolors=colour, linewidths=1.2, label=label, **ring)
        else:
            panel.scatter(x, y, area, color=colour, marker=marker, linewidths=0, label=label)


def webp_bytes(figure: Figure) -> bytes:
    """Return a figure as WebP of at most `MOST_BYTES`, in the best of `QUALITIES` that has so few, or in the last."""
    figure.set_dpi(PHOTO_DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture, encoded = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]), b""
    for quality in QUALITIES:
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=quality)
        encoded = buffer.getvalue()
        if len(encoded) <= MOST_BYTES:
            break
    return encoded
