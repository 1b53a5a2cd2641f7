"""Estimate how many plants are ready, with intervals. Pure functions.

The expected number is the sum of the probabilities. Its interval draws the validation plants again, with the model and
the date's share of ready plants that they give, and then draws for every plant whether it is ready. With a hundred
validation plants, the model is most of the uncertainty of a large field. Drawing plants again changes neither clusters
nor signals, so these draws are too much alike: in simulated campaigns their quantiles for 0.9 hold the truth in 0.80 to
0.90 of the cases (`tests.benchmarks.feature_study`). Those for `DRAWN` are therefore taken.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from tasks.score.date_share import DateShare
from tasks.score.uncertainty import ReadyModel

Floats = NDArray[np.float64]
LEVEL = 0.9  # confidence level of the intervals
DRAWN = 0.95  # share of the draws between the ends of an interval
SEED = 0  # random seed of the draws


def ready_counts(
    probability: Floats,
    inputs: Floats,
    answer: Floats,
    plots: Sequence[str | None],
    share: DateShare,
    resampled: Sequence[ReadyModel],
) -> list[dict[str, Any]]:
    """Return the number of ready plants of a date, of the whole field first and then of every plot.

    Parameters
    ----------
    probability : (n,) probability that each plant is ready, 0..1.
    inputs, answer : (n, 9) inputs of the combined model, and (n,) answers as 1 or -1.
    plots : (n,) plot of each plant, None where unknown; there are rows of plots only if some plant has one.
    share : share of ready plants on the date, with its shift by every resampled model.
    resampled : models fitted to resampled validation plants.

    Returns
    -------
    Rows with `plot` (None for the field), `n`, `n_ready`, `n_ready_lower` and `n_ready_upper`.
    """
    names = sorted({plot for plot in plots if plot is not None}, key=lambda plot: (len(plot), plot))
    number = {None: 0} | {name: i for i, name in enumerate(names, start=1)}  # 0: in the field alone
    group = np.asarray([number[plot] for plot in plots])

    def sums(values: NDArray[np.floating | np.bool_]) -> Floats:
        """Return the sum over the field, and over every plot."""
        return np.append(values.sum(), np.bincount(group, values, 1 + len(names))[1:])

    random = np.random.default_rng(SEED)
    drawn = np.stack(
        [
            sums(random.uniform(size=len(answer)) < scipy.special.expit(model.ready_odds(inputs, answer, shift)))
            for model, shift in zip(resampled, share.resampled, strict=True)
        ]
    )
    low, high = np.quantile(drawn, [(1 - DRAWN) / 2, (1 + DRAWN) / 2], axis=0)
    n_plants, expected = sums(np.ones(len(answer))), sums(probability)
    return [
        {
            "plot": name,
            "n": int(n_plants[i]),
            "n_ready": float(expected[i]),
            "n_ready_lower": float(low[i]),
            "n_ready_upper": float(high[i]),
        }
        for i, name in enumerate([None, *names])
    ]
