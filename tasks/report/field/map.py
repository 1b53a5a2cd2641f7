"""Make the harvest map, as JSON for the page's script and as a picture of each date for print; no files.

Colour and shape of a mark tell the decision. Its filling shows reliability: solid for a sure answer, hollow for one no
better than a guess.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from scipy.spatial import KDTree

from storage.tables.rows import Row
from tasks.decide.decisions import decisions_of
from tasks.export.looks import markers_of
from tasks.report.field.summary import FieldDay, day_label, is_placed, reason_sentences
from tasks.report.figures import page_layout, png_bytes

NO_ANSWER = "#9AA39D"  # colour of plants without an answer
N_ON_MAP = 10_000  # most plants on the page's map, at 25 bytes per plant and date; for more, a browser takes seconds
SIDE = 7.0  # longer side of a picture, in inches


def least_reliability(classes: Sequence[str]) -> float:
    """Return the reliability of a guess, at which a mark is hollow."""
    return 1 / max(2, len(classes))


@dataclass(frozen=True)
class Thinning:
    """Selection of the plants of a large field that the page's map shows.

    Attributes
    ----------
    n, n_shown : number of plants with a position, and of those on the map.
    side : side of the squares of a grid, in metres; in each, the plant nearest to its middle is shown.
    """

    n: int
    n_shown: int
    side: float


def thinned(metres: NDArray[np.float64], limit: int) -> tuple[NDArray[np.int64], float]:
    """Select at most `limit` of n plants at positions (n, 2); returns their indices and the side of squares in metres.

    Plants are selected evenly over the field: in each square, the one nearest to the middle, and of equally near ones
    the first. Taking every k-th plant would show or leave out whole lines, because rows have equal numbers of plants.
    If there are no more than `limit`, all plants are selected and the side is 0.
    """
    if len(metres) <= limit:
        return np.arange(len(metres)), 0.0
    side = round(float(np.sqrt(np.maximum(np.ptp(metres, axis=0), 1.0).prod() / limit)), 1) or 0.1
    while True:
        square = np.floor(metres / side)
        order = np.argsort(np.hypot(*(metres / side - square - 0.5).T).round(9), kind="stable")
        _, first = np.unique(square[order], axis=0, return_index=True)
        if len(first) <= limit:
            return np.sort(order[first]), side
        side = round(1.1 * side + 0.05, 1)


def thinning(days: Sequence[FieldDay], plants: Sequence[Row]) -> Thinning | None:
    """Return which plants the map of these dates leaves out; None if it shows all."""
    metres = np.asarray(list(_places(days, plants).values())).reshape(-1, 2)
    shown, side = thinned(metres - metres.min(axis=0, initial=np.inf), N_ON_MAP)
    return Thinning(len(metres), len(shown), side) if side else None


def map_json(days: Sequence[FieldDay], classes: Sequence[str], plants: Sequence[Row]) -> str:
    """Return the content of the map as JSON, safe inside a `script` element; empty if no plant has a position.

    Plants are listed once, in metres from the south-west corner, as selected by `thinned`. A date lists the indices of
    its plants. For each it has the indices of decision, answer and reasons, the reliability to three decimals, and
    whether the answer was corrected. It also has the number of all its plants. Plants without an answer on a date are
    listed too, to show the field.
    """
    places = _places(days, plants)
    if not places:
        return ""
    metres = np.asarray(list(places.values()))
    metres = (metres - metres.min(axis=0)).round(2)
    shown, _ = thinned(metres, N_ON_MAP)
    names, metres = [list(places)[i] for i in shown], metres[shown]
    number = {plant: i for i, plant in enumerate(names)}
    reasons = sorted({row["check_reason"] for day in days for row in day.rows})
    content = {
        "classes": list(classes),
        "least": least_reliability(classes),
        "spacing": _spacing(metres),
        "decisions": [{"name": name, **asdict(marker)} for name, marker in markers_of(classes).items()],
        "reasons": [[reason_sentences().get(word, word) for word in text.split()] for text in reasons],
        "plants": names,
        "east": metres[:, 0].tolist(),
        "north": metres[:, 1].tolist(),
        "days": [_day_content(day, number, classes, reasons) for day in days],
    }
    # `<` could end the element or open a comment in it.
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def _places(days: Sequence[FieldDay], plants: Sequence[Row]) -> dict[str, tuple[float, float]]:
    """Return the latest known easting and northing of every plant; empty if no plant with an answer has them."""
    answers = [row for day in days for row in day.rows if is_placed(row)]
    known = [*filter(is_placed, plants), *answers] if answers else []
    return {row["plant_id"]: (row["easting"], row["northing"]) for row in known}


def _spacing(metres: NDArray[np.float64]) -> float:
    """Return the median distance (m) of a plant from its nearest neighbour; 1 for one plant, or plants in one place."""
    if len(metres) < 2:
        return 1.0
    distances, _ = KDTree(metres).query(metres, k=2)
    return float(np.median(distances[:, 1]).round(3)) or 1.0


def _day_content(
    day: FieldDay, number: Mapping[str, int], classes: Sequence[str], reasons: Sequence[str]
) -> dict[str, Any]:
    """Return a date's plants that are on the map, and the counts of all its plants."""
    decisions = decisions_of(classes)
    tally = Counter(row["decision"] for row in day.rows)
    rows = [row for row in day.rows if is_placed(row) and row["plant_id"] in number]
    return {
        "date": day.date,
        "label": day_label(day.date),
        "n": len(day.rows),
        "unplaced": sum(not is_placed(row) for row in day.rows),
        "counts": [tally[decision] for decision in decisions],
        "plant": [number[row["plant_id"]] for row in rows],
        "decision": [decisions.index(row["decision"]) for row in rows],
        "reliability": [round(row["answer_reliability"], 3) for row in rows],
        "answer": [classes.index(row["answer"]) for row in rows],
        "reason": [reasons.index(row["check_reason"]) for row in rows],
        "corrected": [int(row["is_corrected"]) for row in rows],
    }


def map_pictures(days: Sequence[FieldDay], classes: Sequence[str], plants: Sequence[Row]) -> dict[str, bytes]:
    """Draw the map of every date as PNG, on the same axes; none if no plant has a position."""
    places = _places(days, plants)
    return {day.date: map_picture(day.rows, classes, places) for day in days} if places else {}


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
