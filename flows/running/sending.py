"""Submit flow runs of other deployments once, wait for them, and submit new ones when their work is needed again.

An idempotency key names the work of a run: words for people, then a digest. The server makes one run for each key,
however often and from wherever it is submitted. A run that has ended keeps its parameters and its count of restarts.
So work that is needed again gets a new run, under the key's next number. Callers at the same moment find the same
number, and so get the same run.
"""

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from prefect import get_client, task
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.client.schemas.responses import SetStateStatus
from prefect.deployments import run_deployment
from prefect.exceptions import Abort, ObjectNotFound, Pause
from prefect.flow_engine import run_flow
from prefect.flows import Flow
from prefect.states import Cancelled, Pending
from prefect.tasks import Task

from flows.running.errors import RunFailedError
from flows.running.faults import begin_at, is_put_off
from flows.running.names import name_of, subject_of
from flows.running.restarts import MAX_RUNS, is_begun_again

POLL_SECONDS = 2  # between looks at the state of an awaited run
# Delay before a crashed run is followed by another, so that a run that is killed at once is not started ten times in a
# second. The runner and later the worker may report the same crash; this does no harm, as both name the crashed run.
AFTER_CRASH_SECONDS = 10
MAX_CRASHES = 10  # most runs that are submitted anew after crashes
# Age after which a crashed run counts as abandoned. The server's automations restart a run within a minute, and the
# sweep, which handles what they miss, within four.
FORSAKEN_SECONDS = 900
NUMBERS_AT_ONCE = 50  # numbered keys that are looked up in one request


def is_deployed(deployment: str) -> bool:
    """Tell whether this run's Prefect server has a deployment, named `<flow>/<deployment>`."""
    with get_client(sync_client=True) as client:
        try:
            client.read_deployment_by_name(deployment)
        except ObjectNotFound:
            return False
    return True


def numbered(key: str, number: int) -> str:
    """Return the idempotency key of the run with this number, from 1, among those submitted under one key."""
    return key if number == 1 else f"{key} {number}"


def find_runs(key: str) -> dict[int, FlowRun]:
    """Find the flow runs that were submitted under a key, by number; numbers of deleted runs are missing."""
    found: dict[int, FlowRun] = {}
    with get_client(sync_client=True) as client:
        for first in count(1, NUMBERS_AT_ONCE):
            numbers = {numbered(key, number): number for number in range(first, first + NUMBERS_AT_ONCE)}
            wanted = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=list(numbers)))
            runs = client.read_flow_runs(flow_run_filter=wanted, limit=NUMBERS_AT_ONCE)
            if not runs:
                break
            found |= {numbers[run.idempotency_key]: run for run in runs if run.idempotency_key}
    return found


def is_over(run: FlowRun, begins_again: bool) -> bool:
    """Tell whether a run has ended and will not be restarted.

    Parameters
    ----------
    begins_again : whether the server's automations restart runs of its deployment that crashed or lost the server.
    """
    state = run.state
    if state is None or not state.is_final():
        return False
    if not (is_begun_again(state) and begins_again):
        return True
    is_forsaken = datetime.now(UTC) - state.timestamp > timedelta(seconds=FORSAKEN_SECONDS)
    return is_forsaken or run.run_count >= MAX_RUNS


def send(
    deployment: str,
    parameters: dict[str, Any],
    key: str,
    *,
    begins_again: bool = True,
    after_failure: bool = True,
) -> FlowRun:
    """Submit a deployment's run once for a key, and return the run as it is now.

    If the key's latest run is over, a new one is made, because the caller has not found that run's results. A crashed
    run is not over while automations may restart it: a new run would be a second process beside it.

    Parameters
    ----------
    key : words for people, then a space and a digest.
    begins_again : whether automations restart crashed runs of the deployment.
    after_failure : whether a new run follows one that failed, was cancelled, or crashed for good. A run that was put
        off by a fault then begins at once.
    """
    runs = find_runs(key)
    number = max(runs, default=0)
    if latest := runs.get(number):
        if after_failure and is_put_off(latest.state):
            return latest.model_copy(update={"state": begin_at(latest.id, datetime.now(UTC), "asked for again")})
        is_complete = latest.state is not None and latest.state.is_completed()
        if not is_over(latest, begins_again) or not (is_complete or after_failure):
            return latest
        if begins_again:
            give_up(latest)
    flow = deployment.partition("/")[0]
    return run_deployment(  # type: ignore[no-any-return]
        deployment,
        parameters=parameters,
        idempotency_key=numbered(key, number + 1),
        flow_run_name=name_of(flow, parameters),  # as its flow names it when it begins
        tags=sorted(subject_of(parameters).tags),
        timeout=0,
    )


def run_here(flow: Flow[..., Any], deployment: str, parameters: dict[str, Any], key: str) -> None:
    """Submit a deployment's run once for a key, and run it in this process, inside the present run.

    How it ends is told by its own state, and nothing is raised. A run that is put off by a fault begins again on a
    worker. A run that another process has taken, or for which its deployment has no room, is left to the workers.
    """
    run = send(deployment, parameters, key)
    if run.state is None or not run.state.is_scheduled():
        return
    with get_client(sync_client=True) as client:
        if client.set_flow_run_state(run.id, Pending()).status != SetStateStatus.ACCEPT:  # only one process gets it
            return
        run = client.read_flow_run(run.id)
    with suppress(Abort, Pause):
        run_flow(flow, flow_run=run, parameters=run.parameters, return_type="state")


def give_up(run: FlowRun) -> None:
    """Cancel a run that automations may still restart, because another run takes its place."""
    if run.state is not None and is_begun_again(run.state):
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run.id, Cancelled(message="another run takes its place"))


def await_end(run: FlowRun, begins_again: bool) -> FlowRun:
    """Wait until a run is over, and return it as it is then."""
    with get_client(sync_client=True) as client:
        while not is_over(run, begins_again):
            time.sleep(POLL_SECONDS)
            run = client.read_flow_run(run.id)
    return run


def retry_after_crash(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retry after a run that was killed; a run that failed would fail again."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, RunFailedError) and error.is_crash


@task(
    task_run_name="send {key}",
    retries=MAX_CRASHES,
    retry_delay_seconds=AFTER_CRASH_SECONDS,
    retry_condition_fn=retry_after_crash,
    persist_result=False,
)
def run_elsewhere(
    deployment: str, parameters: dict[str, Any], key: str, begins_again: bool = True, after_failure: bool = True
) -> str:
    """Submit a deployment's run to the workers of its pool, wait until it is over, and return its id.

    Parameters
    ----------
    begins_again : whether automations restart crashed runs of the deployment. If not, this task submits another run
        after a crash.
    after_failure : whether a new run follows one that failed (see `send`).

    Raises
    ------
    RunFailedError : the run failed, was cancelled, or crashed too often.
    """
    sent = send(deployment, parameters, key, begins_again=begins_again, after_failure=after_failure)
    run = await_end(sent, begins_again)
    state = run.state
    if state is None or not state.is_completed():
        said = "without a state" if state is None else f"as {state.name}: {state.message}"
        is_crash = state is not None and state.is_crashed() and run.run_count < MAX_RUNS
        raise RunFailedError(f"flow run {run.name} ({run.id}) ended {said}", is_crash, str(run.id))
    return str(run.id)
