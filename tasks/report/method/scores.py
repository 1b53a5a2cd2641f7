"""State how well each score knows the errors, from rows of `evaluation`, `reliability` and `crossfit`; no files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.tables.names import CLUSTER_SCORE, COMBINED_SCORE, SCORES, SPLIT_NAMES, UNSEEN
from storage.tables.rows import Row
from tasks.report.words import QUALITIES, figure_text, score_name
from tasks.statistics.detection import CalibrationRow, calibration, risk_coverage

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]  # coverage and error rate
BOUNDED = ("auroc", "aurc", "augrc")  # qualities that have an interval


@dataclass(frozen=True)
class Quality:
    """Cell of the table of scores: its number, its interval or empty, and whether no other score is better."""

    text: str
    interval: str
    is_best: bool


@dataclass(frozen=True)
class ScoreTable:
    """Table of the scores of one split.

    Attributes
    ----------
    rows : word, name and cells of every score; cells have the order of `QUALITIES`.
    """

    split: str
    n: int
    n_wrong: int
    rows: list[tuple[str, str, list[Quality]]]


def score_tables(evaluation: Sequence[Row]) -> list[ScoreTable]:
    """Make one table per split, unseen plants first; the best of a column is found at the shown precision."""
    tables: list[ScoreTable] = []
    for split in (*UNSEEN, "val"):
        rows = _in_order([row for row in evaluation if row["split"] == split])
        if rows:
            best = {name: _best(rows, name) for name in QUALITIES}
            shown = [(r["score"], score_name(r["score"]), [_cell(r, q, best[q]) for q in QUALITIES]) for r in rows]
            tables.append(ScoreTable(split, rows[0]["n"], rows[0]["n_wrong"], shown))
    return tables


def _in_order(rows: Sequence[Row]) -> list[Row]:
    order = {score: i for i, score in enumerate(SCORES)}
    return sorted(rows, key=lambda row: (order.get(row["score"], len(order)), row["score"]))


def _best(rows: Sequence[Row], name: str) -> str | None:
    """Return the best figure of a column as text; None if all figures are equal or missing."""
    known = [row[name] for row in rows if row[name] is not None]
    if len({figure_text(value) for value in known}) < 2:
        return None
    return figure_text(max(known) if QUALITIES[name][2] else min(known))


def _cell(row: Row, name: str, best: str | None) -> Quality:
    text = figure_text(row[name])
    return Quality(text, _interval(row, name) if name in BOUNDED else "", text == best)


def _interval(row: Row, name: str) -> str:
    low, high = row[f"{name}_lower"], row[f"{name}_upper"]
    return "" if low is None or high is None else f"{low:.2f}\u2009–\u2009{high:.2f}"


def judged_split(evaluation: Sequence[Row]) -> str | None:
    """Return the split on which scores are judged: unseen plants, else cross-fitted validation; None without labels."""
    present = {row["split"] for row in evaluation}
    return next((split for split in (*UNSEEN, "val") if split in present), None)


def judged_scores(evaluation: Sequence[Row]) -> list[Row]:
    """Return the rows of the judged split in reading order."""
    split = judged_split(evaluation)
    return _in_order([row for row in evaluation if row["split"] == split])


def split_words(split: str) -> str:
    """Return the words for the plants of a split on which scores are judged."""
    return "validation plants, cross-fitted" if split == "val" else f"unseen {SPLIT_NAMES[split]} plants"


def verdict(evaluation: Sequence[Row]) -> str:
    """State in one or two sentences whether another score knows the errors better than the cluster score."""
    rows = {row["score"]: row for row in judged_scores(evaluation)}
    cluster = rows.get(CLUSTER_SCORE)
    if cluster is None:
        return "No image has a label, so how well the scores know the errors is unknown."
    where = f"On {split_words(cluster['split'])} (n\u00a0=\u00a0{cluster['n']}, {cluster['n_wrong']} wrong)"
    others = [row for name, row in rows.items() if name not in (CLUSTER_SCORE, COMBINED_SCORE)]
    known = [row for row in others if row["auroc"] is not None]
    if cluster["auroc"] is None:
        none_or_all = "no" if cluster["n_wrong"] == 0 else "every"
        return f"{where} {none_or_all} answer is wrong, so nothing shows how well the scores know the errors."
    told = f"{_comparison(cluster, known)}{_combined(cluster, known, rows.get(COMBINED_SCORE))}"
    is_guessing = all(float(_auroc(row)) <= 0.5 for row in rows.values() if row["auroc"] is not None)
    return f"{where} {told}" + (" None of these is better than guessing (0.5)." if is_guessing else "")


def _comparison(cluster: Row, baselines: Sequence[Row]) -> str:
    own = f"the cluster reliability (AUROC {_auroc(cluster)})"
    if not baselines:
        return f"{own} is compared with no other score."
    best = max(baselines, key=lambda row: row["auroc"])
    n_equal = sum(_auroc(row) == _auroc(best) for row in baselines) - 1
    others = f" and {n_equal} other{'s' if n_equal > 1 else ''}" if n_equal else ""
    named = f"{score_name(best['score'])}{others} ({_auroc(best)})"
    if _auroc(best) == _auroc(cluster):
        return f"{own} knows the errors as well as the best single baseline, {named}."
    if best["auroc"] < cluster["auroc"]:
        return f"no single baseline beats {own}; next comes {named}.{_doubt(best)}"
    n_better = sum(row["auroc"] > cluster["auroc"] for row in baselines)
    return f"{own} is beaten by {n_better} of {len(baselines)} single baselines, most clearly by {named}.{_doubt(best)}"


def _auroc(row: Row) -> str:
    return figure_text(row["auroc"])


def _doubt(baseline: Row) -> str:
    low, high = baseline["auroc_gain_lower"], baseline["auroc_gain_upper"]
    if low is None or high is None or not low <= 0 <= high:
        return ""
    return f" The interval of their difference, {low:+.2f} to {high:+.2f}, holds 0: this order may be chance."


def _combined(cluster: Row, baselines: Sequence[Row], combined: Row | None) -> str:
    if combined is None or combined["auroc"] is None:
        return ""
    best = max((cluster, *baselines), key=lambda row: row["auroc"])
    if _auroc(combined) == _auroc(best):
        how = "as much as the best of them alone"
    else:
        how = "more than any of them alone" if combined["auroc"] > best["auroc"] else "less than the best of them alone"
    return f" All of them combined reach {_auroc(combined)}, {how}."


def judged_images(reliability: Sequence[Row], crossfit: Sequence[Row], split: str | None) -> list[Row]:
    """Return the labelled images of the judged split with their scores, cross-fitted for validation images."""
    if split == "val":
        return [{**row, CLUSTER_SCORE: 1 - row["error_share"]} for row in crossfit]
    return [row for row in reliability if row["split"] == split and row["label"] is not None]


def risk_curves(images: Sequence[Row]) -> dict[str, Curve]:
    """Return coverage and error rate (n,) by score, from rows of `judged_images`; empty without images."""
    wrong = [row["label"] != row["predicted"] for row in images]
    return {score: risk_coverage([row[score] for row in images], wrong) for score in SCORES if images}


def calibration_bins(images: Sequence[Row]) -> dict[str, list[CalibrationRow]]:
    """Return the calibration bins of the cluster score and the combined score, from rows of `judged_images`."""
    right = [row["label"] == row["predicted"] for row in images]
    claimed = (CLUSTER_SCORE, COMBINED_SCORE)
    return {score: calibration([row[score] for row in images], right) for score in claimed if images}


def sensitivity_rows(sensitivity: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows of the table `sensitivity` as text by column, with dashes for missing numbers."""
    whole, shares = ("largest", "n_splinters", "n_swapped"), ("stability", "auroc")
    return [
        {
            **row,
            **{name: "–" if row[name] is None else str(row[name]) for name in whole},
            **{name: figure_text(row[name]) for name in shares},
            "scale": f"{row['scale']:g}",
            "threshold": "–" if row["threshold"] is None else f"{row['threshold']:g}",
        }
        for row in sensitivity
    ]
