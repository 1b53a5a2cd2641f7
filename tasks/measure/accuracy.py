"""Measure: accuracy before and after adjustment, and how well each score tells right answers from wrong ones.

Reads `adjusted`, `reliability` and the cross-fitted judgements of validation images, writes the tables `metrics` and
`evaluation`. Validation images are judged by what was fitted without them, but for the accuracy `after`, which is
marked as in-sample. Intervals resample plants, of which a date's images are near copies of another's.

Memory: the labelled rows of all dates, 0.5 kB each, `ROWS_AT_ONCE` rows of a date's table, and `WEIGHTS_AT_ONCE` counts
of the resamples with some statistics of each, however many images there are.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from prefect import task
from sklearn.metrics import confusion_matrix

from storage.arrays.specs import ADJUSTED_WITHOUT_FOLD
from storage.arrays.zarr_files import read_array
from storage.artifacts import ArtifactRef, Draft, Recipe, Store
from storage.tables import ADJUSTED, CROSSFIT, METRICS, SWAPS
from storage.tables.names import JUDGED_SPLITS, MADE_BY
from storage.tables.parquet import Rows, read_table, rows_to_columns, write_table
from tasks.adjust.review_choices import PERSON
from tasks.measure.labelled import ANSWERED, CONFIDENCE, labelled, labelled_columns, resamples
from tasks.stage import cached_by, made_once
from tasks.statistics.significance import (
    Resamples,
    bootstrap_accuracies,
    bootstrap_difference,
    mcnemar,
    percentile_interval,
)

REVISION = 2


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
    for split in JUDGED_SPLITS:
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


def metrics_recipe(
    plants: ArtifactRef, crossfit: ArtifactRef, swaps: ArtifactRef, adjusted: list[ArtifactRef]
) -> Recipe:
    """What makes a campaign's metrics."""
    return Recipe(
        "metrics", REVISION, {}, {"plants": plants, "crossfit": crossfit, "swaps": swaps, "adjusted": adjusted}
    )


@task(task_run_name="measure {method}", **cached_by(metrics_recipe))
@made_once(metrics_recipe)
def measure_accuracy(
    draft: Draft,
    store: Store,
    method: str,
    plants: ArtifactRef,
    crossfit: ArtifactRef,
    swaps: ArtifactRef,
    adjusted: list[ArtifactRef],
) -> None:
    """Accuracy per split over all dates, before and after adjustment."""
    decided = store.open(swaps)
    rows = metric_rows(
        labelled_columns(store, ADJUSTED, adjusted, (*MADE_BY, *ANSWERED, "adjusted")),
        read_table(store.open(crossfit), CROSSFIT),
        read_array(decided, ADJUSTED_WITHOUT_FOLD).tolist(),
        len(store.open(plants).summary["classes"]),
        is_reviewed=PERSON in read_table(decided, SWAPS)["decided_by"],
    )
    write_table(draft, METRICS, rows_to_columns(METRICS, rows))
