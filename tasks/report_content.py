"""What the report says of accuracy, data and parameters, from the rows of the tables: pure functions, no files."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import binomtest

from tasks.report_words import GROUND_TRUTH, IN_SAMPLE, REASONS, SPLIT_NAMES, UNSEEN, method_name, percent

Row = Mapping[str, Any]
CHANCE = 0.05


@dataclass(frozen=True)
class Effect:
    """What adjustment did to the images of a split; corrected and spoiled are counted among those with a label."""

    split: str
    n_images: int
    n_labelled: int
    n_swapped: int
    n_corrected: int
    n_spoiled: int

    @property
    def p_value(self) -> float:
        """Probability of a difference at least this large by chance (exact McNemar test, two-sided)."""
        n = self.n_corrected + self.n_spoiled
        return float(binomtest(self.n_corrected, n).pvalue) if n else 1.0


def adjustment_effect(adjusted: Sequence[Row], split: str) -> Effect:
    """Count what adjustment changed in a split, from rows of the table `adjusted`."""
    rows = [row for row in adjusted if row["split"] == split]
    known = [row for row in rows if row["label"] is not None]
    changed = [row for row in known if row["is_swapped"]]
    return Effect(
        split=split,
        n_images=len(rows),
        n_labelled=len(known),
        n_swapped=sum(row["is_swapped"] for row in rows),
        n_corrected=sum(row["adjusted"] == row["label"] for row in changed),
        n_spoiled=sum(row["predicted"] == row["label"] for row in changed),
    )


@dataclass(frozen=True)
class Headline:
    """The result in one or two plain sentences; `tone` is better, same or worse."""

    text: str
    tone: str


def headline(metrics: Sequence[Row], adjusted: Sequence[Row], n_classes: int, threshold: float) -> Headline:
    """The result on unseen plants, also where it is none or a loss."""
    found = {(row["split"], row["state"]): row for row in metrics}
    split = next((s for s in UNSEEN if (s, "before") in found), None)
    if split is None:
        return Headline(_without_unseen(found), "same")
    before, after = found[split, "before"], found[split, "after"]
    n, where = before["n"], f"On unseen {SPLIT_NAMES[split]} plants: {percent(before['overall_accuracy'])} right"
    effect = adjustment_effect(adjusted, split)
    if n_classes > 2:
        return Headline(f"{where} (n\u00a0=\u00a0{n}). With more than two classes no answer is swapped.", "same")
    if not any(row["is_swapped"] for row in adjusted):
        why = f"no cluster was wrong in more than {threshold:.0%} of its validation images"
        return Headline(f"{where} (n\u00a0=\u00a0{n}). Adjustment changes nothing: {why}.", "same")
    text = f"{where} before adjustment, {percent(after['overall_accuracy'])} after (n\u00a0=\u00a0{n})."
    gain = after["n_correct"] - before["n_correct"]
    if gain == 0:
        return Headline(f"{text} Adjustment swapped {effect.n_swapped} answers and gained nothing.", "same")
    doubt = "" if effect.p_value < CHANCE else " A difference this small may be chance."
    if gain < 0:
        return Headline(f"{text} Adjustment makes the answers worse here: do not use it.{doubt}", "worse")
    return Headline(text + doubt, "same" if doubt else "better")


def _without_unseen(found: Mapping[tuple[str, str], Row]) -> str:
    unknown = "No unseen plant has a label, so how often the answers are right on unseen plants is unknown."
    before, after = found.get(("val", "before")), found.get(("val", "after"))
    if before is None or after is None:
        return unknown
    n, where = f"n\u00a0=\u00a0{before['n']}", f"On validation plants: {percent(before['overall_accuracy'])} right"
    if before["confusion"] == after["confusion"]:
        return f"{unknown} {where} ({n})."
    return (
        f"{unknown} {where} before adjustment, {percent(after['overall_accuracy'])} after ({n}; in-sample, flatters)."
    )


def accuracy_rows(metrics: Sequence[Row], adjusted: Sequence[Row]) -> list[dict[str, Any]]:
    """The table of accuracies in reading order, with a remark where a number flatters or is missing."""
    order = {"val": 0, "test": 1, "new": 2}
    rows = [
        {**row, "remark": f"in-sample: {IN_SAMPLE}" if row["is_in_sample"] else ""}
        for row in sorted(metrics, key=lambda row: (order.get(row["split"], 3), row["state"] != "before"))
    ]
    present = {row["split"] for row in adjusted}
    for split in order:
        if split in present and not any(row["split"] == split for row in metrics):
            n = sum(row["split"] == split for row in adjusted)
            rows.append({"split": split, "state": None, "remark": f"{n} images, none with a label: accuracy unknown"})
    return rows


def effect_sentences(adjusted: Sequence[Row]) -> list[str]:
    """What adjustment did in each split, one sentence each; empty where nothing was swapped."""
    sentences: list[str] = []
    for split in ("val", *UNSEEN):
        effect = adjustment_effect(adjusted, split)
        if not effect.n_swapped:
            continue
        text = f"{SPLIT_NAMES[split].capitalize()}: {effect.n_swapped} of {effect.n_images} answers were swapped"
        if effect.n_labelled:
            text += f"; {effect.n_corrected} became right and {effect.n_spoiled} became wrong"
            text += " (in-sample)" if split == "val" else f" (exact McNemar test, {_p_text(effect.p_value)})"
        sentences.append(text + ".")
    return sentences


def _p_text(p: float) -> str:
    return f"p\u00a0=\u00a0{p:.2g}" if p >= 0.001 else "p\u00a0<\u00a00.001"


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
    title: str, heads: Mapping[str, Headline], metrics: Sequence[Row], warnings: Sequence[str]
) -> list[str]:
    """The report in a few lines of Markdown, `heads` by the method's name in words."""
    lines = [f"# {title}", ""]
    lines += [f"**{method}**: {head.text}\n" for method, head in heads.items()]
    if any(row["explained_class"] == "label" for row in metrics):
        lines += [f"> **explained_class = label: {GROUND_TRUTH}**\n"]
    lines += ["| method | split | state | n | right | average class accuracy |", "|---|---|---|---:|---:|---:|"]
    for row in metrics:
        state = row["state"] + (" (in-sample)" if row["is_in_sample"] else "")
        shares = f"{percent(row['overall_accuracy'])} | {percent(row['average_class_accuracy'])}"
        lines.append(f"| {method_name(row['method'])} | {row['split']} | {state} | {row['n']} | {shares} |")
    return [*lines, "", *(f"- {warning}" for warning in warnings)]
