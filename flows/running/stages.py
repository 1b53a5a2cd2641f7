"""Submit the tasks of one run with results kept in the store, count finished ones, and wait for them."""

import inspect
import logging
import time
from collections.abc import Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import Task
from tqdm import tqdm

from flows.parameters import CampaignParams
from flows.running.result_storage import result_storage
from storage.artifacts import ArtifactRef, Store
from tasks.parameters import Runtime

if TYPE_CHECKING:
    from flows.running.dask.workers import DaskWorkers


PROGRESS = logging.getLogger("flows.progress")  # its messages tell a person how far a run is
Future = PrefectFuture[ArtifactRef]
Roles = dict[str, Future]


class Stages:
    """Runner of one run's tasks, which keeps their results in the store and counts the finished ones.

    Tasks run in a thread pool of their own. The flow's task runner cannot be used: its number of threads is fixed
    before the run's parameters are known.

    Parameters
    ----------
    n_expected : expected number of task runs, for the progress bar; `expect` corrects it later.
    runtime : settings that say how many tasks run in parallel, and whether some of them run on Dask's workers.
    """

    def __init__(self, campaign: str, store: str, n_expected: int, runtime: Runtime) -> None:
        self.campaign = campaign
        self.runner: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=runtime.workers)
        self.workers = dask_workers(runtime) if runtime.task_runner == "dask" else None
        self.store = Store(store)
        self.results = result_storage(self.store)
        self.begun: set[str] = set()
        self.n_done = 0  # the bar counts nothing where standard error is no terminal
        self.started = time.monotonic()
        self.bar = tqdm(desc=f"campaign {campaign}", unit="task", total=n_expected, disable=None)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.runner)
            if self.workers:
                stack.enter_context(self.workers)
            self._running = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.__exit__(kind, error, trace)
        self.bar.close()

    def submit(self, task: Task[..., Any], **parameters: Any) -> PrefectFuture[Any]:
        """Run a task in a thread of this process as soon as its inputs are there."""
        self._tell(task)
        return self._counted(self.runner.submit(self._of_run(task), self._given(task, parameters)))

    def spread(self, task: Task[..., Any], **parameters: Any) -> PrefectFuture[Any]:
        """Run a task that needs only the store, on a Dask worker if the run has any, else in a thread.

        With Dask this call waits until the inputs are there, so submit tasks after those that they depend on.
        """
        if self.workers is None:
            return self.submit(task, **parameters)
        self._tell(task)
        return self._counted(self.workers.submit(self._of_run(task), self._given(task, parameters)))

    def _of_run(self, task: Task[..., Any]) -> Task[..., Any]:
        """Keep the task's result in the store, and put the campaign into the name of its run."""
        name = task.task_run_name
        assert isinstance(name, str)
        return task.with_options(result_storage=self.results, task_run_name=name.replace("{campaign}", self.campaign))

    def _given(self, task: Task[..., Any], parameters: dict[str, Any]) -> dict[str, Any]:
        """Add the store's address, and the campaign's name for the tasks that write it."""
        own = {"store": self.store.address, "campaign": self.campaign}
        return {**{name: own[name] for name in inspect.signature(task.fn).parameters if name in own}, **parameters}

    def _tell(self, task: Task[..., Any]) -> None:
        """Log that a stage begins, once for each stage; the command line prints it where there is no bar."""
        if task.name not in self.begun:
            self.begun.add(task.name)
            waited = time.monotonic() - self.started
            PROGRESS.info(
                "%s: %s (%d of %d tasks done after %.0f s)",
                *(self.campaign, task.name.replace("_", " ").replace("-", " "), self.n_done, self.bar.total, waited),
            )

    def _counted(self, future: PrefectFuture[Any]) -> PrefectFuture[Any]:
        future.add_done_callback(self._count)
        return future

    def expect(self, n_more: int) -> None:
        """Correct the expected number of task runs by `n_more`, which may be negative."""
        self.bar.total += n_more
        self.bar.refresh()

    def _count(self, future: PrefectFuture[Any]) -> None:
        future.wait()
        self.n_done += 1
        self.bar.update()


def dask_workers(runtime: Runtime) -> "DaskWorkers":
    """Make a run's Dask workers; Dask is imported only by runs that need it."""
    from flows.running.dask.workers import DaskWorkers

    return DaskWorkers(runtime)


def n_tasks(params: CampaignParams) -> int:
    """Count a campaign's task runs, assuming that one task explains the images of one date by one method."""
    dates, methods = len(params.dates), len(params.explain.methods)
    classifier = 2 if params.classifier is None else 1
    return 5 + classifier + 2 * dates + methods * (9 + 8 * dates)


def wait_for(futures: Iterable[PrefectFuture[Any]]) -> None:
    """Wait for every task run in order, and raise the first error in the order of the DAG."""
    for future in futures:
        future.result()
