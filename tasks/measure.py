"""Measure: accuracy before and after adjustment, and how well each score tells right answers from wrong ones.

Reads `adjusted`, `reliability` and the cross-fitted judgements of validation images, writes the tables `metrics` and
`evaluation`. Validation images are judged by what was fitted without them, but for the accuracy `after`, which is
marked as in-sample. Intervals resample plants, of which a date's images are near copies of another's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task
from sklearn.metrics import confusion_matrix

from storage.arrays import ADJUSTED_WITHOUT_FOLD, read_array
from storage.artifacts import ArtifactRef, Recipe, Store
from storage.parquet import Rows, TableSpec, read_table, rows_to_columns, write_table
from storage.tables import ADJUSTED, CROSSFIT, EVALUATION, METRICS, RELIABILITIES, SWAPS
from tasks.detection import bootstrap_detect, brier, calibration, calibration_error, cluster_calibration, detect
from tasks.review_rules import PERSON
from tasks.significance import (
    accuracy_intervals,
    group_weights,
    mcnemar,
    paired_difference_interval,
    percentile_interval,
)
from tasks.stage import cached_by, versions

REVISION = 2
SPLITS = ("val", "test", "new")
N_RESAMPLES, SEED, CONFIDENCE = 1000, 0, 0.95
MADE_BY = ("method", "explained_class", "classifier", "clusters")
CLUSTER_SCORE = "reliability"
PROBABILITIES = (
    CLUSTER_SCORE,
    "nearest_map_reliability",
    "softmax",
    "calibrated_softmax",
    "feature_reliability",
    "combined_reliability",
)
SCORES = (*PROBABILITIES[:-1], "trust_score", "combined_reliability")
Resampled = dict[str, NDArray[np.float64]]  # statistics of `bootstrap_detect` by name, none without resamples


def resamples(plants: Sequence[str]) -> NDArray[np.int64] | None:
    """Counts (1000, n) of images when plants are drawn again; None for a single plant, whose draws cannot differ."""
    return group_weights(plants, N_RESAMPLES, SEED) if len(set(plants)) > 1 else None


def accuracies(
    labels: Sequence[int], answers: Sequence[int], n_classes: int, weights: NDArray[np.int64] | None
) -> dict[str, Any]:
    """Counts, accuracies and their intervals of at least one labelled image.

    Average class accuracy is the mean recall of the classes that occur among the labels.
    """
    confusion = confusion_matrix(labels, answers, labels=range(n_classes))
    per_class = confusion.sum(axis=1)
    present = per_class > 0
    names = ("overall_accuracy", "average_class_accuracy")
    interval: dict[str, Any] = dict.fromkeys(names, (None, None))
    if weights is not None:
        interval = dict(accuracy_intervals(labels, answers, weights, n_classes, CONFIDENCE))
    return {
        "n": int(confusion.sum()),
        "n_correct": int(np.trace(confusion)),
        "overall_accuracy": float(np.trace(confusion) / confusion.sum()),
        "average_class_accuracy": float((np.diag(confusion)[present] / per_class[present]).mean()),
        "confusion": confusion.ravel().tolist(),
        **{f"{name}_{end}": interval[name][i] for name in names for i, end in enumerate(("lower", "upper"))},
    }


def changes(labels: Sequence[int], before: Sequence[int], after: Sequence[int]) -> dict[str, Any]:
    """Answers that adjustment made right and wrong, and McNemar's test of the difference."""
    triples = list(zip(labels, before, after, strict=True))
    corrected = sum(b != label == a for label, b, a in triples)
    spoiled = sum(b == label != a for label, b, a in triples)
    return {"n_corrected": corrected, "n_spoiled": spoiled, "mcnemar_p": mcnemar(corrected, spoiled)}


def accuracy_gain(
    labels: Sequence[int], before: Sequence[int], after: Sequence[int], weights: NDArray[np.int64] | None
) -> dict[str, float | None]:
    """Interval of overall accuracy after minus before, the same images in every resample; None without resamples."""
    if weights is None:
        return dict.fromkeys(("gain_lower", "gain_upper"))
    truth = np.asarray(labels)
    low, high = paired_difference_interval(truth == before, truth == after, weights, CONFIDENCE)
    return {"gain_lower": low, "gain_upper": high}


def metric_rows(
    adjusted: Rows, crossfit: Rows, without_fold: Sequence[int], n_classes: int, is_reviewed: bool = False
) -> list[dict[str, Any]]:
    """Rows of the table `metrics`: every split with labels, before and after; validation also cross-fitted.

    Parameters
    ----------
    without_fold : answers of the rows of `crossfit`, adjusted by the rule on the other folds' clusters.
    is_reviewed : a person decided on clusters. Then `after` is of other decisions than those that were cross-fitted,
        which the name of that state says.
    """
    rows: list[dict[str, Any]] = []
    for split in SPLITS:
        chosen = labelled(adjusted, split)
        if not len(chosen["label"]):
            continue
        states = [("before", chosen, chosen["predicted"]), ("after", chosen, chosen["adjusted"])]
        if split == "val":
            states.append(("cross-fitted rule" if is_reviewed else "cross-fitted", crossfit, list(without_fold)))
        for state, table, answers in states:
            weights, pairs = resamples(table["plant_id"]), (table["label"], table["predicted"], answers)
            rows.append(
                {
                    **{name: chosen[name][0] for name in MADE_BY},
                    "split": split,
                    "state": state,
                    "is_in_sample": split == "val" and state == "after",
                    **accuracies(table["label"], answers, n_classes, weights),
                    **changes(*pairs),
                    **accuracy_gain(*pairs, None if state == "before" else weights),
                }
            )
    return rows


def labelled(table: Rows, split: str) -> Rows:
    """The rows of a split that have a label."""
    chosen = [i for i, s in enumerate(table["split"]) if s == split and table["label"][i] is not None]
    return {name: [values[i] for i in chosen] for name, values in table.items()}


def evaluation_rows(reliability: Rows, crossfit: Rows) -> list[dict[str, Any]]:
    """Rows of the table `evaluation`: every score on every split with labels; validation images cross-fitted."""
    parts = {"val": {**crossfit, "reliability": [1 - share for share in crossfit["error_share"]]}}
    parts |= {split: labelled(reliability, split) for split in SPLITS[1:]}
    rows: list[dict[str, Any]] = []
    for split, table in parts.items():
        if not table["label"]:
            continue
        is_wrong = np.asarray(table["label"]) != np.asarray(table["predicted"])
        weights = resamples(table["plant_id"])
        marks = {**{name: table[name][0] for name in MADE_BY}, "split": split}
        drawn = {s: {} if weights is None else bootstrap_detect(table[s], is_wrong, weights) for s in SCORES}
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


def quality_intervals(drawn: Resampled) -> dict[str, float | None]:
    """Intervals of the statistics of one score over resamples."""
    ends: dict[str, float | None] = {}
    for measure in ("auroc", "aurc", "augrc"):
        known = measure in drawn and len(drawn[measure]) > 0
        interval = percentile_interval(drawn[measure], CONFIDENCE) if known else (None, None)
        ends |= {f"{measure}_lower": interval[0], f"{measure}_upper": interval[1]}
    return ends


def auroc_gain(drawn: Mapping[str, Resampled], score: str) -> dict[str, float | None]:
    """Interval of a score's AUROC minus the cluster score's, of the same resamples: it says whether one is better.

    Whether the two scores' own intervals overlap does not: errors that are hard for one are hard for the other.
    """
    own, of_clusters = (drawn[name].get("auroc", np.empty(0)) for name in (score, CLUSTER_SCORE))
    if score == CLUSTER_SCORE or not len(own):
        return dict.fromkeys(("auroc_gain_lower", "auroc_gain_upper"))
    low, high = percentile_interval(own - of_clusters, CONFIDENCE)
    return {"auroc_gain_lower": low, "auroc_gain_upper": high}


def claims(table: Rows, score: str, is_wrong: NDArray[np.bool_], is_validation: bool) -> dict[str, float | None]:
    """How far a score keeps its word as the probability of a right answer; None where it gives none.

    The cluster score's bins are the clusters; cross-fitted it has those of five fits, of a few images each, and its
    bins are as any score's.
    """
    if score not in PROBABILITIES:
        return {"brier": None, "calibration_error": None}
    if score == CLUSTER_SCORE and not is_validation:
        gap = cluster_calibration(table["cluster"], table["error_share"], is_wrong)
    else:
        gap = calibration_error(calibration(table[score], ~is_wrong))
    return {"brier": brier(table[score], ~is_wrong), "calibration_error": gap}


def metrics_recipe(
    plants: ArtifactRef, crossfit: ArtifactRef, swaps: ArtifactRef, adjusted: list[ArtifactRef]
) -> Recipe:
    """What makes a campaign's metrics."""
    return Recipe(
        "metrics", REVISION, {}, {"plants": plants, "crossfit": crossfit, "swaps": swaps, "adjusted": adjusted}
    )


def evaluation_recipe(crossfit: ArtifactRef, reliability: list[ArtifactRef]) -> Recipe:
    """What makes a campaign's evaluation."""
    return Recipe("evaluation", REVISION, {}, {"crossfit": crossfit, "reliability": reliability})


@task(task_run_name="measure {campaign} {method}", **cached_by(metrics_recipe))
def measure_accuracy(
    campaign: str,
    store: str,
    method: str,
    plants: ArtifactRef,
    crossfit: ArtifactRef,
    swaps: ArtifactRef,
    adjusted: list[ArtifactRef],
) -> ArtifactRef:
    """Accuracy per split over all dates, before and after adjustment."""
    recipe, files = metrics_recipe(plants, crossfit, swaps, adjusted), Store(store)
    if files.holds(recipe.ref):
        return recipe.ref
    decided = files.open(swaps)
    rows = metric_rows(
        together(files, ADJUSTED, adjusted),
        read_table(files.open(crossfit), CROSSFIT),
        read_array(decided, ADJUSTED_WITHOUT_FOLD).tolist(),
        len(files.open(plants).summary["classes"]),
        is_reviewed=PERSON in read_table(decided, SWAPS)["decided_by"],
    )
    with files.create(recipe, versions()) as draft:
        write_table(draft, METRICS, rows_to_columns(METRICS, rows))
    return recipe.ref


@task(task_run_name="evaluate {campaign} {method}", **cached_by(evaluation_recipe))
def evaluate_scores(
    campaign: str, store: str, method: str, crossfit: ArtifactRef, reliability: list[ArtifactRef]
) -> ArtifactRef:
    """How well the cluster score and every other tell errors, over all dates."""
    recipe, files = evaluation_recipe(crossfit, reliability), Store(store)
    if files.holds(recipe.ref):
        return recipe.ref
    rows = evaluation_rows(together(files, RELIABILITIES, reliability), read_table(files.open(crossfit), CROSSFIT))
    with files.create(recipe, versions()) as draft:
        write_table(draft, EVALUATION, rows_to_columns(EVALUATION, rows))
    return recipe.ref


def together(files: Store, spec: TableSpec, refs: Sequence[ArtifactRef]) -> Rows:
    """A table's rows of all dates."""
    parts = [read_table(files.open(ref), spec) for ref in refs]
    return {column.name: [value for part in parts for value in part[column.name]] for column in spec.columns}
