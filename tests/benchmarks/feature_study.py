"""Study in feature space what decisions promise and keep: hundreds of synthetic campaigns with known truth.

`python -m tests.benchmarks.feature_study --campaigns 200` prints Markdown tables and writes build/feature-study.json.
`make study` repeats the main scenarios on images.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from statistics import mean

from rich.console import Console

from storage.tables.names import PRODUCT_SCORE, SCORES
from tests.benchmarks.feature_outcome import TOLERATED, Outcome, outcome
from tests.benchmarks.feature_space import SCENARIOS

RESULT = Path("build/feature-study.json")
LEAST_DATES = 10  # fewest dates whose coverage says something


def quality_table(outcomes: list[Outcome]) -> str:
    """Format accuracy and calibration of every scenario as Markdown, means over campaigns."""
    lines = [
        "| scenario | right before | paper's rule | decided | gap by date and answer, mean | worst | Brier "
        "| outside | coverage of counts | CPU s |",
        "|---|" + "---:|" * 9,
    ]
    for scenario in dict.fromkeys(one.scenario for one in outcomes):
        rows = [one for one in outcomes if one.scenario == scenario]
        names = ("before", "paper", "decided", "gap", "worst_gap", "brier", "outside")
        cells = [f"{mean(getattr(r, name) for r in rows):.3f}" for name in names]
        covered = [one for r in rows for one in r.is_covered]
        cells += [
            f"{mean(covered):.3f}" if len(covered) >= LEAST_DATES else "–",
            f"{mean(r.seconds for r in rows):.3f}",
        ]
        lines.append(f"| {scenario} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def promise_table(outcomes: list[Outcome]) -> str:
    """Format as Markdown the share of plants acted on and, in brackets, of campaigns whose promise was broken."""
    scores = [PRODUCT_SCORE, *SCORES]
    names = ["decided", *(name for name, _ in SCORES.values())]
    lines = [
        "| scenario | tolerated | " + " | ".join(names) + " | possible |",
        "|---|---:|" + "---:|" * (len(scores) + 1),
    ]
    for scenario in dict.fromkeys(one.scenario for one in outcomes):
        rows = [one for one in outcomes if one.scenario == scenario]
        for i, tolerated in enumerate(TOLERATED):
            cells = [
                f"{mean(r.answered[s][i] for r in rows):.2f} ({1 - mean(r.kept[s][i] for r in rows):.2f})"
                for s in scores
            ]
            possible = mean(r.possible[i] for r in rows)
            lines.append(f"| {scenario} | {tolerated:.2f} | " + " | ".join(cells) + f" | {possible:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Study all scenarios and print the tables; write results after each scenario."""
    parser = argparse.ArgumentParser(description="study decisions in feature space")
    parser.add_argument("--campaigns", type=int, default=200, help="campaigns of each scenario")
    n_campaigns = parser.parse_args().campaigns
    RESULT.parent.mkdir(exist_ok=True)
    outcomes: list[Outcome] = []
    for name, scenario in SCENARIOS.items():
        outcomes += [outcome(name, scenario, seed) for seed in range(n_campaigns)]
        RESULT.write_text(json.dumps([asdict(one) for one in outcomes], indent=1))
    console = Console(width=300, highlight=False)
    for table in (quality_table(outcomes), promise_table(outcomes)):
        console.print(table, markup=False)
        console.print()


if __name__ == "__main__":
    main()
