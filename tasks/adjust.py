"""Adjust: swap the answer where a cluster is mostly wrong, and count what that changes.

Reads `predictions`, `reliability` and the clusters' scores, writes the tables `adjusted` and `metrics`. Kierdorf &
Roscher 2023, section 2.6: if the error share of a validation cluster exceeds t = 0.75, the predicted class of every
image in it is swapped, in validation and unseen data alike. With more than two classes no swap exists; reliability is
still given.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task
from pydantic import Field
from sklearn.metrics import confusion_matrix

from storage.artifacts import ArtifactRef, Recipe, Store
from storage.tables import ADJUSTED, METRICS, PREDICTIONS, RELIABILITIES, read_table, rows_to_columns, write_table
from tasks.parameters import Params
from tasks.stage import cached_by, versions

REVISION = 1


class AdjustParams(Params):
    """When an answer is swapped."""

    threshold: float = Field(default=0.75, ge=0.5, le=1, description="swap where error_share is greater")


def adjust(
    predicted: NDArray[np.integer], error_share: NDArray[np.floating], threshold: float, n_classes: int
) -> NDArray[np.int64]:
    """Predicted classes (n,) with those swapped whose cluster's error share (n,) exceeds the threshold."""
    answers = np.asarray(predicted, np.int64)
    return np.where(np.asarray(error_share) > threshold, 1 - answers, answers) if n_classes == 2 else answers


def accuracies(labels: Sequence[int], answers: Sequence[int], n_classes: int) -> dict[str, Any]:
    """Counts and accuracies of at least one labelled image.

    Average class accuracy is the mean recall of the classes that occur among the labels.
    """
    confusion = confusion_matrix(labels, answers, labels=range(n_classes))
    per_class = confusion.sum(axis=1)
    present = per_class > 0
    return {
        "n": int(confusion.sum()),
        "n_correct": int(np.trace(confusion)),
        "overall_accuracy": float(np.trace(confusion) / confusion.sum()),
        "average_class_accuracy": float((np.diag(confusion)[present] / per_class[present]).mean()),
        "confusion": confusion.ravel().tolist(),
    }


def metric_rows(adjusted: dict[str, list[Any]], n_classes: int) -> list[dict[str, Any]]:
    """Rows of the table `metrics`: every split with labels, before and after."""
    rows: list[dict[str, Any]] = []
    for split in ("val", "test", "new"):
        chosen = [i for i, s in enumerate(adjusted["split"]) if s == split and adjusted["label"][i] is not None]
        if not chosen:
            continue
        labels = [adjusted["label"][i] for i in chosen]
        for state, column in (("before", "predicted"), ("after", "adjusted")):
            marks = {name: adjusted[name][0] for name in ("method", "explained_class", "classifier", "clusters")}
            rows.append(
                {
                    **marks,
                    "split": split,
                    "state": state,
                    "is_in_sample": split == "val" and state == "after",
                    **accuracies(labels, [adjusted[column][i] for i in chosen], n_classes),
                }
            )
    return rows


def adjusted_recipe(params: AdjustParams, predictions: ArtifactRef, reliability: ArtifactRef) -> Recipe:
    """What makes a date's adjusted answers."""
    inputs = {"predictions": predictions, "reliability": reliability}
    return Recipe("adjusted", REVISION, params.model_dump(mode="json"), inputs)


def metrics_recipe(plants: ArtifactRef, adjusted: list[ArtifactRef]) -> Recipe:
    """What makes a campaign's metrics."""
    return Recipe("metrics", REVISION, {}, {"plants": plants, "adjusted": adjusted})


@task(task_run_name="adjust {campaign} {date} {method}", **cached_by(adjusted_recipe))
def adjust_predictions(
    campaign: str,
    date: date,
    store: str,
    method: str,
    params: AdjustParams,
    predictions: ArtifactRef,
    reliability: ArtifactRef,
) -> ArtifactRef:
    """Adjust the answers of a date."""
    recipe, files = adjusted_recipe(params, predictions, reliability), Store(store)
    if files.holds(recipe.ref):
        return recipe.ref
    answers, rated = (
        read_table(files.open(predictions), PREDICTIONS),
        read_table(files.open(reliability), RELIABILITIES),
    )
    where = {row: i for i, row in enumerate(answers["row"])}
    chosen = [where[row] for row in rated["row"]]
    predicted = np.asarray([answers["predicted"][i] for i in chosen], np.int64)
    n_classes = len(answers["probabilities"][0]) if answers["probabilities"] else 2
    adjusted = adjust(predicted, np.asarray(rated["error_share"], np.float64), params.threshold, n_classes)
    same = ("plant_id", "split", "method", "cluster", "reliability", "explained_class", "classifier", "clusters")
    columns = {
        **{name: rated[name] for name in same},
        "label": [answers["label"][i] for i in chosen],
        "predicted": predicted.tolist(),
        "adjusted": adjusted.tolist(),
        "is_swapped": (adjusted != predicted).tolist(),
    }
    with files.create(recipe, versions()) as draft:
        write_table(draft, ADJUSTED, columns)
        draft.summary = {"n_swapped": int((adjusted != predicted).sum()), "n_images": len(predicted)}
    return recipe.ref


@task(task_run_name="measure {campaign} {method}", **cached_by(metrics_recipe))
def measure_accuracy(
    campaign: str, store: str, method: str, plants: ArtifactRef, adjusted: list[ArtifactRef]
) -> ArtifactRef:
    """Accuracy per split over all dates, before and after adjustment."""
    recipe, files = metrics_recipe(plants, adjusted), Store(store)
    if files.holds(recipe.ref):
        return recipe.ref
    parts = [read_table(files.open(ref), ADJUSTED) for ref in adjusted]
    together = {c.name: [value for part in parts for value in part[c.name]] for c in ADJUSTED.columns}
    rows = metric_rows(together, len(files.open(plants).summary["classes"]))
    with files.create(recipe, versions()) as draft:
        write_table(draft, METRICS, rows_to_columns(METRICS, rows))
    return recipe.ref
