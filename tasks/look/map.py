"""Draw the plants of a date by their split, in metres; no files."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from storage.tables.names import SPLIT_NAMES, Split
from tasks.report.figures import page_layout, png_bytes
from tasks.sources.contract import SourceImage

# Colour (Okabe & Ito's) and shape of a split, told apart with any colour vision and without colours.
MARKERS: Mapping[Split, tuple[str, str]] = {
    "train": ("#0072B2", "o"),
    "val": ("#E69F00", "^"),
    "test": ("#009E73", "s"),
    "new": ("#CC79A7", "D"),
}
ABSENT = "#9AA39D"  # colour of plants that have no image on the date
SIDE = 5.0  # longer side of the map, inches

Place = tuple[float, float]


def places_of(images: Sequence[SourceImage]) -> dict[str, Place]:
    """Return easting and northing (m) of every plant that has them; of several the last counts."""
    return {
        one.plant_id: (one.easting, one.northing)
        for one in images
        if one.easting is not None and one.northing is not None
    }


def draw_map(images: Sequence[SourceImage], everywhere: Mapping[str, Place]) -> bytes:
    """Draw the plants of a date's images as PNG, on axes that show the plants of all dates.

    Parameters
    ----------
    everywhere : places of the plants of all dates, at least one.
    """
    known = np.asarray(list(everywhere.values()))
    low, span = known.min(axis=0), np.maximum(np.ptp(known, axis=0), 1.0)
    width, height = np.clip(SIDE * span / span.max(), 0.3 * SIDE, SIDE)
    figure = Figure(figsize=(width + 0.8, height + 1.1), layout=page_layout())
    panel = figure.subplots()
    area = float(np.clip(6000 / len(known), 2, 40))  # square points
    here = places_of(images)
    rest = np.asarray([place for plant, place in everywhere.items() if plant not in here]).reshape(-1, 2)
    panel.scatter(rest[:, 0] - low[0], rest[:, 1] - low[1], area / 6, color=ABSENT, linewidths=0)
    for split, (colour, marker) in MARKERS.items():
        inside = {one.plant_id: here[one.plant_id] for one in images if one.split == split and one.plant_id in here}
        if inside:
            metres = np.asarray(list(inside.values())) - low
            label = f"{SPLIT_NAMES[split]} ({len(inside)})"
            panel.scatter(metres[:, 0], metres[:, 1], area, color=colour, marker=marker, linewidths=0, label=label)
    panel.set_aspect("equal")
    panel.margins(0.04)
    panel.set_xlabel("metres east")
    panel.set_ylabel("metres north")
    panel.spines[["top", "right"]].set_visible(False)
    if here:
        figure.legend(loc="outside upper left", ncols=4, frameon=False, fontsize=8, handletextpad=0.2)
    return png_bytes(figure)
