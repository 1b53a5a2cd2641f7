"""Score: how often the classifier is wrong in each cluster, and what every image inherits.

Reads `assignments` and `predictions`, writes the tables `clusters` (one row a cluster, from labelled validation
images only) and `reliability`. The paper's reliability score r_q = (FP + FN) / n is high where the classifier is NOT
reliable (Kierdorf & Roscher 2023, section 2.6); the column is named `error_share` here and `reliability` is 1 -
error_share.
"""

from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task
from pydantic import Field
from scipy.stats import binomtest

from storage.artifacts import ArtifactRef, Recipe, Store
from storage.tables import (
    ASSIGNMENTS,
    CLUSTER_SCORES,
    PREDICTIONS,
    RELIABILITIES,
    Rows,
    read_table,
    rows_to_columns,
    write_table,
)
from tasks.parameters import Params
from tasks.stage import cached_by, versions

REVISION = 1
INHERITED = ("error_share", "error_share_lower", "error_share_upper", "reliability")


class ScoreParams(Params):
    """Scores of clusters."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="of the Wilson interval")


def wilson_interval(n_wrong: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson score interval of a share (Wilson 1927, DOI 10.1080/01621459.1927.10502953)."""
    interval = binomtest(n_wrong, n).proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)


def score_cluster(
    labels: NDArray[np.integer], predicted: NDArray[np.integer], n_classes: int, confidence: float
) -> dict[str, Any]:
    """Counts, error share and interval of one cluster's labelled validation images.

    Parameters
    ----------
    labels, predicted : (n,) class indices, n >= 1.
    n_classes : with two, TP, TN, FP and FN take class 1 as positive; with more they are None.
    confidence : of the interval.
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
    """Cluster, label and predicted class of the labelled validation images of a date."""
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
    """What makes the scores of a campaign's clusters."""
    inputs = {"clusters": clusters, "assignments": assignments, "predictions": predictions}
    return Recipe("scores", REVISION, params.model_dump(mode="json"), inputs)


def reliability_recipe(scores: ArtifactRef, assignments: ArtifactRef) -> Recipe:
    """What makes a date's reliabilities."""
    return Recipe("reliability", REVISION, {}, {"scores": scores, "assignments": assignments})


@task(task_run_name="score {campaign} {method}", **cached_by(scores_recipe))
def score_clusters(
    campaign: str,
    store: str,
    method: str,
    params: ScoreParams,
    clusters: ArtifactRef,
    assignments: list[ArtifactRef],
    predictions: list[ArtifactRef],
) -> ArtifactRef:
    """Count right and wrong classifications in every cluster of validation maps."""
    recipe, files = scores_recipe(params, clusters, assignments, predictions), Store(store)
    if files.holds(recipe.ref):
        return recipe.ref
    parts = [
        (read_table(files.open(a), ASSIGNMENTS), read_table(files.open(p), PREDICTIONS))
        for a, p in zip(assignments, predictions, strict=True)
    ]
    triples = [validation_rows(*part) for part in parts]
    cluster, label, predicted = (np.asarray([v for t in triples for v in t[k]], np.int64) for k in range(3))
    first = next(table for table, _ in parts if table["cluster"])
    n_classes = max(len(p) for _, table in parts for p in table["probabilities"][:1])
    marks = {name: first[name][0] for name in ("explained_class", "classifier", "clusters")}
    rows = [
        {
            "method": method,
            "cluster": c,
            **score_cluster(label[cluster == c], predicted[cluster == c], n_classes, params.confidence),
            **marks,
        }
        for c in sorted(set(cluster.tolist()))
    ]
    with files.create(recipe, versions()) as draft:
        write_table(draft, CLUSTER_SCORES, rows_to_columns(CLUSTER_SCORES, rows))
        draft.summary = {"n_validation": len(label), "error_share": float((label != predicted).mean())}
    return recipe.ref


@task(task_run_name="reliability {campaign} {date} {method}", **cached_by(reliability_recipe))
def rate_images(
    campaign: str, date: date, store: str, method: str, scores: ArtifactRef, assignments: ArtifactRef
) -> ArtifactRef:
    """Give every explained image of a date its cluster's scores."""
    recipe, files = reliability_recipe(scores, assignments), Store(store)
    if files.holds(recipe.ref):
        return recipe.ref
    table = read_table(files.open(assignments), ASSIGNMENTS)
    clusters = read_table(files.open(scores), CLUSTER_SCORES)
    where = {cluster: i for i, cluster in enumerate(clusters["cluster"])}
    columns = {name: values for name, values in table.items() if name != "is_flat_map"}
    columns |= {name: [clusters[name][where[c]] for c in table["cluster"]] for name in INHERITED}
    with files.create(recipe, versions()) as draft:
        write_table(draft, RELIABILITIES, columns)
    return recipe.ref
