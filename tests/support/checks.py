"""Keep checks of plants in a store, as the command `harvest checked` does."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from storage.artifacts import Store
from storage.records.checks import Check, CheckedFile, keep_checks


def keep_found(
    store: Store,
    campaign: str,
    day: date,
    found: Mapping[str, str],
    rows: Iterable[Mapping[str, Any]] = (),
    classes: Sequence[str] = ("not_ready", "ready"),
    hour: int = 9,
) -> None:
    """Keep what was found at plants of a date as one file, which was looked at and came back at this hour.

    Parameters
    ----------
    found : class that was found, by plant.
    rows : rows of the table `decided` that tell the answers; plants without one get any answer.
    """
    at = datetime(day.year, 12, 1, hour, tzinfo=UTC)
    mark: dict[str, Any] = {"campaign": campaign, "date": day}
    decided: dict[str, Mapping[str, Any]] = {row["plant_id"]: row for row in rows}
    plain: dict[str, Any] = {"answer": 0, "answer_reliability": 0.5, "decision": "check"}
    checks = [
        Check(
            **mark,
            plant_id=plant,
            found=name,
            checked_by="Ada",
            checked_at=at,
            remark="",
            method="gradcam",
            answer=classes[int(row["answer"])],
            answer_reliability=row["answer_reliability"],
            decision=row["decision"],
            is_audit=row["decision"] != "check",
        )
        for plant, name in found.items()
        for row in [decided.get(plant, plain)]
    ]
    file = CheckedFile(**mark, file="a.gpkg", sha256=f"{hour:064}", imported_by="Bo", imported_at=at, checks=checks)
    keep_checks(store, file)
