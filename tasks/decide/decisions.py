"""Turn probabilities into answers and decisions: harvest, leave, or check. Pure functions.

An answer is the more probable class, so a probability never contradicts the answer beside it. It is acted on only from
the certified threshold on (see `tasks.decide.guarantee`), and only without a veto.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.records.reviews import Choice
from storage.tables.rows import Row

Floats = NDArray[np.float64]
READY_CLASSES = ("not ready", "ready")  # class names whose answers become `leave` and `harvest`; case and _ are ignored
HARVEST, LEAVE, CHECK = "harvest", "leave", "check"
# Reasons to check a plant, in the order in which they are given.
UNSURE, UNPROMISED, NOVEL, REVIEWED, OUTSIDE = "unsure", "unpromised", "novel", "reviewed", "outside"
CHECK_REASONS = (UNSURE, UNPROMISED, NOVEL, REVIEWED, OUTSIDE)
_PLOT = re.compile(r"(?i)plot_?(\d+)")


@dataclass(frozen=True)
class Answered:
    """Answers to n images.

    Attributes
    ----------
    answer : (n,) more probable class; with more than two classes, the predicted one.
    reliability : (n,) probability that the answer is right, 0..1, at least 1/2 with two classes.
    is_corrected : (n,) whether the answer differs from the predicted class.
    """

    answer: NDArray[np.int64]
    reliability: Floats
    is_corrected: NDArray[np.bool_]

    def __getitem__(self, chosen: NDArray[np.integer]) -> "Answered":
        return Answered(self.answer[chosen], self.reliability[chosen], self.is_corrected[chosen])


def more_probable(predicted: NDArray[np.integer], right: Floats, n_classes: int) -> Answered:
    """Return the more probable class of n images.

    Parameters
    ----------
    predicted : (n,) class that the classifier predicts.
    right : (n,) probability that it is right, 0..1.
    n_classes : number of classes. With two, the other class is answered where `right` is under 1/2. With more, it is
        not known which other class is right.
    """
    classes = np.asarray(predicted, np.int64)
    is_corrected = (right < 0.5) if n_classes == 2 else np.zeros(len(classes), np.bool_)
    return Answered(
        np.where(is_corrected, 1 - classes, classes), np.where(is_corrected, 1 - right, right), is_corrected
    )


def right_where_shifted(right: Floats, of_classifier: Floats, least_error_share: Floats) -> Floats:
    """Return the probability that each predicted class is right on a date whose share of ready plants is outside.

    How far such a share moves the combined probability is not known, so that single corrections by it are as often
    wrong as right. The classifier's own calibrated probability takes its place, and with it the classifier's answer.
    Clusters that are mostly wrong beyond chance keep the combined one: what fails there does not rest on the share.

    Parameters
    ----------
    right, of_classifier : (n,) combined probability and calibrated softmax probability of the predicted class, 0..1.
    least_error_share : (n,) lower end of the interval of the cluster's error share, 0..1.
    """
    return np.where(least_error_share > 0.5, right, of_classifier)


def doubted(
    clusters: NDArray[np.integer], is_corrected: NDArray[np.bool_], choices: Mapping[int, Choice]
) -> NDArray[np.bool_]:
    """Return which of n answers a person's review speaks against, (n,).

    A person who abstains from a cluster doubts all its answers. One who swaps or keeps a cluster's answers doubts those
    for which the probability says the opposite.

    Parameters
    ----------
    clusters : (n,) cluster of each image.
    is_corrected : (n,) whether the answer differs from the predicted class.
    choices : a person's choices by cluster.
    """
    said = [choices.get(int(cluster)) for cluster in clusters]
    return np.asarray(
        [
            choice == "abstain" or (choice is not None and (choice == "swap") != bool(corrected))
            for choice, corrected in zip(said, is_corrected, strict=True)
        ],
        np.bool_,
    )


def check_reasons(
    answered: Answered,
    thresholds: Mapping[int, float | None],
    novelty: Floats,
    least_novelty: float,
    is_doubted: NDArray[np.bool_],
    is_outside: NDArray[np.bool_],
) -> list[str]:
    """Return for each of n answers the reasons to check the plant, separated by spaces; empty if it is acted on.

    Parameters
    ----------
    thresholds : by class, the least reliability of an answer that is acted on; None if nothing is certified.
    novelty : (n,) conformal p-values of the maps, 0..1.
    is_doubted, is_outside : (n,) whether a person doubts the answer, and whether its date is outside.
    """
    limits = [thresholds[int(one)] for one in answered.answer]
    unsure = [limit is not None and r < limit for limit, r in zip(limits, answered.reliability.tolist(), strict=True)]
    applies = (unsure, [limit is None for limit in limits], novelty < least_novelty, is_doubted, is_outside)
    return [
        " ".join(word for word, one in zip(CHECK_REASONS, of_image, strict=True) if one)
        for of_image in zip(*applies, strict=True)
    ]


def decision_words(answer: NDArray[np.integer], reasons: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Return the decision about each of n plants: `check` if there is a reason to, else what the answer means."""
    words = dict(enumerate((LEAVE, HARVEST) if is_about_harvest(classes) else classes))
    return [CHECK if reason else words[int(one)] for one, reason in zip(answer, reasons, strict=True)]


def is_about_harvest(classes: Sequence[str]) -> bool:
    """Return whether the classes are not ready and ready, so that each answer is a decision about the harvest."""
    return tuple(name.lower().replace("_", " ") for name in classes) == READY_CLASSES


def decisions_of(classes: Sequence[str]) -> list[str]:
    """Return every decision that rows of these classes may have: `harvest` and `leave` or the classes, then `check`."""
    acted_on = (HARVEST, LEAVE) if is_about_harvest(classes) else classes
    return list(dict.fromkeys((*acted_on, CHECK)))


def plot_of(plant_id: str) -> str | None:
    """Return the plot that a plant id names, e.g. `2` of `2021_Ref_Plot2_E18`; None if it names none."""
    found = _PLOT.search(plant_id)
    return found.group(1) if found else None


def stated_place(plant: Row) -> Row:
    """Return the place in the field that a source states of a listed plant; empty if it states none."""
    return plant.get("place") or {}


def known_plot(plant: Row, plant_id: str) -> str | None:
    """Return the plot of a plant: the one that its entry in a listing states, else the one that its id names."""
    return stated_place(plant).get("plot") or plot_of(plant_id)
