"""Publish: the tables and report of a run under its campaign's name, the campaign's record last."""

from datetime import date
from typing import Any

from prefect import task

from storage.artifacts import ArtifactRef, Store
from storage.publish import CampaignRecord, publish_report, publish_table, write_record
from storage.tables import TABLES
from tasks.stage import always_run

# Which artefacts hold the rows of each published table.
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
    "adjusted": "adjusted",
    "metrics": "metrics",
    "evaluation": "evaluation",
    "drift": "drift",
    "audit": "audit",
}


def holders(store: Store, artifacts: dict[str, ArtifactRef], table: str, day: str | None) -> list[ArtifactRef]:
    """Artefacts with a table's rows (one a saliency method), of one date or of the campaign.

    Empty for the training tables of a campaign with a given classifier.
    """
    refs = [
        ref
        for role, ref in artifacts.items()
        if role.split()[0] == OWNERS[table] and (day is None or role.split()[-1] == day)
    ]
    return [ref for ref in refs if f"{table}.parquet" in store.open(ref).manifest.files]


@task(task_run_name="publish {campaign}", **always_run())
def publish_results(
    campaign: str, store: str, params: dict[str, Any], artifacts: dict[str, ArtifactRef]
) -> CampaignRecord:
    """Publish every table and the report, then the record that says the run is complete."""
    files = Store(store)
    for spec in TABLES.values():
        for day in params["dates"] if spec.per_date else [None]:
            refs = holders(files, artifacts, spec.name, day)
            if refs:
                publish_table(files, spec, refs, campaign, None if day is None else date.fromisoformat(day))
    report = publish_report(files, artifacts["report"], campaign)
    record = CampaignRecord(
        campaign=campaign, params=params, artifacts=artifacts, report=report.relative_to(files.root).as_posix()
    )
    write_record(files, record)
    return record
