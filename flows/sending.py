"""Flow runs of other deployments: sent for once, waited for, taken up again.

A key names what a run does: words for people, then a digest. The server makes one run for a key however often, and from
wherever, it is sent for.
"""

from typing import Any

from prefect import get_client, task
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Scheduled
from prefect.tasks import Task

from flows.errors import RunFailedError

POLL_SECONDS = 2
# The server's automation schedules a crashed run again within seconds; only after that the waiting task does.
AFTER_CRASH_SECONDS = 10
MAX_CRASHES = 10


def is_deployed(deployment: str) -> bool:
    """Whether the server of this run has a deployment, `<flow>/<deployment>`."""
    with get_client(sync_client=True) as client:
        try:
            client.read_deployment_by_name(deployment)
        except ObjectNotFound:
            return False
    return True


def find_run(key: str) -> FlowRun | None:
    """The flow run that was sent for with this key."""
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[key])), limit=1
        )
    return found[0] if found else None


def send(
    deployment: str, parameters: dict[str, Any], key: str, *, timeout: float | None = 0, after_failure: bool = True
) -> FlowRun:
    """Send for a deployment's run, once for a key.

    A run that came to its end is scheduled once more: who sends for it has looked for what it leaves, in vain.

    Parameters
    ----------
    timeout : seconds to wait for its end; None waits for ever, 0 not at all.
    after_failure : schedule also a run that failed, crashed or was cancelled. Crashed ones begin again by the server's
        automations; a schedule that did so too could begin a second process beside the first.
    """
    earlier = find_run(key)
    if earlier and earlier.state and earlier.state.is_final():
        if not (after_failure or earlier.state.is_completed()):
            return earlier
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(earlier.id, Scheduled(message="its results are needed again"), force=True)
    return run_deployment(  # type: ignore[no-any-return]
        deployment,
        parameters=parameters,
        idempotency_key=key,
        flow_run_name=key.rpartition(" ")[0],  # until it begins, and has a name of its own
        timeout=timeout,
        poll_interval=POLL_SECONDS,
        as_subflow=earlier is None,  # a run has one place in the graph
    )


def retry_after_crash(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Wait again for a run that was killed; one that failed would fail again."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, RunFailedError) and error.is_crash


@task(
    task_run_name="send {key}",
    retries=MAX_CRASHES,
    retry_delay_seconds=AFTER_CRASH_SECONDS,
    retry_condition_fn=retry_after_crash,
    persist_result=False,
)
def run_elsewhere(campaign: str, store: str, deployment: str, parameters: dict[str, Any], key: str) -> str:
    """Have a deployment's run done by a worker of its pool, wait for its end and return its id.

    Raises
    ------
    RunFailedError : it failed or was cancelled, or crashed more often than `MAX_CRASHES`.
    """
    run = send(deployment, parameters, key, timeout=None)
    state = run.state
    if state is None or not state.is_completed():
        said = "without a state" if state is None else f"as {state.name}: {state.message}"
        is_crash = state is not None and state.is_crashed()
        raise RunFailedError(f"flow run {run.name} ({run.id}) ended {said}", is_crash)
    return str(run.id)
