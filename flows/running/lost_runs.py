"""Task runs whose worker died, or went on alone: who should have told the server how they ended never will."""

from collections.abc import Iterable
from contextlib import suppress
from uuid import UUID

from distributed import KilledWorker
from prefect import get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed


def show_crashed(task_runs: Iterable[UUID], why: str) -> None:
    """Have the server show task runs as crashed that it believes to be running, or about to."""
    with get_client(sync_client=True) as client:
        for task_run in task_runs:
            with suppress(ObjectNotFound):  # no worker has begun it, and so the server does not know it
                state = client.read_task_run(task_run).state
                if state is None or not state.is_final():
                    client.set_task_run_state(task_run, Crashed(message=why), force=True)


def killer_sentence(error: KilledWorker) -> str:
    """What a person can do about a task whose workers died several times."""
    return (
        f"{error}\nEvery worker that had this task died, so it is not tried again: most often the memory was full "
        "(lower runtime.batch_size, or give workers more)"
    )
