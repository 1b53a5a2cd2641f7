"""Summarise decision rows for the people in the field in counts, sentences and lists; no files."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from storage.tables.rows import Row
from tasks.export.decisions import CHECK, HARVEST, LEAVE, check_first, decisions_of, is_about_harvest
from tasks.report.words import ABSTAIN_REASONS, DRIFT_REASONS

# Meaning of each decision. The name of a class explains itself, and only says besides that the answer can be used.
MEANINGS = {
    HARVEST: "ready, and the answer can be relied on",
    LEAVE: "not ready, and the answer can be relied on",
    CHECK: "the answer should not be acted on: look at the plant",
}
OTHER_MEANING = "and the answer can be relied on"


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
    """

    date: str
    is_scored: bool
    rows: list[dict[str, Any]]
    n_unanswered: int = 0
    rejected: Sequence[Row] = ()
    drift: Sequence[Row] = ()


@dataclass(frozen=True)
class DaySummary:
    """Summary of a date.

    Attributes
    ----------
    label : the date in words.
    n : number of plants with an answer.
    counts : plants by decision, in the order of `decisions_of`.
    n_ready : number of plants that look ready, to be checked or not; None if the classes are not about harvest.
    n_right : expected number of right answers among those to act on, which is the sum of their reliabilities.
    mean_reliability : mean reliability of all answers, 0..1; None without answers.
    changed : answers that adjustment changed, by the class to which they were changed.
    n_unplaced : number of plants with an answer but no position.
    left_out : reasons and counts of plants left out, the most frequent first.
    outside : why the date is outside what was validated; empty if it is not.
    """

    date: str
    label: str
    is_scored: bool
    n: int
    counts: dict[str, int]
    n_ready: int | None
    n_right: float
    mean_reliability: float | None
    changed: dict[str, int]
    n_unplaced: int
    n_unanswered: int
    left_out: list[tuple[str, int]]
    outside: str

    @property
    def n_to_act_on(self) -> int:
        """Return the number of plants whose answer can be relied on."""
        return self.n - self.counts[CHECK]


def day_label(day: str) -> str:
    """Return a date in words: `3 September 2022`."""
    found = date.fromisoformat(day)
    return f"{found.day} {found:%B %Y}"


def summarise(day: FieldDay, classes: Sequence[str]) -> DaySummary:
    """Count a date's decisions."""
    tally = Counter(row["decision"] for row in day.rows)
    reasons = [str(row["reason"]) for row in day.drift if row["is_outside"]]
    kept = [row["answer_reliability"] for row in day.rows if row["decision"] != CHECK]
    left_out = Counter(row["reason"] for row in day.rejected)
    return DaySummary(
        date=day.date,
        label=day_label(day.date),
        is_scored=day.is_scored,
        n=len(day.rows),
        counts={decision: tally[decision] for decision in decisions_of(classes)},
        n_ready=sum(row["answer"] == classes[1] for row in day.rows) if is_about_harvest(classes) else None,
        n_right=sum(kept),
        mean_reliability=mean_reliability(day.rows),
        changed=dict(Counter(row["answer"] for row in day.rows if row["is_swapped"])),
        n_unplaced=sum(not is_placed(row) for row in day.rows),
        n_unanswered=day.n_unanswered,
        left_out=sorted(left_out.items(), key=lambda item: (-item[1], item[0])),
        outside="; ".join(dict.fromkeys(DRIFT_REASONS.get(reason, reason) for reason in reasons)),
    )


def is_placed(row: Row) -> bool:
    """Return whether the plant of a decision row has a position."""
    return row["easting"] is not None and row["northing"] is not None


def mean_reliability(rows: Iterable[Row]) -> float | None:
    """Return the mean reliability of the answers of some decision rows; None without rows."""
    found = [row["answer_reliability"] for row in rows]
    return sum(found) / len(found) if found else None


def lead_sentence(summary: DaySummary) -> str:
    """Return the first sentence about a date."""
    if summary.n == 0:
        return "No plant has an answer on this date."
    if summary.n_ready is None:
        acted_on = [f"{n} {decision}" for decision, n in summary.counts.items() if decision != CHECK]
        return f"Of {summary.n} plants {', '.join(acted_on)} can be relied on; {summary.counts[CHECK]} to check."
    return f"{summary.n_ready} of {summary.n} plants look ready to harvest."


def reliance_sentences(summary: DaySummary) -> list[str]:
    """Return sentences about how far a date's answers can be relied on, and what adjustment changed."""
    if summary.n == 0:
        return []
    sentences: list[str] = []
    if summary.n_ready is not None:
        sentences.append(_ready_sentence(summary.n_ready, summary.counts[HARVEST]))
    if summary.n_to_act_on:
        sentences.append(
            f"Of all {summary.n_to_act_on} answers to act on, about {summary.n_right:.0f} are expected to be right."
        )
    return [*sentences, changed_sentence(summary)]


def _ready_sentence(n_ready: int, n_relied: int) -> str:
    n_doubted = n_ready - n_relied
    if n_ready == 0:
        return "No plant looks ready."
    if n_doubted == 0:
        return "That answer can be relied on." if n_ready == 1 else f"All {n_ready} answers can be relied on."
    look = f"look at the other {'one' if n_doubted == 1 else n_doubted} before cutting"
    return (
        f"Of the {n_ready} that look ready, {n_relied} answer{'' if n_relied == 1 else 's'} can be relied on; {look}."
    )


def changed_sentence(summary: DaySummary) -> str:
    """Return a sentence about what adjustment changed on a date."""
    n = sum(summary.changed.values())
    if not n:
        return "Adjustment changed no answer."
    to = ", ".join(f"{count} to {answer.replace('_', ' ')}" for answer, count in sorted(summary.changed.items()))
    return f"Adjustment changed {n} answer{'' if n == 1 else 's'} where the classifier is known to fail: {to}."


def decision_sentence(summary: DaySummary) -> str:
    """Return a date's decisions in one sentence, for the Prefect UI."""
    counts = ", ".join(
        f"{n} to {decision}" if decision in MEANINGS else f"{n} {decision}" for decision, n in summary.counts.items()
    )
    outside = f" **Outside what was validated: {summary.outside}.**" if summary.outside else ""
    return f"{summary.label}: {summary.n} plants, {counts}. {changed_sentence(summary)}{outside}"


def plot_rows(days: Sequence[FieldDay], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Count decisions by date and plot, the latest date first; empty if no plant's id names a plot.

    Rows have `date`, `plot` (None if the id names none), `n`, `counts` by decision and `mean_reliability`.
    """
    if not any(row["plot"] for day in days for row in day.rows):
        return []
    rows: list[dict[str, Any]] = []
    for day in reversed(days):
        plots: dict[str | None, list[dict[str, Any]]] = {}
        for row in day.rows:
            plots.setdefault(row["plot"], []).append(row)
        for plot in sorted(plots, key=_plot_order):
            inside = plots[plot]
            tally = Counter(row["decision"] for row in inside)
            counts = {decision: tally[decision] for decision in decisions_of(classes)}
            found = {"n": len(inside), "counts": counts, "mean_reliability": mean_reliability(inside)}
            rows.append({"date": day.date, "plot": plot, **found})
    return rows


def _plot_order(plot: str | None) -> tuple[bool, int]:
    return plot is None, int(plot or 0)


def to_check(day: FieldDay) -> list[Row]:
    """Return the plants to check by hand, ordered by how much a look is worth."""
    return check_first(row for row in day.rows if row["decision"] == CHECK)


def reason_sentences() -> dict[str, str]:
    """Return why an answer should not be acted on, by its word, as one line each."""
    return {word: " ".join(text.split()) for word, text in ABSTAIN_REASONS.items()}
