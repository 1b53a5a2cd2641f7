"""Report task runs to the server whose worker died or was cut off, and so cannot report how they ended."""

from collections.abc import Iterable
from contextlib import suppress
from uuid import UUID

from distributed import KilledWorker
from prefect import get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed


def show_crashed(task_runs: Iterable[UUID], why: str) -> None:
    """Set task runs to Crashed that the server still shows as running or pending."""
    with get_client(sync_client=True) as client:
        for task_run in task_runs:
            with suppress(ObjectNotFound):  # no worker has started it, so the server does not know it
                state = client.read_task_run(task_run).state
                if state is None or not state.is_final():
                    client.set_task_run_state(task_run, Crashed(message=why), force=True)


def killer_sentence(error: KilledWorker) -> str:
    """Say what a person can do about a task that several workers died of."""
    return (
        f"{error}\nEvery worker that had this task died, so it is not retried. The usual cause is too little memory: "
        "lower runtime.batch_size, or give the workers more memory"
    )
