"""Combined reliability: one probability of a right answer from all signals together.

A logistic regression on cross-fitted signals of validation images, so that it learns how far each can be trusted on
plants that it was not fitted to. Its weights may not be negative: each signal's direction is known, and a wrong sign is
noise (Breiman 1996, DOI 10.1007/BF00117832, of stacked regressions). It starts from the classifier's own confidence and
leaves that as far as the errors ask for it: with a hundred validation images weights that start from nothing follow
chance, while a classifier that fails systematically pulls its own weight down to zero. Pure functions.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

Floats = NDArray[np.float64]
# Weights of standardised signals before any error is seen, and the penalty of a squared step away from them in units of
# one image's log-loss; both settled on synthetic seasons other than those of the README's table.
START = {"margin": 1.0}
PENALTY = 10.0
SAME = 1e-9  # a spread below it is the rounding of equal values, which would let any other value decide alone


INPUTS = ("reliability", "nearest_map_reliability", "margin", "feature_reliability", "trust_score", "novelty")


def inputs(signals: dict[str, Floats]) -> Floats:
    """What the model sees of n images, (n, 6): higher always speaks for a right answer."""
    trust = signals["trust_score"]
    values = {**signals, "reliability": 1 - signals["error_share"], "trust_score": trust / (1 + trust)}
    return np.stack([values[name] for name in INPUTS], axis=1)


@dataclass(frozen=True)
class Combination:
    """A fitted model.

    Attributes
    ----------
    mean, scale : (6,) of the inputs; weights : (6,) of the standardised inputs, none negative.
    intercept : log-odds of a right answer at the inputs' mean.
    """

    mean: Floats
    scale: Floats
    weights: Floats
    intercept: float

    def reliability(self, signals: dict[str, Floats]) -> Floats:
        """Probability of a right answer, (n,)."""
        return expit((inputs(signals) - self.mean) / self.scale @ self.weights + self.intercept)

    def as_json(self) -> dict[str, Any]:
        """The model as JSON values; `Combination.of` reads them."""
        arrays = {name: getattr(self, name).tolist() for name in ("mean", "scale", "weights")}
        return {"inputs": list(INPUTS), **arrays, "intercept": self.intercept}

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Combination":
        """The model of JSON values."""
        mean, scale, weights = (np.asarray(values[name]) for name in ("mean", "scale", "weights"))
        return cls(mean, scale, weights, values["intercept"])


def fit_combination(signals: dict[str, Floats], is_wrong: NDArray[np.bool_]) -> Combination:
    """Fit to signals of n validation images; half a right and half a wrong answer are added at the mean.

    The additions keep the probabilities inside 0..1 where no or all answers are wrong.
    """
    values = inputs(signals)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    scale = np.where(spread > SAME * np.maximum(np.abs(mean), 1), spread, 1)
    standard = (values - mean) / scale
    sign, start = np.where(is_wrong, -1.0, 1.0), np.asarray([START.get(name, 0.0) for name in INPUTS])

    def loss(theta: Floats) -> tuple[float, Floats]:
        odds = standard @ theta[:-1] + theta[-1]
        pull = -sign * expit(-sign * odds)
        prior = 0.5 * (np.logaddexp(0, theta[-1]) + np.logaddexp(0, -theta[-1]))
        step = theta[:-1] - start
        total = np.logaddexp(0, -sign * odds).sum() + prior + PENALTY / 2 * (step**2).sum()
        gradient = np.append(standard.T @ pull + PENALTY * step, pull.sum() + expit(theta[-1]) - 0.5)
        return float(total), gradient

    bounds = [(0.0, None)] * len(INPUTS) + [(None, None)]
    found = minimize(loss, np.append(start, 0.0), jac=True, method="L-BFGS-B", bounds=bounds)
    return Combination(mean, scale, np.asarray(found.x[:-1]), float(found.x[-1]))
