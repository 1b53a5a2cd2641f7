"""Decide when answers are swapped: by the paper's rule, or by a significance test. Pure functions.

Kierdorf & Roscher 2023, section 2.6, swap the answers of a validation cluster whose error share exceeds t = 0.75. With
more than two classes no swap exists.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.parameters import Params
from tasks.statistics.significance import confident_swaps


class AdjustParams(Params):
    """Parameters of the rule by which answers are swapped."""

    rule: Literal["paper", "confident"] = Field(
        default="paper",
        description="Rule for swapping a cluster's answers: `paper` swaps if the error share exceeds `threshold`, "
        "`confident` if it exceeds 1/2 significantly and cross-fitted swapping corrects more validation answers than "
        "it spoils",
    )
    threshold: float = Field(
        default=0.75,
        ge=0.5,
        le=1,
        description="Rule `paper` only: error share in [0, 1] above which a cluster's answers are swapped",
    )
    alpha: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="Rule `confident` only: family-wise significance level for swapping a cluster",
    )
    least: int = Field(
        default=10,
        ge=1,
        description="Rule `confident` only: smallest number of validation images of a cluster that may be swapped",
    )


@dataclass(frozen=True)
class Decision:
    """Decision on q clusters.

    Attributes
    ----------
    p_value : (q,) p-values of the null hypothesis that the error share is 1/2 or less.
    p_holm : (q,) p-values with Holm's correction for q tests.
    is_swapped : (q,) whether the cluster's answers are swapped.
    """

    p_value: NDArray[np.float64]
    p_holm: NDArray[np.float64]
    is_swapped: NDArray[np.bool_]


def decide(n: NDArray[np.integer], n_wrong: NDArray[np.integer], params: AdjustParams, n_classes: int) -> Decision:
    """Decide for q clusters of n validation images (q,), of which n_wrong (q,) are wrong."""
    p_value, p_holm, _ = confident_swaps(n, n_wrong, params.alpha, params.least)
    return Decision(p_value, p_holm, which_swapped(n, n_wrong, params, n_classes))


def which_swapped(
    n: NDArray[np.integer], n_wrong: NDArray[np.integer], params: AdjustParams, n_classes: int
) -> NDArray[np.bool_]:
    """Return which clusters are swapped, (q,), without computing p-values that the rule does not need."""
    if n_classes != 2:
        return np.zeros(len(n), np.bool_)
    if params.rule == "paper":
        return np.asarray(n_wrong) / np.asarray(n) > params.threshold
    return confident_swaps(n, n_wrong, params.alpha, params.least)[2]


def swap(predicted: NDArray[np.integer], is_swapped: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the answers (n,) of two classes, swapped for the marked images."""
    answers = np.asarray(predicted, np.int64)
    return np.where(is_swapped, 1 - answers, answers)


def swapped_without_fold(
    fold: Sequence[int], cluster: Sequence[int], counts: Mapping[str, Any], params: AdjustParams, n_classes: int
) -> NDArray[np.bool_]:
    """Return which of n validation images the clusters of the other folds swap, (n,).

    The second condition of the rule `confident`, that swapping helps, is not checked here. It is computed from these
    images, and an image must not influence its own cross-fitted answer.

    Parameters
    ----------
    fold, cluster : (n,) fold of each image, and its cluster among those of the other folds.
    counts : by fold, `n` and `n_wrong` of each cluster of the other folds.
    """
    decided = {
        one: which_swapped(np.asarray(of["n"]), np.asarray(of["n_wrong"]), params, n_classes)
        for one, of in counts.items()
    }
    return np.asarray([decided[str(f)][c - 1] for f, c in zip(fold, cluster, strict=True)], np.bool_)


def keep_if_helpful(
    decision: Decision, said: list[str], is_swapped: NDArray[np.bool_], is_wrong: NDArray[np.bool_]
) -> tuple[Decision, list[str]]:
    """Keep all answers if cross-fitted swapping corrects no more validation answers than it spoils.

    Parameters
    ----------
    said : (q,) reason of each cluster's decision.
    is_swapped, is_wrong : (n,) whether a validation image is swapped by the clusters of the other folds, and whether
        its prediction is wrong.

    Returns
    -------
    The decision and its reasons, without swaps if swapping does not help.
    """
    n_corrected, n_spoiled = int((is_swapped & is_wrong).sum()), int((is_swapped & ~is_wrong).sum())
    if n_corrected > n_spoiled:
        return decision, said
    why = f"swapping corrects {n_corrected} and spoils {n_spoiled} answers of plants left out"
    said = [why if swapped else text for swapped, text in zip(decision.is_swapped, said, strict=True)]
    return replace(decision, is_swapped=np.zeros_like(decision.is_swapped)), said


def reasons(decision: Decision, n: NDArray[np.integer], params: AdjustParams, n_classes: int) -> list[str]:
    """Return the reason of each cluster's decision as a phrase."""
    if n_classes != 2:
        return ["no swap exists with more than two classes"] * len(n)
    if params.rule == "paper":
        words = {True: "above", False: "not above"}
        return [f"error share {words[bool(s)]} {params.threshold:g}" for s in decision.is_swapped]
    small = np.asarray(n) < params.least
    return [
        f"fewer than {params.least} validation images"
        if few
        else f"wrong in more than half {'beyond' if swapped else 'not beyond'} chance"
        for few, swapped in zip(small, decision.is_swapped, strict=True)
    ]
