"""Read what the report shows of each date, from the artefacts of the campaign's own dates and of scored ones."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, TypeVar

from storage.artifacts import Artifact
from storage.tables import DECIDED, DRIFT, OBSERVATIONS, READY_COUNTS, REJECTED
from storage.tables.parquet import iter_table
from storage.tables.rows import Row, days_of, iter_rows, rows_of
from tasks.decide.audit_plants import audit_plants, audit_seed
from tasks.decide.decisions import stated_place
from tasks.export.decisions import decision_rows
from tasks.export.walking import with_places
from tasks.ingest.completeness import Completeness, read_completeness
from tasks.ingest.listing import read_listing
from tasks.report.field.checked import of_date
from tasks.report.field.summary import FieldDay

T = TypeVar("T")
N_LATEST = 6  # dates of the field's page; each earlier date has a page of its own


def latest_dates(dates: Collection[str]) -> list[str]:
    """Return the dates that the pages show in full, ascending. The others cost a new report nothing but their sums."""
    return sorted(dates)[-N_LATEST:]


def dates_among(own: dict[str, T], scored: dict[str, T], method: str) -> dict[str, dict[str, T]]:
    """Return the dates with decisions by a saliency method, each with the artefacts by role that it is among."""
    return {day: some for some in (own, scored) for day in days_of(some, f"decided {method}")}


def read_days(
    own: dict[str, Artifact],
    scored: dict[str, Artifact],
    classes: Sequence[str],
    method: str,
    found: Sequence[Row] = (),
) -> list[FieldDay]:
    """Read the latest dates of a campaign by one saliency method, in order.

    Parameters
    ----------
    own, scored : artefacts by role, of the dates that the fit was made from, and of those scored with it later.
    found : rows of the table `found` of this method, of all dates.
    """
    among = dates_among(own, scored, method)
    return [
        replace(read_day(among[day], day, classes, method, among[day] is scored), found=of_date(found, day))
        for day in latest_dates(among)
    ]


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
    listing = read_listing(images)["images"]
    rows = rows_in_plots(decision_rows(listing, iter_rows(artifact, DECIDED), classes), listing)
    return FieldDay(
        date=day,
        is_scored=is_scored,
        rows=rows,
        n_unanswered=sum(len(part["row"]) for part in iter_table(images, OBSERVATIONS, ("row",))) - len(rows),
        rejected=rows_of(images, REJECTED),
        drift=rows_of(artifacts[f"drift {method} {day}"], DRIFT),
        counts=rows_of(artifact, READY_COUNTS),
        is_share_outside=artifact.summary["is_share_outside"],
        completeness=completeness_of(artifacts, day),
    )


def completeness_of(artifacts: Mapping[str, Artifact], day: str) -> Completeness | None:
    """Read how many of the expected plants a scored date has; None on other dates."""
    sums = artifacts.get(f"acquisition {day}")
    return None if sums is None else read_completeness(sums.summary)


def with_extra_checks(day: FieldDay, campaign: str, share: float) -> FieldDay:
    """Mark the plants of a date that are drawn at random for a look, as the exports do (`is_audit`)."""
    drawn = audit_plants(day.rows, share, audit_seed(campaign, date.fromisoformat(day.date)))
    return replace(day, rows=[{**row, "is_audit": row["plant_id"] in drawn} for row in day.rows])


def rows_in_plots(rows: Iterable[Row], listing: Iterable[Row]) -> list[dict[str, Any]]:
    """Add `row` and `number` to decision rows: as the date's listing states them, else as the id names them."""
    stated = {entry["plant_id"]: stated_place(entry) for entry in listing if stated_place(entry)}
    return with_places(
        {**row, "row": place.get("row"), "number": place.get("number")}
        for row in rows
        for place in [stated.get(row["plant_id"], {})]
    )
