"""Combine all signals into one probability of a right answer, the combined reliability. Pure functions.

The model is a logistic regression on cross-fitted signals of validation images. So it learns how far each signal can be
trusted on plants to which the signal was not fitted. Weights may not be negative: each signal's direction is known, and
a wrong sign is noise (Breiman 1996, DOI 10.1007/BF00117832, on stacked regressions).

The prior is the classifier's own confidence, and errors move the weights away from it. With a hundred validation
images, weights that start from zero follow chance. If the classifier fails systematically, its own weight becomes zero.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

Floats = NDArray[np.float64]
# START and PENALTY were chosen on synthetic seasons other than those of the results in the documentation.
START = {"margin": 1.0}  # prior weights of standardised signals; those not named have 0
PENALTY = 10.0  # penalty of a squared step away from the prior weights, in units of one image's log-loss
SAME = 1e-9  # least relative spread of an input; a smaller one is rounding, and scaling by it would let it dominate

# Names of the model's inputs; a higher value always speaks for a right answer.
INPUTS = ("reliability", "nearest_map_reliability", "margin", "feature_reliability", "trust_score", "novelty")


def inputs(signals: dict[str, Floats]) -> Floats:
    """Return the inputs (n, 6) of the model for n images, in the order of `INPUTS`."""
    trust = signals["trust_score"]
    values = {**signals, "reliability": 1 - signals["error_share"], "trust_score": trust / (1 + trust)}
    return np.stack([values[name] for name in INPUTS], axis=1)


@dataclass(frozen=True)
class Combination:
    """Fitted model of the combined reliability.

    Attributes
    ----------
    mean, scale : (6,) mean and standard deviation of the inputs; the scale is 1 where an input does not vary.
    weights : (6,) weights of the standardised inputs, none negative.
    intercept : log-odds of a right answer at the mean of the inputs.
    """

    mean: Floats
    scale: Floats
    weights: Floats
    intercept: float

    def reliability(self, signals: dict[str, Floats]) -> Floats:
        """Return the probability of a right answer, (n,) in 0..1."""
        return expit((inputs(signals) - self.mean) / self.scale @ self.weights + self.intercept)

    def as_json(self) -> dict[str, Any]:
        """Return the model as JSON values, which `Combination.of` reads."""
        arrays = {name: getattr(self, name).tolist() for name in ("mean", "scale", "weights")}
        return {"inputs": list(INPUTS), **arrays, "intercept": self.intercept}

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Combination":
        """Make the model from JSON values of `as_json`."""
        mean, scale, weights = (np.asarray(values[name]) for name in ("mean", "scale", "weights"))
        return cls(mean, scale, weights, values["intercept"])


def fit_combination(signals: dict[str, Floats], is_wrong: NDArray[np.bool_]) -> Combination:
    """Fit the model to signals of n validation images.

    Half a right and half a wrong answer are added at the mean of the inputs. They keep the probabilities inside 0..1 if
    no answer or every answer is wrong.
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
