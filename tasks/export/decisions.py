"""Name the decisions about plants for people in the field, with plot and position, and sort plants to be checked.

Pure functions: they take rows of the tables `plants` and `decided`, and return rows. They add no new evidence.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from storage.tables.rows import ColumnRows, Row
from tasks.decide.decisions import plot_of, stated_place

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


def decision_rows(plants: Iterable[Row], decided: Iterable[Row], classes: Sequence[str]) -> ColumnRows:
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
    places = {row["plant_id"]: _position(row) for row in plants}  # not the rows, of which a date may have a million
    return ColumnRows.of(_named(places.get(row["plant_id"]), row, classes) for row in decided)


class _Position(NamedTuple):
    plot: str | None
    variety: str | None
    easting: float | None
    northing: float | None


def _position(plant: Row) -> _Position:
    place = stated_place(plant)
    return _Position(place.get("plot"), place.get("variety"), plant.get("easting"), plant.get("northing"))


def _named(place: _Position | None, row: Row, classes: Sequence[str]) -> dict[str, Any]:
    label, place = row["label"], place or _Position(None, None, None, None)
    return {
        **{name: row[name] for name in KEPT},
        "plot": place.plot or plot_of(row["plant_id"]),
        "variety": place.variety,
        "easting": place.easting,
        "northing": place.northing,
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
