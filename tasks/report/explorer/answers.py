"""Collect the answers about the images of the plant explorer: one row per image and saliency method."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from storage.tables import ASSIGNMENTS, DECIDED
from storage.tables.rows import Row, iter_rows
from tasks.export.decisions import decision_rows
from tasks.ingest.listing import read_listing
from tasks.report.explorer.chosen import Day, Explained

ASSIGNED = ("plant_id", "cluster", "novelty", "is_flat_map")  # columns that are read of the assignments


@dataclass(frozen=True)
class Answers:
    """Answers about some images (n), in their order.

    Attributes
    ----------
    decided : decision rows (see `tasks.export.decisions.decision_rows`).
    assigned : rows of the table `assignments` with the columns `ASSIGNED`.
    """

    decided: list[Row]
    assigned: list[Row]


def read_answers(
    days: Sequence[Day], methods: Sequence[str], images: Explained, classes: Sequence[str]
) -> dict[str, Answers]:
    """Read the answers about some images by every saliency method."""
    found = {method: Answers([{}] * len(images), [{}] * len(images)) for method in methods}
    for number, day in enumerate(days):
        where = {images.plants[i]: i for i in range(len(images)) if images.day[i] == number}
        listing = read_listing(day.artifacts[f"images {day.date}"])
        listed = [one for one in listing["images"] if one["plant_id"] in where]
        for method, answers in found.items():
            decided = day.artifacts[f"decided {method} {day.date}"]
            rows = [row for row in iter_rows(decided, DECIDED) if row["plant_id"] in where]
            for row in decision_rows(listed, rows, classes):
                answers.decided[where[row["plant_id"]]] = row
            for row in iter_rows(day.artifacts[f"assignments {method} {day.date}"], ASSIGNMENTS, ASSIGNED):
                if row["plant_id"] in where:
                    answers.assigned[where[row["plant_id"]]] = row
    return found


def numbers_of(values: Sequence[Any], names: Sequence[Any]) -> list[int]:
    """Return the position of each value among `names`; -1 for None."""
    at = {name: i for i, name in enumerate(names)}
    return [-1 if value is None else at[value] for value in values]
