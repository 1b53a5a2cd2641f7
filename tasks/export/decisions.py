"""Turn adjusted answers into decisions for a grower: what to do about every plant, and which plants to look at first.

Pure functions: they take rows of the tables `plants`, `reliability` and `adjusted`, and return rows. They add no new
evidence, but name the tables' results in a grower's words.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from storage.tables.rows import Row

READY_CLASSES = ("not ready", "ready")  # class names whose answers become `leave` and `harvest`; case and _ are ignored
HARVEST, LEAVE, CHECK = "harvest", "leave", "check"
_PLOT = re.compile(r"(?i)plot_?(\d+)")


def decision_rows(
    plants: Iterable[Row], reliability: Iterable[Row], adjusted: Iterable[Row], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Return one decision for every explained image of a date, in the order of `adjusted`.

    Parameters
    ----------
    plants, reliability, adjusted : rows of the tables of these names; `reliability` and `adjusted` of one date and
        saliency method.
    classes : class names by index.

    Returns
    -------
    Rows with `plant_id`, `plot` (None if the id names none), `easting` and `northing` (None if unknown), `split`,
    `cluster`, `predicted` and `answer` (class names, before and after adjustment), `is_swapped`, `decision` (`harvest`
    or `leave` for the classes not ready and ready, else the answer's class; `check` if the answer should not be acted
    on), `answer_reliability` (see `answer_reliability`), `abstain_reason`, and `label` (class name or None).

    Raises
    ------
    ValueError : `reliability` and `adjusted` do not have the same plants in the same order.
    """
    places = {row["plant_id"]: row for row in plants}
    rated, answered = list(reliability), list(adjusted)
    if [row["plant_id"] for row in rated] != [row["plant_id"] for row in answered]:
        raise ValueError(
            "the tables reliability and adjusted differ in their plants; they must have the same plants in the same "
            "order; read both of the same date and method"
        )
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


def answer_reliability(combined_reliability: float, is_swapped: bool) -> float:
    """Return the probability that the answer after adjustment is right, in [0, 1].

    `combined_reliability` refers to the predicted answer. With two classes, the swapped answer is right if and only if
    the predicted answer is wrong.
    """
    return 1 - combined_reliability if is_swapped else combined_reliability


def check_first(rows: Iterable[Row]) -> list[Row]:
    """Sort decisions by the expected benefit of looking at the plant, largest first.

    A look at a plant makes its answer certain. So its expected benefit is the probability that the answer is wrong.
    Equal probabilities are sorted by plant id.
    """
    return sorted(rows, key=lambda row: (row["answer_reliability"], row["plant_id"]))
