"""How often a flow run may begin anew."""

from prefect.runtime import flow_run

from storage.errors import InputError

MAX_RUNS = 10  # a host that is restarted often needs some; what crashes by itself would crash for ever


def refuse_endless_restarts() -> None:
    """Stop a flow run that is scheduled again and again after crashes, before it begins anew.

    Raises
    ------
    InputError : more runs of this flow run than `MAX_RUNS`; a FAILED run is not scheduled again by itself.
    """
    n_runs = flow_run.run_count
    if n_runs > MAX_RUNS:
        raise InputError(
            f"A flow run begins at most {MAX_RUNS} times",
            f"this is its run {n_runs}, and none came to an end",
            "look for what kills it (memory, disk, the host) in the worker's log, then start a new flow run",
        )
