"""Decisions: what a grower does about every plant of a date, and which plants to look at first.

Reads nothing and writes nothing: rows of the tables `plants`, `reliability` and `adjusted` in, rows out. It adds no
evidence of its own; it puts what the tables say into the words of a field.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from storage.tables.rows import Row

READY_CLASSES = ("not ready", "ready")  # class names for which an answer is a thing to do; folders write not_ready
HARVEST, LEAVE, CHECK = "harvest", "leave", "check"
_PLOT = re.compile(r"(?i)plot_?(\d+)")


def decision_rows(
    plants: Iterable[Row], reliability: Iterable[Row], adjusted: Iterable[Row], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """One row for every explained image of a date, in the order of `adjusted`.

    Parameters
    ----------
    plants, reliability, adjusted : rows of the tables of these names; `reliability` and `adjusted` of one date and
        saliency method.
    classes : class names by index.

    Returns
    -------
    Rows with `plant_id`, `plot` (None where the id names none), `easting` and `northing` (None where unknown), `split`,
    `cluster`, `predicted` and `answer` (class names, before and after adjustment), `is_swapped`, `decision` (`harvest`
    or `leave` for the classes not ready and ready, else the answer's class; `check` where the answer should not be
    acted on), `answer_reliability` (see `answer_reliability`), `abstain_reason`, and `label` (class name or None).

    Raises
    ------
    ValueError : the two tables do not tell of the same plants in the same order.
    """
    places = {row["plant_id"]: row for row in plants}
    rated, answered = list(reliability), list(adjusted)
    if [row["plant_id"] for row in rated] != [row["plant_id"] for row in answered]:
        raise ValueError("the tables reliability and adjusted must tell of the same plants in the same order")
    pairs = zip(rated, answered, strict=True)
    return [_decision(places.get(row["plant_id"], {}), known, row, classes) for known, row in pairs]


def _decision(place: Row, rated: Row, adjusted: Row, classes: Sequence[str]) -> dict[str, Any]:
    answer = classes[int(adjusted["adjusted"])]
    label = adjusted["label"]
    words: dict[str, str] = dict(zip(classes, (LEAVE, HARVEST), strict=True)) if is_about_harvest(classes) else {}
    return {
        "plant_id": adjusted["plant_id"],
        "plot": plot_of(adjusted["plant_id"]),
        "easting": place.get("easting"),
        "northing": place.get("northing"),
        "split": adjusted["split"],
        "cluster": adjusted["cluster"],
        "predicted": classes[int(adjusted["predicted"])],
        "answer": answer,
        "is_swapped": adjusted["is_swapped"],
        "decision": CHECK if adjusted["abstain"] else words.get(answer, answer),
        "answer_reliability": answer_reliability(adjusted["combined_reliability"], adjusted["is_swapped"]),
        "abstain_reason": rated["abstain_reason"],
        "label": None if label is None else classes[int(label)],
    }


def is_about_harvest(classes: Sequence[str]) -> bool:
    """Whether the answers are not ready and ready, so that each is a thing to do."""
    return tuple(name.lower().replace("_", " ") for name in classes) == READY_CLASSES


def decisions_of(classes: Sequence[str]) -> list[str]:
    """Every decision that rows of these classes may have, in the order in which a grower asks for them."""
    acted_on = (HARVEST, LEAVE) if is_about_harvest(classes) else classes
    return list(dict.fromkeys((*acted_on, CHECK)))


def plot_of(plant_id: str) -> str | None:
    """The plot that a release's plant id names, `2` of `2021_Ref_Plot2_E18`; None where it names none."""
    found = _PLOT.search(plant_id)
    return found.group(1) if found else None


def answer_reliability(combined_reliability: float, is_swapped: bool) -> float:
    """Probability that the answer after adjustment is right, in [0, 1].

    `combined_reliability` is of the answer as predicted; of two classes the swapped answer is right where that is not.
    """
    return 1 - combined_reliability if is_swapped else combined_reliability


def check_first(rows: Iterable[Row]) -> list[Row]:
    """Decisions in the order of what a look at the plant is worth.

    A look at a plant makes its answer certain, so it is worth the probability that the answer is wrong: the wrong
    answers that it is expected to spare. Equals are in the order of their plant ids.
    """
    return sorted(rows, key=lambda row: (row["answer_reliability"], row["plant_id"]))
