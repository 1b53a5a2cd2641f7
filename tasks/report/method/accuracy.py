"""State accuracy before and after adjustment in sentences and rows, and whether the change may be chance."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from storage.tables.names import SPLIT_NAMES, STATES, UNSEEN
from storage.tables.rows import Row
from tasks.report.words import CROSSFITTED, CROSSFITTED_RULE, DECIDED, IN_SAMPLE, NO_SWAP, RULES, p_text, percent

CHANCE = 0.05  # p-value from which a change may be chance


def swap_counts(adjusted: Sequence[Row], split: str) -> tuple[int, int]:
    """Count swapped answers and all answers of a split, with or without a label, in rows of the table `adjusted`."""
    rows = [row for row in adjusted if row["split"] == split]
    return sum(row["is_swapped"] for row in rows), len(rows)


def rule_sentences(swaps: Sequence[Row], n_classes: int, threshold: float) -> tuple[str, str]:
    """Return a sentence about which answers adjustment swaps, and a clause about why it may swap none."""
    if n_classes > 2:
        several = "With more than two classes no answer can be swapped"
        return f"{several}: before and after are equal, and the clusters only give reliability.", several.lower()
    rule = swaps[0]["rule"] if swaps else "paper"
    texts = (words.get(rule, "").format(threshold=f"{100 * threshold:g}") for words in (RULES, NO_SWAP))
    sentence, why = (re.sub(r"\s*\n\s*", " ", text) for text in texts)
    return sentence or f"Adjustment swaps answers by the rule {rule}.", why or f"no cluster meets the rule {rule}"


@dataclass(frozen=True)
class Headline:
    """Result in one or two plain sentences; `tone` is better, same or worse."""

    text: str
    tone: str


def headline(metrics: Sequence[Row], adjusted: Sequence[Row], n_classes: int, why_none: str) -> Headline:
    """State the result on unseen plants, also if there is none or a loss; `why_none` comes from `rule_sentences`."""
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
    """Return whether a change may be chance, by McNemar's test or by the interval, both over plants."""
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
    how = "in-sample, too good" if after["is_in_sample"] else "cross-fitted: by clusters made without the plant"
    return f"{unknown} {where} before adjustment, {percent(after['overall_accuracy'])} after ({n}; {how})."


def accuracy_rows(metrics: Sequence[Row], adjusted: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the table of accuracies in reading order, with a remark on numbers that are in-sample or missing."""
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
    return {"cross-fitted": CROSSFITTED, "cross-fitted rule": CROSSFITTED_RULE, "decided": DECIDED}.get(
        row["state"], ""
    )


def effect_sentences(metrics: Sequence[Row], adjusted: Sequence[Row]) -> list[str]:
    """State what adjustment did in each split, one sentence each; empty if nothing was swapped."""
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
    test = f"exact McNemar test by plants, {p_text(row['mcnemar_p'])}"
    if low is None or high is None:
        return f" ({test})"
    return f" ({test}; accuracy {100 * low:+.1f} to {100 * high:+.1f} points over resampled plants)"
