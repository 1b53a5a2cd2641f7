"""What the report says of accuracy, data and parameters, from the rows of the tables: pure functions, no files."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.report_words import (
    CROSSFITTED,
    CROSSFITTED_RULE,
    GROUND_TRUTH,
    IN_SAMPLE,
    NO_SWAP,
    REASONS,
    RULES,
    SPLIT_NAMES,
    STATES,
    UNSEEN,
    method_name,
    p_text,
    percent,
)

Row = Mapping[str, Any]
CHANCE = 0.05


def swap_counts(adjusted: Sequence[Row], split: str) -> tuple[int, int]:
    """Swapped answers and all answers of a split, with or without a label, from rows of the table `adjusted`."""
    rows = [row for row in adjusted if row["split"] == split]
    return sum(row["is_swapped"] for row in rows), len(rows)


def rule_sentences(swaps: Sequence[Row], n_classes: int, threshold: float) -> tuple[str, str]:
    """Which answers adjustment swaps, as a sentence, and why it swaps none where it does not, as half a sentence."""
    if n_classes > 2:
        several = "With more than two classes no answer can be swapped"
        return f"{several}: before and after are the same, and the clusters tell reliability only.", several.lower()
    rule = swaps[0]["rule"] if swaps else "paper"
    texts = (words.get(rule, "").format(threshold=f"{100 * threshold:g}") for words in (RULES, NO_SWAP))
    sentence, why = (re.sub(r"\s*\n\s*", " ", text) for text in texts)
    return sentence or f"Adjustment swaps answers by the rule {rule}.", why or f"no cluster meets the rule {rule}"


@dataclass(frozen=True)
class Headline:
    """The result in one or two plain sentences; `tone` is better, same or worse."""

    text: str
    tone: str


def headline(metrics: Sequence[Row], adjusted: Sequence[Row], n_classes: int, why_none: str) -> Headline:
    """The result on unseen plants, also where it is none or a loss; `why_none` is of `rule_sentences`."""
    found = {(row["split"], row["state"]): row for row in metrics}
    split = next((s for s in UNSEEN if (s, "before") in found), None)
    if split is None:
        return Headline(_without_unseen(found), "same")
    before, after = found[split, "before"], found[split, "after"]
    n, where = before["n"], f"On unseen {SPLIT_NAMES[split]} plants: {percent(before['overall_accuracy'])} right"
    if n_classes > 2:
        return Headline(f"{where} (n\u00a0=\u00a0{n}). With more than two classes no answer is swapped.", "same")
    if not any(row["is_swapped"] for row in adjusted):
        return Headline(f"{where} (n\u00a0=\u00a0{n}). Adjustment changes nothing: {why_none}.", "same")
    text = f"{where} before adjustment, {percent(after['overall_accuracy'])} after (n\u00a0=\u00a0{n})."
    gain = after["n_correct"] - before["n_correct"]
    if gain == 0:
        n_swapped, _ = swap_counts(adjusted, split)
        return Headline(f"{text} Adjustment swapped {n_swapped} answers and gained nothing.", "same")
    doubt = " A difference this small may be chance." if _may_be_chance(after) else ""
    if gain < 0:
        return Headline(f"{text} Adjustment makes the answers worse here: do not use it.{doubt}", "worse")
    return Headline(text + doubt, "same" if doubt else "better")


def _may_be_chance(after: Row) -> bool:
    """By McNemar's test, which counts images, or by resampled plants, whose images are alike."""
    low, high = after["gain_lower"], after["gain_upper"]
    return after["mcnemar_p"] >= CHANCE or (low is not None and high is not None and low <= 0 <= high)


def _without_unseen(found: Mapping[tuple[str, str], Row]) -> str:
    unknown = "No unseen plant has a label, so how often the answers are right on unseen plants is unknown."
    before = found.get(("val", "before"))
    after = found.get(("val", "cross-fitted")) or found.get(("val", "after"))
    if before is None or after is None:
        return unknown
    n, where = f"n\u00a0=\u00a0{before['n']}", f"On validation plants: {percent(before['overall_accuracy'])} right"
    if before["confusion"] == after["confusion"]:
        return f"{unknown} {where} ({n})."
    how = "in-sample, flatters" if after["is_in_sample"] else "cross-fitted: by clusters made without the plant"
    return f"{unknown} {where} before adjustment, {percent(after['overall_accuracy'])} after ({n}; {how})."


def accuracy_rows(metrics: Sequence[Row], adjusted: Sequence[Row]) -> list[dict[str, Any]]:
    """The table of accuracies in reading order, with a remark where a number flatters, does not, or is missing."""
    order, states = {"val": 0, "test": 1, "new": 2}, {state: i for i, state in enumerate(STATES)}
    rows = [
        {**row, "remark": _remark(row)}
        for row in sorted(metrics, key=lambda row: (order.get(row["split"], 3), states.get(row["state"], 3)))
    ]
    present = {row["split"] for row in adjusted}
    for split in order:
        if split in present and not any(row["split"] == split for row in metrics):
            n = sum(row["split"] == split for row in adjusted)
            rows.append({"split": split, "state": None, "remark": f"{n} images, none with a label: accuracy unknown"})
    return rows


def _remark(row: Row) -> str:
    if row["is_in_sample"]:
        return f"in-sample: {IN_SAMPLE}"
    return {"cross-fitted": CROSSFITTED, "cross-fitted rule": CROSSFITTED_RULE}.get(row["state"], "")


def effect_sentences(metrics: Sequence[Row], adjusted: Sequence[Row]) -> list[str]:
    """What adjustment did in each split, one sentence each; empty where nothing was swapped."""
    found = {(row["split"], row["state"]): row for row in metrics}
    sentences: list[str] = []
    for split in ("val", *UNSEEN):
        n_swapped, n = swap_counts(adjusted, split)
        after, crossfitted = found.get((split, "after")), found.get((split, "cross-fitted"))
        text = f"{SPLIT_NAMES[split].capitalize()}: {n_swapped} of {n} answers were swapped"
        if n_swapped and after is not None:
            text += f"; {_changes(after)}" + (" (in-sample)" if after["is_in_sample"] else _test(after))
        if n_swapped:
            sentences.append(f"{text}.")
        if crossfitted is not None and crossfitted["n_corrected"] + crossfitted["n_spoiled"]:
            who = f"{SPLIT_NAMES[split].capitalize()}, cross-fitted"
            sentences.append(f"{who}: {_changes(crossfitted)}{_test(crossfitted)}.")
    return sentences


def _changes(row: Row) -> str:
    return f"{row['n_corrected']} became right and {row['n_spoiled']} became wrong"


def _test(row: Row) -> str:
    low, high = row["gain_lower"], row["gain_upper"]
    test = f"exact McNemar test, {p_text(row['mcnemar_p'])}"
    if low is None or high is None:
        return f" ({test})"
    return f" ({test}; accuracy {100 * low:+.1f} to {100 * high:+.1f} points with plants drawn anew)"


def image_counts(observations: Sequence[Row], plants: Sequence[Row], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Plants, images, and images by class (`None`: no label) of every split."""
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
    """What was left out by reason, the most frequent first, with its sentence and some plants."""
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
    """Remarks that did not exclude an image, the most frequent first."""
    tally = Counter(flag for row in observations for flag in row["flags"].split())
    return sorted(tally.items(), key=lambda item: (-item[1], item[0]))


def parameter_rows(differing: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Parameters that differ from the paper's by dotted name, with their values as text."""
    rows: list[tuple[str, str]] = []
    for name, value in sorted(differing.items()):
        inner = {f"{name}.{key}": part for key, part in value.items()} if isinstance(value, Mapping) else {}
        rows += parameter_rows(inner) if inner else [(name, plain(value))]
    return rows


def plain(value: Any) -> str:
    """A JSON value as short text."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def summary_lines(
    title: str, heads: Mapping[str, Headline], notes: Sequence[str], metrics: Sequence[Row], warnings: Sequence[str]
) -> list[str]:
    """The report in a few lines of Markdown, `heads` by the method's name in words."""
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
