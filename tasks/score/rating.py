"""How far answers can be relied on, and when to abstain from them, by what validation says. Pure functions."""

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

JUDGED = ("softmax", "calibrated_softmax", "feature_reliability", "trust_score", "combined_reliability")
ABSTAIN_BY = ("error_share_lower", "error_share_upper", "reliability", "novelty")
SHARES = ("error_share", "error_share_lower", "error_share_upper", "reliability")
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


@dataclass(frozen=True)
class Grounds:
    """What images are rated by: their clusters' scores and swaps, and what validation images' answers say.

    Attributes
    ----------
    clusters, swaps : the tables of these names.
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
    """Columns of the table `reliability` of some images.

    Parameters
    ----------
    assigned : columns of the table `assignments`, and the images' `label` and `predicted`.
    answers : what the classifier computed of them.
    own : by row, what takes the place of the judgement by evidence that the image is part of.
    """
    columns = {name: values for name, values in assigned.items() if name != "is_flat_map"}
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
    """Values of a column with a row a cluster, for each of some images' clusters."""
    by_cluster = dict(zip(clusters["cluster"], clusters[name], strict=True))
    return [by_cluster[cluster] for cluster in chosen]


def judge(by: Grounds, answers: Answers, columns: Rows) -> Rows:
    """What the classifier's outputs say of n answers, and all signals together, by validation's evidence."""
    signals = answer_signals(by.evidence, answers)
    signals |= {name: np.asarray(columns[name]) for name in ("error_share", "nearest_map_reliability", "novelty")}
    signals["combined_reliability"] = by.combination.reliability(signals)
    return {name: signals[name].tolist() for name in JUDGED}
