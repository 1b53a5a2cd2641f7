"""Measure accuracy before and after adjustment, and of the decided answers.

Reads `plants`, `adjusted`, `decided`, `swaps` and the cross-fitted judgements of validation images, writes the table
`metrics`.
Validation images are judged by what was fitted without them, except for the state `after`, which is marked as
in-sample. Intervals resample plants and McNemar's test counts plants, because images of one plant on several dates are
near copies.

Memory: the labelled rows of all dates, 0.5 kB each, and `ROWS_AT_ONCE` rows of a date's table. Also `WEIGHTS_AT_ONCE`
counts of the resamples with some statistics of each, however many images there are.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from prefect import task

from storage.arrays.specs import ADJUSTED_WITHOUT_FOLD
from storage.arrays.zarr_files import read_array
from storage.artifacts import ArtifactRef, Draft, Recipe, Store
from storage.tables import ADJUSTED, CROSSFIT, DECIDED, METRICS, SWAPS
from storage.tables.names import JUDGED_SPLITS, MADE_BY
from storage.tables.parquet import Rows, read_table, rows_to_columns, write_table
from tasks.adjust.review_choices import PERSON
from tasks.measure.labelled import ANSWERED, CONFIDENCE, labelled, labelled_columns, resamples
from tasks.stage import cached_by, made_once
from tasks.statistics.by_plant import mcnemar
from tasks.statistics.significance import Resamples, bootstrap_accuracies, bootstrap_difference, percentile_interval

REVISION = 3


def accuracies(
    labels: Sequence[int], answers: Sequence[int], n_classes: int, drawn: Resamples | None
) -> dict[str, Any]:
    """Return counts, accuracies (0..1) and their intervals for at least one labelled image.

    Average class accuracy is the mean recall of the classes that occur among the labels.
    """
    from sklearn.metrics import confusion_matrix

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


def changes(
    labels: Sequence[int], before: Sequence[int], after: Sequence[int], plants: Sequence[str]
) -> dict[str, Any]:
    """Count answers that adjustment made right and made wrong, and test the difference by plants (McNemar)."""
    truth = np.asarray(labels)
    was_right, is_right = truth == before, truth == after
    return {
        "n_corrected": int((is_right & ~was_right).sum()),
        "n_spoiled": int((was_right & ~is_right).sum()),
        "mcnemar_p": mcnemar(was_right, is_right, plants),
    }


def accuracy_gain(
    labels: Sequence[int], before: Sequence[int], after: Sequence[int], drawn: Resamples | None
) -> dict[str, float | None]:
    """Return the interval of overall accuracy after minus before, paired by image; None without resamples."""
    if drawn is None:
        return dict.fromkeys(("gain_lower", "gain_upper"))
    truth = np.asarray(labels)
    was_right, is_right = truth == before, truth == after
    found = drawn.of(lambda weights: {"gain": bootstrap_difference(was_right, is_right, weights)})
    low, high = percentile_interval(found["gain"], CONFIDENCE)
    return {"gain_lower": low, "gain_upper": high}


def metric_rows(
    adjusted: Rows,
    crossfit: Rows,
    without_fold: Sequence[int],
    decided: Rows,
    n_classes: int,
    is_reviewed: bool = False,
) -> list[dict[str, Any]]:
    """Return the rows of the table `metrics`: every split with labels, in every state; validation also cross-fitted.

    Parameters
    ----------
    adjusted, crossfit, decided : columns of the tables of these names; the answers of `decided` to validation images
        are cross-fitted.
    without_fold : answers of the rows of `crossfit`, adjusted by the rule on the clusters of the other folds.
    n_classes : number of classes.
    is_reviewed : whether a person decided on clusters. Then the cross-fitted decisions are not those of `after`, and
        the state is named `cross-fitted rule`.
    """
    rows: list[dict[str, Any]] = []
    for split in JUDGED_SPLITS:
        chosen = labelled(adjusted, split)
        if not len(chosen["label"]):
            continue
        states = [("before", chosen, chosen["predicted"]), ("after", chosen, chosen["adjusted"])]
        if split == "val":
            states.append(("cross-fitted rule" if is_reviewed else "cross-fitted", crossfit, list(without_fold)))
        answered = labelled(decided, split)
        states.append(("decided", answered, answered["answer"]))
        for state, table, answers in states:
            drawn, pairs = resamples(table["plant_id"]), (table["label"], table["predicted"], answers)
            rows.append(
                {
                    **{name: chosen[name][0] for name in MADE_BY},
                    "split": split,
                    "state": state,
                    "is_in_sample": split == "val" and state == "after",
                    **accuracies(table["label"], answers, n_classes, drawn),
                    **changes(*pairs, table["plant_id"]),
                    **accuracy_gain(*pairs, None if state == "before" else drawn),
                }
            )
    return rows


def metrics_recipe(
    plants: ArtifactRef,
    crossfit: ArtifactRef,
    swaps: ArtifactRef,
    adjusted: list[ArtifactRef],
    decided: list[ArtifactRef],
) -> Recipe:
    """Return the recipe of a campaign's metrics."""
    inputs = {"plants": plants, "crossfit": crossfit, "swaps": swaps, "adjusted": adjusted, "decided": decided}
    return Recipe("metrics", REVISION, {}, inputs)


@task(task_run_name="measure {campaign} {method}", **cached_by(metrics_recipe))
@made_once(metrics_recipe)
def measure_accuracy(
    draft: Draft,
    store: Store,
    method: str,
    plants: ArtifactRef,
    crossfit: ArtifactRef,
    swaps: ArtifactRef,
    adjusted: list[ArtifactRef],
    decided: list[ArtifactRef],
) -> None:
    """Measure accuracy per split over all dates, before and after adjustment, and of the decided answers."""
    swapped = store.open(swaps)
    rows = metric_rows(
        labelled_columns(store, ADJUSTED, adjusted, (*MADE_BY, *ANSWERED, "adjusted")),
        read_table(store.open(crossfit), CROSSFIT),
        read_array(swapped, ADJUSTED_WITHOUT_FOLD).tolist(),
        labelled_columns(store, DECIDED, decided, (*MADE_BY, *ANSWERED, "answer")),
        len(store.open(plants).summary["classes"]),
        is_reviewed=PERSON in read_table(swapped, SWAPS)["decided_by"],
    )
    write_table(draft, METRICS, rows_to_columns(METRICS, rows))
