"""Run tasks on Dask's workers: processes of this or other machines that predict, explain and score.

Tasks that read sources, train, fit and publish stay in the flow's process. So other machines need not reach the source,
and the classifier is trained where the flow runs. Only references travel to the workers and back. Workers need the
store and the Prefect server, and load the classifier from the store once in each process.

Tasks of a killed worker are started again by other workers under the same task run, without the finished shards.
"""

import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid4

import dask.config
from distributed import KilledWorker
from distributed.client import FutureCancelledError
from prefect import get_run_logger
from prefect.context import serialize_context
from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.tasks import Task
from prefect.utilities.collections import visit_collection
from prefect.utilities.engine import collect_task_run_inputs_sync
from prefect_dask.client import PrefectDaskClient
from prefect_dask.task_runners import DaskTaskRunner, PrefectDaskFuture

from flows.running.dask.lost_runs import killer_sentence, show_crashed
from flows.running.dask.on_workers import run_task
from flows.running.dask.worker_checks import ALLOCATOR, gives_memory_back, send_events, worker_problem
from flows.running.servers import shared_server
from storage.artifacts import ArtifactRef
from storage.errors import InputError
from storage.places.allowed import refuse_other_scheduler
from tasks.parameters import Runtime
from tasks.stage import versions

CONNECT_SECONDS = 10  # timeout of the connection to a scheduler
CHECK_SECONDS = 5  # between checks that the scheduler and any worker are still there
NO_WORKER_SECONDS = 120  # wait for a worker; a service manager or the worker's nanny has started another by then
# Settings of Dask for the run's own processes.
OF_OWN_PROCESSES = {
    f"distributed.nanny.pre-spawn-environ.{ALLOCATOR}": None,  # see `gives_memory_back`
    # Dask looks at every thread's stack 100 times a second, and has each of its event loops wake up 50 times. Nobody
    # sees the result. By default this takes 3 % of a core in each worker and in the run, beside the work.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
}


class LostWorkersError(ConnectionError):
    """Report that the scheduler or all of its workers are gone, so that submitted tasks will never end."""


class WorkerFuture(PrefectDaskFuture[Any]):
    """Future of a task run on a worker, which fetches the final state from the scheduler as soon as it is known.

    A result that is left with the scheduler would be computed again if the worker that holds it died.
    """

    def __init__(self, task_run_id: UUID, wrapped_future: Any, workers: "DaskWorkers") -> None:
        super().__init__(task_run_id, wrapped_future)
        self._workers, self._taking = workers, threading.Lock()

    @property
    def is_known(self) -> bool:
        """Tell whether the final state is known. The worker has then reported it to the server too."""
        return bool(self._final_state) or self._wrapped_future.status == "finished"

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the end of the task; `result` raises the errors of Dask itself."""
        try:
            self._take(timeout)
        except (LostWorkersError, TimeoutError):
            return

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        """Return what the task returned.

        Raises
        ------
        LostWorkersError : the scheduler or all its workers are gone, or several workers died of this task.
        TimeoutError : the task is not finished yet.
        """
        self._take(timeout)
        return super().result(raise_on_failure=raise_on_failure)

    def _take(self, timeout: float | None) -> None:
        end = None if timeout is None else time.monotonic() + timeout
        with self._taking:
            while not self._final_state:
                left = CHECK_SECONDS if end is None else min(CHECK_SECONDS, end - time.monotonic())
                try:
                    self._final_state = self._wrapped_future.result(timeout=max(0, left))
                except TimeoutError:
                    if end is not None and time.monotonic() >= end:
                        raise
                    self._workers.check_alive()
                except FutureCancelledError as error:
                    raise self._workers.lost(str(error)) from error
                except KilledWorker as error:
                    raise LostWorkersError(killer_sentence(error)) from error
                else:
                    self._wrapped_future.release()


class DaskWorkers:
    """Workers of one run: those of a running scheduler, or `runtime.workers` processes of this machine.

    The run connects to a scheduler at once, so that a missing one stops the run before any work is done. Its own
    processes are started with the first task, which may be an hour later.

    Raises
    ------
    InputError : a run of this service may not use the scheduler.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.address = runtime.scheduler
        # Context of the run for its tasks, which all have the same; None until workers were checked.
        self.context: dict[str, Any] | None = None
        if self.address:
            refuse_other_scheduler(self.address)
        self.sent: list[WorkerFuture] = []
        local = {
            "n_workers": runtime.workers,
            "threads_per_worker": 1,
            # Dask's pages get any free port of this host. The default is port 8787, which another run may have.
            "dashboard_address": "127.0.0.1:0",
            "worker_dashboard_address": "127.0.0.1:0",
            # No limit: Dask would kill a worker above its share of the memory, without counting the flow's process.
            "memory_limit": None,
        }
        self.runner: DaskTaskRunner = (
            DaskTaskRunner(address=self.address, client_kwargs={"timeout": CONNECT_SECONDS})
            if self.address
            else DaskTaskRunner(cluster_kwargs=local)
        )
        self._alone_since: float | None = None

    def __enter__(self) -> Self:
        self.runner.__enter__()
        if self.address:
            self.connect()
        else:
            dask.config.set(OF_OWN_PROCESSES)  # in this process, whose nannies pass it on to the workers
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.address and self.context is not None:
            with suppress(Exception):  # must not hide an error of the run itself
                self.client.run(send_events)
        left = [future.task_run_id for future in self.sent if not future.is_known]
        self.runner.__exit__(kind, error, trace)
        if error is not None:
            with suppress(Exception):  # must not hide the run's error
                show_crashed(left, f"the worker died, or the run ended before this task: {error}")

    def connect(self) -> None:
        """Connect to the scheduler that the run was given.

        Raises
        ------
        InputError : the run's Prefect server is one of its own, which the workers cannot reach.
        LostWorkersError : no scheduler answers.
        """
        if not shared_server():
            raise InputError(
                f"runtime.scheduler is {self.address}, but PREFECT_API_URL is not set, so this run's Prefect server is "
                "its own",
                "Workers of a running scheduler report to a Prefect server that they can reach",
                "start a server (prefect server start, or make serve) and set PREFECT_API_URL to an address that all "
                "workers can reach; or remove runtime.scheduler",
            )
        try:
            _ = self.client
        except (OSError, ValueError) as error:
            raise LostWorkersError(
                f"No Dask scheduler answers at runtime.scheduler = {self.address} ({error}): start one with "
                "`dask scheduler` and workers with `dask worker ADDRESS`, or correct the address"
            ) from error

    @property
    def client(self) -> PrefectDaskClient:
        """Return the connection to the scheduler. The first call starts the run's own processes, if it has any."""
        return self.runner.client

    def submit(self, task: Task[..., Any], parameters: dict[str, Any]) -> WorkerFuture:
        """Run a task on a worker.

        This call waits for the task's inputs, because only references to results can travel, not futures.
        """
        dependencies = {name: collect_task_run_inputs_sync(value) for name, value in parameters.items()}
        settled: dict[str, Any] = visit_collection(parameters, visit_fn=settle, return_data=True)
        if self.context is None:
            with temporary_settings({PREFECT_API_URL: server_address()}):
                self.check(settled)
                self.context = serialize_context()
        run_id = uuid4()
        future = self.client.submit(
            run_task,
            key=f"{task.name}-{run_id}",  # else Dask would make one from the content of all arguments
            context=self.context,
            task=task,
            task_run_id=run_id,
            parameters=settled,
            dependencies=dependencies,
        )
        self.sent.append(WorkerFuture(run_id, future, self))
        return self.sent[-1]

    def check(self, parameters: dict[str, Any]) -> None:
        """Check that every worker can do this run's tasks.

        Raises
        ------
        InputError : a worker cannot reach the server or the store, or has other versions than this process.
        LostWorkersError : no worker came within `NO_WORKER_SECONDS`.
        """
        try:
            self.client.wait_for_workers(1, timeout=NO_WORKER_SECONDS)
        except (TimeoutError, OSError) as error:
            raise self.lost("no worker came") from error
        refs = [ref for ref in parameters.values() if isinstance(ref, ArtifactRef)]
        given = (PREFECT_API_URL.value(), parameters["store"], refs[:1], versions())
        found: dict[str, str] = self.client.run(worker_problem, *given)  # type: ignore[assignment]
        problems = [f"{worker}: {problem}" for worker, problem in found.items() if problem]
        if problems:
            raise InputError(
                "\n    ".join([f"{len(problems)} of {len(found)} Dask workers cannot do this run's tasks:", *problems]),
                "Dask's workers reach the Prefect server and the store under the run's addresses, with its versions",
                "set up the workers as docs/dask.md says",
            )
        if slow := [worker for worker, is_slow in self.client.run(gives_memory_back).items() if is_slow]:  # type: ignore[attr-defined]
            get_run_logger().warning(
                "%d of %d workers give memory back after every batch (%s, which Dask sets), and so take twice as long, "
                "%s among them: start them as docs/dask.md says",
                *(len(slow), len(found), ALLOCATOR, slow[0]),
            )

    def check_alive(self) -> None:
        """Stop waiting when no worker is left.

        Raises
        ------
        LostWorkersError : the scheduler is gone, or has had no worker for `NO_WORKER_SECONDS`.
        """
        if self.client.status in ("closed", "closing"):
            raise self.lost("the connection is closed")
        if self.client.scheduler_info()["workers"]:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = time.monotonic()
        elif time.monotonic() - self._alone_since > NO_WORKER_SECONDS:
            raise self.lost(f"no worker for {NO_WORKER_SECONDS} seconds")

    def lost(self, said: str) -> LostWorkersError:
        """Make the error for lost workers. A new run continues where this one stopped."""
        where = f"of {self.address}" if self.address else "of this machine"
        return LostWorkersError(
            f"Dask's scheduler {where} is gone, or has no workers ({said}): start it and its workers, then run again; "
            "finished tasks are cached"
        )


def settle(value: Any) -> Any:
    """Wait for the result of a task run; return any other value unchanged."""
    return value.result() if isinstance(value, PrefectFuture) else value


def server_address() -> str:
    """Return the address of this process's Prefect server, even one of its own: workers must not start another."""
    if address := PREFECT_API_URL.value():
        return address
    # Importing takes seconds, and the module is loaded already if this process has a server.
    from prefect.server.api.server import SubprocessASGIServer

    return SubprocessASGIServer().api_url
