"""Score each cluster by how often the classifier is wrong in it.

Reads `assignments` and `predictions`. Writes the table `clusters`, with one row per cluster, from labelled validation
images only. The paper's reliability score r_q = (FP + FN) / n is high where the classifier is NOT reliable (Kierdorf &
Roscher 2023, section 2.6). Here that column is named `error_share`, and `reliability` is 1 - error_share. Images
of one plant resemble each other, so intervals and tests of clusters count plants.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task

from storage.arrays.specs import LOGITS
from storage.arrays.zarr_files import open_array
from storage.artifacts import ArtifactRef, Draft, Recipe, Store
from storage.tables import ASSIGNMENTS, CLUSTER_SCORES, PREDICTIONS
from storage.tables.names import FITTED_BY
from storage.tables.parquet import Rows, read_columns, rows_to_columns, write_table
from tasks.score.params import ScoreParams
from tasks.stage import cached_by, made_once
from tasks.statistics.by_plant import design_effect, failing_p_values, intra_plant_correlation, wilson_interval

REVISION = 4


def score_cluster(
    labels: NDArray[np.integer],
    predicted: NDArray[np.integer],
    plants: NDArray[np.str_],
    n_classes: int,
    rho: float,
    confidence: float,
) -> dict[str, Any]:
    """Return counts, error share, interval and p-value of one cluster's labelled validation images.

    Parameters
    ----------
    labels, predicted : (n,) class indices, n >= 1.
    plants : (n,) id of each image's plant.
    n_classes : number of classes. With two, class 1 is positive for TP, TN, FP and FN; with more, these are None.
    rho : correlation of wrong answers between images of one plant, 0..1, by which the interval is widened.
    confidence : confidence level of the interval, 0..1.
    """
    is_wrong = labels != predicted
    n, n_wrong = len(labels), int(is_wrong.sum())
    n_effective = n / design_effect(plants, rho)
    lower, upper = wilson_interval(n_wrong / n, n_effective, confidence)
    pairs = {"tp": (1, 1), "tn": (0, 0), "fp": (0, 1), "fn": (1, 0)}
    counts = {
        name: int(((labels == truth) & (predicted == answer)).sum()) if n_classes == 2 else None
        for name, (truth, answer) in pairs.items()
    }
    return {
        "n": n,
        "n_plants": len(set(plants.tolist())),
        "n_effective": n_effective,
        "n_wrong": n_wrong,
        **counts,
        "error_share": n_wrong / n,
        "error_share_lower": lower,
        "error_share_upper": upper,
        "reliability": 1 - n_wrong / n,
        "p_value": float(failing_p_values(is_wrong, plants, np.ones(n), 1)[0]),
    }


def validation_rows(assignments: Rows, predictions: Rows) -> list[tuple[int, str, int, int]]:
    """Return cluster, plant, label and predicted class of each labelled validation image of a date."""
    where = {row: i for i, row in enumerate(predictions["row"])}
    named = zip(*(assignments[name] for name in ("cluster", "plant_id", "row", "split")), strict=True)
    return [
        (cluster, plant, predictions["label"][where[row]], predictions["predicted"][where[row]])
        for cluster, plant, row, split in named
        if split == "val" and predictions["label"][where[row]] is not None
    ]


def scores_recipe(
    params: ScoreParams, clusters: ArtifactRef, assignments: list[ArtifactRef], predictions: list[ArtifactRef]
) -> Recipe:
    """Return the recipe of the scores of a campaign's clusters."""
    inputs = {"clusters": clusters, "assignments": assignments, "predictions": predictions}
    return Recipe("scores", REVISION, {"confidence": params.confidence}, inputs)


@task(task_run_name="score {campaign} {method}", **cached_by(scores_recipe))
@made_once(scores_recipe)
def score_clusters(
    draft: Draft,
    store: Store,
    method: str,
    params: ScoreParams,
    clusters: ArtifactRef,
    assignments: list[ArtifactRef],
    predictions: list[ArtifactRef],
) -> None:
    """Count right and wrong answers in every cluster of validation maps, and test by plants whether most are wrong."""
    found, marks, n_classes = list[tuple[int, str, int, int]](), dict[str, Any](), 0
    for a, p in zip(assignments, predictions, strict=True):  # date after date
        answers = store.open(p)
        table = read_columns(store.open(a), ASSIGNMENTS, (*FITTED_BY, "cluster", "plant_id", "row", "split"))
        found += validation_rows(table, read_columns(answers, PREDICTIONS, ("row", "label", "predicted")))
        marks = marks or {name: table[name][0] for name in FITTED_BY if table[name]}
        n_classes = max(n_classes, open_array(answers, LOGITS).shape[1])
    cluster, label, predicted = (np.asarray([one[k] for one in found], np.int64) for k in (0, 2, 3))
    plants = np.asarray([plant for _, plant, _, _ in found], np.str_)
    rho = intra_plant_correlation(label != predicted, plants, cluster)
    inside = {c: cluster == c for c in sorted(set(cluster.tolist()))}
    rows = [
        {
            "method": method,
            "cluster": c,
            **score_cluster(label[own], predicted[own], plants[own], n_classes, rho, params.confidence),
            **marks,
        }
        for c, own in inside.items()
    ]
    write_table(draft, CLUSTER_SCORES, rows_to_columns(CLUSTER_SCORES, rows))
    draft.summary = {
        "n_validation": len(label),
        "error_share": float((label != predicted).mean()),
        "intra_plant_correlation": rho,
    }
