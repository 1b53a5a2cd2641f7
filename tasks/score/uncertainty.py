"""Fit the combined model to resampled validation plants, so that its own uncertainty can be carried on.

A number of ready plants is a sum of probabilities. Its interval must know that the probabilities were learned from few
plants: with a hundred of them, this is most of the uncertainty of a whole field. Pure functions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.classify.answers import Floats
from tasks.cluster.evidence import Signals
from tasks.score.combine import SHARE, START, Combination, fit_combination
from tasks.score.held_out import Validation
from tasks.score.shares import ReadyShares
from tasks.statistics.significance import Resamples

N_MODELS, SEED = 100, 0  # resamples of the validation plants, and their random seed
PRIORS = {"answer": (-0.5, 0.5), "answer_share": (0.0, 1.0)}  # bounds of the prior weights that each resample draws
ANSWER_PENALTY = 1.0  # penalty of these weights in a resample


@dataclass(frozen=True)
class ReadyModel:
    """Combined model together with the shares of ready plants that belong to it."""

    combination: Combination
    shares: ReadyShares

    def ready_odds(self, values: Floats, answer: Floats, shift: float) -> Floats:
        """Return the log-odds of being ready, (n,).

        Parameters
        ----------
        values : (n, 9) inputs of the combined model; the date's share in them is not used.
        answer : (n,) 1 where ready is answered, else -1.
        shift : log-odds of the date's share of ready plants minus those of validation's overall share.
        """
        known = values.copy()
        known[:, SHARE] = answer * shift
        return answer * self.combination.odds(known)

    @property
    def share_weight(self) -> float:
        """Return how far the log-odds of being ready move per unit of shift, >= 0."""
        return max(0.0, float(self.combination.weights[SHARE]))

    def as_json(self) -> dict[str, Any]:
        """Return the model as JSON values, which `ReadyModel.of` reads."""
        shares = {"overall": self.shares.overall, "of_dates": dict(self.shares.of_dates)}
        return {"combination": self.combination.as_json(), "shares": shares}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "ReadyModel":
        """Make the model from JSON values of `as_json`."""
        return cls(Combination.of(values["combination"]), ReadyShares(**values["shares"]))


def ready_model(data: Validation, signals: Signals) -> ReadyModel:
    """Fit the model to all validation images."""
    return ReadyModel(fit_combination(signals, data.is_wrong), data.shares())


def resampled_models(data: Validation, signals: Signals, n_models: int = N_MODELS) -> list[ReadyModel]:
    """Fit the model to `n_models` resamples of the validation plants, drawn with replacement.

    A plant is drawn with all its images, because these resemble each other. Each model also draws the prior weights of
    the inputs that know the answer's class (randomised priors: Osband et al. 2018, arXiv 1806.03335). So the interval
    knows what a few validation plants cannot tell: how far the classifier prefers a class, and how far a date's share
    moves probabilities. The latter is drawn from 0 (the classifier sees all growth by itself) to 1 (it sees none).

    Parameters
    ----------
    data, signals : validation images and their cross-fitted signals.
    """
    drawn = np.random.default_rng(SEED).uniform(*zip(*PRIORS.values(), strict=True), size=(n_models, len(PRIORS)))
    starts = [{**START, **dict(zip(PRIORS, one, strict=True))} for one in drawn.tolist()]
    return [
        ReadyModel(fit_combination(signals, data.is_wrong, counts, start, ANSWER_PENALTY), data.shares(counts))
        for counts, start in zip(_draws(data.plants, n_models), starts, strict=True)
    ]


def _draws(plants: Sequence[str], n_models: int) -> list[NDArray[np.float64]]:
    """Return how often each image occurs in each resample."""
    return [row.astype(np.float64) for block in Resamples(plants, n_models, SEED).blocks() for row in block]
