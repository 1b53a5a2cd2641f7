"""Which dates lie outside what was validated, from the rows of the table `drift`: no files."""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.report_words import DRIFT_REASONS, SPLIT_NAMES

Row = Mapping[str, Any]


def drift_rows(drift: Sequence[Row]) -> list[dict[str, Any]]:
    """Every date and split in reading order, with why it is outside in words; empty where it is not."""
    order = {split: i for i, split in enumerate(SPLIT_NAMES)}
    ranked = sorted(drift, key=lambda row: (row["date"], order.get(row["split"], len(order))))
    return [
        {**row, "why": DRIFT_REASONS.get(row["reason"], row["reason"]) if row["is_outside"] else ""} for row in ranked
    ]


def outside_dates(drift: Sequence[Row]) -> list[tuple[str, str]]:
    """Dates and splits outside what was validated, each with why."""
    return [
        (f"{row['date']}, {SPLIT_NAMES.get(row['split'], row['split'])}", row["why"])
        for row in drift_rows(drift)
        if row["is_outside"]
    ]


def outside_sentence(drift: Sequence[Row]) -> str:
    """The dates outside what was validated, in one sentence; empty where there are none."""
    found = outside_dates(drift)
    if not found:
        return ""
    return f"Outside what was validated: {'; '.join(f'{when} ({why})' for when, why in found)}."
