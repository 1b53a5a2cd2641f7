"""What tells right answers from wrong ones: fitted to labelled validation images, read off for any image.

The paper's cluster score (Kierdorf & Roscher 2023, section 2.6) and, on the same images, the baselines it is to be
compared with: nearest maps without clusters, the classifier's softmax, temperature scaling (Guo et al. 2017,
arXiv 1706.04599), nearest features, and the trust score (Jiang et al. 2018, arXiv 1805.11783). Pure functions.

All are fitted to validation images and none to training images, whose features a network has pulled apart by their
labels: so every score rests on the same evidence.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

from tasks.classify.answers import Answers, Floats
from tasks.cluster.evidence import NEAREST, Signals
from tasks.cluster.nearest import error_share_of_nearest, nearest

LEAST_DISTANCE = 1e-12  # as in google/TrustScore


@dataclass(frozen=True)
class AnswerEvidence:
    """What validation answers say: `answers` of n images, their true classes (n,), and the softmax temperature."""

    answers: Answers
    truth: NDArray[np.int64]
    temperature: float


def answer_evidence(answers: Answers, truth: NDArray[np.integer]) -> AnswerEvidence:
    """Evidence of labelled validation answers."""
    labels = np.asarray(truth, np.int64)
    return AnswerEvidence(answers, labels, fit_temperature(answers.logits, labels))


def fit_temperature(logits: Floats, truth: NDArray[np.int64]) -> float:
    """Temperature between 1/20 and 20 with the least mean cross-entropy on labelled images (Guo et al. 2017)."""

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(scaled[np.arange(len(truth)), truth].mean())

    # Right answers alone ask for temperature 0: the bounds keep a log-odds of the softmax in reach.
    found = minimize_scalar(loss, bounds=(-np.log(20), np.log(20)), method="bounded")
    return float(np.exp(found.x))  # pyright: ignore[reportAttributeAccessIssue]


def answer_signals(evidence: AnswerEvidence, answers: Answers) -> Signals:
    """What the classifier's own outputs say of n answers.

    `softmax`, `calibrated_softmax`, `feature_reliability` and `trust_score` are columns of the tables; `margin` is the
    log-odds of the answer, which unlike its probability does not end at 1.
    """
    known, rows = evidence.answers, np.arange(len(answers.logits))
    is_wrong = known.predicted != evidence.truth
    others = answers.logits.copy()
    others[rows, answers.predicted] = -np.inf
    margin = answers.logits[rows, answers.predicted] - logsumexp(others, axis=1)
    return {
        "softmax": _answer_probability(answers, 1.0),
        "calibrated_softmax": _answer_probability(answers, evidence.temperature),
        "margin": margin,
        "feature_reliability": 1 - error_share_of_nearest(answers.features, known.features, is_wrong, NEAREST),
        "trust_score": trust_scores(answers.features, answers.predicted, known.features, evidence.truth),
    }


def _answer_probability(answers: Answers, temperature: float) -> Floats:
    return np.exp(log_softmax(answers.logits / temperature, axis=1).max(axis=1))


def trust_scores(features: Floats, predicted: NDArray[np.integer], known: Floats, truth: NDArray[np.integer]) -> Floats:
    """Distance to the nearest other class over that to the predicted class, (n,), after google/TrustScore.

    The distance to a class is that to the second nearest of its known features (the only one, where there is one).
    0 where no known image has the predicted class, 1 where none has another.
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
