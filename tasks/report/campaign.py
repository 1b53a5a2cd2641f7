"""Prepare the report's data tables, parameters and Markdown summary from rows of tables. Pure functions, no files."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from storage.tables.names import SPLIT_NAMES
from tasks.report.method.accuracy import Headline, Row
from tasks.report.words import (
    GROUND_TRUTH,
    REASONS,
    method_name,
    percent,
)


def image_counts(observations: Sequence[Row], plants: Sequence[Row], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Count plants, images and images by class of every split; the last class is `None`, for no label."""
    present = {row["split"] for row in (*observations, *plants)}
    tally = Counter((row["split"], row["label"]) for row in observations)
    return [
        {
            "split": SPLIT_NAMES[split],
            "plants": sum(row["split"] == split for row in plants),
            "images": sum(row["split"] == split for row in observations),
            "by_class": [tally[split, label] for label in (*range(len(classes)), None)],
        }
        for split in SPLIT_NAMES
        if split in present
    ]


def rejected_rows(rejected: Sequence[Row], n_named: int = 3) -> list[dict[str, Any]]:
    """Count what was left out by reason, the most frequent first, with its meaning and up to `n_named` plants."""
    tally = Counter(row["reason"] for row in rejected)
    return [
        {
            "reason": reason,
            "n": n,
            "meaning": REASONS.get(reason, ""),
            "named": [f"{r['plant_id']} {r['date']}" for r in rejected if r["reason"] == reason][:n_named],
        }
        for reason, n in sorted(tally.items(), key=lambda item: (-item[1], item[0]))
    ]


def flag_counts(observations: Sequence[Row]) -> list[tuple[str, int]]:
    """Count remarks that did not exclude an image, the most frequent first."""
    tally = Counter(flag for row in observations for flag in row["flags"].split())
    return sorted(tally.items(), key=lambda item: (-item[1], item[0]))


def parameter_rows(differing: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List parameters that differ from the paper's by dotted name, with their values as text."""
    rows: list[tuple[str, str]] = []
    for name, value in sorted(differing.items()):
        inner = {f"{name}.{key}": part for key, part in value.items()} if isinstance(value, Mapping) else {}
        rows += parameter_rows(inner) if inner else [(name, plain(value))]
    return rows


def plain(value: Any) -> str:
    """Return a JSON value as short text."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def summary_lines(
    title: str, heads: Mapping[str, Headline], notes: Sequence[str], metrics: Sequence[Row], warnings: Sequence[str]
) -> list[str]:
    """Summarise the report in a few lines of Markdown; `heads` are headlines by the method's name in words."""
    lines = [f"# {title}", ""]
    lines += [f"**{method}**: {head.text}\n" for method, head in heads.items()]
    if any(row["explained_class"] == "label" for row in metrics):
        lines += [f"> **explained_class = label: {GROUND_TRUTH}**\n"]
    lines += [*(f"- {note}" for note in notes), ""] if notes else []
    lines += ["| method | split | state | n | right | average class accuracy |", "|---|---|---|---:|---:|---:|"]
    for row in metrics:
        state = row["state"] + (" (in-sample)" if row["is_in_sample"] else "")
        shares = f"{percent(row['overall_accuracy'])} | {percent(row['average_class_accuracy'])}"
        lines.append(f"| {method_name(row['method'])} | {row['split']} | {state} | {row['n']} | {shares} |")
    return [*lines, "", *(f"- {warning}" for warning in warnings)]
