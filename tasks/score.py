"""Score: how often the classifier is wrong in each cluster, and how far every image's answer can be relied on.

Reads `assignments`, `predictions` and `crossfit`, writes the tables `clusters` (one row a cluster, from labelled
validation images only) and `reliability`. The paper's reliability score r_q = (FP + FN) / n is high where the
classifier is NOT reliable (Kierdorf & Roscher 2023, section 2.6); the column is named `error_share` here and
`reliability` is 1 - error_share.

Memory: tables of one date as Python values, 4 kB an image; of all dates the validation images' clusters and answers.
"""

from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task
from pydantic import Field, field_validator
from scipy.stats import binomtest

from storage.arrays import FEATURES, LOGITS, TRUTH, read_array
from storage.artifacts import Artifact, ArtifactRef, Recipe, Store
from storage.parquet import Rows, read_table, rows_to_columns, write_table
from storage.tables import ASSIGNMENTS, CLUSTER_SCORES, CROSSFIT, PREDICTIONS, RELIABILITIES, REVIEWS, SWAPS
from tasks.combine import Combination
from tasks.parameters import Params
from tasks.report_tables import rows_of
from tasks.review_rules import REVIEWED, abstained_clusters
from tasks.signals import Answers, answer_evidence, answer_signals
from tasks.stage import cached_by, versions
from tasks.validation import read_answers

REVISION = 3
JUDGED = ("softmax", "calibrated_softmax", "feature_reliability", "trust_score", "combined_reliability")
ABSTAIN_BY = ("error_share_lower", "error_share_upper", "reliability", "novelty")
SHARES = ("error_share", "error_share_lower", "error_share_upper", "reliability")
MARKS = ("explained_class", "classifier", "clusters")
COUNTS = ("tp", "tn", "fp", "fn")
# What an image has from its cluster: its column, and that of the table `clusters`.
INHERITED = {"n_validation": "n", **{name: name for name in (*COUNTS, *SHARES)}}


class ScoreParams(Params):
    """Scores of clusters."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="of the Wilson interval")
    widest: float = Field(default=0.4, gt=0, le=1, description="abstain where the interval is wider")
    least_novelty: float = Field(default=0.02, ge=0, lt=1, description="abstain where novelty is less")
    undecided: tuple[float, float] = Field(
        default=(0.25, 0.6),
        description="abstain where reliability lies between: neither the answer nor its opposite; up to the first an "
        "answer is acted on only swapped, from the second on only as predicted",
    )

    @field_validator("undecided")
    @classmethod
    def _ascending_shares(cls, band: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= band[0] <= band[1] <= 1:
            raise ValueError(f"two shares, the lower first, got {list(band)}")
        return band


def abstain_reasons(
    lower: float, upper: float, reliability: float, novelty: float, is_swapped: bool, params: ScoreParams
) -> list[str]:
    """Why an answer should not be acted on; empty where nothing speaks against it.

    `wide`: too few validation images in its cluster; `novel`: its map is unlike any of theirs; `undecided`: they were
    wrong about as often as right; `failing`: they were mostly wrong and the answer is not swapped, or mostly right and
    it is. All numbers in 0..1; `reliability` is of the answer as predicted.
    """
    low, high = params.undecided
    reasons = {
        "wide": upper - lower > params.widest,
        "novel": novelty < params.least_novelty,
        "undecided": low < reliability < high,
        "failing": reliability >= high if is_swapped else reliability <= low,
    }
    return [name for name, applies in reasons.items() if applies]


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
    """What makes a date's reliabilities."""
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
    triples, marks, n_classes = list[tuple[list[int], list[int], list[int]]](), dict[str, Any](), 0
    for a, p in zip(assignments, predictions, strict=True):  # of one date after another
        table, answers = read_table(files.open(a), ASSIGNMENTS), read_table(files.open(p), PREDICTIONS)
        triples.append(validation_rows(table, answers))
        marks = marks or {name: table[name][0] for name in MARKS if table[name]}
        n_classes = max(n_classes, *(len(one) for one in answers["probabilities"][:1]), 0)
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
    with files.create(recipe, versions()) as draft:
        write_table(draft, CLUSTER_SCORES, rows_to_columns(CLUSTER_SCORES, rows))
        draft.summary = {"n_validation": len(label), "error_share": float((label != predicted).mean())}
    return recipe.ref


@task(task_run_name="reliability {campaign} {date} {method}", **cached_by(reliability_recipe))
def rate_images(
    campaign: str,
    date: date,
    store: str,
    method: str,
    params: ScoreParams,
    scores: ArtifactRef,
    swaps: ArtifactRef,
    crossfit: ArtifactRef,
    assignments: ArtifactRef,
    predictions: ArtifactRef,
    review: ArtifactRef | None = None,
) -> ArtifactRef:
    """Give every explained image of a date its cluster's scores, what other signals say, and whether to abstain."""
    recipe = reliability_recipe(params, scores, swaps, crossfit, assignments, predictions, review)
    files = Store(store)
    if files.holds(recipe.ref):
        return recipe.ref
    table = read_table(files.open(assignments), ASSIGNMENTS)
    answers = read_table(files.open(predictions), PREDICTIONS)
    clusters, decided = read_table(files.open(scores), CLUSTER_SCORES), read_table(files.open(swaps), SWAPS)
    place = {row: i for i, row in enumerate(answers["row"])}
    chosen = [place[row] for row in table["row"]]
    columns = {name: values for name, values in table.items() if name != "is_flat_map"}
    columns |= {name: of_clusters(clusters, theirs, table["cluster"]) for name, theirs in INHERITED.items()}
    columns |= {name: [answers[name][i] for i in chosen] for name in ("label", "predicted")}
    columns |= judge(files.open(crossfit), read_answers(files.open(predictions), np.asarray(chosen, np.int64)), columns)
    fitted = files.open(crossfit)
    if str(predictions) in fitted.manifest.inputs["predictions"]:  # another field may have been flown on the same date
        replace_own(columns, read_table(fitted, CROSSFIT), date)
    is_swapped = of_clusters(decided, "is_swapped", table["cluster"])
    doubted: set[int] = set() if review is None else abstained_clusters(rows_of(files.open(review), REVIEWS))
    reasons = [
        abstain_reasons(lower, upper, share, novelty, swapped, params) + [REVIEWED] * (cluster in doubted)
        for lower, upper, share, novelty, cluster, swapped in zip(
            *(columns[name] for name in (*ABSTAIN_BY, "cluster")), is_swapped, strict=True
        )
    ]
    columns |= {"abstain": [bool(r) for r in reasons], "abstain_reason": [" ".join(r) for r in reasons]}
    with files.create(recipe, versions()) as draft:
        write_table(draft, RELIABILITIES, columns)
        draft.summary = {"n_images": len(reasons), "n_abstain": sum(columns["abstain"])}
    return recipe.ref


def of_clusters(clusters: Rows, name: str, chosen: list[int]) -> list[Any]:
    """Values of a column with a row a cluster, for each of some images' clusters."""
    by_cluster = dict(zip(clusters["cluster"], clusters[name], strict=True))
    return [by_cluster[cluster] for cluster in chosen]


def judge(crossfit: Artifact, answers: Answers, columns: Rows) -> Rows:
    """What the classifier's outputs say of n answers, and all signals together, by validation's evidence."""
    if not len(answers.logits):
        return {name: [] for name in JUDGED}
    known = Answers(*(read_array(crossfit, spec).astype(np.float64) for spec in (LOGITS, FEATURES)))
    truth = read_array(crossfit, TRUTH).astype(np.int64)
    signals = answer_signals(answer_evidence(known, truth), answers)
    signals |= {name: np.asarray(columns[name]) for name in ("error_share", "nearest_map_reliability", "novelty")}
    signals["combined_reliability"] = Combination.of(crossfit.read_json("combination.json")).reliability(signals)
    return {name: signals[name].tolist() for name in JUDGED}


def replace_own(columns: Rows, crossfit: Rows, day: date) -> None:
    """Put what was fitted without them in place of what validation images say of themselves."""
    own = {
        row: i
        for i, (row, acquired) in enumerate(zip(crossfit["row"], crossfit["acquired"], strict=True))
        if acquired == day
    }
    for here, row in enumerate(columns["row"]):
        if row in own:
            for name in JUDGED:
                columns[name][here] = crossfit[name][own[row]]
