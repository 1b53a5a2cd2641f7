"""Evaluate how well each score tells right answers from wrong ones.

Reads `reliability` and `crossfit`, writes the table `evaluation`. Validation images have cross-fitted scores. Intervals
resample plants, because images of one plant resemble each other.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task

from storage.artifacts import ArtifactRef, Draft, Recipe, Store
from storage.tables import CROSSFIT, EVALUATION, RELIABILITIES
from storage.tables.names import CLUSTER_SCORE, MADE_BY, SCORES, UNSEEN
from storage.tables.parquet import Rows, read_table, rows_to_columns, write_table
from tasks.measure.labelled import ANSWERED, CONFIDENCE, labelled, labelled_columns, resamples
from tasks.stage import cached_by, made_once
from tasks.statistics.detection import (
    bootstrap_detect,
    brier,
    calibration,
    calibration_error,
    cluster_calibration,
    detect,
)
from tasks.statistics.significance import (
    percentile_interval,
)

REVISION = 2
PROBABILITIES = tuple(score for score in SCORES if score != "trust_score")  # scores that claim to be a probability
Resampled = dict[str, NDArray[np.float64]]  # statistics of `bootstrap_detect` by name; empty without resamples


def evaluation_rows(reliability: Rows, crossfit: Rows) -> list[dict[str, Any]]:
    """Return the rows of the table `evaluation`: every score on every split with labels, validation cross-fitted."""
    parts = {"val": {**crossfit, "reliability": [1 - share for share in crossfit["error_share"]]}}
    parts |= {split: labelled(reliability, split) for split in UNSEEN}
    rows: list[dict[str, Any]] = []
    for split, table in parts.items():
        if not table["label"]:
            continue
        is_wrong = np.asarray(table["label"]) != np.asarray(table["predicted"])
        marks = {**{name: table[name][0] for name in MADE_BY}, "split": split}
        drawn = detections(table, is_wrong)
        rows += [
            {
                **marks,
                "score": score,
                **vars(detect(table[score], is_wrong)),
                **quality_intervals(drawn[score]),
                **auroc_gain(drawn, score),
                **claims(table, score, is_wrong, is_validation=split == "val"),
            }
            for score in SCORES
        ]
    return rows


def detections(table: Rows, is_wrong: NDArray[np.bool_]) -> dict[str, Resampled]:
    """Return the statistics of `bootstrap_detect` for every score, over the same resamples."""
    drawn = resamples(table["plant_id"])
    if drawn is None:
        return {score: {} for score in SCORES}
    values = {score: np.asarray(table[score], np.float64) for score in SCORES}

    def of_block(weights: NDArray[np.int64]) -> dict[tuple[str, str], NDArray[np.float64]]:
        found = {score: bootstrap_detect(values[score], is_wrong, weights) for score in SCORES}
        return {(score, name): of for score, statistics in found.items() for name, of in statistics.items()}

    of_all = drawn.of(of_block)
    return {score: {name: of for (which, name), of in of_all.items() if which == score} for score in SCORES}


def quality_intervals(drawn: Resampled) -> dict[str, float | None]:
    """Return the intervals of one score's statistics over the resamples."""
    ends: dict[str, float | None] = {}
    for measure in ("auroc", "aurc", "augrc"):
        known = measure in drawn and len(drawn[measure]) > 0
        interval = percentile_interval(drawn[measure], CONFIDENCE) if known else (None, None)
        ends |= {f"{measure}_lower": interval[0], f"{measure}_upper": interval[1]}
    return ends


def auroc_gain(drawn: Mapping[str, Resampled], score: str) -> dict[str, float | None]:
    """Return the interval of a score's AUROC minus the cluster score's, paired by resample.

    This interval says whether one score is better. The overlap of the two scores' own intervals does not, because
    errors that are hard for one score are hard for the other.
    """
    own, of_clusters = (drawn[name].get("auroc", np.empty(0)) for name in (score, CLUSTER_SCORE))
    if score == CLUSTER_SCORE or not len(own):
        return dict.fromkeys(("auroc_gain_lower", "auroc_gain_upper"))
    low, high = percentile_interval(own - of_clusters, CONFIDENCE)
    return {"auroc_gain_lower": low, "auroc_gain_upper": high}


def claims(table: Rows, score: str, is_wrong: NDArray[np.bool_], is_validation: bool) -> dict[str, float | None]:
    """Return Brier score and calibration error of a score that claims to be a probability; otherwise None.

    The bins of the cluster score are the clusters. Cross-fitted, it comes from the clusters of five fits, with few
    images each, so its bins are those of any other score.
    """
    if score not in PROBABILITIES:
        return {"brier": None, "calibration_error": None}
    if score == CLUSTER_SCORE and not is_validation:
        gap = cluster_calibration(table["cluster"], table["error_share"], is_wrong)
    else:
        gap = calibration_error(calibration(table[score], ~is_wrong))
    return {"brier": brier(table[score], ~is_wrong), "calibration_error": gap}


def evaluation_recipe(crossfit: ArtifactRef, reliability: list[ArtifactRef]) -> Recipe:
    """Return the recipe of a campaign's evaluation."""
    return Recipe("evaluation", REVISION, {}, {"crossfit": crossfit, "reliability": reliability})


@task(task_run_name="evaluate {campaign} {method}", **cached_by(evaluation_recipe))
@made_once(evaluation_recipe)
def evaluate_scores(
    draft: Draft, store: Store, method: str, crossfit: ArtifactRef, reliability: list[ArtifactRef]
) -> None:
    """Evaluate how well the cluster score and all other scores tell errors, over all dates."""
    names = (*MADE_BY, *ANSWERED, "cluster", "error_share", *SCORES)
    rated = labelled_columns(store, RELIABILITIES, reliability, names)
    rows = evaluation_rows(rated, read_table(store.open(crossfit), CROSSFIT))
    write_table(draft, EVALUATION, rows_to_columns(EVALUATION, rows))
