"""Draw the harvest map of each date as a picture, for print and for readers without scripts; no files.

Colour and shape of a mark tell the decision. Its filling shows reliability: solid for a sure answer, hollow for one no
better than a guess.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from storage.tables.rows import Row
from tasks.export.looks import markers_of
from tasks.report.field.summary import FieldDay, is_placed
from tasks.report.figures import page_layout, png_bytes

NO_ANSWER = "#9AA39D"  # colour of plants without an answer
SIDE = 7.0  # longer side of a picture, in inches


def least_reliability(classes: Sequence[str]) -> float:
    """Return the reliability of a guess, at which a mark is hollow."""
    return 1 / max(2, len(classes))


def still_of(day: FieldDay, classes: Sequence[str], plants: Sequence[Row]) -> bytes | None:
    """Draw the map of a date as PNG; None if no plant with an answer has a position.

    The axes span the campaign's plants and those of the date. So the pictures of a field that stays are alike, and none
    changes when another date comes.
    """
    if not any(map(is_placed, day.rows)):
        return None
    known = [*filter(is_placed, plants), *filter(is_placed, day.rows)]  # of a plant in both, the place on the date
    return map_picture(day.rows, classes, {row["plant_id"]: (row["easting"], row["northing"]) for row in known})


def map_picture(rows: Sequence[Row], classes: Sequence[str], places: Mapping[str, tuple[float, float]]) -> bytes:
    """Draw the plants of decision rows as PNG (see `map_figure`)."""
    return png_bytes(map_figure(rows, classes, places))


def map_figure(rows: Sequence[Row], classes: Sequence[str], places: Mapping[str, tuple[float, float]]) -> Figure:
    """Draw the plants of decision rows, in metres from the corner of all known `places`; other plants are dots.

    The legend has every decision in its own colour and shape, also one that no plant has, and always filled.
    """
    known = np.asarray(list(places.values()))
    low, span = known.min(axis=0), np.maximum(np.ptp(known, axis=0), 1.0)
    width, height = np.clip(SIDE * span / span.max(), 0.35 * SIDE, SIDE)
    figure = Figure(figsize=(width + 0.8, height + 1.2), layout=page_layout())
    panel = figure.subplots()
    placed = [row for row in rows if is_placed(row)]
    area = float(np.clip(9000 / len(known), 3, 60))  # square points
    answered = {row["plant_id"] for row in placed}
    rest = np.asarray([place for plant, place in places.items() if plant not in answered]).reshape(-1, 2)
    panel.scatter(rest[:, 0] - low[0], rest[:, 1] - low[1], area / 8, color=NO_ANSWER, linewidths=0)
    handles: list[Line2D] = []
    for decision, marker in markers_of(classes).items():
        inside = [row for row in placed if row["decision"] == decision]
        east, north = (
            [row[name] - at for row in inside] for name, at in zip(("easting", "northing"), low, strict=True)
        )
        fill = [to_rgba(marker.light, _filling(row["answer_reliability"], classes)) for row in inside]
        panel.scatter(east, north, area, facecolors=fill, marker=marker.shape, edgecolors=marker.light, linewidths=0.7)
        label = f"{decision} ({len(inside)})"
        handles.append(Line2D([], [], linestyle="", marker=marker.shape, color=marker.light, label=label))
    margin = 0.03 * float(span.max())
    panel.set_xlim(-margin, span[0] + margin)
    panel.set_ylim(-margin, span[1] + margin)
    panel.set_aspect("equal")
    panel.set_xlabel("metres east")
    panel.set_ylabel("metres north")
    panel.spines[["top", "right"]].set_visible(False)
    legend = figure.legend(
        handles=handles, loc="outside upper left", ncols=3, frameon=False, fontsize=9, handletextpad=0.2
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _filling(reliability: float, classes: Sequence[str]) -> float:
    """Return how far a mark is filled, 0..1."""
    least = least_reliability(classes)
    return min(1.0, max(0.0, (reliability - least) / (1 - least)))
