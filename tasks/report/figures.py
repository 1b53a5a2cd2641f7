"""Draw the figures of the report as PNG or JPEG bytes, from arrays and rows.

Figures are drawn on their own canvas and not through pyplot, whose state is shared by all threads. Names from outside
are drawn with `parse_math=False`, because a `$` in a class name is not a formula.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from tasks.explain.upsample import upsample

# Colours of answers (Okabe & Ito), told apart with any colour vision; wrong ones are also hatched, for grey prints.
COLOURS = {
    "TP": "#009E73",
    "TN": "#56B4E9",
    "FP": "#E69F00",
    "FN": "#D55E00",
    "right": "#56B4E9",
    "wrong": "#D55E00",
    "no label": "#BBBBBB",
}
HATCHES = {"FP": "///", "FN": "\\\\\\", "wrong": "///"}
MEANINGS = {"TP": "TP true positive", "TN": "TN true negative", "FP": "FP false positive", "FN": "FN false negative"}
DPI = 120  # resolution of figures, in dots per inch
THUMBNAIL = 192  # largest side of an example, in pixels; it bounds the size of a page with many clusters
PROTOTYPE_SIDE = 256  # longer side of a drawn prototype, in pixels; more than a panel has
OPACITY = 0.6  # opacity of the strongest place of a map, under which the plant stays visible
PLAIN, SIGNED = "inferno", "RdBu_r"  # colour scales; SIGNED has red for the class and blue against it


def png_bytes(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    figure.set_dpi(DPI)
    # `savefig` would draw a figure with a layout twice, to the same bytes. Without the field `Software`, equal figures
    # are equal bytes under all patch releases of matplotlib.
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def page_layout() -> ConstrainedLayoutEngine:
    """Return the layout of panels that all figures use."""
    return ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.09)


def confusion_figure(rows: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> bytes:
    """Draw the confusion matrices of rows of the table `metrics`, one line per split, with its states side by side."""
    by_split: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_split.setdefault(row["split"], []).append(row)
    columns = max(map(len, by_split.values()))
    side = max(2.3, 0.7 * len(classes) + 0.9)
    figure = Figure(figsize=(columns * side, len(by_split) * (side + 0.25)), layout=page_layout())
    names = [_short(name) for name in classes]
    for line, of_split in zip(figure.subplots(len(by_split), columns, squeeze=False), by_split.values(), strict=True):
        for panel in line[len(of_split) :]:
            panel.set_visible(False)
        for panel, row in zip(line, of_split, strict=False):
            note = "\nin-sample" if row["is_in_sample"] else ""
            panel.set_title(f"{row['split']}, {row['state']}, n = {row['n']}{note}", fontsize=10)
            _draw_confusion(panel, np.asarray(row["confusion"]).reshape(len(classes), -1), names)
    return png_bytes(figure)


def _draw_confusion(panel: Axes, counts: NDArray[np.int64], names: Sequence[str]) -> None:
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    panel.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (y, x), n in np.ndenumerate(counts):
        colour = "white" if share[y, x] > 0.55 else "black"
        panel.text(x, y, f"{n}\n{share[y, x]:.0%}", ha="center", va="center", color=colour, fontsize=10)
    panel.set_xticks(range(len(names)), labels=list(names), fontsize=9, parse_math=False)
    panel.set_yticks(range(len(names)), labels=list(names), fontsize=9, parse_math=False, rotation=90, va="center")
    panel.set_xlabel("answer", fontsize=9)
    panel.set_ylabel("truth", fontsize=9)


def _short(name: str, limit: int = 14) -> str:
    return name if len(name) <= limit else name[: limit - 1] + "…"


def cluster_figure(counts: Mapping[str, Mapping[int, Mapping[str, int]]], swapped: Sequence[int]) -> bytes:
    """Draw stacked bars of every cluster, one panel per split (Kierdorf & Roscher 2023, Fig. 3).

    Parameters
    ----------
    counts : images by split, cluster and kind of answer (TP, TN, FP, FN or right, wrong; no label).
    swapped : clusters whose answers are swapped, which are marked under the axis.
    """
    figure = Figure(figsize=(4.6 * max(1, len(counts)), 3.7), layout=page_layout())
    panels = figure.subplots(1, max(1, len(counts)), squeeze=False, sharey=False)[0]
    kind_legend(figure, draw_cluster_bars(list(panels), counts, swapped, {}))
    return png_bytes(figure)


def draw_cluster_bars(
    panels: Sequence[Axes],
    counts: Mapping[str, Mapping[int, Mapping[str, int]]],
    swapped: Sequence[int],
    tallest: Mapping[str, int],
) -> dict[str, Any]:
    """Draw the bars of `cluster_figure`, one panel per split; returns a legend handle for every kind of answer.

    `tallest` is the tallest bar that must fit, by split. Without it, the axis fits its own bars.
    """
    drawn: dict[str, Any] = {}
    for panel, (split, clusters) in zip(panels, counts.items(), strict=False):
        drawn = _draw_bars(panel, clusters) | drawn
        heights = [sum(kinds.values()) for kinds in clusters.values()]
        panel.set_title(f"{split} (n = {sum(heights)})", fontsize=11)
        names = [f"{cluster}\nswap" if cluster in swapped else str(cluster) for cluster in clusters]
        panel.set_xticks(range(len(clusters)), labels=names)
        panel.set_xlabel("cluster")
        panel.set_ylabel("images")
        panel.yaxis.set_major_locator(MaxNLocator(integer=True))
        # Limits are set by hand, because zero-height bars make the top edge sticky, and margins stop there.
        panel.set_ylim(0, 1.07 * max([1, *heights, tallest.get(split, 0)]))
        panel.spines[["top", "right"]].set_visible(False)
    return drawn


def kind_legend(figure: Figure | SubFigure, drawn: Mapping[str, Any], columns: int = 4) -> None:
    """Draw a legend of the kinds of answers under the panels."""
    kinds = [kind for kind in COLOURS if kind in drawn]
    if kinds:
        labels = [MEANINGS.get(kind, kind) for kind in kinds]
        place: dict[str, Any] = {"loc": "outside lower center", "ncols": columns, "frameon": False, "fontsize": 9}
        figure.legend([drawn[kind] for kind in kinds], labels, **place)


def _draw_bars(panel: Axes, clusters: Mapping[int, Mapping[str, int]]) -> dict[str, Any]:
    """Draw the bars of one panel; returns a legend handle for every kind of answer."""
    bottom = np.zeros(len(clusters))
    handles: dict[str, Any] = {}
    for kind in [kind for kind in COLOURS if any(kind in kinds for kinds in clusters.values())]:
        heights = np.asarray([kinds.get(kind, 0) for kinds in clusters.values()], np.float64)
        handles[kind] = panel.bar(
            range(len(clusters)),
            heights,
            bottom=bottom,
            color=COLOURS[kind],
            hatch=HATCHES.get(kind),
            edgecolor="white",
            linewidth=0.5,
        )
        bottom += heights
    return handles


def prototype_figure(
    prototypes: NDArray[np.floating], clusters: Sequence[Mapping[str, Any]], is_signed: bool = False
) -> bytes:
    """Draw the mean saliency map of every cluster, upsampled bilinearly, on one colour scale (Fig. 4).

    Parameters
    ----------
    prototypes : (clusters, rows, cols), from cluster 1 on.
    clusters : rows of the table `clusters`.
    is_signed : whether colours show evidence for and against the class, white at zero. Otherwise values below zero are
        refused.
    """
    columns = min(4, max(1, len(prototypes)))
    lines = -(-len(prototypes) // columns) or 1
    figure = Figure(figsize=(2.3 * columns + 0.9, 2.65 * lines), layout=page_layout())
    panels = figure.subplots(lines, columns, squeeze=False)
    told = {row["cluster"]: f"n = {row['n']}, {row['error_share']:.1%} wrong" for row in clusters}
    numbers = range(1, len(prototypes) + 1)
    titles = [f"cluster {number}\n{told.get(number, 'no labelled images')}" for number in numbers]
    image = draw_prototypes(list(panels.flat), prototypes, titles, is_signed)
    if image is not None:
        label = "mean of the maps (strongest value of each map = 1)"
        figure.colorbar(image, ax=panels, shrink=0.75, label=_signed_label(label) if is_signed else label)
    return png_bytes(figure)


def draw_prototypes(
    panels: Sequence[Axes], prototypes: NDArray[np.floating], titles: Sequence[str], is_signed: bool
) -> AxesImage | None:
    """Draw the maps of `prototype_figure`, one per panel; returns one of them for the colour bar."""
    limit = max(float(np.abs(prototypes).max(initial=0)), 1e-6)
    colours, lowest = (SIGNED, -limit) if is_signed else (PLAIN, 0.0)
    _refuse_negative(prototypes, is_signed)
    image = None
    for panel in panels:
        panel.set_axis_off()
    for panel, prototype, title in zip(panels, prototypes, titles, strict=False):
        image = panel.imshow(_at_side(prototype, PROTOTYPE_SIDE), cmap=colours, vmin=lowest, vmax=limit)
        panel.set_title(title, fontsize=9.5)
    return image


def _signed_label(label: str) -> str:
    return label.replace(" (", "\nabove 0: for the class, below 0: against it\n(")


def _at_side(saliency: NDArray[np.floating], side: int) -> NDArray[np.float64]:
    """Upsample a map (rows, cols) so that its longer side has this length, in its own proportions."""
    factor = side / max(saliency.shape)
    return upsample(saliency, *(max(1, round(n * factor)) for n in saliency.shape))


def _refuse_negative(values: NDArray[np.floating], is_signed: bool) -> None:
    """Refuse negative values on a scale that starts at zero and would hide evidence against the class."""
    if not is_signed and (values < 0).any():
        raise ValueError(f"a map has values below zero ({values.min():.3g}); draw it with is_signed")


def training_figure(epochs: Sequence[Mapping[str, Any]]) -> bytes:
    """Draw loss and accuracy per epoch, from rows of the table `epochs`."""
    figure = Figure(figsize=(9.2, 3.1), layout=page_layout())
    for panel, name, unit in zip(figure.subplots(1, 2), ("loss", "accuracy"), (" (nat)", ""), strict=True):
        for split, colour, marker in (("train", "#0072B2", "o"), ("val", "#D55E00", "s")):
            known = [(e["epoch"], e[f"{split}_{name}"]) for e in epochs if e[f"{split}_{name}"] is not None]
            if known:
                label = "training (augmented)" if split == "train" else "validation"
                panel.plot(*zip(*known, strict=True), color=colour, marker=marker, markersize=3.5, label=label)
        panel.set_xlabel("epoch")
        panel.set_ylabel(name + unit)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.25)
        panel.legend(frameon=False, fontsize=9)
    return png_bytes(figure)


def overlay_image(image: NDArray[np.uint8], saliency: NDArray[np.floating], is_signed: bool = False) -> bytes:
    """Return a JPEG of an image (h, w, 3) with its saliency map (rows, cols) over it; salient places are opaque.

    With `is_signed`, evidence for the class is red and evidence against it blue. Without it, values below zero are
    refused.
    """
    _refuse_negative(saliency, is_signed)
    height, width = image.shape[:2]
    strength = upsample(saliency, height, width) / max(float(np.abs(saliency).max(initial=0)), 1e-6)
    heat = matplotlib.colormaps[SIGNED]((strength + 1) / 2) if is_signed else matplotlib.colormaps[PLAIN](strength)
    opacity = OPACITY * np.abs(strength)[..., None]
    pixels = (image * (1 - opacity) + 255 * heat[..., :3] * opacity).astype(np.uint8)
    size = (min(THUMBNAIL, width), min(THUMBNAIL, height))
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
