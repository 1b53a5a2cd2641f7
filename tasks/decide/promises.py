"""Certify thresholds for every score and tolerated error on cross-fitted validation answers. Pure functions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.tables.names import ALL_ANSWERS, COMBINED_SCORE, PRODUCT_SCORE, SCORES
from storage.tables.rows import Row
from tasks.decide.decisions import Answered
from tasks.decide.guarantee import RankedAnswers, rank_answers
from tasks.decide.params import DecideParams

Floats = NDArray[np.float64]
TOLERATED = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)  # tolerated shares of the promise curve


@dataclass(frozen=True)
class JudgedAnswers:
    """Cross-fitted validation answers of n images that no veto speaks against.

    Attributes
    ----------
    answered : the answers with their reliability.
    truth, predicted : (n,) true class, and the class that the classifier predicts.
    plants : (n,) id of each image's plant.
    scores : values (n,) of the scores of a right prediction, by name.
    """

    answered: Answered
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    plants: Sequence[str]
    scores: Mapping[str, Floats]


def promise_rows(judged: JudgedAnswers, classes: Sequence[str], params: DecideParams) -> list[dict[str, Any]]:
    """Return the rows of the table `promises`, without the columns that name the fit.

    There is a row for every score, every tolerated share, and all answers or those of one class.
    """
    rows: list[dict[str, Any]] = []
    for score, values, answer, expected in _scores(judged):
        is_wrong = answer != judged.truth
        for name, chosen, own in _groups(answer, classes, params):
            plants = [judged.plants[i] for i in np.flatnonzero(chosen).tolist()]
            ranked = rank_answers(values[chosen], is_wrong[chosen], plants, expected[chosen]) if plants else None
            is_followed = score == PRODUCT_SCORE and (name == ALL_ANSWERS) == (params.promise == "together")
            for tolerated in sorted({*TOLERATED, own}):
                row = promise(ranked, len(plants), tolerated, params.confidence)
                is_used = is_followed and tolerated == own
                rows.append({"score": score, "answers": name, **row, "is_used": is_used})
    return rows


def promise(ranked: RankedAnswers | None, n: int, tolerated_error: float, confidence: float) -> dict[str, Any]:
    """Return the columns of a promise about n validation answers; `ranked` is None if there are none."""
    found = None if ranked is None else ranked.certify(tolerated_error, confidence)
    return {
        "tolerated_error": tolerated_error,
        "confidence": confidence,
        "threshold": found.threshold if found else None,
        "n_validation": n,
        "n_answered": found.n if found else 0,
        "n_plants": found.n_plants if found else 0,
        "n_wrong": found.n_wrong if found else 0,
        "share_answered": found.n / n if found else 0.0,
        "n_more_plants": found.n_more_plants if found else None,
    }


def thresholds(promises: Sequence[Row], classes: Sequence[str]) -> dict[int, float | None]:
    """Return by class the least reliability of an answer that is acted on, from rows of the table `promises`."""
    used = {row["answers"]: row["threshold"] for row in promises if row["is_used"]}
    return {i: used.get(ALL_ANSWERS, used.get(name)) for i, name in enumerate(classes)}


def _scores(judged: JudgedAnswers) -> Iterator[tuple[str, Floats, NDArray[np.int64], Floats]]:
    """Yield every score with its values, its answers, and the chance that each is wrong: the product's first."""
    yield PRODUCT_SCORE, judged.answered.reliability, judged.answered.answer, 1 - judged.answered.reliability
    for name in SCORES:
        yield name, judged.scores[name], judged.predicted, 1 - judged.scores[COMBINED_SCORE]


def _groups(
    answer: NDArray[np.int64], classes: Sequence[str], params: DecideParams
) -> Iterator[tuple[str, NDArray[np.bool_], float]]:
    """Yield the name, members and the campaign's tolerated share of all answers, and of the answers of each class."""
    yield ALL_ANSWERS, np.ones(len(answer), np.bool_), params.tolerated_error
    for i, name in enumerate(classes):
        yield name, answer == i, params.tolerated(i)
