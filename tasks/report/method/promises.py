"""Prepare the promise curve and the tables of promised against observed and found, from rows. Pure functions."""

from collections.abc import Sequence
from typing import Any

from storage.tables.names import ALL_ANSWERS, PRODUCT_SCORE, SPLIT_NAMES
from storage.tables.rows import Row
from tasks.decide.decisions import CHECK
from tasks.report.words import score_name

FOUND_ANSWERS = {ALL_ANSWERS: "all acted on", CHECK: "plants to check"}  # words for readers of the table `found`
Curve = tuple[list[float], list[float]]  # tolerated share of wrong answers, and share of answers acted on


def promise_curves(promises: Sequence[Row]) -> dict[str, Curve]:
    """Return the promise curve about all answers of every score by its name, the product's first."""
    scores = list(dict.fromkeys(row["score"] for row in promises))
    found: dict[str, Curve] = {}
    for score in sorted(scores, key=lambda score: score != PRODUCT_SCORE):
        rows = sorted(
            (row for row in promises if row["score"] == score and row["answers"] == ALL_ANSWERS),
            key=lambda row: row["tolerated_error"],
        )
        found[score_name(score)] = ([r["tolerated_error"] for r in rows], [r["share_answered"] for r in rows])
    return found


def calibration_table(calibration: Sequence[Row]) -> list[dict[str, Any]]:
    """Return promised against observed in reading order: split, all dates first, then date by date.

    Each row has the words of split, date and answers, and the figures of all answers (`all`) and of those acted on
    (`acted_on`, None without any).
    """
    key = ("split", "acquired", "answers")
    acted = {tuple(row[name] for name in key): row for row in calibration if row["is_acted_on"]}
    return [
        {
            "split": SPLIT_NAMES[row["split"]],
            "date": "all dates" if row["acquired"] is None else str(row["acquired"]),
            "answers": row["answers"].replace("_", " "),
            "is_cross_fitted": row["split"] == "val",
            "all": row,
            "acted_on": acted.get(tuple(row[name] for name in key)),
        }
        for row in calibration
        if not row["is_acted_on"]
    ]


def found_table(found: Sequence[Row]) -> list[dict[str, Any]]:
    """Return promised against found in the order of the table: rows with the words of date and answers."""
    return [
        {
            **row,
            "date": "all dates with checks" if row["acquired"] is None else str(row["acquired"]),
            "answers": FOUND_ANSWERS.get(row["answers"], row["answers"].replace("_", " ")),
            "is_group": row["answers"] == ALL_ANSWERS,
        }
        for row in found
    ]
