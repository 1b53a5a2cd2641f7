"""Format the outcomes of the study on images as Markdown tables."""

from collections import defaultdict
from statistics import mean
from typing import Any

Outcomes = list[dict[str, Any]]


def scenarios(outcomes: Outcomes) -> dict[str, Outcomes]:
    """Group outcomes by scenario, in the order of the study."""
    found: dict[str, Outcomes] = defaultdict(list)
    for one in outcomes:
        found[one["scenario"]].append(one)
    return found


def accuracy_table(outcomes: Outcomes) -> str:
    """Format the mean accuracy over seeds, and on how many seeds deciding was better or worse than the classifier."""
    lines = [
        "| scenario | seeds | before | after, by the rule | decided | decided better / worse on seeds |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, rows in scenarios(outcomes).items():
        shown = [f"{100 * mean(row[state] for row in rows):.1f} %" for state in ("before", "paper", "decided")]
        better, worse = (sum(sign * (r["decided"] - r["before"]) > 0 for r in rows) for sign in (1, -1))
        lines.append(f"| {name} | {len(rows)} | {' | '.join(shown)} | {better} / {worse} |")
    return "\n".join(lines)


def promise_table(outcomes: Outcomes) -> str:
    """Format by score and tolerated share: share answered, wrong among answered, and share of broken promises."""
    tolerated = list(dict.fromkeys(p["tolerated"] for p in outcomes[0]["promises"]))
    lines = [
        "| scenario | score | " + " | ".join(f"tolerated {t:g}: answered / wrong / broken" for t in tolerated) + " |",
        "|---|---|" + "---:|" * len(tolerated),
    ]
    for name, rows in scenarios(outcomes).items():
        for score in dict.fromkeys(p["score"] for p in rows[0]["promises"]):
            cells = [_promise(rows, score, t) for t in tolerated]
            lines.append(f"| {name} | `{score}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _promise(rows: Outcomes, score: str, tolerated: float) -> str:
    found = [p for row in rows for p in row["promises"] if (p["score"], p["tolerated"]) == (score, tolerated)]
    n, acted, wrong = (sum(p[key] for p in found) for key in ("n", "n_acted", "n_wrong"))
    broken = mean(p["n_wrong"] > tolerated * p["n_acted"] for p in found)
    return f"{acted / n:.2f} / {f'{wrong / acted:.3f}' if acted else '–'} / {broken:.2f}"


def calibration_table(outcomes: Outcomes) -> str:
    """Format the gap of promised and observed by date and answer, pooled over seeds: its mean and the worst cell."""
    lines = ["| scenario | mean gap | worst cell (n) |", "|---|---:|---:|"]
    for name, rows in scenarios(outcomes).items():
        sums: dict[tuple[str, int], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        for cell in (cell for row in rows for cell in row["cells"]):
            for i, key in enumerate(("n", "promised", "observed")):
                sums[cell["day"], cell["answer"]][i] += cell[key]
        gaps = [(abs(promised - observed) / n, n) for n, promised, observed in sums.values()]
        total = sum(n for _, n in gaps)
        worst, n_worst = max(gaps)
        lines.append(f"| {name} | {sum(gap * n for gap, n in gaps) / total:.3f} | {worst:.3f} ({n_worst:.0f}) |")
    return "\n".join(lines)


def count_table(outcomes: Outcomes) -> str:
    """Format how often the 90 % interval of the number of ready plants holds the truth, over dates and seeds."""
    lines = ["| scenario | dates | covered | mean width (plants) | mean error (plants) |", "|---|---:|---:|---:|---:|"]
    for name, rows in scenarios(outcomes).items():
        counts = [count for row in rows for count in row["counts"]]
        if counts:
            covered = mean(c["n_ready_lower"] <= c["truth"] <= c["n_ready_upper"] for c in counts)
            width = mean(c["n_ready_upper"] - c["n_ready_lower"] for c in counts)
            error = mean(c["n_ready"] - c["truth"] for c in counts)
            lines.append(f"| {name} | {len(counts)} | {covered:.2f} | {width:.1f} | {error:+.1f} |")
    return "\n".join(lines)
