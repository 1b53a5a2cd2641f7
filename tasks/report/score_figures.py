"""Figures of how scores and methods compare as PNG bytes, in the style of `tasks.figures`: numbers in, pictures out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from tasks.report.figures import draw_cluster_bars, draw_prototypes, kind_legend, page_layout, png_bytes
from tasks.statistics.detection import CalibrationRow

# Okabe & Ito's colours; lines differ by pattern and points by shape too, for prints without colour.
LINES: tuple[tuple[str, Any, str], ...] = (
    ("#D55E00", "-", "o"),
    ("#E69F00", "--", "s"),
    ("#56B4E9", (0, (1, 1)), "^"),
    ("#0072B2", "-.", "v"),
    ("#009E73", (0, (5, 1)), "D"),
    ("#CC79A7", (0, (3, 1, 1, 1, 1, 1)), "P"),
    ("#000000", (0, (8, 2)), "X"),
)
SMALLEST, LARGEST = 25, 260  # area of a point, in square points: in proportion to its images
MAPS_ACROSS = 4
PANEL, MAPS = 3.4, 4.6  # inches across, of the bars of one split and of the maps


def risk_coverage_figure(curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]], title: str) -> bytes:
    """Error rate among accepted answers against the share that is accepted, the surest first, a line a score.

    Parameters
    ----------
    curves : coverage and error rate, both (n,) and 0..1, by the score's name; none is an empty figure.
    """
    figure = Figure(figsize=(8.2, 4.2), layout=page_layout())
    panel = figure.subplots()
    for (name, (coverage, risk)), (colour, pattern, _) in zip(curves.items(), _styles(len(curves)), strict=True):
        panel.plot(coverage, risk, color=colour, linestyle=pattern, linewidth=1.8, label=name)
    panel.set_xlabel("share of answers accepted, the surest first")
    panel.set_ylabel("wrong among the accepted")
    panel.set_xlim(0, 1)
    panel.set_ylim(0, None)
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    _finish(figure, panel, title)
    return png_bytes(figure)


def calibration_figure(bins: Mapping[str, Sequence[CalibrationRow]], title: str) -> bytes:
    """Share of right answers against the reliability that was claimed, a point a bin, larger with more images.

    Parameters
    ----------
    bins : of `tasks.detection.calibration`, by the score's name; none is an empty figure.
    """
    figure = Figure(figsize=(8.2, 4.2), layout=page_layout())
    panel = figure.subplots()
    panel.plot([0, 1], [0, 1], color="#777777", linewidth=1, linestyle=":", label="as claimed")
    ends = (LINES[0], LINES[-1])  # the cluster's and the combined score, as in the curves of risk
    for (name, rows), (colour, pattern, shape) in zip(bins.items(), ends, strict=False):
        claimed, found = [row.mean_probability for row in rows], [row.share_right for row in rows]
        most = max((row.n for row in rows), default=1)
        areas = [SMALLEST + (LARGEST - SMALLEST) * row.n / most for row in rows]
        panel.plot(claimed, found, color=colour, linestyle=pattern, linewidth=1.2, label=name)
        panel.scatter(
            claimed, found, s=areas, color=colour, marker=shape, alpha=0.75, edgecolors="white", clip_on=False
        )
    panel.set_xlabel("reliability that was claimed")
    panel.set_ylabel("share that was right")
    panel.set_xlim(-0.03, 1.03)
    panel.set_ylim(-0.03, 1.03)
    _finish(figure, panel, title)
    return png_bytes(figure)


def _styles(n: int) -> list[tuple[str, Any, str]]:
    return [LINES[i % len(LINES)] for i in range(n)]


def _finish(figure: Figure, panel: Axes, title: str) -> None:
    panel.set_title(title, fontsize=11)
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
    handles, names = panel.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False, fontsize=9, handlelength=4)


def method_figure(
    counts: Mapping[str, Mapping[int, Mapping[str, int]]],
    swapped: Sequence[int],
    prototypes: NDArray[np.floating],
    is_signed: bool,
    tallest: Mapping[str, int],
) -> bytes:
    """Clusters and prototypes of one method in a row, to be put under those of the others (Figs. 3 to 6).

    Parameters
    ----------
    counts, swapped : as of `tasks.figures.cluster_figure`.
    prototypes : (clusters, rows, cols), from cluster 1 on.
    tallest : images of the largest cluster of any method by split: equal axes for all of them.
    """
    n_splits = max(1, len(counts))
    figure = Figure(figsize=(PANEL * n_splits + MAPS, 3.2), layout=page_layout())
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=[PANEL * n_splits, MAPS])[0]
    panels = left.subplots(1, n_splits, squeeze=False)[0]
    drawn = draw_cluster_bars(list(panels), counts, swapped, tallest)
    kind_legend(left, drawn, 2 * n_splits)
    lines = -(-len(prototypes) // MAPS_ACROSS) or 1
    titles = [f"{cluster}{' swap' if cluster in swapped else ''}" for cluster in range(1, len(prototypes) + 1)]
    draw_prototypes(list(right.subplots(lines, MAPS_ACROSS, squeeze=False).flat), prototypes, titles, is_signed)
    return png_bytes(figure)
