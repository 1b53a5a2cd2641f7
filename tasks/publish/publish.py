"""Publish the tables, decisions and report of a run under its campaign's name, and its record last."""

import logging
from contextlib import suppress
from datetime import date
from typing import Any

from prefect import task

from storage.artifacts import ArtifactRef, Recipe, Store, content_digest
from storage.errors import ArtifactError
from storage.published.exports import KIND, publish_decisions, renew_exports
from storage.published.publish import publish_report, publish_table, renew_partitions, unpublish_table
from storage.records.acquisitions import (
    AcquisitionRecord,
    DateFiles,
    find_acquisition,
    fit_digest,
    list_acquisitions,
    read_acquisition,
    write_acquisition,
)
from storage.records.campaigns import CampaignRecord, find_record, write_record
from storage.tables import ACQUISITIONS, BACKFILL, REVIEWS, TABLES
from storage.tables.parquet import rows_to_columns, write_table
from tasks.stage import always_run, versions

LOG = logging.getLogger(__name__)  # its warnings are shown on the terminal by flows/cli/options.py
BACKFILL_REVISION = 1  # revision of the table `backfill`, raised when equal rows would mean something else

# Kind of the artefacts that hold the rows of each published table.
OWNERS = {
    "plants": "plants",
    "observations": "images",
    "rejected": "images",
    "augmentation": "augmentation",
    "epochs": "classifier",
    "predictions": "predictions",
    "assignments": "assignments",
    "crossfit": "crossfit",
    "sensitivity": "sensitivity",
    "cluster_matches": "matches",
    "clusters": "scores",
    "reliability": "reliability",
    "swaps": "swaps",
    "reviews": "review",
    "adjusted": "adjusted",
    "promises": "promises",
    "decided": "decided",
    "ready_counts": "decided",
    "metrics": "metrics",
    "evaluation": "evaluation",
    "calibration": "calibration",
    "found": "found",
    "drift": "drift",
    "audit": "audit",
    "checks": "checks",
    "acquisitions": "acquisition",
    "backfill": "backfill",
}


def holders(store: Store, artifacts: dict[str, ArtifactRef], table: str, day: str | None) -> list[ArtifactRef]:
    """Return the artefacts with a table's rows, one for each saliency method, of one date or of the campaign.

    The list is empty for the training tables of a campaign with a given classifier.
    """
    refs = [
        ref
        for role, ref in artifacts.items()
        if role.split()[0] == OWNERS[table] and (day is None or role.split()[-1] == day)
    ]
    return [ref for ref in refs if f"{table}.parquet" in store.open(ref).manifest.files]


def decisions_of(artifacts: dict[str, ArtifactRef], day: str) -> dict[str, ArtifactRef]:
    """Return the artefacts with the decisions of a date, by saliency method."""
    roles = {role: role.split() for role in artifacts}
    return {words[1]: artifacts[role] for role, words in roles.items() if words[0] == KIND and words[-1] == day}


def publish_exports(store: Store, artifacts: dict[str, ArtifactRef], campaign: str, day: date) -> None:
    """Publish the decisions of a date, and warn of files that people had changed since they were published."""
    published = publish_decisions(store, decisions_of(artifacts, day.isoformat()), campaign, day)
    for name, place in published.kept.items():
        LOG.warning(
            "%s was changed since it was written. It was kept as %s, and written anew. If somebody filled it in: "
            "harvest checked %s --date %s %s",
            *(name, place.name, campaign, day, place),
        )


@task(task_run_name="publish {campaign}", **always_run())
def publish_results(
    store: str, campaign: str, params: dict[str, Any], artifacts: dict[str, ArtifactRef]
) -> CampaignRecord:
    """Publish every table, the decisions and the report, then the record that says the run is complete."""
    opened, dates = Store(store), [date.fromisoformat(day) for day in params["dates"]]
    for spec in TABLES.values():
        for day in dates if spec.per_date else [None]:
            refs = holders(opened, artifacts, spec.name, day and day.isoformat())
            if refs:
                publish_table(opened, spec, refs, campaign, day)
            elif spec in (REVIEWS, ACQUISITIONS):  # an earlier run had a review, or the date was scored before
                unpublish_table(opened, spec, campaign, day)
    for day in dates:
        publish_exports(opened, artifacts, campaign, day)
    report = publish_report(opened, artifacts["report"], campaign)
    record = CampaignRecord(campaign=campaign, params=params, artifacts=artifacts, report=opened.name_of(report))
    write_record(opened, record)
    publish_scored(opened, record)
    renew_partitions(opened)
    renew_exports(opened)
    return record


def publish_scored(store: Store, fitted: CampaignRecord) -> None:
    """Publish the dates again that were scored with a campaign's fit, where another fit has replaced their rows.

    Dates whose record is damaged, or whose artefacts are gone, keep their rows. `harvest verify` names them.
    """
    fit = fit_digest(fitted.artifacts)
    for path in list_acquisitions(store):
        with suppress(ArtifactError):
            if path.stem == fit and (scored := read_acquisition(path)).fitted_by == fitted.campaign:
                publish_date(store, scored)


def publish_date(store: Store, scored: AcquisitionRecord) -> None:
    """Publish the tables and decisions of a scored date, unless rows of the campaign's present fit are published."""
    if is_superseded(store, scored):
        return
    day = scored.date.isoformat()
    per_date = [spec for spec in TABLES.values() if spec.per_date]
    sources = [holders(store, scored.artifacts, spec.name, day) for spec in per_date]  # all are there, or none is used
    for spec, refs in zip(per_date, sources, strict=True):
        if refs:
            publish_table(store, spec, refs, scored.campaign, scored.date)
    publish_exports(store, scored.artifacts, scored.campaign, scored.date)


def is_superseded(store: Store, scored: AcquisitionRecord) -> bool:
    """Return whether a scored date has rows that count more: of the campaign itself, or of the present fit."""
    own, fitted = (find_record(store, name) for name in (scored.campaign, scored.fitted_by))
    if own and scored.date.isoformat() in own.dates:
        return True
    present = fit_digest(fitted.artifacts) if fitted else scored.fit
    return present != scored.fit and find_acquisition(store, scored.campaign, scored.date, present) is not None


@task(task_run_name="publish {campaign} {date}", **always_run())
def publish_acquisition(
    store: str,
    campaign: str,
    date: date,
    fitted_by: str,
    fit: str,
    params: dict[str, Any],
    artifacts: dict[str, ArtifactRef],
    files: DateFiles | None = None,
) -> AcquisitionRecord:
    """Publish the tables and decisions of a scored date, then the record that says it is complete.

    Parameters
    ----------
    files : files that the date was scored with; None if unknown.
    """
    opened = Store(store)
    record = AcquisitionRecord(
        campaign=campaign, date=date, fitted_by=fitted_by, fit=fit, params=params, artifacts=artifacts, files=files
    )
    publish_date(opened, record)
    write_acquisition(opened, record)
    renew_partitions(opened)
    renew_exports(opened)
    return record


@task(task_run_name="publish report {campaign}", **always_run())
def publish_renewed_report(store: str, campaign: str, report: ArtifactRef) -> None:
    """Publish a report that replaces the campaign's current one."""
    publish_report(Store(store), report, campaign)


@task(task_run_name="publish backfill {name}", **always_run())
def publish_backfill(store: str, name: str, rows: list[dict[str, Any]]) -> ArtifactRef:
    """Publish the result of every season's dates in a backfill, replacing the last backfill of this name.

    Parameters
    ----------
    rows : rows of the table `backfill`, with dates as YYYY-MM-DD.
    """
    opened, recipe = Store(store), Recipe("backfill", BACKFILL_REVISION, {"rows": content_digest(rows)})
    if not opened.holds(recipe.ref):
        with opened.create(recipe, versions()) as draft:
            dated = [{**row, "acquired": date.fromisoformat(row["acquired"])} for row in rows]
            write_table(draft, BACKFILL, rows_to_columns(BACKFILL, dated))
    publish_table(opened, BACKFILL, [recipe.ref], name)
    return recipe.ref
