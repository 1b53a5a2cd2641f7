"""Name the decisions about plants for people in the field, with plot and position, and sort plants to be checked.

Pure functions: they take rows of the tables `plants` and `decided`, and return rows. They add no new evidence.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from storage.tables.rows import Row
from tasks.decide.decisions import known_plot, stated_place

KEPT = (  # columns of the table `decided` that are copied
    "plant_id",
    "split",
    "cluster",
    "is_corrected",
    "ready_probability",
    "answer_reliability",
    "decision",
    "check_reason",
    "is_outside",
)


def decision_rows(plants: Iterable[Row], decided: Iterable[Row], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return one row for every explained image of a date, in the order of `decided`.

    Parameters
    ----------
    plants : entries of the date's listing, or rows of the table `plants`. If there are two of a plant, the later one
        counts.
    decided : rows of the table of this name of one date and saliency method.
    classes : class names by index.

    Returns
    -------
    Rows with the columns of `KEPT`, `plot` (the source's, else the one that the id names, else None), `variety`,
    `easting` and `northing` (None if unknown), and the class names `predicted`, `answer` and `label` (None if unknown).
    """
    places = {row["plant_id"]: row for row in plants}
    return [_named(places.get(row["plant_id"], {}), row, classes) for row in decided]


def _named(place: Row, row: Row, classes: Sequence[str]) -> dict[str, Any]:
    label = row["label"]
    return {
        **{name: row[name] for name in KEPT},
        "plot": known_plot(place, row["plant_id"]),
        "variety": stated_place(place).get("variety"),
        "easting": place.get("easting"),
        "northing": place.get("northing"),
        "predicted": classes[int(row["predicted"])],
        "answer": classes[int(row["answer"])],
        "label": None if label is None else classes[int(label)],
    }


def check_first(rows: Iterable[Row]) -> list[Row]:
    """Sort decisions by the expected benefit of looking at the plant, largest first.

    A look at a plant makes its answer certain. So its expected benefit is the probability that the answer is wrong.
    Equal probabilities are sorted by plant id.
    """
    return sorted(rows, key=lambda row: (row["answer_reliability"], row["plant_id"]))
