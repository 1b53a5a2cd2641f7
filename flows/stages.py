"""Tasks of one run: submitted with their results kept in the store, counted, waited for."""

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from prefect.futures import PrefectFuture
from prefect.tasks import Task
from tqdm import tqdm

from flows.parameters import CampaignParams
from storage.artifacts import ArtifactRef, Store

Future = PrefectFuture[ArtifactRef]
Roles = dict[str, Future]


class Stages:
    """Submits the tasks of one run with their results kept in the store, and counts the finished ones."""

    def __init__(self, params: CampaignParams, store: str) -> None:
        self.fixed = {"campaign": params.campaign, "store": store}
        self.store = Store(store)
        self.bar = tqdm(desc=f"campaign {params.campaign}", unit="task", total=n_tasks(params), disable=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()

    def submit(self, task: Task[..., Any], **parameters: Any) -> PrefectFuture[Any]:
        """Start a task as soon as its inputs are there."""
        stored = task.with_options(result_storage=self.store.results_folder)
        future = stored.submit(**self.fixed, **parameters)  # pyright: ignore[reportCallIssue]
        future.add_done_callback(self._count)
        return future

    def expect(self, n_more: int) -> None:
        """Count on more (or fewer) tasks than `n_tasks` tells before the images are known."""
        self.bar.total += n_more
        self.bar.refresh()

    def _count(self, _future: PrefectFuture[Any]) -> None:
        self.bar.update()


def n_tasks(params: CampaignParams) -> int:
    """Task runs of a campaign whose maps by one method and of one date are explained by one task."""
    dates, methods = len(params.dates), len(params.explain.methods)
    classifier = 2 if params.classifier is None else 1
    return 5 + classifier + 2 * dates + methods * (7 + 6 * dates)


def wait_for(futures: Iterable[PrefectFuture[Any]]) -> None:
    """Wait, and raise the first error in the order of the DAG."""
    for future in futures:
        future.result()
