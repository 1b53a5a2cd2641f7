"""Summarise decision rows for the people in the field in counts, sentences and lists; no files."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from storage.tables.rows import Row
from tasks.decide.decisions import CHECK, decisions_of, is_about_harvest
from tasks.export.looks import MEANINGS
from tasks.export.walking import natural_key
from tasks.ingest.completeness import Completeness
from tasks.report.field.checked import broken_sentences, checked_sentence
from tasks.report.field.texts import class_name, text
from tasks.report.words import SHARE_OUTSIDE, drift_reason


@dataclass(frozen=True)
class FieldDay:
    """Plants of one date, with answers by the campaign's first saliency method.

    Attributes
    ----------
    is_scored : whether the date was scored later with the campaign's fit; otherwise the fit was made from it.
    rows : decision rows (see `tasks.export.decisions.decision_rows`), one per plant with an answer.
    n_unanswered : number of images that have no answer because they trained the classifier.
    rejected : rows of the table `rejected`.
    drift : rows of the table `drift`.
    counts : rows of the table `ready_counts`; empty with more than two classes.
    is_share_outside : whether the date's share of ready plants is too far from that on validation dates.
    found : rows of the table `found` (see `tasks.report.field.checked.of_date`).
    completeness : numbers of the date's plants; None on dates that the fit was made from, or of earlier versions.
    """

    date: str
    is_scored: bool
    rows: list[dict[str, Any]]
    n_unanswered: int = 0
    rejected: Sequence[Row] = ()
    drift: Sequence[Row] = ()
    counts: Sequence[Row] = ()
    is_share_outside: bool = False
    found: Sequence[Row] = ()
    completeness: Completeness | None = None


@dataclass(frozen=True)
class DaySummary:
    """Summary of a date.

    Attributes
    ----------
    label : the date in words.
    n : number of plants with an answer.
    counts : plants by decision, in the order of `decisions_of`.
    is_about_harvest : whether the classes are not ready and ready.
    ready : expected number of ready plants with the ends of its interval; None with more than two classes.
    n_right : expected number of right answers among those to act on, which is the sum of their reliabilities.
    mean_reliability : mean reliability of all answers, 0..1; None without answers.
    changed : answers that differ from the classifier's, by the class to which they were changed.
    n_unplaced : number of plants with an answer but no position.
    left_out : reasons and counts of plants left out, the most frequent first.
    incomplete : how many of the expected plants the date has, if they are far fewer; else empty.
    outside : why the date is outside what was validated; empty if it is not.
    outside_words : its reasons, as words of the column `reason` of the table `drift`, or `share`.
    checked, broken : what people found at plants drawn at random, and warnings of broken promises; empty without any.
    """

    date: str
    label: str
    is_scored: bool
    n: int
    counts: dict[str, int]
    is_about_harvest: bool
    ready: tuple[float, float, float] | None
    n_right: float
    mean_reliability: float | None
    changed: dict[str, int]
    n_unplaced: int
    n_unanswered: int
    left_out: list[tuple[str, int]]
    incomplete: str
    outside: str
    outside_words: list[str]
    checked: str
    broken: list[str]

    @property
    def n_to_act_on(self) -> int:
        """Return the number of plants whose answer is acted on."""
        return self.n - self.counts[CHECK]


def day_label(day: str) -> str:
    """Return a date in words: `3 September 2022`."""
    found = date.fromisoformat(day)
    return f"{found.day} {found:%B %Y}"


def summarise(day: FieldDay, classes: Sequence[str]) -> DaySummary:
    """Count a date's decisions."""
    tally = Counter(row["decision"] for row in day.rows)
    outside = [row["reason"] for row in day.drift if row["is_outside"]]
    reasons = [*map(drift_reason, outside), *[SHARE_OUTSIDE] * day.is_share_outside]
    reason_words = [*" ".join(outside).split(), *["share"] * day.is_share_outside]
    kept = [row["answer_reliability"] for row in day.rows if row["decision"] != CHECK]
    left_out = Counter(row["reason"] for row in day.rejected)
    return DaySummary(
        date=day.date,
        label=day_label(day.date),
        is_scored=day.is_scored,
        n=len(day.rows),
        counts={decision: tally[decision] for decision in decisions_of(classes)},
        is_about_harvest=is_about_harvest(classes),
        ready=ready_of(day.counts, None),
        n_right=sum(kept),
        mean_reliability=mean_reliability(day.rows),
        changed=dict(Counter(row["answer"] for row in day.rows if row["is_corrected"])),
        n_unplaced=sum(not is_placed(row) for row in day.rows),
        n_unanswered=day.n_unanswered,
        left_out=sorted(left_out.items(), key=lambda item: (-item[1], item[0])),
        incomplete=day.completeness.mark if day.completeness else "",
        outside="; ".join(dict.fromkeys(reasons)),
        outside_words=list(dict.fromkeys(reason_words)),
        checked=checked_sentence(day.found),
        broken=broken_sentences(day.found),
    )


def ready_of(counts: Sequence[Row], plot: str | None) -> tuple[float, float, float] | None:
    """Return the expected number of ready plants of a plot with its interval, or of the field if the plot is None."""
    found = [row for row in counts if row["plot"] == plot]
    return (found[0]["n_ready"], found[0]["n_ready_lower"], found[0]["n_ready_upper"]) if found else None


def is_placed(row: Row) -> bool:
    """Return whether the plant of a decision row has a position."""
    return row["easting"] is not None and row["northing"] is not None


def mean_reliability(rows: Iterable[Row]) -> float | None:
    """Return the mean reliability of the answers of some decision rows; None without rows."""
    found = [row["answer_reliability"] for row in rows]
    return sum(found) / len(found) if found else None


def changed_sentence(summary: DaySummary) -> str:
    """Return a sentence about the answers that differ from the classifier's on a date."""
    n = sum(summary.changed.values())
    if not n:
        return text("corrected.none")
    to = [text("corrected.to", count=count, answer=class_name(name)) for name, count in sorted(summary.changed.items())]
    return text("corrected", n=n, to=", ".join(to))


def decision_sentence(summary: DaySummary) -> str:
    """Return a date's decisions in one sentence, for the Prefect UI."""
    counts = ", ".join(
        f"{n} to {decision}" if decision in MEANINGS else f"{n} {decision}" for decision, n in summary.counts.items()
    )
    few = f" **Incomplete: {summary.incomplete}.**" if summary.incomplete else ""
    outside = f" **Outside what was validated: {summary.outside}.**" if summary.outside else ""
    broken = "".join(f" **{sentence}**" for sentence in summary.broken)
    return f"{summary.label}: {summary.n} plants, {counts}. {changed_sentence(summary)}{few}{outside}{broken}"


def plots_of(day: FieldDay, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Count a date's decisions by plot.

    Rows have `date`, `plot` (None if it is unknown), `n`, `counts` by decision, `ready` (see `ready_of`) and
    `mean_reliability`.
    """
    plots: dict[str | None, list[dict[str, Any]]] = {}
    for row in day.rows:
        plots.setdefault(row["plot"], []).append(row)
    rows: list[dict[str, Any]] = []
    for plot in sorted(plots, key=_plot_order):
        inside = plots[plot]
        tally = Counter(row["decision"] for row in inside)
        counts = {decision: tally[decision] for decision in decisions_of(classes)}
        found = {"n": len(inside), "counts": counts, "mean_reliability": mean_reliability(inside)}
        ready = None if plot is None else ready_of(day.counts, plot)
        rows.append({"date": day.date, "plot": plot, "ready": ready, **found})
    return rows


def plot_rows(dates: Sequence[Sequence[Row]]) -> list[Row]:
    """Join the counts of dates by plot (see `plots_of`), the latest date first; empty if no plant has a plot."""
    rows = [row for of_date in reversed(dates) for row in of_date]
    return rows if any(row["plot"] is not None for row in rows) else []


def _plot_order(plot: str | None) -> tuple[bool, tuple[tuple[int, str], ...]]:
    return plot is None, natural_key(plot or "")
