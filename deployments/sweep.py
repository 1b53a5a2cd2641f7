"""`python -m deployments.sweep`: crash recovery for what automations miss.

An automation acts on events, and a server that is killed takes the events of its last second with it. So once a minute
every unfinished run is judged by what the database says. The limits are longer than those of the automations, which are
the rule; what is found here is the exception, and is printed.
"""

import argparse
import os
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.events.filters import EventAnyResourceFilter, EventFilter, EventNameFilter, EventOccurredFilter
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import AwaitingRetry, Crashed

from deployments.automations import FIT, HEARTBEAT, NOTE, RESTARTED
from deployments.setup import deployment_ids, zombie_seconds

EVERY_SECONDS = 60
PAGE = 200
UNFINISHED = [StateType.PENDING, StateType.RUNNING, StateType.CRASHED]


def main() -> None:
    """Sweep until stopped; a server that is away is waited for."""
    argparse.ArgumentParser(prog="python -m deployments.sweep", description=__doc__).parse_args()
    patience = timedelta(seconds=zombie_seconds(os.environ))
    while True:
        time.sleep(EVERY_SECONDS)
        try:
            with get_client(sync_client=True) as client:
                for said in sweep(client, deployment_ids(client), patience, datetime.now(UTC)):
                    print(said, flush=True)
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            print(f"no answer from the server: {error}", flush=True)


def sweep(
    client: SyncPrefectClient, deployments: Mapping[str, UUID], patience: timedelta, now: datetime
) -> Iterator[str]:
    """Set the state of every run that nobody cares for any more; yields what was done.

    Parameters
    ----------
    deployments : ids by name; runs of others are left alone.
    patience : how long a running flow run may be silent before automations call it crashed.
    """
    names = {found: name for name, found in deployments.items()}
    for run in unfinished(client, list(names)):
        if run.state is None or run.deployment_id is None:
            continue
        name = names[run.deployment_id]
        since = last_sign(client, run, run.state) if run.state.is_running() else run.state.timestamp
        found = overdue(name, run.state, run.run_count, now - since, patience)
        if found is not None:
            client.set_flow_run_state(run.id, found)
            yield f"{run.name} ({run.id}): {run.state.name} since {since:%H:%M:%S}, now {found.name}"


def overdue(
    deployment: str, state: State[object], run_count: int, silent: timedelta, patience: timedelta
) -> State[object] | None:
    """The state that a run should be in, where it is silent for too long; None where it is well as it is."""
    why = f"{state.name} for {silent.total_seconds():.0f} s, and no automation has seen it"
    if state.is_pending() and silent > 4 * patience:
        return AwaitingRetry(message=f"begins again: {why}")
    if state.is_running() and silent > 2 * patience:
        return Crashed(message=why)
    is_resumed = deployment not in (NOTE, FIT) and run_count <= len(RESTARTED)
    if state.is_crashed() and is_resumed and silent > 2 * patience:
        return AwaitingRetry(message=f"begins again: {why}")
    return None


def unfinished(client: SyncPrefectClient, deployments: list[UUID]) -> list[FlowRun]:
    """Runs of some deployments that wait for a process, run, or crashed."""
    wanted = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=deployments),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED)),
    )
    found: list[FlowRun] = []
    while len(page := client.read_flow_runs(flow_run_filter=wanted, limit=PAGE, offset=len(found))) == PAGE:
        found += page
    return found + page


def last_sign(client: SyncPrefectClient, run: FlowRun, state: State[object]) -> datetime:
    """When a running flow run last showed that it lives."""
    heartbeats = EventFilter(
        occurred=EventOccurredFilter.model_validate({"since": state.timestamp}),
        event=EventNameFilter(name=[HEARTBEAT]),
        any_resource=EventAnyResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
    )
    found = client.read_events(filter=heartbeats, limit=1).events  # the latest first
    return max([state.timestamp, *(event.occurred for event in found)])


if __name__ == "__main__":
    main()
