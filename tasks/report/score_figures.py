"""Draw figures that compare scores and methods as PNG bytes, in the style of `tasks.report.figures`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from tasks.report.figures import draw_cluster_bars, draw_prototypes, kind_legend, page_layout, png_bytes
from tasks.statistics.detection import CalibrationRow

# Colour (Okabe & Ito), line pattern and point shape of each score; patterns and shapes serve prints without colour.
LINES: tuple[tuple[str, Any, str], ...] = (
    ("#D55E00", "-", "o"),
    ("#E69F00", "--", "s"),
    ("#56B4E9", (0, (1, 1)), "^"),
    ("#0072B2", "-.", "v"),
    ("#009E73", (0, (5, 1)), "D"),
    ("#CC79A7", (0, (3, 1, 1, 1, 1, 1)), "P"),
    ("#000000", (0, (8, 2)), "X"),
)
PRODUCT_LINE: tuple[str, Any, str] = ("#882255", "-", "*")  # look of the answers that are acted on, beside all scores
SMALLEST, LARGEST = 25, 260  # smallest and largest area of a point, in square points; it grows with the images
MAPS_ACROSS = 4  # prototypes side by side
PANEL, MAPS = 3.4, 4.6  # width of the bars of one split, and of the maps, in inches


def risk_coverage_figure(curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]], title: str) -> bytes:
    """Draw the error rate among accepted answers against the share accepted, surest first, one line per score.

    Parameters
    ----------
    curves : coverage and error rate, both (n,) and 0..1, by the score's name. Without curves, the figure is empty.
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
    """Draw the share of right answers against the claimed reliability, one point per bin, larger with more images.

    Parameters
    ----------
    bins : bins of `tasks.statistics.detection.calibration` by the score's name. Without bins, the figure is empty.
    """
    figure = Figure(figsize=(8.2, 4.2), layout=page_layout())
    panel = figure.subplots()
    panel.plot([0, 1], [0, 1], color="#777777", linewidth=1, linestyle=":", label="as claimed")
    ends = (LINES[0], LINES[-1])  # the cluster score and the combined score look as in `risk_coverage_figure`
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


def promise_figure(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], confidence: float) -> bytes:
    """Draw the share of answers that may be acted on against the share of wrong ones that is tolerated.

    Parameters
    ----------
    curves : tolerated shares and shares of answers, both (n,) and 0..1, by the score's name. The first is the
        product's; the others look as in `risk_coverage_figure`.
    confidence : probability with which every promise holds.
    """
    figure = Figure(figsize=(8.2, 4.2), layout=page_layout())
    panel = figure.subplots()
    styles = [PRODUCT_LINE, *_styles(len(curves) - 1)]
    for i, (name, (tolerated, answered)) in enumerate(curves.items()):
        colour, pattern, shape = styles[i]
        look: dict[str, Any] = {"linewidth": 3, "markersize": 11} if i == 0 else {"linewidth": 1.8}
        panel.plot(tolerated, answered, color=colour, linestyle=pattern, marker=shape, label=name, **look)
    panel.set_xlabel("tolerated share of wrong answers among those acted on")
    panel.set_ylabel("share of answers acted on")
    panel.set_ylim(-0.03, 1.03)
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    _finish(figure, panel, f"what validation plants certify (confidence {100 * confidence:.3g} %)")
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
    """Draw clusters and prototypes of one method side by side, to be compared with other methods (Figs. 3 to 6).

    Parameters
    ----------
    counts, swapped : arguments of `tasks.report.figures.cluster_figure`.
    prototypes : (clusters, rows, cols), from cluster 1 on.
    is_signed : whether maps have evidence against the class.
    tallest : images of the largest cluster of any method by split, so that all methods have equal axes.
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
