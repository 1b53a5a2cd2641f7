"""Which answers not to act on: counts from the rows of the tables `reliability` and `adjusted`; no files."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.report_words import ABSTAIN_REASONS, SPLIT_NAMES
from tasks.review_rules import REVIEWED

Row = Mapping[str, Any]


def abstention_rows(reliability: Sequence[Row], adjusted: Sequence[Row]) -> list[dict[str, Any]]:
    """Every split's images, how many answers abstain and why, and how often answers are right after adjustment.

    `reasons` counts images by word; an image may have several. `kept` and `abstained` are `(n_labelled, n_right)`:
    (0, 0) where no label is known.
    """
    return [
        {
            "split": split,
            "n": len(rows),
            "n_abstained": sum(row["abstain"] for row in rows),
            "reasons": Counter(word for row in rows if row["abstain"] for word in row["abstain_reason"].split()),
            "kept": _right(adjusted, split, is_abstained=False),
            "abstained": _right(adjusted, split, is_abstained=True),
        }
        for split in SPLIT_NAMES
        if (rows := [row for row in reliability if row["split"] == split])
    ]


def _right(adjusted: Sequence[Row], split: str, is_abstained: bool) -> tuple[int, int]:
    of_split = (row for row in adjusted if row["split"] == split and row["label"] is not None)
    known = [row for row in of_split if row["abstain"] == is_abstained]
    return len(known), sum(row["adjusted"] == row["label"] for row in known)


def abstain_reasons(rows: Sequence[Row]) -> list[str]:
    """Words for why answers abstain, of rows of `abstention_rows`: the scores' first, used or not."""
    used = {word for row in rows for word in row["reasons"]}
    known = [word for word in ABSTAIN_REASONS if word != REVIEWED or word in used]
    return [*known, *sorted(used - set(known))]


def abstention_sentence(rows: Sequence[Row]) -> str:
    """How many answers not to act on in every split but training, in one sentence, of rows of `abstention_rows`."""
    parts: list[str] = []
    for row in rows:
        why = ", ".join(f"{n} {word}" for word, n in sorted(row["reasons"].items()))
        parts.append(f"{row['n_abstained']} of {row['n']} {SPLIT_NAMES[row['split']]}" + (f" ({why})" if why else ""))
    return f"Answers not to act on: {'; '.join(parts)}." if parts else "No image was explained."
