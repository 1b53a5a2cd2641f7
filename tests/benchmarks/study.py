"""Study on synthetic seasons with known truth what is decided, what is promised, and whether the promises are kept.

`make study` runs it. Every scenario and seed is a whole campaign of images, including training; together they take
about two hours on two cores. Results in build/study are cached. It prints Markdown tables and writes build/study.json.
`tests.benchmarks.feature_study` repeats the question on hundreds of campaigns without images.
"""

import argparse
import json
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console

from flows.acquisition import score_acquisition
from flows.campaign import analyse_campaign
from flows.cli.demo import demo_campaign, demo_season
from flows.cli.options import configure_prefect
from flows.parameters import CampaignParams
from storage.artifacts import ArtifactRef, Store
from storage.records.campaigns import CampaignRecord
from storage.tables import ADJUSTED, ASSIGNMENTS, DECIDED, METRICS, PROMISES, READY_COUNTS, RELIABILITIES
from storage.tables.names import PRODUCT_SCORE, SCORES
from storage.tables.rows import Row, rows_of
from tasks.classify.augment import AugmentParams
from tasks.sources.synthetic.source import SyntheticSource
from tests.benchmarks.study_tables import accuracy_table, calibration_table, count_table, promise_table

AUGUST = [date(2022, 8, day) for day in range(1, 32)]
MIDDLE = (AUGUST[22], AUGUST[24])  # dates on which about half of the plants are ready
FOLDER = Path("build/study")
RESULT = Path("build/study.json")
TOLERATED = (0.1, 0.15, 0.2)
WHOLE_FILES = {"n_damaged": 0, "n_truncated": 0, "n_duplicates": 0}  # a late date has few plants left
METHOD = "gradcam"
MORE_PLANTS = {"n_plots": 5}  # two plots that the fit has never seen, beside its three
RIPE_AT_ONCE = {"harvest_spread": 2.5, "never_share": 0.0}  # else most plants that stand late are never ready


@dataclass(frozen=True)
class Scenario:
    """What differs from the demonstration's season and campaign.

    Attributes
    ----------
    season : keys of the season.
    copies : augmented copies of an image by class; more copies of ready plants bias the classifier.
    new_date : date that the fit scores afterwards, on whose new plants the scenario is judged; None judges test plants.
    new_season : keys of the season on that date.
    """

    season: dict[str, Any] = field(default_factory=dict[str, Any])
    copies: tuple[int, int] = (1, 2)
    new_date: date | None = None
    new_season: dict[str, Any] = field(default_factory=dict[str, Any])


SCENARIOS = {
    "shortcut": Scenario({"shortcut": True}),
    "label noise": Scenario({"label_noise": 0.15}),
    "nothing systematic": Scenario({"dates": MIDDLE}),
    "growing season": Scenario(),
    "biased classifier": Scenario({"dates": MIDDLE}, copies=(1, 5)),
    "few ready": Scenario({"dates": MIDDLE}, new_date=AUGUST[17], new_season=MORE_PLANTS),
    "many ready": Scenario({"dates": MIDDLE}, new_date=AUGUST[26], new_season={**MORE_PLANTS, **RIPE_AT_ONCE}),
    "repeated plants": Scenario({"dates": tuple(AUGUST[20:26]), "plants_per_row": 8}),
}


def study_campaign(scenario: Scenario, seed: int) -> CampaignParams:
    """Return the demonstration's campaign for another season, which is drawn in memory.

    Scenarios that differ only in their new date have the same campaign, which is then computed once.
    """
    season = demo_season(shortcut=False, seed=seed).model_copy(update=scenario.season)
    name = (
        "-".join(f"{key}-{len(v) if isinstance(v, tuple) else v}" for key, v in scenario.season.items()) or "four-dates"
    )
    name = f"{name.replace('_', '-').lower()}-{scenario.copies[1]}-{seed}"
    campaign = demo_campaign(name, Path())
    source = SyntheticSource(season=season)
    train = campaign.train.model_copy(update={"seed": seed})
    changed = {
        "source": source,
        "dates": season.dates,
        "train": train,
        "augment": AugmentParams(copies=scenario.copies),
    }
    return campaign.model_copy(update=changed)


def outcome(name: str, seed: int) -> dict[str, Any]:
    """Run one campaign, and return what the tables need as JSON values."""
    scenario = SCENARIOS[name]
    params = study_campaign(scenario, seed)
    store = Store(FOLDER)
    record = analyse_campaign(params, str(FOLDER.absolute()))
    artifacts, days, split = record.artifacts, params.dates, "test"
    if scenario.new_date is not None:
        changed = {**WHOLE_FILES, **scenario.new_season, "dates": (scenario.new_date,)}
        season = params.source.season.model_copy(update=changed)  # pyright: ignore
        scored = score_acquisition(
            params.campaign, scenario.new_date, str(FOLDER.absolute()), source=SyntheticSource(season=season)
        )
        artifacts, days, split = scored.artifacts, (scenario.new_date,), None
    rows = [row for day in days for row in judged_rows(store, artifacts, day, split)]
    return {
        "scenario": name,
        "seed": seed,
        "n": len(rows),
        "before": share(row["predicted"] == row["label"] for row in rows),
        "paper": share(row["adjusted"] == row["label"] for row in rows),
        "decided": share(row["answer"] == row["label"] for row in rows),
        "validation": validation_accuracies(store, record),
        "promises": kept_promises(rows_of(store.open(record.artifacts[f"promises {METHOD}"]), PROMISES), rows),
        "cells": cells(rows),
        "counts": [count for day in days if (count := counted(store, artifacts, day))],
    }


def judged_rows(store: Store, artifacts: dict[str, ArtifactRef], day: date, split: str | None) -> list[dict[str, Any]]:
    """Read a date's labelled rows with decision, scores and the paper's answer: of a split, or of all unseen plants."""
    decided = rows_of(store.open(artifacts[f"decided {METHOD} {day}"]), DECIDED)
    rated = rows_of(store.open(artifacts[f"reliability {METHOD} {day}"]), RELIABILITIES, tuple(SCORES))
    adjusted = rows_of(store.open(artifacts[f"adjusted {METHOD} {day}"]), ADJUSTED, ("adjusted",))
    seen = rows_of(store.open(artifacts[f"assignments {METHOD} {day}"]), ASSIGNMENTS, ("seen",))
    return [
        {**one, **scores, "adjusted": paper["adjusted"], "day": str(day)}
        for one, scores, paper, by in zip(decided, rated, adjusted, seen, strict=True)
        if one["label"] is not None and (by["seen"] is None if split is None else one["split"] == split)
    ]


def kept_promises(promises: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Count the unseen answers that each score acts on at each tolerated share, and how many of them are wrong."""
    found: list[dict[str, Any]] = []
    for score in (PRODUCT_SCORE, *SCORES):
        for tolerated in TOLERATED:
            (promise,) = [
                p for p in promises if (p["score"], p["answers"], p["tolerated_error"]) == (score, "all", tolerated)
            ]
            limit, answer = promise["threshold"], "answer" if score == PRODUCT_SCORE else "predicted"
            acted = [r for r in rows if limit is not None and r[score] >= limit and not is_vetoed(r)]
            found.append(
                {
                    "score": score,
                    "tolerated": tolerated,
                    "n": len(rows),
                    "n_acted": len(acted),
                    "n_wrong": sum(row[answer] != row["label"] for row in acted),
                }
            )
    return found


def is_vetoed(row: Row) -> bool:
    """Return whether an answer is not acted on whatever its reliability."""
    return bool({"novel", "reviewed", "outside"} & set(row["check_reason"].split()))


def cells(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sum promised and observed right answers by date and answer."""
    keys = sorted({(row["day"], row["answer"]) for row in rows})
    return [
        {
            "day": day,
            "answer": answer,
            "n": len(here),
            "promised": sum(row["answer_reliability"] for row in here),
            "observed": sum(row["answer"] == row["label"] for row in here),
        }
        for day, answer in keys
        if (here := [row for row in rows if (row["day"], row["answer"]) == (day, answer)])
    ]


def counted(store: Store, artifacts: dict[str, ArtifactRef], day: date) -> dict[str, Any] | None:
    """Return a date's count of ready plants with its interval and the truth; None if a plant's truth is unknown."""
    artifact = store.open(artifacts[f"decided {METHOD} {day}"])
    labels = [row["label"] for row in rows_of(artifact, DECIDED, ("label",))]
    field_rows = [row for row in rows_of(artifact, READY_COUNTS) if row["plot"] is None]
    if None in labels or not field_rows:
        return None
    (row,) = field_rows
    return {**{name: row[name] for name in ("n", "n_ready", "n_ready_lower", "n_ready_upper")}, "truth": sum(labels)}


def validation_accuracies(store: Store, record: CampaignRecord) -> dict[str, float]:
    """Return the accuracy of validation plants by state."""
    rows = rows_of(store.open(record.artifacts[f"metrics {METHOD}"]), METRICS)
    return {row["state"]: row["overall_accuracy"] for row in rows if row["split"] == "val"}


def share(found: Any) -> float:
    """Return the share of true values."""
    return mean(map(float, found))


def main() -> None:
    """Run every campaign and print the tables; write results after each seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs=2, default=(10, 20), help="first seed, and the one after the last")
    arguments = parser.parse_args()
    configure_prefect(logs=False)
    RESULT.parent.mkdir(exist_ok=True)
    outcomes: list[dict[str, Any]] = []
    for seed in range(*arguments.seeds):
        outcomes += [outcome(scenario, seed) for scenario in SCENARIOS]
        RESULT.write_text(json.dumps(outcomes, indent=1))
    console = Console(width=300, highlight=False)
    for table in (accuracy_table, promise_table, calibration_table, count_table):
        console.print(table(outcomes), markup=False)
        console.print()


if __name__ == "__main__":
    main()
