"""Rate how far answers can be relied on, and decide when to abstain from them. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field, field_validator

from storage.tables.parquet import Rows
from tasks.adjust.review_choices import REVIEWED
from tasks.classify.answers import Answers
from tasks.parameters import Params
from tasks.score.combine import Combination
from tasks.score.signals import AnswerEvidence, answer_signals

# Scores by the classifier's outputs and the combined model.
JUDGED = ("softmax", "calibrated_softmax", "feature_reliability", "trust_score", "combined_reliability")
ABSTAIN_BY = ("error_share_lower", "error_share_upper", "reliability", "novelty")  # columns that decide abstention
SHARES = ("error_share", "error_share_lower", "error_share_upper", "reliability")  # columns of a cluster, 0..1
COUNTS = ("tp", "tn", "fp", "fn")  # columns of a cluster's kinds of answers
# Columns that an image takes from its cluster, with the column of the table `clusters`.
INHERITED = {"n_validation": "n", **{name: name for name in (*COUNTS, *SHARES)}}


class ScoreParams(Params):
    """Parameters of the clusters' scores and of abstention."""

    confidence: float = Field(
        default=0.95, gt=0.5, lt=1, description="Confidence level of the Wilson interval of a cluster's error share"
    )
    widest: float = Field(
        default=0.4,
        gt=0,
        le=1,
        description="Widest interval of a cluster's error share; abstain from answers in clusters with a wider one",
    )
    least_novelty: float = Field(
        default=0.02,
        ge=0,
        lt=1,
        description="Least novelty p-value of a saliency map; abstain from images below it, whose maps are unlike all "
        "validation maps",
    )
    undecided: tuple[float, float] = Field(
        default=(0.25, 0.6),
        description="Band of cluster reliability in which answers abstain, lower bound first; below it an answer is "
        "acted on only if swapped, above it only as predicted",
    )

    @field_validator("undecided")
    @classmethod
    def _ascending_shares(cls, band: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= band[0] <= band[1] <= 1:
            raise ValueError(f"score.undecided is {list(band)}; it must be two shares, the lower first, in 0..1")
        return band


def abstain_reasons(
    lower: float, upper: float, reliability: float, novelty: float, is_swapped: bool, params: ScoreParams
) -> list[str]:
    """Return why an answer should not be acted on; empty if nothing speaks against it.

    - `wide`: its cluster has too few validation images;
    - `novel`: its map is unlike all validation maps;
    - `undecided`: in its cluster, right and wrong answers are about equally frequent;
    - `failing`: answers in its cluster are mostly wrong and it is not swapped, or mostly right and it is.

    All numbers are in 0..1; `reliability` is that of the answer as predicted.
    """
    low, high = params.undecided
    reasons = {
        "wide": upper - lower > params.widest,
        "novel": novelty < params.least_novelty,
        "undecided": low < reliability < high,
        "failing": reliability >= high if is_swapped else reliability <= low,
    }
    return [name for name, applies in reasons.items() if applies]


@dataclass(frozen=True)
class Grounds:
    """Evidence by which images are rated.

    Attributes
    ----------
    clusters, swaps : columns of the tables of these names.
    doubted : clusters that a person abstains from.
    evidence, combination : of the classifier's outputs, and of all signals together.
    """

    params: ScoreParams
    clusters: Rows
    swaps: Rows
    doubted: set[int]
    evidence: AnswerEvidence
    combination: Combination


def rate(assigned: Rows, answers: Answers, by: Grounds, own: Mapping[int, Mapping[str, Any]]) -> Rows:
    """Return the columns of the table `reliability` for some images.

    Parameters
    ----------
    assigned : columns of the table `assignments`, and the images' `label` and `predicted`.
    answers : logits and features that the classifier computed for them.
    by : evidence by which they are rated.
    own : cross-fitted scores by row, for images that are part of that evidence.
    """
    columns = {name: values for name, values in assigned.items() if name not in ("is_flat_map", "seen")}
    columns |= {name: of_clusters(by.clusters, theirs, columns["cluster"]) for name, theirs in INHERITED.items()}
    columns |= judge(by, answers, columns)
    for here, row in enumerate(columns["row"]):
        for name, value in own.get(row, {}).items():
            columns[name][here] = value
    is_swapped = of_clusters(by.swaps, "is_swapped", columns["cluster"])
    reasons = [
        abstain_reasons(lower, upper, share, novelty, swapped, by.params) + [REVIEWED] * (cluster in by.doubted)
        for lower, upper, share, novelty, cluster, swapped in zip(
            *(columns[name] for name in (*ABSTAIN_BY, "cluster")), is_swapped, strict=True
        )
    ]
    return columns | {"abstain": [bool(r) for r in reasons], "abstain_reason": [" ".join(r) for r in reasons]}


def of_clusters(clusters: Rows, name: str, chosen: list[int]) -> list[Any]:
    """Look up a column of a table with one row per cluster, for the clusters of some images."""
    by_cluster = dict(zip(clusters["cluster"], clusters[name], strict=True))
    return [by_cluster[cluster] for cluster in chosen]


def judge(by: Grounds, answers: Answers, columns: Rows) -> Rows:
    """Return the scores of `JUDGED` for n answers, by the evidence of validation images."""
    signals = answer_signals(by.evidence, answers)
    signals |= {name: np.asarray(columns[name]) for name in ("error_share", "nearest_map_reliability", "novelty")}
    signals["combined_reliability"] = by.combination.reliability(signals)
    return {name: signals[name].tolist() for name in JUDGED}
