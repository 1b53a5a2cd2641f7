"""Measure: accuracy before and after adjustment, and how well each score tells right answers from wrong ones.

Reads `adjusted`, `reliability` and the cross-fitted judgements of validation images, writes the tables `metrics` and
`evaluation`. Validation images are judged by what was fitted without them, but for the accuracy `after`, which is
marked as in-sample. Intervals resample plants, of which a date's images are near copies of another's.

Memory: the labelled rows of all dates, 0.5 kB each, `ROWS_AT_ONCE` rows of a date's table, and `WEIGHTS_AT_ONCE` counts
of the resamples with some statistics of each, however many images there are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task
from sklearn.metrics import confusion_matrix

from storage.arrays import ADJUSTED_WITHOUT_FOLD, read_array
from storage.artifacts import ArtifactRef, Recipe, Store
from storage.parquet import Rows, TableSpec, iter_table, read_table, rows_to_columns, write_table
from storage.tables import ADJUSTED, CROSSFIT, EVALUATION, METRICS, RELIABILITIES, SWAPS
from tasks.detection import bootstrap_detect, brier, calibration, calibration_error, cluster_calibration, detect
from tasks.review_rules import PERSON
from tasks.significance import (
    Resamples,
    bootstrap_accuracies,
    bootstrap_difference,
    mcnemar,
    percentile_interval,
)
from tasks.stage import cached_by, versions

REVISION = 2
SPLITS = ("val", "test", "new")
N_RESAMPLES, SEED, CONFIDENCE = 1000, 0, 0.95
ANSWERED = ("plant_id", "split", "label", "predicted")
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


def resamples(plants: Sequence[str]) -> Resamples | None:
    """A thousand draws of plants with their images; None for a single plant, whose draws cannot differ."""
    return Resamples(plants, N_RESAMPLES, SEED) if len(set(plants)) > 1 else None


def accuracies(
    labels: Sequence[int], answers: Sequence[int], n_classes: int, drawn: Resamples | None
) -> dict[str, Any]:
    """Counts, accuracies and their intervals of at least one labelled image.

    Average class accuracy is the mean recall of the classes that occur among the labels.
    """
    confusion = confusion_matrix(labels, answers, labels=range(n_classes))
    per_class = confusion.sum(axis=1)
    present = per_class > 0
    names = ("overall_accuracy", "average_class_accuracy")
    interval: dict[str, Any] = dict.fromkeys(names, (None, None))
    if drawn is not None:
        found = drawn.of(lambda weights: bootstrap_accuracies(labels, answers, weights, n_classes))
        interval = {name: percentile_interval(values, CONFIDENCE) for name, values in found.items()}
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
    labels: Sequence[int], before: Sequence[int], after: Sequence[int], drawn: Resamples | None
) -> dict[str, float | None]:
    """Interval of overall accuracy after minus before, the same images in every resample; None without resamples."""
    if drawn is None:
        return dict.fromkeys(("gain_lower", "gain_upper"))
    truth = np.asarray(labels)
    was_right, is_right = truth == before, truth == after
    found = drawn.of(lambda weights: {"gain": bootstrap_difference(was_right, is_right, weights)})
    low, high = percentile_interval(found["gain"], CONFIDENCE)
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
            drawn, pairs = resamples(table["plant_id"]), (table["label"], table["predicted"], answers)
            rows.append(
                {
                    **{name: chosen[name][0] for name in MADE_BY},
                    "split": split,
                    "state": state,
                    "is_in_sample": split == "val" and state == "after",
                    **accuracies(table["label"], answers, n_classes, drawn),
                    **changes(*pairs),
                    **accuracy_gain(*pairs, None if state == "before" else drawn),
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
    """Statistics of `bootstrap_detect` of every score, over the same resamples."""
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
        labelled_columns(files, ADJUSTED, adjusted, (*MADE_BY, *ANSWERED, "adjusted")),
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
    names = (*MADE_BY, *ANSWERED, "cluster", "error_share", *SCORES)
    rated = labelled_columns(files, RELIABILITIES, reliability, names)
    rows = evaluation_rows(rated, read_table(files.open(crossfit), CROSSFIT))
    with files.create(recipe, versions()) as draft:
        write_table(draft, EVALUATION, rows_to_columns(EVALUATION, rows))
    return recipe.ref


def labelled_columns(files: Store, spec: TableSpec, refs: Sequence[ArtifactRef], names: Sequence[str]) -> Rows:
    """Some columns of a table of all dates, of its rows with a label: the others are read and passed by in parts."""
    whole: Rows = {name: [] for name in names}
    texts: dict[Any, Any] = {}  # equal ones are kept once
    for ref in refs:
        for part in iter_table(files.open(ref), spec, names):
            chosen = [i for i, label in enumerate(part["label"]) if label is not None]
            for name in names:
                values = part[name]
                is_text = bool(values) and isinstance(values[0], str)
                whole[name] += [texts.setdefault(values[i], values[i]) if is_text else values[i] for i in chosen]
    return whole
