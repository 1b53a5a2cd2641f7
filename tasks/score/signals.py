"""Compute signals from the classifier's outputs that tell right answers from wrong ones. Pure functions.

They are baselines for the paper's cluster score (Kierdorf & Roscher 2023, section 2.6): the classifier's softmax,
temperature scaling (Guo et al. 2017, arXiv 1706.04599), nearest features, and the trust score (Jiang et al. 2018,
arXiv 1805.11783).

All are fitted to labelled validation images, so that every score rests on the same evidence. None is fitted to training
images, because training separates their features by label.
"""

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from tasks.classify.answers import Answers, Floats
from tasks.cluster.evidence import NEAREST, Signals
from tasks.cluster.nearest import error_share_of_nearest, nearest

LEAST_DISTANCE = 1e-12  # added to a distance before division, as in google/TrustScore


@dataclass(frozen=True)
class AnswerEvidence:
    """Answers of n validation images, their true classes (n,), and the softmax temperature fitted to them."""

    answers: Answers
    truth: NDArray[np.int64]
    temperature: float


def answer_evidence(answers: Answers, truth: NDArray[np.integer]) -> AnswerEvidence:
    """Make the evidence of labelled validation answers; fits the softmax temperature."""
    labels = np.asarray(truth, np.int64)
    return AnswerEvidence(answers, labels, fit_temperature(answers.logits, labels))


def fit_temperature(logits: Floats, truth: NDArray[np.int64]) -> float:
    """Fit the temperature, 1/20..20, with the least mean cross-entropy on labelled images (Guo et al. 2017)."""

    def loss(log_temperature: float) -> float:
        scaled = scipy.special.log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(scaled[np.arange(len(truth)), truth].mean())

    # If all answers are right, the best temperature is 0. The bounds keep the log-odds of the softmax finite.
    found = scipy.optimize.minimize_scalar(loss, bounds=(-np.log(20), np.log(20)), method="bounded")
    return float(np.exp(found.x))  # pyright: ignore[reportAttributeAccessIssue]


def answer_signals(evidence: AnswerEvidence, answers: Answers) -> Signals:
    """Return signals of n answers from the classifier's own outputs.

    `softmax`, `calibrated_softmax`, `feature_reliability` and `trust_score` are columns of the tables. `margin` is the
    log-odds of the answer, which, unlike its probability, has no upper bound.
    """
    known, rows = evidence.answers, np.arange(len(answers.logits))
    is_wrong = known.predicted != evidence.truth
    others = answers.logits.copy()
    others[rows, answers.predicted] = -np.inf
    margin = answers.logits[rows, answers.predicted] - scipy.special.logsumexp(others, axis=1)
    return {
        "softmax": _answer_probability(answers, 1.0),
        "calibrated_softmax": _answer_probability(answers, evidence.temperature),
        "margin": margin,
        "feature_reliability": 1 - error_share_of_nearest(answers.features, known.features, is_wrong, NEAREST),
        "trust_score": trust_scores(answers.features, answers.predicted, known.features, evidence.truth),
    }


def _answer_probability(answers: Answers, temperature: float) -> Floats:
    return np.exp(scipy.special.log_softmax(answers.logits / temperature, axis=1).max(axis=1))


def trust_scores(features: Floats, predicted: NDArray[np.integer], known: Floats, truth: NDArray[np.integer]) -> Floats:
    """Return the distance to the nearest other class divided by that to the predicted class, (n,) >= 0.

    Follows google/TrustScore. The distance to a class is that to the second nearest of its known features, or to the
    only one. The score is 0 if no known image has the predicted class, and 1 if no known image has another.
    """
    classes = np.unique(truth)
    distance = np.stack([nearest(features, known[truth == c], 2)[1][:, -1] for c in classes], axis=1)
    own = classes[None, :] == np.asarray(predicted)[:, None]
    is_known = own.any(axis=1)
    to_own = np.where(own, distance, 0).sum(axis=1)
    to_other = np.where(own, np.inf, distance).min(axis=1)
    if len(classes) == 1:
        return is_known.astype(np.float64)
    return np.where(is_known, to_other / (to_own + LEAST_DISTANCE), 0.0)
