"""Score each cluster by how often the classifier is wrong in it.

Reads `assignments` and `predictions`. Writes the table `clusters`, with one row per cluster, from labelled validation
images only. The paper's reliability score r_q = (FP + FN) / n is high where the classifier is NOT reliable (Kierdorf &
Roscher 2023, section 2.6). Here that column is named `error_share`, and `reliability` is 1 - error_share.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task
from scipy.stats import binomtest

from storage.arrays.specs import LOGITS
from storage.arrays.zarr_files import open_array
from storage.artifacts import ArtifactRef, Draft, Recipe, Store
from storage.tables import ASSIGNMENTS, CLUSTER_SCORES, PREDICTIONS
from storage.tables.names import FITTED_BY
from storage.tables.parquet import Rows, read_columns, rows_to_columns, write_table
from tasks.score.rating import ScoreParams
from tasks.stage import cached_by, made_once

REVISION = 3


def wilson_interval(n_wrong: int, n: int, confidence: float) -> tuple[float, float]:
    """Return the Wilson score interval of a share (Wilson 1927, DOI 10.1080/01621459.1927.10502953)."""
    interval = binomtest(n_wrong, n).proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)


def score_cluster(
    labels: NDArray[np.integer], predicted: NDArray[np.integer], n_classes: int, confidence: float
) -> dict[str, Any]:
    """Return counts, error share and interval of one cluster's labelled validation images.

    Parameters
    ----------
    labels, predicted : (n,) class indices, n >= 1.
    n_classes : number of classes. With two, class 1 is positive for TP, TN, FP and FN; with more, these are None.
    confidence : confidence level of the interval, 0..1.
    """
    n, n_wrong = len(labels), int((labels != predicted).sum())
    lower, upper = wilson_interval(n_wrong, n, confidence)
    pairs = {"tp": (1, 1), "tn": (0, 0), "fp": (0, 1), "fn": (1, 0)}
    counts = {
        name: int(((labels == truth) & (predicted == answer)).sum()) if n_classes == 2 else None
        for name, (truth, answer) in pairs.items()
    }
    return {
        "n": n,
        "n_wrong": n_wrong,
        **counts,
        "error_share": n_wrong / n,
        "error_share_lower": lower,
        "error_share_upper": upper,
        "reliability": 1 - n_wrong / n,
    }


def validation_rows(assignments: Rows, predictions: Rows) -> tuple[list[int], list[int], list[int]]:
    """Return cluster, label and predicted class of the labelled validation images of a date."""
    where = {row: i for i, row in enumerate(predictions["row"])}
    triples = [
        (cluster, predictions["label"][where[row]], predictions["predicted"][where[row]])
        for cluster, row, split in zip(assignments["cluster"], assignments["row"], assignments["split"], strict=True)
        if split == "val" and predictions["label"][where[row]] is not None
    ]
    clusters, labels, predicted = zip(*triples, strict=True) if triples else ((), (), ())
    return list(clusters), list(labels), list(predicted)


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
    """Count right and wrong answers in every cluster of validation maps."""
    triples, marks, n_classes = list[tuple[list[int], list[int], list[int]]](), dict[str, Any](), 0
    for a, p in zip(assignments, predictions, strict=True):  # date after date
        answers = store.open(p)
        table = read_columns(store.open(a), ASSIGNMENTS, (*FITTED_BY, "cluster", "row", "split"))
        triples.append(validation_rows(table, read_columns(answers, PREDICTIONS, ("row", "label", "predicted"))))
        marks = marks or {name: table[name][0] for name in FITTED_BY if table[name]}
        n_classes = max(n_classes, open_array(answers, LOGITS).shape[1])
    cluster, label, predicted = (np.asarray([v for t in triples for v in t[k]], np.int64) for k in range(3))
    rows = [
        {
            "method": method,
            "cluster": c,
            **score_cluster(label[cluster == c], predicted[cluster == c], n_classes, params.confidence),
            **marks,
        }
        for c in sorted(set(cluster.tolist()))
    ]
    write_table(draft, CLUSTER_SCORES, rows_to_columns(CLUSTER_SCORES, rows))
    draft.summary = {"n_validation": len(label), "error_share": float((label != predicted).mean())}
