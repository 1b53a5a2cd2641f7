"""Put off a flow run that a passing fault stops: the same run begins again later, after longer and longer pauses.

The run becomes `AwaitingRetry` with the time of its next start and leaves its process. So it fails neither for a while
nor with a notice, and finished tasks are cached. After its last start, or where a person is needed, it fails.
"""

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import NoReturn, ParamSpec, TypeVar
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import Pause
from prefect.states import AwaitingRetry

from flows.running.restarts import FIRST_PAUSE, MAX_RUNS, deployed_run
from storage.artifacts import Store
from storage.errors import ArtifactError
from storage.places.faults import is_away, is_passing

PUT_OFF = "put off by a fault that may pass: "  # beginning of the message of a run that waits for its next start
P = ParamSpec("P")
R = TypeVar("R")


def put_off_by_faults(function: Callable[P, R]) -> Callable[P, R]:
    """Let a flow's function, whose parameter `store` is an address, put off its run when a passing fault ends it.

    Only runs of deployments are put off, because a worker takes them again. Other runs raise the error.
    """
    parameters = inspect.signature(function)

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            store = parameters.bind(*args, **kwargs).arguments["store"]
            flow_run = deployed_run()
            if flow_run is None or flow_run.run_count >= MAX_RUNS or not may_pass(error, Store(store)):
                raise
            put_off(flow_run, error)

    return run


def may_pass(error: Exception, store: Store) -> bool:
    """Return whether an error may pass, or an artefact is missing because the store is away."""
    is_lost = isinstance(error, ArtifactError) and isinstance(store.root, Path) and is_lost_folder(store.root)
    return is_lost or is_passing(error)


def is_lost_folder(folder: Path) -> bool:
    """Return whether a folder is away or does not answer."""
    try:
        return is_away(folder)
    except OSError:
        return True


def put_off(flow_run: FlowRun, error: Exception) -> NoReturn:
    """Schedule the next start of the present flow run, and leave it."""
    at = datetime.now(UTC) + FIRST_PAUSE * 2 ** (flow_run.run_count - 1)
    found = str(error).strip() or type(error).__name__
    said = f"{PUT_OFF}{found}\nstart {flow_run.run_count + 1} of at most {MAX_RUNS} at {at:%Y-%m-%d %H:%M} UTC"
    raise Pause(state=begin_at(flow_run.id, at, said))


def begin_at(flow_run: UUID, at: datetime, message: str) -> State[object]:
    """Schedule a flow run again at some time, and return its new state."""
    state = AwaitingRetry(scheduled_time=at, message=message)
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run, state, force=True)
    return state


def is_put_off(state: State[object] | None) -> bool:
    """Return whether a flow run waits for its next start after a passing fault."""
    return state is not None and state.is_scheduled() and (state.message or "").startswith(PUT_OFF)
