"""Runs that nobody cares for any more, because the events about them were lost with a server."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.objects import State
from prefect.states import Completed, Crashed, Pending, Running, Submitting

from deployments.setup import deployment_ids
from deployments.sweep import overdue, sweep
from flows.restarts import MAX_RUNS
from tests.operations.service import Service

PATIENCE = timedelta(seconds=90)


@pytest.mark.parametrize(
    ("deployment", "state", "run_count", "patiences", "found"),
    [
        ("score-acquisition", Pending(), 0, 3.9, None),
        ("score-acquisition", Pending(), 0, 4.1, "AwaitingRetry"),
        ("fit-and-explain", Submitting(), 3, 4.1, "AwaitingRetry"),
        ("score-acquisition", Running(), 1, 1.9, None),
        ("fit-and-explain", Running(), 1, 2.1, "Crashed"),
        ("score-acquisition", Crashed(), 0, 1.9, None),
        ("score-acquisition", Crashed(), 0, 2.1, "AwaitingRetry"),
        ("analyse-campaign", Crashed(), MAX_RUNS - 1, 2.1, "AwaitingRetry"),
        ("analyse-campaign", Crashed(), MAX_RUNS, 1000, None),
        ("fit-and-explain", Crashed(), 1, 1000, None),  # who sent for it sends again
        ("note-failure", Crashed(), 1, 1000, None),
        ("analyse-campaign", Completed(), 1, 1000, None),
    ],
)
def test_what_is_overdue(
    deployment: str, state: State[object], run_count: int, patiences: float, found: str | None
) -> None:
    proposed = overdue(deployment, state, run_count, patiences * PATIENCE, PATIENCE)
    assert (proposed.name if proposed else None) == found


@pytest.fixture
def forgotten(service: Service) -> Generator[list[UUID]]:
    """Three runs that no worker takes and no automation sees."""
    with service.client() as client:
        client.update_work_pool("cpu", WorkPoolUpdate(is_paused=True))
        automations = client.read_automations()
        for automation in automations:
            client.pause_automation(automation.id)
        runs = [service.run("discover-acquisitions", campaign="nowhere") for _ in range(3)]
        for run, state in zip(runs, (Submitting(), Running(), Crashed()), strict=True):
            client.set_flow_run_state(run, state, force=True)
        yield runs
        for run in runs:
            client.delete_flow_run(run)
        for automation in automations:
            client.resume_automation(automation.id)
        client.update_work_pool("cpu", WorkPoolUpdate(is_paused=False))


def test_forgotten_runs_begin_again(service: Service, forgotten: list[UUID]) -> None:
    def names() -> list[str | None]:
        return [service.flow_run(run).state_name for run in forgotten]

    now = datetime.now(UTC)
    with service.client() as client:
        deployments = deployment_ids(client)
        assert list(sweep(client, deployments, PATIENCE, now)) == []
        assert len(list(sweep(client, deployments, PATIENCE, now + 3 * PATIENCE))) == 2
        assert names() == ["Submitting", "Crashed", "AwaitingRetry"]
        assert len(list(sweep(client, deployments, PATIENCE, now + 5 * PATIENCE))) == 2
        assert names() == ["AwaitingRetry"] * 3
