"""Rate how far answers can be relied on, by the evidence of validation images. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from storage.tables.parquet import Rows
from tasks.classify.answers import Answers, Floats
from tasks.cluster.evidence import Signals
from tasks.score.combine import INPUTS, answer_sign, inputs
from tasks.score.date_share import DateShare
from tasks.score.signals import AnswerEvidence, answer_signals
from tasks.score.uncertainty import ReadyModel

OF_ANSWERS = (
    "softmax",
    "calibrated_softmax",
    "feature_reliability",
    "trust_score",
)  # scores by the classifier's outputs
# Scores of the table `crossfit` that replace those of a validation image, which must not be judged by itself.
JUDGED = ("error_share", *OF_ANSWERS, "combined_reliability")
SHARES = ("error_share", "error_share_lower", "error_share_upper", "reliability")  # columns of a cluster, 0..1
COUNTS = ("tp", "tn", "fp", "fn")  # columns of a cluster's kinds of answers
# Columns that an image takes from its cluster, with the column of the table `clusters`.
INHERITED = {"n_validation": "n", **{name: name for name in (*COUNTS, *SHARES)}}


@dataclass(frozen=True)
class Grounds:
    """Evidence by which images are rated.

    Attributes
    ----------
    clusters : columns of the table `clusters`.
    evidence : answers of validation images.
    model : combined model of all signals.
    """

    clusters: Rows
    evidence: AnswerEvidence
    model: ReadyModel


@dataclass(frozen=True)
class Judged:
    """Scores of n images, before the date's share of ready plants is known.

    Attributes
    ----------
    scores : values (n,) of `OF_ANSWERS` by name.
    inputs : (n, 9) inputs of the combined model, with the date's share left out.
    answer : (n,) 1 where class 1 is answered, else -1.
    """

    scores: Signals
    inputs: Floats
    answer: Floats


def judge(by: Grounds, assigned: Rows, answers: Answers, own: Mapping[int, Mapping[str, Any]]) -> Judged:
    """Return the scores of n images.

    Parameters
    ----------
    by : evidence by which they are judged.
    assigned : columns of the table `assignments`.
    answers : logits and features that the classifier computed for them.
    own : cross-fitted scores by row, for images that are part of that evidence.
    """
    signals = answer_signals(by.evidence, answers)
    signals["error_share"] = np.asarray(of_clusters(by.clusters, "error_share", assigned["cluster"]), np.float64)
    signals |= {name: np.asarray(assigned[name], np.float64) for name in ("nearest_map_reliability", "novelty")}
    for here, row in enumerate(assigned["row"]):
        for name, value in own.get(row, {}).items():
            if name in signals:
                signals[name][here] = value
    answer = answer_sign(answers.predicted)
    known = {**signals, "answer": answer} if answers.logits.shape[1] == 2 else signals
    return Judged({name: signals[name] for name in OF_ANSWERS}, inputs(known), answer)


def joined(parts: list[Judged]) -> Judged:
    """Join the scores of several parts of a date; a date without explained images has none."""
    none = np.empty(0)
    scores = {name: np.concatenate([none, *(one.scores[name] for one in parts)]) for name in OF_ANSWERS}
    found = np.concatenate([np.empty((0, len(INPUTS))), *(one.inputs for one in parts)])
    return Judged(scores, found, np.concatenate([none, *(one.answer for one in parts)]))


def right_probability(judged: Judged, model: ReadyModel, share: DateShare | None) -> Floats:
    """Return the probability (n,) that each predicted class is right; `share` is None with more than two classes."""
    if share is None:
        return scipy.special.expit(model.combination.odds(judged.inputs))
    return scipy.special.expit(judged.answer * model.ready_odds(judged.inputs, judged.answer, share.shift))


def rate(
    assigned: Rows, judged: Judged, right: Floats, by: Grounds, own: Mapping[int, Mapping[str, Any]], part: slice
) -> Rows:
    """Return the columns of the table `reliability` for some images of a date.

    Parameters
    ----------
    assigned : columns of the table `assignments` of these images, with their `label` and `predicted`.
    judged, right : scores of all images of the date, and the probability that each predicted class is right.
    by, own : see `judge`.
    part : place of these images among all.
    """
    columns = {name: values for name, values in assigned.items() if name not in ("is_flat_map", "seen")}
    columns |= {name: of_clusters(by.clusters, theirs, columns["cluster"]) for name, theirs in INHERITED.items()}
    columns |= {name: judged.scores[name][part].tolist() for name in OF_ANSWERS}
    probability = right[part].copy()
    for here, row in enumerate(columns["row"]):
        if row in own:
            probability[here] = own[row]["combined_reliability"]
    columns["combined_reliability"] = probability.tolist()
    columns["ready_probability"] = ready_probability(
        probability, judged.answer[part], by.evidence.answers.logits.shape[1]
    )
    return columns


def ready_probability(right: Floats, answer: Floats, n_classes: int) -> list[float] | list[None]:
    """Return the probability that each of n plants is ready; None with more than two classes."""
    if n_classes != 2:
        return [None] * len(right)
    return np.where(answer > 0, right, 1 - right).tolist()


def of_clusters(clusters: Rows, name: str, chosen: list[int]) -> list[Any]:
    """Look up a column of a table with one row per cluster, for the clusters of some images."""
    by_cluster = dict(zip(clusters["cluster"], clusters[name], strict=True))
    return [by_cluster[cluster] for cluster in chosen]
