"""Searches that pile up: a storm of announcements, and a schedule whose worker was away for a day."""

from collections import Counter
from collections.abc import Generator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun
from prefect.flow_engine import run_flow
from prefect.states import Pending

from deployments.watch import DISCOVER, unwatch, watch
from flows.discover import discover_acquisitions
from storage.artifacts import ArtifactRef, Store
from storage.records.campaigns import CampaignRecord, write_record
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.source import SyntheticSource
from tests.support.campaigns import DATES, RESNET18, small_campaign
from tests.support.season_fields import AT_ONCE, NEW, TINY

ANNOUNCED = (date(2022, 9, 10), date(2022, 9, 11), date(2022, 9, 12))
DAY, EVERY = timedelta(days=1), timedelta(minutes=15)


@pytest.fixture
def client() -> Generator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def deployment(client: SyncPrefectClient, deployed: None, tmp_path: Path) -> Generator[UUID]:
    """The deployment that searches, of two campaigns that have one new date, and whose pool has no worker."""
    source = SyntheticSource(season=SeasonParams(dates=(*DATES[:1], NEW, *DATES[1:]), **TINY))
    for name in ("field", "other"):
        params = small_campaign(name, source=source, train=RESNET18).model_dump(mode="json")
        learned = {"classifier": ArtifactRef(kind="classifier", digest=name)}
        write_record(Store(tmp_path), CampaignRecord(campaign=name, params=params, artifacts=learned, report="none"))
    flow, name = DISCOVER.split("/")
    parameters = {"store": str(tmp_path), "arrival": AT_ONCE.model_dump(mode="json")}
    made = client.create_deployment(client.create_flow_from_name(flow), name, parameters=parameters)
    yield made
    client.delete_deployment(made)


def runs_of(client: SyncPrefectClient, deployment: UUID) -> list[FlowRun]:
    only = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment]))
    return client.read_flow_runs(flow_run_filter=only, limit=200)


def asked(client: SyncPrefectClient, deployment: UUID, **parameters: Any) -> FlowRun:
    return client.create_flow_run_from_deployment(deployment, parameters=parameters)


def begin(client: SyncPrefectClient, run: FlowRun) -> FlowRun:
    """Run it as a worker's process does, and return it as it is afterwards."""
    run = client.read_flow_run(run.id)
    run_flow(discover_acquisitions, flow_run=run, parameters=run.parameters, return_type="state")
    return client.read_flow_run(run.id)


def scored_dates(client: SyncPrefectClient) -> Counter[str]:
    """Dates that a run was sent for, of the campaign of this test."""
    found = client.read_flow_runs(limit=200)
    return Counter(run.parameters["date"] for run in found if run.name.startswith("score field "))


def test_a_day_of_late_searches_and_a_storm_of_announcements_are_one_run(
    client: SyncPrefectClient, deployment: UUID
) -> None:
    watch(client, "field", minutes=EVERY.total_seconds() / 60)
    # What Prefect's scheduler plans in the day on which no worker is there.
    now = datetime.now(UTC)
    span = {"start_time": (now - DAY).isoformat(), "end_time": (now + 2 * EVERY).isoformat(), "min_runs": 98}
    client.request("POST", "/deployments/{id}/schedule", path_params={"id": deployment}, json=span)
    assert len(runs_of(client, deployment)) >= DAY / EVERY
    for _ in range(10):
        for day in ANNOUNCED:
            asked(client, deployment, campaign="field", date=day.isoformat())
    foreign = [asked(client, deployment, campaign="other"), asked(client, deployment, campaign="field", date="soon")]
    planned = [run for run in runs_of(client, deployment) if run.auto_scheduled]
    later = {run.id for run in planned if run.expected_start_time and run.expected_start_time > now}
    first = min(planned, key=lambda run: str(run.expected_start_time))
    assert begin(client, first).state_name == "Completed"

    states = {run.id: run.state_name for run in runs_of(client, deployment)}
    assert states.pop(first.id) == "Completed"
    assert [states.pop(run.id) for run in foreign] == ["Scheduled", "Scheduled"]
    assert {states.pop(run) for run in later} == {"Scheduled"}  # the schedule goes on
    assert set(states.values()) == {"Cancelled"} and len(states) >= 95 + 30
    assert scored_dates(client) == {str(day): 1 for day in (NEW, *ANNOUNCED)}
    unwatch(client, "field")


def test_an_announcement_leaves_searches_for_all_dates_to_themselves(
    client: SyncPrefectClient, deployment: UUID
) -> None:
    first, second = (asked(client, deployment, campaign="field", date=str(day)) for day in ANNOUNCED[:2])
    search = asked(client, deployment, campaign="field")
    assert begin(client, first).state_name == "Completed"
    assert client.read_flow_run(second.id).state_name == "Cancelled"
    assert str(first.id) in (client.read_flow_run(second.id).state or first).message  # type: ignore[union-attr]
    assert client.read_flow_run(search.id).state_name == "Scheduled"
    assert begin(client, search).state_name == "Completed"


def test_a_search_that_began_while_another_was_due_did_its_work(client: SyncPrefectClient, deployment: UUID) -> None:
    early, late = asked(client, deployment, campaign="field"), asked(client, deployment, campaign="field")
    for run in (early, late):  # a worker took both, so none of them is waiting
        client.set_flow_run_state(run.id, Pending())
    assert begin(client, early).state_name == "Completed"
    assert begin(client, late).state_name == "Cancelled"
    assert begin(client, asked(client, deployment, campaign="field")).state_name == "Completed"  # it was due afterwards
