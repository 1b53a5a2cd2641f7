"""State what to be careful about: answers to check, dates outside what was validated, and reviews by a person."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from storage.tables.names import SPLIT_NAMES
from storage.tables.rows import Row
from tasks.adjust.review_choices import PERSON, TIMEOUT, rule_choice
from tasks.report.words import CHECK_REASONS, drift_reason


def decision_counts(decided: Sequence[Row]) -> list[dict[str, Any]]:
    """Count each split's images, how many are to be checked and why, and how many answers are right.

    `reasons` counts images by word; an image may have several. `acted_on` and `checked` are `(n_labelled, n_right)`,
    (0, 0) if no label is known.

    Parameters
    ----------
    decided : rows of the table of this name.
    """
    return [
        {
            "split": split,
            "n": len(rows),
            "n_check": sum(bool(row["check_reason"]) for row in rows),
            "reasons": Counter(word for row in rows for word in row["check_reason"].split()),
            "acted_on": _right(row for row in rows if not row["check_reason"]),
            "checked": _right(row for row in rows if row["check_reason"]),
        }
        for split in SPLIT_NAMES
        if (rows := [row for row in decided if row["split"] == split])
    ]


def _right(rows: Iterable[Row]) -> tuple[int, int]:
    known = [row for row in rows if row["label"] is not None]
    return len(known), sum(row["answer"] == row["label"] for row in known)


def check_words(rows: Sequence[Row]) -> list[str]:
    """Return the reasons to check that occur in rows of `decision_counts`, in reading order."""
    return [word for word in CHECK_REASONS if any(row["reasons"][word] for row in rows)]


def check_sentence(rows: Sequence[Row]) -> str:
    """State in one sentence how many plants of each split are to be checked, from rows of `decision_counts`."""
    parts: list[str] = []
    for row in rows:
        why = ", ".join(f"{n} {word}" for word, n in sorted(row["reasons"].items()))
        parts.append(f"{row['n_check']} of {row['n']} {SPLIT_NAMES[row['split']]}" + (f" ({why})" if why else ""))
    return f"Answers to check: {'; '.join(parts)}." if parts else "No image was explained."


def drift_rows(drift: Sequence[Row]) -> list[dict[str, Any]]:
    """Return every date and split in reading order, with `why` it is outside in words; empty if it is not."""
    order = {split: i for i, split in enumerate(SPLIT_NAMES)}
    ranked = sorted(drift, key=lambda row: (row["date"], order.get(row["split"], len(order))))
    return [{**row, "why": drift_reason(row["reason"]) if row["is_outside"] else ""} for row in ranked]


def outside_dates(drift: Sequence[Row]) -> list[tuple[str, str]]:
    """Return the dates and splits outside what was validated, each with the reason in words."""
    return [
        (f"{row['date']}, {SPLIT_NAMES.get(row['split'], row['split'])}", row["why"])
        for row in drift_rows(drift)
        if row["is_outside"]
    ]


def outside_sentence(drift: Sequence[Row]) -> str:
    """List the dates outside what was validated in one sentence; empty if there are none."""
    found = outside_dates(drift)
    if not found:
        return ""
    return f"Outside what was validated: {'; '.join(f'{when} ({why})' for when, why in found)}."


# What a review means for the figures of validation plants.
WHAT_IT_MEANS = (
    "Whoever decided had seen these validation plants, so accuracy after adjustment on them cannot be cross-fitted. "
    "The row “cross-fitted rule” says what the rule alone would give. Only unseen plants show what the decisions are "
    "worth."
)


@dataclass(frozen=True)
class ReviewNote:
    """Note that a person decided on clusters, or that nobody answered.

    Attributes
    ----------
    text : the note in one or two sentences.
    decisions : one phrase per cluster that a person decided on; empty if nobody answered.
    """

    text: str
    decisions: list[str]


def review_note(swaps: Sequence[Row]) -> ReviewNote | None:
    """Return the note on a review, from rows of the table `swaps`; None if no review was asked for."""
    by_person = [row for row in swaps if row["decided_by"] == PERSON]
    if by_person:
        who = ", ".join(dict.fromkeys(row["reviewer"] for row in by_person))
        text = (
            f"Reviewed by {who}: a person decided on {len(by_person)} of {len(swaps)} clusters, in place of the rule."
        )
        return ReviewNote(text, [_decision(row) for row in by_person])
    if any(row["decided_by"] == TIMEOUT for row in swaps):
        return ReviewNote("A review was asked for and nobody answered in time: the rule decided.", [])
    return None


def _decision(row: Row) -> str:
    proposed = rule_choice(row["is_proposed"])
    agreed = "as the rule said" if proposed == row["decision"] else f"the rule said {proposed}"
    return f"cluster {row['cluster']}: {row['decision']} ({agreed}), by {row['reviewer']}: {row['reason']}"
