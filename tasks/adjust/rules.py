"""Decide when answers are swapped: by a significance test, or by the paper's rule. Pure functions.

Kierdorf & Roscher 2023, section 2.6, swap the answers of a validation cluster whose error share exceeds t = 0.75. So
four images of which all are wrong by chance are swapped too. The default is a test of each cluster. With more than two
classes no swap exists.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.tables.rows import Row
from tasks.adjust.params import AdjustParams
from tasks.adjust.review_choices import PERSON
from tasks.statistics.significance import holm

Counts = NDArray[np.integer]
Floats = NDArray[np.float64]
SMALL = 10  # validation images below which a swap by the rule `paper` is warned of


@dataclass(frozen=True)
class Decision:
    """Decision on q clusters.

    Attributes
    ----------
    p_value : (q,) p-values of the null hypothesis that the error share is 1/2 or less, by plants.
    p_holm : (q,) p-values with Holm's correction over the clusters of enough images; 1 for smaller ones.
    is_swapped : (q,) whether the cluster's answers are swapped.
    """

    p_value: NDArray[np.float64]
    p_holm: NDArray[np.float64]
    is_swapped: NDArray[np.bool_]


def decide(n: Counts, n_wrong: Counts, p_value: Floats, params: AdjustParams, n_classes: int) -> Decision:
    """Decide for q clusters of n validation images (q,), of which n_wrong (q,) are wrong.

    Parameters
    ----------
    p_value : (q,) p-values of the null hypothesis that the error share is 1/2 or less (see `failing_p_values`).
    """
    return Decision(p_value, corrected(p_value, n, params.least), which_swapped(n, n_wrong, p_value, params, n_classes))


def corrected(p_value: Floats, n: Counts, least: int) -> Floats:
    """Correct p-values (q,) by Holm's method over the clusters of at least `least` images; others have 1.

    Their size does not depend on the answers, so leaving small clusters out keeps the level and gives the others power.
    """
    is_enough, found = n >= least, np.ones(len(n))
    found[is_enough] = holm(p_value[is_enough])
    return found


def which_swapped(
    n: Counts, n_wrong: Counts, p_value: Floats, params: AdjustParams, n_classes: int
) -> NDArray[np.bool_]:
    """Return which of q clusters are swapped, (q,); the parameters are those of `decide`.

    The rule `confident` decides cluster by cluster, and Holm's correction bounds the chance of any wrong swap.
    """
    if n_classes != 2:
        return np.zeros(len(n), np.bool_)
    if params.rule == "paper":
        return n_wrong / n > params.threshold
    return corrected(p_value, n, params.least) <= params.alpha


def swap(predicted: NDArray[np.integer], is_swapped: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the answers (n,) of two classes, swapped for the marked images."""
    answers = np.asarray(predicted, np.int64)
    return np.where(is_swapped, 1 - answers, answers)


def swapped_without_fold(
    fold: Sequence[int], cluster: Sequence[int], counts: Mapping[str, Any], params: AdjustParams, n_classes: int
) -> NDArray[np.bool_]:
    """Return which of n validation images the clusters of the other folds swap, (n,).

    Clusters without a fold are smaller, and `least` counts images of all folds. So it is reduced by the share of images
    that is left out. The p-values are those of fewer plants, so that `confident` swaps fewer clusters than with all.

    Parameters
    ----------
    fold, cluster : (n,) fold of each image, and its cluster among those of the other folds.
    counts : by fold, `n`, `n_wrong` and `p_value` of each cluster of the other folds.
    """
    decided: dict[str, NDArray[np.bool_]] = {}
    for one, of in counts.items():
        n, n_wrong, p_value = (np.asarray(of[name]) for name in ("n", "n_wrong", "p_value"))
        least = min(params.least, max(1, round(params.least * n.sum() / len(fold))))
        decided[one] = which_swapped(n, n_wrong, p_value, params.model_copy(update={"least": least}), n_classes)
    return np.asarray([decided[str(f)][c - 1] for f, c in zip(fold, cluster, strict=True)], np.bool_)


def reasons(decision: Decision, n: Counts, params: AdjustParams, n_classes: int) -> list[str]:
    """Return the reason of each cluster's decision as a phrase."""
    if n_classes != 2:
        return ["no swap exists with more than two classes"] * len(n)
    if params.rule == "paper":
        return [
            f"error share {'above' if swapped else 'not above'} {params.threshold:g}"
            + (f", on fewer than {SMALL} validation images" if swapped and size < SMALL else "")
            for swapped, size in zip(decision.is_swapped, n, strict=True)
        ]
    return [
        f"fewer than {params.least} validation images"
        if size < params.least
        else f"wrong in more than half {'beyond' if swapped else 'not beyond'} chance"
        for size, swapped in zip(n, decision.is_swapped, strict=True)
    ]


def swap_warnings(swaps: Iterable[Row]) -> list[str]:
    """Return a warning if the rule `paper` swaps small clusters, from rows of the table `swaps`; otherwise none."""
    small = [
        f"{row['cluster']} (n = {row['n']})"
        for row in swaps
        if row["rule"] == "paper" and row["decision"] == "swap" and row["decided_by"] != PERSON and row["n"] < SMALL
    ]
    if not small:
        return []
    return [
        f'adjust.rule = "paper" swaps on the evidence of fewer than {SMALL} validation images, which may be chance: '
        f"cluster {', '.join(small)}"
    ]
