"""Render the figure (PNG) and the page (HTML) of an audit from the rows of the table `audit`."""

import base64
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from storage.artifacts import content_digest
from storage.tables.names import SPLIT_NAMES
from storage.tables.rows import Row
from tasks.report import templates
from tasks.report.figures import page_layout, png_bytes
from tasks.report.templates import page_templates
from tasks.report.words import GROUND_TRUTH, figure_text, method_name, percent

GIVEAWAY = 0.9  # label probe above which the maps carry the label
# Label, colour (Okabe & Ito) and hatch of each bar; hatches tell the bars apart in prints without colour.
STATES: dict[str, tuple[str, str, str]] = {
    "accuracy_before": ("before", "#BBBBBB", ""),
    "accuracy_after": ("after (validation: in-sample)", "#56B4E9", "///"),
    "accuracy_crossfitted": ("cross-fitted", "#009E73", "\\\\\\"),
}
WIDTH = 0.27  # width of a bar, with groups at a distance of 1
WARNING_COLOUR = "#D55E00"  # colour of the ground and the text behind bars of `label`


def audit_figure(rows: Sequence[Row]) -> bytes:
    """Draw accuracy before, after and cross-fitted by explained class, with methods as lines and splits as columns.

    Bars of `label` stand on a tinted ground with a warning. Without rows, the figure is empty.
    """
    methods, splits = (list(dict.fromkeys(row[name] for row in rows)) for name in ("method", "split"))
    lines, columns = max(1, len(methods)), max(1, len(splits))
    figure = Figure(figsize=(4.6 * columns, 3.4 * lines + 0.5), layout=page_layout())
    panels = figure.subplots(lines, columns, squeeze=False)
    drawn: dict[str, Any] = {}
    for line, method in zip(panels, methods, strict=False):
        for panel, split in zip(line, splits, strict=False):
            chosen = [row for row in rows if (row["method"], row["split"]) == (method, split)]
            drawn |= _draw_groups(panel, chosen)
            sizes = "/".join(dict.fromkeys(str(row["n"]) for row in chosen))
            panel.set_title(f"{method_name(method)}, {SPLIT_NAMES[split]} (n = {sizes})", fontsize=10)
    if drawn:
        figure.legend(drawn.values(), drawn.keys(), loc="outside lower center", ncols=len(drawn), frameon=False)
    return png_bytes(figure)


def _draw_groups(panel: Axes, rows: Sequence[Row]) -> dict[str, Any]:
    """Draw the bars of one panel, one group per explained class; returns a legend handle for every state."""
    handles: dict[str, Any] = {}
    for k, (column, (name, colour, hatch)) in enumerate(STATES.items()):
        known = [(place, row[column]) for place, row in enumerate(rows) if row[column] is not None]
        if known:
            places, shares = zip(*known, strict=True)
            bars = panel.bar(
                np.asarray(places) + (k - 1) * WIDTH, shares, WIDTH, color=colour, hatch=hatch, edgecolor="white"
            )
            panel.bar_label(bars, [f"{100 * share:.1f}" for share in shares], fontsize=7, padding=1)
            handles[name] = bars
    for place, row in enumerate(rows):
        if row["explained_class"] == "label":
            _warn(panel, place)
    _label_axes(panel, [row["explained_class"] for row in rows])
    return handles


def _warn(panel: Axes, place: int) -> None:
    panel.axvspan(place - 0.5, place + 0.5, color=WARNING_COLOUR, alpha=0.13, linewidth=0, zorder=0)
    text = "uses ground truth:\nnot valid for\nunseen data"
    panel.text(place, 1.13, text, ha="center", va="center", color=WARNING_COLOUR, fontsize=8, fontweight="bold")


def _label_axes(panel: Axes, names: Sequence[str]) -> None:
    panel.set_xticks(range(len(names)), labels=list(names), fontsize=9, parse_math=False)
    panel.set_xlim(-0.5, max(0.5, len(names) - 0.5))
    panel.set_ylim(0, 1.25)
    panel.set_yticks([0, 0.25, 0.5, 0.75, 1])
    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panel.set_ylabel("overall accuracy", fontsize=9)
    panel.spines[["top", "right"]].set_visible(False)


def verdicts(rows: Sequence[Row]) -> list[str]:
    """Summarise the table in one sentence for each method and explained class."""
    pairs = dict.fromkeys((row["method"], row["explained_class"]) for row in rows)
    return [_verdict([row for row in rows if (row["method"], row["explained_class"]) == pair], *pair) for pair in pairs]


def _verdict(rows: Sequence[Row], method: str, choice: str) -> str:
    claims = [
        f"{percent(row['accuracy_before'])} → {percent(row['accuracy_after'])} on {SPLIT_NAMES[row['split']]} images"
        for row in rows
    ]
    probes = [row["label_probe"] for row in rows if row["label_probe"] is not None]
    found = f"{method_name(method)}, explained class {choice}: adjustment claims {', '.join(claims)}."
    if choice == "label":
        found += " None of it holds for images whose class is not known."
    if probes and max(probes) > GIVEAWAY:
        found += f" The maps carry the label: their peaks alone detect errors with an AUROC of {max(probes):.3f}."
    return found


def largest_gain(rows: Sequence[Row], choice: str) -> float | None:
    """Return the largest gain in overall accuracy on test or new images for an explained class; None without any."""
    gains = [
        row["accuracy_after"] - row["accuracy_before"]
        for row in rows
        if row["explained_class"] == choice and row["split"] != "val"
    ]
    return max(gains, default=None)


def template_digest() -> str:
    """Return the digest of the page's template."""
    return content_digest((files(templates) / "audit.html").read_text(encoding="utf-8"))


def render_audit(
    campaign: str, rows: Sequence[Row], picture: bytes, left_out: Mapping[str, int], problems: Sequence[str]
) -> str:
    """Render the page as HTML; everything that comes from tables is escaped.

    Parameters
    ----------
    rows : rows of the table `audit`.
    picture : PNG of `audit_figure`.
    left_out : number of images without a label by split.
    problems : why an explained class has no rows, one sentence each.
    """
    environment = page_templates()
    environment.filters |= {"percent": percent, "number": figure_text, "method": method_name}
    return environment.get_template("audit.html").render(
        campaign=campaign,
        rows=rows,
        picture=f"data:image/png;base64,{base64.b64encode(picture).decode()}",
        verdicts=verdicts(rows),
        gains={choice: largest_gain(rows, choice) for choice in ("predicted", "label")},
        left_out={SPLIT_NAMES[split]: n for split, n in left_out.items()},
        problems=problems,
        ground_truth=GROUND_TRUTH,
        giveaway=GIVEAWAY,
        splits=SPLIT_NAMES,
    )
