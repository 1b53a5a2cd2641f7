"""Dask's workers: processes of this machine or of others, in which a run predicts, explains and scores.

What reads sources, trains, fits and publishes stays in the flow's process: a source need not be within reach of other
machines, and the classifier is trained where the flow runs. Only references travel to the workers and back, so they
need the store and the Prefect server, and load the classifier from the store, once a process.

A killed worker's tasks are begun again by others under the same task run; shards that were finished are not made again.
"""

import threading
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import dask.config
from distributed import KilledWorker
from distributed.client import FutureCancelledError
from prefect import get_run_logger
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.tasks import Task
from prefect.utilities.collections import visit_collection
from prefect.utilities.engine import collect_task_run_inputs_sync
from prefect_dask.client import PrefectDaskClient
from prefect_dask.task_runners import DaskTaskRunner, PrefectDaskFuture

from flows.running.lost_runs import killer_sentence, show_crashed
from flows.running.worker_checks import ALLOCATOR, gives_memory_back, send_events, worker_problem
from storage.artifacts import ArtifactRef
from storage.errors import InputError
from tasks.parameters import Runtime
from tasks.stage import versions

CONNECT_SECONDS = 10
CHECK_SECONDS = 5  # between looks at whether the scheduler and any worker are still there
NO_WORKER_SECONDS = 120  # a service manager, or the worker's nanny, has started another by then
# Not what Dask sets for its processes, see `gives_memory_back`.
KEEP_MEMORY = {f"distributed.nanny.pre-spawn-environ.{ALLOCATOR}": None}


class LostWorkersError(ConnectionError):
    """The scheduler, or all of its workers, are gone: nothing that was sent to them will come back."""


class WorkerFuture(PrefectDaskFuture[Any]):
    """A task run on a worker, whose end is taken over from the scheduler as soon as it is known.

    What the scheduler still held for us would be computed anew when the worker that holds it dies.
    """

    def __init__(self, task_run_id: UUID, wrapped_future: Any, workers: "DaskWorkers") -> None:
        super().__init__(task_run_id, wrapped_future)
        self._workers, self._taking = workers, threading.Lock()

    @property
    def is_known(self) -> bool:
        """Whether the scheduler has, or had, what the task came to: its worker has told the server too."""
        return bool(self._final_state) or self._wrapped_future.status == "finished"

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the end; an error of Dask's own is raised by `result`."""
        try:
            self._take(timeout)
        except (LostWorkersError, TimeoutError):
            return

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        """What the task returned.

        Raises
        ------
        LostWorkersError : the scheduler or all its workers are gone, or this task killed several.
        TimeoutError : not yet there.
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
    """The workers of one run: those of a scheduler that is there, or a process each for `runtime.workers`.

    A scheduler is connected to at once, so that one that is not there stops the run before it has done anything;
    processes are started with the first task, which may be an hour later.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.address, self.is_checked = runtime.scheduler, False
        self.sent: list[WorkerFuture] = []
        local = {
            "n_workers": runtime.workers,
            "threads_per_worker": 1,
            # Of their pages: None is port 8787 of every address, which another run may have, and any port of it.
            "dashboard_address": "127.0.0.1:0",
            "worker_dashboard_address": "127.0.0.1:0",
            # Dask would kill a worker that takes more than its share of the memory, and the flow's process has one too.
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
            dask.config.set(KEEP_MEMORY)  # of this process: its nannies read it when they start workers
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.address and self.is_checked:
            with suppress(Exception):  # an error of the run itself is the one to tell
                self.client.run(send_events)
        left = [future.task_run_id for future in self.sent if not future.is_known]
        self.runner.__exit__(kind, error, trace)
        if error is not None:
            with suppress(Exception):  # the same
                show_crashed(left, f"its worker died, or the run ended before it: {error}")

    def connect(self) -> None:
        """Connect to the scheduler that the run was given.

        Raises
        ------
        InputError : its workers could not reach the server, which only this process knows.
        LostWorkersError : no scheduler answers.
        """
        if not PREFECT_API_URL.value():
            raise InputError(
                f"runtime.scheduler = {self.address}, and PREFECT_API_URL is not set: this run's server is its own",
                "Workers of another scheduler report to a Prefect server that they can reach",
                "start a server (prefect server start, or make serve) and set PREFECT_API_URL to an address that all "
                "workers can reach, or leave runtime.scheduler out",
            )
        try:
            _ = self.client
        except (OSError, ValueError) as error:
            raise LostWorkersError(
                f"no Dask scheduler answers at runtime.scheduler = {self.address} ({error}): start one with "
                "`dask scheduler` and workers with `dask worker ADDRESS`, or mend the address"
            ) from error

    @property
    def client(self) -> PrefectDaskClient:
        """The connection to the scheduler; the first time starts the run's own processes."""
        return self.runner.client

    def submit(self, task: Task[..., Any], parameters: dict[str, Any]) -> WorkerFuture:
        """Start a task on a worker; waits for inputs that are not there yet, because only references can travel."""
        dependencies = {name: collect_task_run_inputs_sync(value) for name, value in parameters.items()}
        settled: dict[str, Any] = visit_collection(parameters, visit_fn=settle, return_data=True)
        with temporary_settings({PREFECT_API_URL: server_address()}), without_results():
            if not self.is_checked:
                self.check(settled)
            future = self.runner.submit(task, settled, dependencies=dependencies)  # type: ignore[arg-type]
        self.sent.append(WorkerFuture(future.task_run_id, future.wrapped_future, self))
        return self.sent[-1]

    def check(self, parameters: dict[str, Any]) -> None:
        """See that the workers there are can do what they are for.

        Raises
        ------
        InputError : a worker cannot reach the server or the store, or has other versions than this process.
        LostWorkersError : there is no worker for `NO_WORKER_SECONDS`.
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
                "\n    ".join(["", *problems]),
                "Dask's workers reach the Prefect server and the store under the run's addresses, with its versions",
                "see `Several machines` in the README",
            )
        if slow := [worker for worker, is_slow in self.client.run(gives_memory_back).items() if is_slow]:  # type: ignore[attr-defined]
            get_run_logger().warning(
                "%d of %d workers give memory back after every batch (%s, which Dask sets), and take twice as long by "
                "that, %s among them: start them as `Several machines` in the README says",
                *(len(slow), len(found), ALLOCATOR, slow[0]),
            )
        self.is_checked = True

    def check_alive(self) -> None:
        """Refuse to wait any longer where nobody is left to work.

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
        """The error that says so; the same run again goes on where this one stopped."""
        where = f"of {self.address}" if self.address else "of this machine"
        return LostWorkersError(
            f"Dask's scheduler {where} is gone, or has no workers ({said}): start it and its workers, and run again; "
            "what was finished is not computed again"
        )


def settle(value: Any) -> Any:
    """The result of a task run, anything else as it is."""
    return value.result() if isinstance(value, PrefectFuture) else value


def without_results() -> AbstractContextManager[object]:
    """The flow run's context without what its tasks returned.

    Prefect looks there for the runs that a task's inputs come from, by their place in memory, which others have taken.
    """
    context = FlowRunContext.get()
    return nullcontext() if context is None else context.model_copy(update={"run_results": {}})


def server_address() -> str:
    """Where this process's Prefect server is, also where it started one of its own: workers must not start more."""
    if address := PREFECT_API_URL.value():
        return address
    from prefect.server.api.server import SubprocessASGIServer  # takes seconds, and is loaded where it is the server

    return SubprocessASGIServer().api_url
