"""Collect the answers about the images of a date in the plant explorer: one row per image and saliency method."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from storage.tables import ASSIGNMENTS, DECIDED
from storage.tables.rows import Row, iter_rows
from tasks.export.decisions import decision_rows
from tasks.ingest.listing import read_listing
from tasks.report.explorer.chosen import Day

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


def read_answers(day: Day, methods: Sequence[str], plants: Sequence[str], classes: Sequence[str]) -> dict[str, Answers]:
    """Read the answers about some plants of a date by every saliency method."""
    where = {plant: i for i, plant in enumerate(plants)}
    listed = [one for one in read_listing(day.artifacts[f"images {day.date}"])["images"] if one["plant_id"] in where]
    found: dict[str, Answers] = {}
    for method in methods:
        answers = found[method] = Answers([{}] * len(plants), [{}] * len(plants))
        decided = iter_rows(day.artifacts[f"decided {method} {day.date}"], DECIDED)
        for row in decision_rows(listed, (row for row in decided if row["plant_id"] in where), classes):
            answers.decided[where[row["plant_id"]]] = row
        for row in iter_rows(day.artifacts[f"assignments {method} {day.date}"], ASSIGNMENTS, ASSIGNED):
            if row["plant_id"] in where:
                answers.assigned[where[row["plant_id"]]] = row
    return found


def numbers_of(values: Sequence[Any], names: Sequence[Any]) -> list[int]:
    """Return the position of each value among `names`; -1 for None."""
    at = {name: i for i, name in enumerate(names)}
    return [-1 if value is None else at[value] for value in values]
