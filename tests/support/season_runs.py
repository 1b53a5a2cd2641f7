"""Scored dates, and what the server and the tables know of them."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.client.schemas.sorting import FlowRunSort

from flows.acquisition import n_tasks, score_acquisition
from flows.parameters import CampaignParams
from flows.report.backgrounds import has_backgrounds
from storage.artifacts import Store
from storage.published.earlier import TABLE_FILE
from storage.published.publish import partition
from storage.records.acquisitions import AcquisitionRecord, find_acquisition
from storage.records.campaigns import CampaignRecord, write_record
from storage.tables import CHECKS, TABLES
from storage.tables.parquet import read_table
from tasks.publish.publish import holders
from tests.support.campaigns import task_runs
from tests.support.local_stores import local
from tests.support.season_fields import AT_ONCE, NEW

PER_DATE = [spec for spec in TABLES.values() if spec.per_date and spec is not CHECKS]  # which people write


@dataclass(frozen=True)
class Scored:
    """A scored date, its task runs, and the published tables before and after."""

    record: AcquisitionRecord
    tasks: dict[str, TaskRun]
    before: dict[str, bytes]
    after: dict[str, bytes]

    def named(self, state: str) -> set[str]:
        """Names of the task runs in a state."""
        return {name for name, run in self.tasks.items() if run.state_name == state}


def table_bytes(store: Path) -> dict[str, bytes]:
    return {str(p.relative_to(store)): p.read_bytes() for p in sorted((store / "tables").rglob("*.parquet"))}


def flow_runs(name: str) -> list[FlowRun]:
    """Flow runs whose name begins so, the oldest first."""
    alike = FlowRunFilter(name=FlowRunFilterName(like_=name))
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(flow_run_filter=alike, sort=FlowRunSort.START_TIME_ASC, limit=200)
    return [run for run in found if run.name.startswith(name)]


@contextmanager
def one_slot_of(limit: str) -> Generator[None]:
    """A server that lets one at a time have what a limit counts."""
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(limit, 1)
        yield
        client.delete_global_concurrency_limit_by_name(limit)


def score(store: Path) -> Scored:
    """Score a date of `small`, and read back what the server knows of it."""
    before, n_before = table_bytes(store), len(flow_runs(f"score small {NEW}"))
    record = score_acquisition("small", NEW, str(store), arrival=AT_ONCE)
    *_, last = runs = flow_runs(f"score small {NEW}")
    assert len(runs) == n_before + 1
    params, n_renewing = CampaignParams.model_validate(record.params), 2  # the report is written and published
    tasks = task_runs(last.id, n_tasks(params) + has_backgrounds(params) + n_renewing)
    return Scored(record, {run.name: run for run in tasks}, before, table_bytes(store))


def artifacts_of(flow_run_id: UUID) -> dict[str, Any]:
    """Content of what a flow run shows, by key."""
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
    with get_client(sync_client=True) as client:
        return {made.key: made.data for made in client.read_artifacts(artifact_filter=of_run) if made.key}


def file_of(store: Path, table: str, campaign: str = "small", day: date = NEW) -> Path:
    """The published file with a date's rows, by the fit that scored it last."""
    return local(partition(Store(store), TABLES[table], campaign, day) / TABLE_FILE)


def rows(store: Path, table: str, fit: str, campaign: str = "small", day: date = NEW) -> dict[str, list[Any]]:
    """Rows of a date by one fit, from its artefacts, which stay when another fit replaces what is published."""
    opened = Store(store)
    record = find_acquisition(opened, campaign, day, fit)
    assert record is not None
    parts = [read_table(opened.open(ref), TABLES[table]) for ref in holders(opened, record.artifacts, table, str(day))]
    return {name: [value for part in parts for value in part[name]] for name in parts[0]}


def params_of(record: CampaignRecord | AcquisitionRecord) -> CampaignParams:
    return CampaignParams.model_validate(record.params)


def copy_of(fitted: CampaignRecord, store: Path, name: str, **params: Any) -> CampaignRecord:
    """A campaign with the same artefacts, and other parameters, under another name."""
    record = fitted.model_copy(update={"campaign": name, "params": {**fitted.params, "campaign": name, **params}})
    write_record(Store(store), record)
    return record
