"""Let one flow run do the work of equal runs of its deployment that wait.

A storm of announcements, or a schedule whose worker was away for a day, leaves many runs that would look at the same
things. The first one that begins does their work too and cancels them. Of runs that began together, the earliest does
the work. A run without a deployment has no others.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from prefect import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Cancelled

from flows.running.paging import all_runs
from flows.running.restarts import deployed_run


def waiting_runs(differs: str) -> list[FlowRun]:
    """List the runs like this one that are due and that no worker has taken yet.

    Parameters
    ----------
    differs : parameter that may differ; all others are equal.
    """
    own = deployed_run()
    if own is None:
        return []
    now = FlowRunFilterExpectedStartTime.model_validate({"before_": datetime.now(UTC)})
    return _alike(own, differs, FlowRunFilter(expected_start_time=now), [StateType.SCHEDULED])


def run_that_looked(differs: str) -> FlowRun | None:
    """Return the run with the same parameters that began before this one, but when this one was due already.

    What it did is what this run should do. None if there is no such run, or if it failed.

    Parameters
    ----------
    differs : parameter that both runs lack.
    """
    own = deployed_run()
    if own is None or own.expected_start_time is None or own.start_time is None:
        return None
    since = FlowRunFilter(start_time=FlowRunFilterStartTime.model_validate({"after_": own.expected_start_time}))
    found = _alike(own, differs, since, [StateType.RUNNING, StateType.COMPLETED])
    earlier = [
        run
        for run in found
        if run.parameters.get(differs) is None
        and run.start_time is not None
        and (run.start_time, str(run.id)) < (own.start_time, str(own.id))
    ]
    return min(earlier, key=lambda run: str(run.start_time), default=None)


def cancel_covered(runs: Iterable[FlowRun]) -> None:
    """Cancel waiting runs whose work this run does."""
    own = deployed_run()
    if own is not None:
        with get_client(sync_client=True) as client:
            for run in runs:
                client.set_flow_run_state(run.id, done_by(own))


def done_by(run: FlowRun) -> State[Any]:
    """Return the last state of a run whose work another run does."""
    return Cancelled(message=f"its work is done by {run.name} ({run.id})")


def _alike(own: FlowRun, differs: str, wanted: FlowRunFilter, states: list[StateType]) -> list[FlowRun]:
    """Read the other runs of a run's deployment that match a filter and have the same parameters but one."""
    assert own.deployment_id is not None
    deployment = FlowRunFilterDeploymentId(any_=[own.deployment_id])
    of_type = FlowRunFilterState(type=FlowRunFilterStateType(any_=states))
    wanted = wanted.model_copy(update={"deployment_id": deployment, "state": of_type})
    with get_client(sync_client=True) as client:
        found = all_runs(client, wanted)
    same = _others(own, differs)
    return [run for run in found if run.id != own.id and _others(run, differs) == same]


def _others(run: FlowRun, differs: str) -> dict[str, Any]:
    return {name: value for name, value in run.parameters.items() if name != differs}
