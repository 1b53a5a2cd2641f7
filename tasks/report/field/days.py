"""Read what the report shows of each date, from the artefacts of the campaign's own dates and of scored ones."""

from collections.abc import Mapping, Sequence

from storage.artifacts import Artifact
from storage.tables import DECIDED, DRIFT, OBSERVATIONS, READY_COUNTS, REJECTED
from storage.tables.parquet import iter_table
from storage.tables.rows import Row, days_of, rows_of
from tasks.export.decisions import decision_rows
from tasks.report.field.summary import FieldDay


def read_days(
    own: dict[str, Artifact], scored: dict[str, Artifact], plants: Sequence[Row], classes: Sequence[str], method: str
) -> list[FieldDay]:
    """Read every date of a campaign by one saliency method, in order.

    Parameters
    ----------
    own, scored : artefacts by role, of the dates that the fit was made from, and of those scored with it later.
    plants : rows of the campaign's table `plants`.
    """
    days = [read_day(own, day, plants, classes, method) for day in days_of(own, f"decided {method}")]
    days += [
        read_day(scored, day, [*plants, *listed_plants(scored, day)], classes, method, is_scored=True)
        for day in days_of(scored, f"decided {method}")
    ]
    return sorted(days, key=lambda day: day.date)


def read_day(
    artifacts: Mapping[str, Artifact],
    day: str,
    plants: Sequence[Row],
    classes: Sequence[str],
    method: str,
    is_scored: bool = False,
) -> FieldDay:
    """Read one date; if `plants` has two rows of a plant, the later one counts."""
    images = artifacts[f"images {day}"]
    artifact = artifacts[f"decided {method} {day}"]
    decided = rows_of(artifact, DECIDED)
    return FieldDay(
        date=day,
        is_scored=is_scored,
        rows=decision_rows(plants, decided, classes),
        n_unanswered=sum(len(part["row"]) for part in iter_table(images, OBSERVATIONS, ("row",))) - len(decided),
        rejected=rows_of(images, REJECTED),
        drift=rows_of(artifacts[f"drift {method} {day}"], DRIFT),
        counts=rows_of(artifact, READY_COUNTS),
        is_share_outside=artifact.summary["is_share_outside"],
    )


def listed_plants(artifacts: Mapping[str, Artifact], day: str) -> list[Row]:
    """Read the plants of a scored date with their positions from its listing.

    A scored date has no table `plants`, and may have plants that no other date has.
    """
    return artifacts[f"images {day}"].read_json("listing.json")["images"]
