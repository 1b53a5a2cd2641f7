"""Study on synthetic seasons with known truth what adjustment changes, and which score detects errors best.

`make study` runs it. Every scenario and seed is a whole campaign, including training; together they take an hour and a
half on two cores. Results in build/study are cached. It prints Markdown tables and writes build/study.json.
"""

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.console import Console

from flows.campaign import analyse_campaign
from flows.cli.demo import demo_campaign, demo_season
from flows.cli.options import configure_prefect
from flows.cli.results import results
from flows.parameters import CampaignParams
from storage.artifacts import Store
from tasks.adjust.rules import AdjustParams
from tasks.sources.synthetic.source import SyntheticSource

SCENARIOS: dict[str, dict[str, Any]] = {
    "shortcut": {"shortcut": True},
    "label noise": {"label_noise": 0.15},
    "light drift": {"light_drift": 0.4},
}
# Other seeds than 0 to 4, on which the two constants of the combined model were chosen.
SEEDS = range(10, 20)
FOLDER = Path("build/study")
RESULT = Path("build/study.json")
UNSEEN = "test"


def study_campaign(scenario: str, seed: int) -> CampaignParams:
    """Return the demonstration's campaign for another season, which is drawn in memory."""
    season = demo_season(shortcut=False, seed=seed).model_copy(update=SCENARIOS[scenario])
    campaign = demo_campaign(f"{scenario.replace(' ', '-')}-{seed}", Path())
    train = campaign.train.model_copy(update={"seed": seed})
    changed = {"source": SyntheticSource(season=season), "train": train, "adjust": AdjustParams(rule="paper")}
    return campaign.model_copy(update=changed)


def run(params: CampaignParams) -> dict[str, Any]:
    """Return the results of a campaign, which is run unless the store has it."""
    return results(Store(FOLDER), analyse_campaign(params, str(FOLDER.absolute())))


def outcome(scenario: str, seed: int) -> dict[str, Any]:
    """Return accuracy by both rules and the quality of each score on test plants; validation is cross-fitted."""
    params = study_campaign(scenario, seed)
    found = run(params)
    sure = params.model_copy(
        update={"campaign": f"{params.campaign}-confident", "adjust": AdjustParams(rule="confident")}
    )
    return {
        "scenario": scenario,
        "seed": seed,
        "before": accuracy(found, UNSEEN, "before"),
        "paper": accuracy(found, UNSEEN, "after"),
        "confident": accuracy(run(sure), UNSEEN, "after"),
        "val before": accuracy(found, "val", "before"),
        "val in-sample": accuracy(found, "val", "after"),
        "val cross-fitted": accuracy(found, "val", "cross-fitted"),
        "scores": {
            row["score"]: {name: row[name] for name in ("auroc", "aurc", "augrc", "calibration_error")}
            for row in found["evaluation"]
            if row["split"] == UNSEEN
        },
    }


def accuracy(found: dict[str, Any], split: str, state: str) -> float:
    """Return the overall accuracy of a split in a state."""
    (row,) = [row for row in found["metrics"] if (row["split"], row["state"]) == (split, state)]
    return row["overall_accuracy"]


def accuracy_table(outcomes: list[dict[str, Any]]) -> str:
    """Format as Markdown the mean accuracy over seeds, and on how many seeds adjustment was better or worse."""
    names = ("before", "paper", "confident", "val before", "val in-sample", "val cross-fitted")
    lines = [
        "| scenario | test before | after, paper's rule | better / worse on seeds | after, confident rule "
        "| better / worse on seeds | validation before | after, in-sample | after, cross-fitted |",
        "|---|" + "---:|" * 8,
    ]
    for scenario in SCENARIOS:
        rows = [one for one in outcomes if one["scenario"] == scenario]
        shown = {name: f"{100 * mean(row[name] for row in rows):.1f} %" for name in names}
        counts = {
            rule: f"{sum(r[rule] > r['before'] for r in rows)} / {sum(r[rule] < r['before'] for r in rows)}"
            for rule in ("paper", "confident")
        }
        cells = [shown["before"], shown["paper"], counts["paper"], shown["confident"], counts["confident"]]
        lines.append(f"| {scenario} | " + " | ".join([*cells, *(shown[name] for name in names[3:])]) + " |")
    return "\n".join(lines)


def score_table(outcomes: list[dict[str, Any]]) -> str:
    """Format as Markdown each score's mean AURC (with standard deviation), AUGRC and AUROC on test plants."""
    head = " | ".join(f"{scenario}: AURC | AUGRC | AUROC" for scenario in SCENARIOS)
    lines = [f"| score | {head} |", "|---|" + "---:|" * (3 * len(SCENARIOS))]
    for score in outcomes[0]["scores"]:
        cells: list[str] = []
        for scenario in SCENARIOS:
            found = [one["scores"][score] for one in outcomes if one["scenario"] == scenario]
            aurc = [one["aurc"] for one in found]
            cells += [
                f"{mean(aurc):.3f} ± {stdev(aurc):.3f}",
                f"{mean(one['augrc'] for one in found):.3f}",
                f"{mean(one['auroc'] for one in found):.3f}",
            ]
        lines.append(f"| `{score}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run every campaign and print the tables; write results after each seed."""
    configure_prefect(logs=False)
    RESULT.parent.mkdir(exist_ok=True)
    outcomes: list[dict[str, Any]] = []
    for seed in SEEDS:
        outcomes += [outcome(scenario, seed) for scenario in SCENARIOS]
        RESULT.write_text(json.dumps(outcomes, indent=1))
    console = Console(width=300, highlight=False)
    console.print(accuracy_table(outcomes), markup=False)
    console.print()
    console.print(score_table(outcomes), markup=False)


if __name__ == "__main__":
    main()
