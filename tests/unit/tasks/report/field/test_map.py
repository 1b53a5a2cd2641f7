"""Test the still picture of the harvest map: its legend has the colour and shape of every decision in every case."""

from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tasks.decide.decisions import decisions_of
from tasks.export.looks import markers_of
from tasks.report.field.map import map_figure

TWO, MANY = ("not ready", "ready"), ("healthy", "mildew", "rust", "rot")


def rows_of(decisions: list[str], reliability: float = 0.9) -> list[dict[str, Any]]:
    """Return one plant for each decision, in a line."""
    return [
        {"plant_id": f"p{i}", "decision": word, "answer_reliability": reliability, "easting": float(i), "northing": 0.0}
        for i, word in enumerate(decisions)
    ]


def legend_of(figure: Figure) -> dict[str, Line2D]:
    (legend,) = figure.legends
    handles = [handle for handle in legend.legend_handles if isinstance(handle, Line2D)]
    return {one.get_text(): handle for one, handle in zip(legend.get_texts(), handles, strict=True)}


@pytest.mark.parametrize("classes", [TWO, MANY])
@pytest.mark.parametrize("kept", [slice(0, 0), slice(0, 1), slice(1, 2), slice(0, None)])
@pytest.mark.parametrize("reliability", [0.3, 0.99])
def test_the_legend_is_right_whatever_decisions_there_are(
    classes: tuple[str, ...], kept: slice, reliability: float
) -> None:
    """Leave decisions out, and make answers as sure as a guess, whose marks are hollow: the legend stays the same."""
    there = decisions_of(classes)[kept]
    places = {f"p{i}": (float(i), 0.0) for i in range(9)}
    found = legend_of(map_figure(rows_of(list(there), reliability), classes, places))
    assert list(found) == [f"{word} ({int(word in there)})" for word in decisions_of(classes)]
    for handle, marker in zip(found.values(), markers_of(classes).values(), strict=True):
        assert to_hex(handle.get_color()).upper() == marker.light.upper() and handle.get_marker() == marker.shape
        assert to_hex(handle.get_markerfacecolor()).upper() == marker.light.upper()


def test_marks_have_the_colours_of_the_legend() -> None:
    """Draw two plants of one decision, of which only the sure one is filled."""
    rows = [*rows_of(["harvest"], 1.0), {**rows_of(["harvest"], 0.5)[0], "plant_id": "p1", "easting": 1.0}]
    figure = map_figure(rows, TWO, {"p0": (0.0, 0.0), "p1": (1.0, 0.0)})
    _, marks, *others = figure.axes[0].collections
    light = markers_of(TWO)["harvest"].light
    assert to_hex(np.asarray(marks.get_edgecolor())[0]).upper() == light.upper()
    faces = np.asarray(marks.get_facecolor())
    assert faces[:, 3].tolist() == [1.0, 0.0] and to_hex(faces[0]).upper() == light.upper()
    assert all(len(np.asarray(one.get_offsets())) == 0 for one in others)
