"""Read what the report shows of each date, from the artefacts of the campaign's own dates and of scored ones."""

from collections.abc import Mapping, Sequence

from storage.artifacts import Artifact
from storage.tables import DECIDED, DRIFT, OBSERVATIONS, READY_COUNTS, REJECTED
from storage.tables.parquet import iter_table
from storage.tables.rows import days_of, rows_of
from tasks.export.decisions import decision_rows
from tasks.report.field.summary import FieldDay


def read_days(
    own: dict[str, Artifact], scored: dict[str, Artifact], classes: Sequence[str], method: str
) -> list[FieldDay]:
    """Read every date of a campaign by one saliency method, in order.

    Parameters
    ----------
    own, scored : artefacts by role, of the dates that the fit was made from, and of those scored with it later.
    """
    days = [
        read_day(artifacts, day, classes, method, is_scored=artifacts is scored)
        for artifacts in (own, scored)
        for day in days_of(artifacts, f"decided {method}")
    ]
    return sorted(days, key=lambda day: day.date)


def read_day(
    artifacts: Mapping[str, Artifact],
    day: str,
    classes: Sequence[str],
    method: str,
    is_scored: bool = False,
) -> FieldDay:
    """Read one date by one saliency method."""
    images = artifacts[f"images {day}"]
    artifact = artifacts[f"decided {method} {day}"]
    decided = rows_of(artifact, DECIDED)
    return FieldDay(
        date=day,
        is_scored=is_scored,
        rows=decision_rows(images.read_json("listing.json")["images"], decided, classes),
        n_unanswered=sum(len(part["row"]) for part in iter_table(images, OBSERVATIONS, ("row",))) - len(decided),
        rejected=rows_of(images, REJECTED),
        drift=rows_of(artifacts[f"drift {method} {day}"], DRIFT),
        counts=rows_of(artifact, READY_COUNTS),
        is_share_outside=artifact.summary["is_share_outside"],
    )
