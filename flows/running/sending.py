"""Flow runs of other deployments: sent for once, waited for, followed by another when their work is wanted again.

A key names what a run does: words for people, then a digest. The server makes one run for a key however often, and from
wherever, it is sent for. A run that has ended keeps its parameters and its count of restarts, so a new one follows it,
under the key's next number; who sends at the same time counts alike, and gets the same run.
"""

import time
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from prefect import get_client, task
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled
from prefect.tasks import Task

from flows.running.errors import RunFailedError
from flows.running.restarts import MAX_RUNS, is_begun_again

POLL_SECONDS = 2
# Before a crashed run is followed by another: what kills at once should not kill ten times in a second. A crash that is
# reported twice, by its runner and later by its worker, does no harm: both reports are about the run that crashed.
AFTER_CRASH_SECONDS = 10
MAX_CRASHES = 10
# The server's automations begin a crashed run again within a minute, and the sweep, which does what they miss, within
# four. One that lies longer has nobody who does.
FORSAKEN_SECONDS = 900
NUMBERS_AT_ONCE = 50


def is_deployed(deployment: str) -> bool:
    """Whether the server of this run has a deployment, `<flow>/<deployment>`."""
    with get_client(sync_client=True) as client:
        try:
            client.read_deployment_by_name(deployment)
        except ObjectNotFound:
            return False
    return True


def numbered(key: str, number: int) -> str:
    """The key of the run of this number, from 1, among those that were sent for with one key."""
    return key if number == 1 else f"{key} {number}"


def find_runs(key: str) -> dict[int, FlowRun]:
    """The flow runs that were sent for with this key, by number; a person may have deleted some."""
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
    """Whether a run has ended and nobody will begin it again.

    Parameters
    ----------
    begins_again : the server's automations begin runs of its deployment again that crashed or lost the server.
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
    campaign: str,
    *,
    begins_again: bool = True,
    after_failure: bool = True,
) -> FlowRun:
    """Send for a deployment's run, once for a key, and return it as it is now.

    After a run that is over a new one is made: who sends for it has looked for what it leaves, in vain. One that
    crashed is not over while automations may begin it again; a new one would be a second process beside it.

    Parameters
    ----------
    campaign : becomes a tag of the run.
    begins_again : as in `is_over`.
    after_failure : make a new run also after one that failed, was cancelled, or crashed for good.
    """
    runs = find_runs(key)
    number = max(runs, default=0)
    if latest := runs.get(number):
        is_complete = latest.state is not None and latest.state.is_completed()
        if not is_over(latest, begins_again) or not (is_complete or after_failure):
            return latest
        if begins_again:
            give_up(latest)
    return run_deployment(  # type: ignore[no-any-return]
        deployment,
        parameters=parameters,
        idempotency_key=numbered(key, number + 1),
        flow_run_name=key.rpartition(" ")[0],  # until it begins, and has a name of its own
        tags=[campaign],
        timeout=0,
    )


def give_up(run: FlowRun) -> None:
    """Cancel a run that may be begun again, so that nobody does when another has taken its place."""
    if run.state is not None and is_begun_again(run.state):
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run.id, Cancelled(message="another run takes its place"))


def await_end(run: FlowRun, begins_again: bool) -> FlowRun:
    """Wait until a run is over; returns it as it is then."""
    with get_client(sync_client=True) as client:
        while not is_over(run, begins_again):
            time.sleep(POLL_SECONDS)
            run = client.read_flow_run(run.id)
    return run


def retry_after_crash(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Send again after a run that was killed; one that failed would fail again."""
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
    campaign: str, store: str, deployment: str, parameters: dict[str, Any], key: str, begins_again: bool = True
) -> str:
    """Have a deployment's run done by a worker of its pool, wait for its end and return its id.

    Parameters
    ----------
    begins_again : as in `is_over`. Where not, this task sends for another run after a crash.

    Raises
    ------
    RunFailedError : it failed or was cancelled, or crashed too often.
    """
    run = await_end(send(deployment, parameters, key, campaign, begins_again=begins_again), begins_again)
    state = run.state
    if state is None or not state.is_completed():
        said = "without a state" if state is None else f"as {state.name}: {state.message}"
        is_crash = state is not None and state.is_crashed() and run.run_count < MAX_RUNS
        raise RunFailedError(f"flow run {run.name} ({run.id}) ended {said}", is_crash, str(run.id))
    return str(run.id)
