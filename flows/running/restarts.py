"""Decide which flow runs are restarted after they have ended, and how often."""

from datetime import timedelta
from typing import Any

from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.runtime import flow_run

from storage.errors import InputError

# Most starts of one flow run. Restarts of a host need a few; a run that crashes by itself would never stop.
MAX_RUNS = 10
FIRST_PAUSE = timedelta(minutes=2)  # before the second start after a passing fault; doubled before each further one
PATIENCE = FIRST_PAUSE * (2 ** (MAX_RUNS - 1) - 1)  # from the first to the last start: 17 hours
# Parts of the message of a run that failed because the server was away. A new Prefect client does not retry, so the run
# itself is restarted.
LOST_SERVER = tuple(
    f"encountered an exception: {error}"
    for error in (
        "ConnectError",
        "ConnectTimeout",
        "PoolTimeout",
        "ReadError",
        "ReadTimeout",
        "RemoteProtocolError",
        "WriteError",
        "PrefectHTTPStatusError: Server error '5",
    )
)


def is_begun_again(state: State[Any]) -> bool:
    """Tell whether the automations of `deployments/automations.py` restart a run that has ended in this state."""
    return state.is_crashed() or (state.is_failed() and any(said in (state.message or "") for said in LOST_SERVER))


def deployed_run() -> FlowRun | None:
    """Return the present flow run; None if no deployment made it."""
    context = FlowRunContext.get()
    run = None if context is None else context.flow_run
    return run if run is not None and run.deployment_id is not None else None


def refuse_endless_restarts() -> None:
    """Stop a flow run that is restarted again and again after crashes.

    Raises
    ------
    InputError : the flow run was started more than `MAX_RUNS` times. The run then fails, and failed runs are not
        restarted.
    """
    n_runs = flow_run.run_count
    if n_runs > MAX_RUNS:
        raise InputError(
            f"This is start {n_runs} of one flow run, and every start before it crashed or met a fault",
            f"A flow run is started at most {MAX_RUNS} times",
            "find what kills it (memory, disk, the host) in the worker's log, then start a new flow run",
        )
