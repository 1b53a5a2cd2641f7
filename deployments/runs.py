"""Read the flow runs of the service's deployments from the server, page by page."""

from collections.abc import Iterable
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType

PAGE = 200  # flow runs per request


def runs_in(client: SyncPrefectClient, deployments: Iterable[UUID], states: list[StateType]) -> list[FlowRun]:
    """Return all runs of some deployments that are in one of some states."""
    wanted = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=list(deployments)),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states)),
    )
    found: list[FlowRun] = []
    while len(page := client.read_flow_runs(flow_run_filter=wanted, limit=PAGE, offset=len(found))) == PAGE:
        found += page
    return found + page
