"""Which flow runs begin anew after they have ended, and how often."""

from typing import Any

from prefect.client.schemas.objects import State
from prefect.runtime import flow_run

from storage.errors import InputError

MAX_RUNS = 10  # a host that is restarted often needs some; what crashes by itself would crash for ever
# What a run says at its end that could not reach the server, which is no fault of its own. A new client does not try
# again.
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
    """Whether the automations of `deployments/automations.py` begin a run again that has ended in this state."""
    return state.is_crashed() or (state.is_failed() and any(said in (state.message or "") for said in LOST_SERVER))


def refuse_endless_restarts() -> None:
    """Stop a flow run that is scheduled again and again after crashes, before it begins anew.

    Raises
    ------
    InputError : more runs of this flow run than `MAX_RUNS`; a FAILED run is not scheduled again by itself.
    """
    n_runs = flow_run.run_count
    if n_runs > MAX_RUNS:
        raise InputError(
            f"this is its run {n_runs}, and none came to an end",
            f"A flow run begins at most {MAX_RUNS} times",
            "look for what kills it (memory, disk, the host) in the worker's log, then start a new flow run",
        )
