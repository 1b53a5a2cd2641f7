"""Combine all signals into one probability of a right answer, the combined reliability. Pure functions.

The model is a logistic regression on cross-fitted signals of validation images. So it learns how far each signal can be
trusted on plants to which the signal was not fitted. Weights may not be negative: each signal's direction is known, and
a wrong sign is noise (Breiman 1996, DOI 10.1007/BF00117832, on stacked regressions).

The prior is the classifier's own confidence, and errors move the weights away from it. With a hundred validation
images, weights that start from zero follow chance. If the classifier fails systematically, its own weight becomes zero.

Where a cluster is mostly wrong, the classifier is the surer the more it is wrong. No single weight of its confidence
can say so, because elsewhere its confidence speaks for the answer. The input `failing` says it: minus the confidence in
clusters with an error share above 1/2, in proportion to the excess, and 0 in all other clusters.

Two more inputs say what the signals may not know: which class was answered, and how the share of ready plants on the
image's date differs from that of all validation images. Their weights may have either sign. Without them, the
probability can be right on average but not by date and answer: "ready" is then believed too much where few plants are
ready. Both start from zero, so that they count as far as validation shows that they help. If the classifier sees the
growth in the images by itself, the date's share must not be counted twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# START and PENALTY were chosen on synthetic seasons other than those of the results in the documentation.
START = {"margin": 1.0}  # prior weights of standardised signals; those not named have 0
PENALTY = 10.0  # penalty of a squared step away from the prior weights, in units of one image's log-loss
SAME = 1e-9  # least relative spread of an input; a smaller one is rounding, and scaling by it would let it dominate

# Names of the signed inputs; a higher value always speaks for a right answer.
SIGNED = (
    "reliability",
    "nearest_map_reliability",
    "margin",
    "feature_reliability",
    "trust_score",
    "novelty",
    "failing",
)
INPUTS = (*SIGNED, "answer", "answer_share")  # all inputs of the model
SHARE = INPUTS.index("answer_share")  # place of the input that knows the date's share of ready plants


def inputs(signals: Mapping[str, Floats]) -> Floats:
    """Return the inputs (n, 9) of the model for n images, in the order of `INPUTS`.

    `answer` is 1 where the answer is ready and -1 where it is not. `answer_share` is `answer` times `share_shift`, the
    log-odds of the date's share of ready plants minus those of validation's. With more than two classes, the signals
    have neither, and both inputs are 0.
    """
    trust, none = signals["trust_score"], np.zeros(len(signals["trust_score"]))
    answer = signals.get("answer", none)
    values = {
        **signals,
        "reliability": 1 - signals["error_share"],
        "failing": -signals["margin"] * np.maximum(0, 2 * signals["error_share"] - 1),
        "trust_score": trust / (1 + trust),
        "answer": answer,
        "answer_share": answer * signals.get("share_shift", none),
    }
    return np.stack([values[name] for name in INPUTS], axis=1)


def answer_sign(predicted: NDArray[np.integer]) -> Floats:
    """Return the signal `answer` of n answers of two classes: 1 where class 1 is answered, else -1."""
    return np.where(np.asarray(predicted) == 1, 1.0, -1.0)


@dataclass(frozen=True)
class Combination:
    """Fitted model of the combined reliability.

    Attributes
    ----------
    mean, scale : (9,) mean and standard deviation of the inputs; the scale is 1 where an input does not vary. The
        inputs that know the answer's class are not standardised, so their mean is 0 and their scale 1.
    weights : (9,) weights of the standardised inputs; those of `SIGNED` are not negative.
    intercept : log-odds of a right answer at the mean of the inputs.
    """

    mean: Floats
    scale: Floats
    weights: Floats
    intercept: float

    def reliability(self, signals: Mapping[str, Floats]) -> Floats:
        """Return the probability of a right answer, (n,) in 0..1."""
        return scipy.special.expit(self.odds(inputs(signals)))

    def odds(self, values: Floats) -> Floats:
        """Return the log-odds of a right answer, (n,), for inputs (n, 9)."""
        return (values - self.mean) / self.scale @ self.weights + self.intercept

    def as_json(self) -> dict[str, Any]:
        """Return the model as JSON values, which `Combination.of` reads."""
        arrays = {name: getattr(self, name).tolist() for name in ("mean", "scale", "weights")}
        return {"inputs": list(INPUTS), **arrays, "intercept": self.intercept}

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Combination":
        """Make the model from JSON values of `as_json`."""
        mean, scale, weights = (np.asarray(values[name]) for name in ("mean", "scale", "weights"))
        return cls(mean, scale, weights, values["intercept"])


def fit_combination(
    signals: Mapping[str, Floats],
    is_wrong: NDArray[np.bool_],
    counts: Floats | None = None,
    start: Mapping[str, float] = START,
    answer_penalty: float = PENALTY,
) -> Combination:
    """Fit the model to signals of n validation images.

    Half a right and half a wrong answer are added at the mean of the inputs. They keep the probabilities inside 0..1 if
    no answer or every answer is wrong.

    Parameters
    ----------
    signals : signals (n,) by name.
    is_wrong : (n,) whether each answer is wrong.
    counts : (n,) how often each image counts, as in a bootstrap; by default once.
    start : prior weights by input; 0 for those not named.
    answer_penalty : penalty of the inputs that know the answer's class. A bootstrap takes a smaller one: all its
        models would be pulled the same way, so that their spread would not show how far the pull leads astray.
    """
    values, n_signed = inputs(signals), len(SIGNED)
    times = np.ones(len(values)) if counts is None else counts
    mean, scale = np.zeros(len(INPUTS)), np.ones(len(INPUTS))
    mean[:n_signed] = np.average(values[:, :n_signed], axis=0, weights=times)
    spread = np.sqrt(np.average((values[:, :n_signed] - mean[:n_signed]) ** 2, axis=0, weights=times))
    scale[:n_signed] = np.where(spread > SAME * np.maximum(np.abs(mean[:n_signed]), 1), spread, 1)
    standard, sign = (values - mean) / scale, np.where(is_wrong, -1.0, 1.0)
    prior = np.asarray([start.get(name, 0.0) for name in INPUTS])
    penalty = np.asarray([PENALTY] * n_signed + [answer_penalty] * (len(INPUTS) - n_signed))

    def loss(theta: Floats) -> tuple[float, Floats]:
        odds = standard @ theta[:-1] + theta[-1]
        pull = -sign * scipy.special.expit(-sign * odds) * times
        added = 0.5 * (np.logaddexp(0, theta[-1]) + np.logaddexp(0, -theta[-1]))
        step = theta[:-1] - prior
        total = times @ np.logaddexp(0, -sign * odds) + added + (penalty * step**2).sum() / 2
        gradient = np.append(standard.T @ pull + penalty * step, pull.sum() + scipy.special.expit(theta[-1]) - 0.5)
        return float(total), gradient

    bounds = [(0.0, None)] * n_signed + [(None, None)] * (len(INPUTS) - n_signed + 1)
    found = scipy.optimize.minimize(loss, np.append(prior, 0.0), jac=True, method="L-BFGS-B", bounds=bounds)
    return Combination(mean, scale, np.asarray(found.x[:-1]), float(found.x[-1]))
