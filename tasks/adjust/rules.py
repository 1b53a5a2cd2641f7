"""When answers are swapped: the paper's rule, and one that asks whether chance could have done it. Pure functions.

Kierdorf & Roscher 2023, section 2.6, swap where the error share of a validation cluster exceeds t = 0.75. With more
than two classes no swap exists.
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
    """When answers are swapped."""

    rule: Literal["paper", "confident"] = Field(
        default="paper",
        description="paper: error share above `threshold`; confident: above 1/2 beyond chance, and swapping helps "
        "validation plants that the clusters were not fitted to",
    )
    threshold: float = Field(
        default=0.75, ge=0.5, le=1, description="of the rule paper: swap where error_share is greater"
    )
    alpha: float = Field(default=0.05, gt=0, lt=1, description="of the rule confident: chance of any wrong swap")
    least: int = Field(default=10, ge=1, description="of the rule confident: validation images a cluster needs")


@dataclass(frozen=True)
class Decision:
    """Which of q clusters are swapped: p-values (q,) of error share 1/2 or less, also with Holm's correction."""

    p_value: NDArray[np.float64]
    p_holm: NDArray[np.float64]
    is_swapped: NDArray[np.bool_]


def decide(n: NDArray[np.integer], n_wrong: NDArray[np.integer], params: AdjustParams, n_classes: int) -> Decision:
    """Decide for clusters of n validation images, n_wrong of them wrong, (q,) each."""
    p_value, p_holm, _ = confident_swaps(n, n_wrong, params.alpha, params.least)
    return Decision(p_value, p_holm, which_swapped(n, n_wrong, params, n_classes))


def which_swapped(
    n: NDArray[np.integer], n_wrong: NDArray[np.integer], params: AdjustParams, n_classes: int
) -> NDArray[np.bool_]:
    """Which clusters are swapped, (q,), without the p-values where the rule asks for none."""
    if n_classes != 2:
        return np.zeros(len(n), np.bool_)
    if params.rule == "paper":
        return np.asarray(n_wrong) / np.asarray(n) > params.threshold
    return confident_swaps(n, n_wrong, params.alpha, params.least)[2]


def swap(predicted: NDArray[np.integer], is_swapped: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Answers (n,) of two classes, those swapped that are marked."""
    answers = np.asarray(predicted, np.int64)
    return np.where(is_swapped, 1 - answers, answers)


def swapped_without_fold(
    fold: Sequence[int], cluster: Sequence[int], counts: Mapping[str, Any], params: AdjustParams, n_classes: int
) -> NDArray[np.bool_]:
    """Which of n validation images are swapped by the clusters of the other folds alone, (n,).

    Whether swapping helps, which the rule `confident` asks too, is not asked here: its answer rests on these very
    images, and an image must have no say in its own.

    Parameters
    ----------
    fold, cluster : (n,), an image's cluster being one of those of the other folds.
    counts : by fold, `n` and `n_wrong` of each of the other folds' clusters.
    """
    decided = {
        one: which_swapped(np.asarray(of["n"]), np.asarray(of["n_wrong"]), params, n_classes)
        for one, of in counts.items()
    }
    return np.asarray([decided[str(f)][c - 1] for f, c in zip(fold, cluster, strict=True)], np.bool_)


def keep_if_helpful(
    decision: Decision, said: list[str], is_swapped: NDArray[np.bool_], is_wrong: NDArray[np.bool_]
) -> tuple[Decision, list[str]]:
    """Swap nothing where swapping did not help validation plants that the clusters were not fitted to.

    Parameters
    ----------
    is_swapped, is_wrong : (n,) of validation images: swapped by the clusters of the other folds, wrong as predicted.
    """
    n_corrected, n_spoiled = int((is_swapped & is_wrong).sum()), int((is_swapped & ~is_wrong).sum())
    if n_corrected > n_spoiled:
        return decision, said
    why = f"swapping corrects {n_corrected} and spoils {n_spoiled} answers of plants left out"
    said = [why if swapped else text for swapped, text in zip(decision.is_swapped, said, strict=True)]
    return replace(decision, is_swapped=np.zeros_like(decision.is_swapped)), said


def reasons(decision: Decision, n: NDArray[np.integer], params: AdjustParams, n_classes: int) -> list[str]:
    """What decided for each cluster, one phrase each."""
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
