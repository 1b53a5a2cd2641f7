"""Make rows of the tables about decisions for an invented campaign, by simple formulas of its own."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from storage.tables.names import SCORES

Row = dict[str, Any]
THRESHOLD, TOLERATED, CONFIDENCE = 0.6, 0.15, 0.9  # what the invented campaign acts on and promises
CURVE = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)  # tolerated shares of the promise curve
PRODUCT = "answer_reliability"
N_MORE = 37  # plants that a promise lacks where nothing is certified


def decide_row(row: Row, classes: Sequence[str], is_promised: bool, is_doubted: bool, is_outside: bool) -> Row:
    """Return the columns of the table `decided` that follow from the probability that the predicted class is right."""
    right, predicted = row["combined_reliability"], row["predicted"]
    is_corrected = len(classes) == 2 and right < 0.5
    reliability = 1 - right if is_corrected else right
    applies = {
        "unsure": is_promised and reliability < THRESHOLD,
        "unpromised": not is_promised,
        "novel": row["row"] % 7 == 0,
        "reviewed": is_doubted,
        "outside": is_outside,
    }
    reasons = [word for word, one in applies.items() if one]
    answer = 1 - predicted if is_corrected else predicted
    words = ("leave", "harvest") if tuple(classes) == ("not_ready", "ready") else classes
    return {
        "ready_probability": (right if predicted == 1 else 1 - right) if len(classes) == 2 else None,
        "answer": answer,
        "is_corrected": is_corrected,
        "answer_reliability": reliability,
        "decision": "check" if reasons else words[answer],
        "check_reason": " ".join(reasons),
        "is_outside": is_outside,
    }


def promise_rows(n: int, classes: Sequence[str], is_promised: bool, promise: str) -> list[Row]:
    """Return the rows of the table `promises`, by n validation answers; each score answers less than the one before."""
    groups = ("all", *classes)
    return [
        _promise(n if answers == "all" else n // 2, tolerated, k, is_promised)
        | {
            "score": score,
            "answers": answers,
            "is_used": score == PRODUCT and tolerated == TOLERATED and (answers == "all") == (promise == "together"),
        }
        for k, score in enumerate((PRODUCT, *SCORES))
        for answers in groups
        for tolerated in CURVE
    ]


def _promise(n: int, tolerated: float, k: int, is_promised: bool) -> Row:
    n_answered = int(n * min(1.0, max(0.0, 4 * tolerated - 0.05 * k - 0.1))) if is_promised else 0
    return {
        "tolerated_error": tolerated,
        "confidence": CONFIDENCE,
        "threshold": THRESHOLD if n_answered else None,
        "n_validation": n,
        "n_answered": n_answered,
        "n_plants": n_answered // 2,
        "n_wrong": n_answered // 10,
        "share_answered": n_answered / max(1, n),
        "n_more_plants": 0 if n_answered else N_MORE if n else None,
    }


def calibration_rows(decided: Sequence[Row], classes: Sequence[str]) -> list[Row]:
    """Return the rows of the table `calibration`, from labelled rows of the table `decided` with their date."""
    rows: list[Row] = []
    for split in ("val", "test"):
        of_split = [row for row in decided if row["split"] == split and row["label"] is not None]
        for day in (None, *sorted({row["acquired"] for row in of_split})):
            for answers in ("all", *classes):
                inside = [
                    row
                    for row in of_split
                    if day in (None, row["acquired"]) and answers in ("all", classes[row["answer"]])
                ]
                for is_acted_on in (False, True):
                    counted = [row for row in inside if not (is_acted_on and row["check_reason"])]
                    if counted:
                        group = {"split": split, "acquired": day, "answers": answers, "is_acted_on": is_acted_on}
                        rows.append({**group, **_shares(counted)})
    return rows


def _shares(counted: Sequence[Row]) -> Row:
    observed = float(np.mean([row["answer"] == row["label"] for row in counted]))
    return {
        "n": len(counted),
        "promised": float(np.mean([row["answer_reliability"] for row in counted])),
        "observed": observed,
        "observed_lower": 0.9 * observed,
        "observed_upper": min(1.0, 0.1 + observed),
    }


def ready_rows(decided: Sequence[Row], plots: Sequence[str | None]) -> list[Row]:
    """Return the rows of the table `ready_counts` of a date; none with more than two classes."""
    if not decided or decided[0]["ready_probability"] is None:
        return []
    rows: list[Row] = []
    for plot in (None, *sorted({plot for plot in plots if plot is not None})):
        inside = [row for row, own in zip(decided, plots, strict=True) if plot in (None, own)]
        expected = sum(row["ready_probability"] for row in inside)
        rows.append(
            {
                "plot": plot,
                "n": len(inside),
                "n_ready": expected,
                "n_ready_lower": 0.75 * expected,
                "n_ready_upper": 1.25 * expected,
                "ready_share": expected / len(inside),
                "share_source": "validation",
                "share_shift": 0.0,
            }
        )
    return rows
