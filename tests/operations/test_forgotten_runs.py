"""Runs that nobody cares for any more, because the events about them were lost with a server."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from prefect.client.schemas.objects import State
from prefect.states import Completed, Crashed, Failed, Pending, Running, Submitting

from deployments.automations import UNANSWERED
from deployments.runs import unended, wrecked
from deployments.sweep import LOST_FOR, overdue, sweep
from flows.running.restarts import MAX_RUNS
from tests.support.service import Service

PATIENCE = timedelta(seconds=90)
LOST = "Flow run encountered an exception: ConnectError: All connection attempts failed"


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
        ("score-acquisition", Failed(message=LOST), 1, 1.9, None),
        ("score-acquisition", Failed(message=LOST), 1, 2.1, "AwaitingRetry"),
        ("score-acquisition", Failed(message=LOST), MAX_RUNS, 1000, None),
        ("fit-and-explain", Failed(message=LOST), 1, 1000, None),
        ("analyse-campaign", Failed(message=UNANSWERED[0]), 1, 2.1, "AwaitingRetry"),
        ("score-acquisition", Failed(message="too many bad files"), 1, 1000, None),
        ("analyse-campaign", Completed(), 1, 1000, None),
    ],
)
def test_what_is_overdue(
    deployment: str, state: State[object], run_count: int, patiences: float, found: str | None
) -> None:
    proposed = overdue(deployment, state, run_count, patiences * PATIENCE, PATIENCE)
    assert (proposed.name if proposed else None) == found


@pytest.fixture
def deployment(service: Service) -> Generator[UUID]:
    """One that no worker takes runs of, and that neither automations nor the service's own sweep know."""
    with service.client() as client:
        flow = client.read_deployment_by_name("discover-acquisitions/discover-acquisitions").flow_id
        made = client.create_deployment(flow, "forgotten")
        yield made
        client.delete_deployment(made)


def test_forgotten_runs_begin_again(service: Service, deployment: UUID) -> None:
    now, deployments = datetime.now(UTC), {"score-acquisition": deployment}
    with service.client() as client:
        runs = [client.create_flow_run_from_deployment(deployment).id for _ in range(5)]
        ends = Failed(message=LOST), Failed(message="too many bad files")
        for run, state in zip(runs, (Submitting(), Running(), Crashed(), *ends), strict=True):
            client.set_flow_run_state(run, state, force=True)

        def swept(patiences: int) -> int:
            found = unended(client, deployments), wrecked(client, deployments, now - LOST_FOR)
            return sum(len(list(sweep(client, several, PATIENCE, now + patiences * PATIENCE))) for several in found)

        def names() -> list[str | None]:
            return [service.flow_run(run).state_name for run in runs]

        assert (swept(0), names()) == (0, ["Submitting", "Running", "Crashed", "Failed", "Failed"])
        again = ["AwaitingRetry"] * 2
        assert (swept(3), names()) == (3, ["Submitting", "Crashed", *again, "Failed"])
        assert (swept(5), names()) == (2, [*again, *again, "Failed"])
        for run in runs:
            client.delete_flow_run(run)
