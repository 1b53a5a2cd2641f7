"""Recover lost runs that the automations miss, and name runs that wait (`python -m deployments.sweep`).

Automations act on events, and a killed server loses the events of its last second. So every unfinished run, and every
run that crashed or failed lately, is checked against the database once a minute. The time limits are longer than those
of the automations, which normally act first. Every run that is recovered here is printed. Runs of schedules,
automations and the UI get names of two random words from Prefect until they begin. So those that wait are named and
tagged here. What was seen is served for Prometheus: see deployments/metrics.py.
"""

import argparse
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.events.filters import EventAnyResourceFilter, EventFilter, EventNameFilter, EventOccurredFilter
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import AwaitingRetry, Crashed

from deployments.automations import FIT, HEARTBEAT, NOTE, RESTARTED, UNANSWERED
from deployments.metrics import Health, serve
from deployments.runs import Runs, unended, wrecked
from deployments.setup import deployment_ids, work_queues, zombie_seconds
from flows.running.labels import label_run
from flows.running.restarts import is_begun_again
from storage.artifacts import Store

EVERY_SECONDS = 60  # pause between two sweeps
LOST_FOR = timedelta(days=7)  # time since their end in which runs that crashed or failed are checked


def main() -> None:
    """Sweep until stopped; wait while the server is unreachable."""
    argparse.ArgumentParser(prog="python -m deployments.sweep", description=__doc__).parse_args()
    patience = timedelta(seconds=zombie_seconds(os.environ))
    health = Health(Store(os.environ["HARVEST_STORE"]), work_queues())
    serve(health, int(os.environ["HARVEST_METRICS_PORT"]))
    while True:
        try:
            with get_client(sync_client=True) as client:
                deployments, now = deployment_ids(client), datetime.now(UTC)
                runs = unended(client, deployments)
                for several in (runs, wrecked(client, deployments, now - LOST_FOR)):
                    for said in sweep(client, several, patience, now):
                        print(said, flush=True)
                health.look(client, runs, now)  # after it, because a store may be slow to answer
                label_waiting(client, runs)
        except ObjectNotFound:
            print("the server is not set up yet", flush=True)
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            print(f"no answer from the server: {error}", flush=True)
        time.sleep(EVERY_SECONDS)


def label_waiting(client: SyncPrefectClient, runs: Runs) -> None:
    """Name and tag the flow runs that have not begun, by deployment."""
    for deployment, several in runs.items():
        for run in several:
            if run.start_time is None:
                label_run(client, run, deployment)


def sweep(client: SyncPrefectClient, runs: Runs, patience: timedelta, now: datetime) -> Iterator[str]:
    """Set the state of every run that was abandoned; yield one line of text per run.

    Parameters
    ----------
    runs : flow runs that may be abandoned, as they were read just now.
    patience : how long a running flow run may be silent before automations count it as crashed.
    now : current time.
    """
    for name, run in ((name, run) for name, several in runs.items() for run in several):
        if run.state is None:
            continue
        since = last_sign(client, run, run.state) if run.state.is_running() else run.state.timestamp
        found = overdue(name, run.state, run.run_count, now - since, patience)
        if found is not None:
            client.set_flow_run_state(run.id, found)
            yield f"{run.name} ({run.id}): {run.state.name} since {since:%H:%M:%S}, now {found.name}"


def overdue(
    deployment: str, state: State[object], run_count: int, silent: timedelta, patience: timedelta
) -> State[object] | None:
    """Return the state that a run should get if it was silent for too long, else None."""
    why = f"{state.name} for {silent.total_seconds():.0f} s, and no automation has seen it"
    if state.is_pending() and silent > 4 * patience:
        return AwaitingRetry(message=f"begins again: {why}")
    if state.is_running() and silent > 2 * patience:
        return Crashed(message=why)
    is_resumed = deployment not in (NOTE, FIT) and run_count <= len(RESTARTED)
    is_lost = is_begun_again(state) or (state.is_failed() and state.message in UNANSWERED)
    if is_lost and is_resumed and silent > 2 * patience:
        return AwaitingRetry(message=f"begins again: {why}")
    return None


def last_sign(client: SyncPrefectClient, run: FlowRun, state: State[object]) -> datetime:
    """Return when a running flow run last sent a heartbeat or changed its state."""
    heartbeats = EventFilter(
        occurred=EventOccurredFilter.model_validate({"since": state.timestamp}),
        event=EventNameFilter(name=[HEARTBEAT]),
        any_resource=EventAnyResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
    )
    found = client.read_events(filter=heartbeats, limit=1).events  # the latest first
    return max([state.timestamp, *(event.occurred for event in found)])


if __name__ == "__main__":
    main()
