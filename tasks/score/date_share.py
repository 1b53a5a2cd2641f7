"""Find the share of ready plants on a date: by its labelled validation plants, or estimated from its answers."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from tasks.score.shares import estimate_share
from tasks.score.uncertainty import ReadyModel

Floats = NDArray[np.float64]
LEVEL = 0.95  # confidence level at which an estimated share must differ from validation's to be used
SEED = 0  # random seed of the resampled images
LEAST = 30  # fewest unseen images from which a share is estimated; fewer say too little beside validation


@dataclass(frozen=True)
class DateShare:
    """Share of ready plants on a date.

    Attributes
    ----------
    share : the share, in (0, 1).
    source : `validation` (from the date's labelled plants), `estimated` (from its answers), or `overall`: the estimate
        does not differ from validation's overall share beyond chance, which is used instead.
    shift : log-odds of the share minus those of validation's overall share.
    distance : distance of the share from the range of the shares on validation dates, 0..1. For an estimated share, the
        larger one of this estimate and of the estimate for a classifier that sees nothing of the growth (Saerens et
        al. 2002); validation dates with equal shares cannot tell how much it sees.
    resampled : shift by each of the resampled models, for intervals.
    """

    share: float
    source: str
    shift: float
    distance: float
    resampled: list[float]

    def as_json(self) -> dict[str, Any]:
        """Return the share as JSON values."""
        return asdict(self)


def validated_share(model: ReadyModel, resampled: Sequence[ReadyModel], day: str) -> DateShare:
    """Return the share of a date that has labelled validation plants."""
    shifts = [one.shares.shift(day) for one in resampled]
    return DateShare(model.shares.of_dates[day], "validation", model.shares.shift(day), 0.0, shifts)


def estimated_share(model: ReadyModel, resampled: Sequence[ReadyModel], inputs: Floats, answer: Floats) -> DateShare:
    """Estimate the share of a date from its answers, with a test whether it differs from validation's.

    Each resampled model estimates the share from resampled images. If the interval of these shifts contains 0, the
    share of the date is not known to differ, and validation's overall share is used.

    Parameters
    ----------
    inputs, answer : (n, 9) inputs of the combined model for the date's unseen images, and (n,) their answers as 1 or
        -1. With fewer than `LEAST` images, the share is validation's.
    """
    shares, random = model.shares, np.random.default_rng(SEED)
    n = len(answer)
    if n < LEAST:
        return DateShare(shares.overall, "overall", 0.0, 0.0, [0.0] * len(resampled))
    shifts = [
        _shift(one, inputs, answer, random.multinomial(n, np.full(n, 1 / n)).astype(np.float64)) for one in resampled
    ]
    low, high = np.quantile(shifts, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    if low <= 0 <= high:
        return DateShare(shares.overall, "overall", 0.0, 0.0, shifts)
    odds, known = model.ready_odds(inputs, answer, 0.0), shares.of_dates.values()
    share, unseen = (estimate_share(odds, shares.overall, weight) for weight in (model.share_weight, 1.0))
    distance = max(max(0.0, min(known) - one, one - max(known)) for one in (share, unseen))
    return DateShare(
        share, "estimated", float(scipy.special.logit(share) - scipy.special.logit(shares.overall)), distance, shifts
    )


def _shift(model: ReadyModel, inputs: Floats, answer: Floats, counts: Floats) -> float:
    overall = model.shares.overall
    share = estimate_share(model.ready_odds(inputs, answer, 0.0), overall, model.share_weight, counts)
    return float(scipy.special.logit(share) - scipy.special.logit(overall))
