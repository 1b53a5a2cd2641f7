"""Score each cluster by how often the classifier is wrong in it, and rate the answer of every image.

Reads `assignments`, `predictions` and `crossfit`. Writes the tables `clusters` (one row per cluster, from labelled
validation images only) and `reliability`. Images of one plant resemble each other, so intervals and tests of clusters
count plants. The paper's reliability score r_q = (FP + FN) / n is high where the
classifier is NOT reliable (Kierdorf & Roscher 2023, section 2.6). Here that column is named `error_share`, and
`reliability` is 1 - error_share.

Memory: `ROWS_AT_ONCE` images of a date, about 10 kB each with features, and the labels and answers of the others. Also
the clusters and answers of the validation images of all dates.
"""

from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task

from storage.arrays.specs import FEATURES, LOGITS, TRUTH
from storage.arrays.zarr_files import open_array, read_array
from storage.artifacts import Artifact, ArtifactRef, Draft, Recipe, Store
from storage.tables import ASSIGNMENTS, CLUSTER_SCORES, CROSSFIT, PREDICTIONS, RELIABILITIES, REVIEWS, SWAPS
from storage.tables.names import FITTED_BY
from storage.tables.parquet import (
    Rows,
    is_by_plant,
    iter_table,
    read_columns,
    read_table,
    rows_to_columns,
    write_table,
    writing_table,
)
from storage.tables.rows import rows_of
from tasks.adjust.review_choices import abstained_clusters
from tasks.classify.answers import Answers, read_answers
from tasks.score.combine import Combination
from tasks.score.rating import JUDGED, Grounds, ScoreParams, rate
from tasks.score.signals import answer_evidence
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


def reliability_recipe(
    params: ScoreParams,
    scores: ArtifactRef,
    swaps: ArtifactRef,
    crossfit: ArtifactRef,
    assignments: ArtifactRef,
    predictions: ArtifactRef,
    review: ArtifactRef | None = None,
) -> Recipe:
    """Return the recipe of a date's reliabilities."""
    inputs = {
        "scores": scores,
        "swaps": swaps,
        "crossfit": crossfit,
        "assignments": assignments,
        "predictions": predictions,
    }
    inputs |= {} if review is None else {"review": review}
    return Recipe("reliability", REVISION, params.model_dump(mode="json", exclude={"confidence"}), inputs)


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


@task(task_run_name="reliability {campaign} {date} {method}", **cached_by(reliability_recipe))
@made_once(reliability_recipe)
def rate_images(
    draft: Draft,
    store: Store,
    date: date,
    method: str,
    params: ScoreParams,
    scores: ArtifactRef,
    swaps: ArtifactRef,
    crossfit: ArtifactRef,
    assignments: ArtifactRef,
    predictions: ArtifactRef,
    review: ArtifactRef | None = None,
) -> None:
    """Rate every explained image of a date: scores of its cluster, other scores, and whether to abstain."""
    assigned, answers, fitted = (store.open(ref) for ref in (assignments, predictions, crossfit))
    ids = read_columns(assigned, ASSIGNMENTS, ("plant_id",))["plant_id"]
    known = read_columns(answers, PREDICTIONS, ("row", "label", "predicted"))
    place = {row: i for i, row in enumerate(known["row"])}
    by = read_grounds(store, params, fitted, scores, swaps, review)
    # Another field may have been flown on the same date.
    own = read_own(fitted, date) if str(predictions) in fitted.manifest.inputs["predictions"] else {}
    n_images = n_abstain = 0
    with writing_table(draft, RELIABILITIES, is_by_plant(ids)) as write:
        for part in iter_table(assigned, ASSIGNMENTS):
            chosen = [place[row] for row in part["row"]]
            part |= {name: [known[name][i] for i in chosen] for name in ("label", "predicted")}
            columns = rate(part, read_answers(answers, np.asarray(chosen, np.int64)), by, own)
            write(columns)
            n_images, n_abstain = n_images + len(chosen), n_abstain + sum(columns["abstain"])
    draft.summary = {"n_images": n_images, "n_abstain": n_abstain}


def read_grounds(
    store: Store,
    params: ScoreParams,
    fitted: Artifact,
    scores: ArtifactRef,
    swaps: ArtifactRef,
    review: ArtifactRef | None,
) -> Grounds:
    """Read the evidence by which a campaign's images are rated; `fitted` is its artefact `crossfit`."""
    known = Answers(*(read_array(fitted, spec).astype(np.float64) for spec in (LOGITS, FEATURES)))
    return Grounds(
        params,
        clusters=read_table(store.open(scores), CLUSTER_SCORES),
        swaps=read_table(store.open(swaps), SWAPS),
        doubted=set() if review is None else abstained_clusters(rows_of(store.open(review), REVIEWS)),
        evidence=answer_evidence(known, read_array(fitted, TRUTH).astype(np.int64)),
        combination=Combination.of(fitted.read_json("combination.json")),
    )


def read_own(crossfit: Artifact, day: date) -> dict[int, dict[str, Any]]:
    """Read the cross-fitted scores of a date's validation images, by row."""
    rows = rows_of(crossfit, CROSSFIT, ("acquired", "row", *JUDGED))
    return {row["row"]: {name: row[name] for name in JUDGED} for row in rows if row["acquired"] == day}
