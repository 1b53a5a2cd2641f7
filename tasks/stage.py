"""Options and helpers of all Prefect tasks: caching by artefact, retries on transient faults, progress."""

import inspect
import platform
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache, wraps
from importlib.metadata import version
from typing import Any, Concatenate, ParamSpec, TypedDict

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE, CachePolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.tasks import Task, exponential_backoff
from tqdm import tqdm

from storage.artifacts import ArtifactRef, Draft, Recipe, Store
from storage.places.faults import WriteError
from storage.records.results import record_name

# I/O errors that are not retried: waiting neither brings back a missing file nor makes room. A busy disk recovers.
PERMANENT_IO = (
    *(FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError),
    WriteError,
)
RETRIES = 3  # retries of a task after a transient fault
FIRST_RETRY_SECONDS = 2  # wait before the first retry, doubled for each further one
PROGRESS_SECONDS = 1.0  # shortest time between updates of a progress artifact; an update costs about 10 ms

Recipes = Recipe | list[Recipe]  # recipe of a task's only artefact, or of each of its artefacts
P = ParamSpec("P")


class ArtifactCache(CachePolicy):
    """Cache key of a task, derived from the names of the artefacts that the task makes.

    A cached result is deleted if one of its artefacts is missing or damaged. Otherwise Prefect would return a reference
    to an artefact that cannot be read. Results are looked up in `Store.results_folder`, so tasks must run with the
    `result_storage` of `flows.running.result_storage`.

    Parameters
    ----------
    recipe : function that returns the recipe of the artefact, or a list of recipes. Its parameters have the names of
        task parameters.
    """

    def __init__(self, recipe: Callable[..., Recipes]) -> None:
        self.recipe = recipe
        self.arguments = tuple(inspect.signature(recipe).parameters)

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str:
        """Return the name of the cached result, e.g. `predictions-0123...`."""
        store = Store(inputs["store"])
        made = self.recipe(**{name: inputs[name] for name in self.arguments})
        refs = [one.ref for one in made] if isinstance(made, list) else [made.ref]
        key = record_name(refs)
        if not all(store.holds(ref) for ref in refs):
            store.forget_result(key)
        return key


def made_once(
    recipe: Callable[..., Recipe],
) -> Callable[[Callable[Concatenate[Draft, Store, P], None]], Callable[Concatenate[str, P], ArtifactRef]]:
    """Turn a function that fills a draft into one that returns a reference, and skip artefacts that already exist.

    The first two parameters of the decorated function are a draft and the open store. The returned function takes the
    store's address in their place. So only references and parameters are sent between processes.

    Parameters
    ----------
    recipe : function that returns the recipe of the artefact. Its parameters have the names of task parameters.
    """
    arguments = tuple(inspect.signature(recipe).parameters)

    def decorate(fill: Callable[Concatenate[Draft, Store, P], None]) -> Callable[Concatenate[str, P], ArtifactRef]:
        _draft, store_parameter, *others = inspect.signature(fill).parameters.values()
        visible = inspect.Signature([store_parameter.replace(annotation=str), *others], return_annotation=ArtifactRef)

        @wraps(fill)
        def run(store: str, *args: P.args, **kwargs: P.kwargs) -> ArtifactRef:
            given = visible.bind(store, *args, **kwargs)
            given.apply_defaults()
            made, opened = recipe(**{name: given.arguments[name] for name in arguments}), Store(store)
            if not opened.holds(made.ref):
                with opened.create(made, versions()) as draft:
                    fill(draft, opened, *args, **kwargs)
            return made.ref

        run.__signature__ = visible  # type: ignore[attr-defined]
        return run

    return decorate


def write_json(store: Store, recipe: Recipe, content: dict[str, Any]) -> ArtifactRef:
    """Write an artefact of one JSON file, named after its kind, unless the store holds it."""
    if not store.holds(recipe.ref):
        with store.create(recipe, versions()) as draft:
            draft.write_json(f"{recipe.kind}.json", content)
    return recipe.ref


class TaskOptions(TypedDict):
    """Prefect options that every task has."""

    cache_policy: CachePolicy
    persist_result: bool
    result_serializer: str
    retries: int
    retry_delay_seconds: Callable[[int], list[float]]
    retry_jitter_factor: float
    retry_condition_fn: Callable[[Task[..., Any], TaskRun, State[Any]], bool]


def cached_by(recipe: Callable[..., Recipes]) -> TaskOptions:
    """Return the options of a task that is cached by the artefacts it makes.

    Parameters
    ----------
    recipe : function that returns the recipe of the artefact, or a list of recipes (see `ArtifactCache`).
    """
    return _options(ArtifactCache(recipe), persist_result=True)


def always_run() -> TaskOptions:
    """Return the options of a task that is never cached.

    Such a task looks at something that may have changed, or takes less time than a cache lookup.
    """
    return _options(NO_CACHE, persist_result=False)


def _options(cache_policy: CachePolicy, persist_result: bool) -> TaskOptions:
    return TaskOptions(
        cache_policy=cache_policy,
        persist_result=persist_result,
        result_serializer="json",
        retries=RETRIES,
        retry_delay_seconds=exponential_backoff(backoff_factor=FIRST_RETRY_SECONDS),
        retry_jitter_factor=0.5,
        retry_condition_fn=retry_on_passing_fault,
    )


def retry_on_passing_fault(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Return whether to retry: after transient I/O errors and after full GPU memory, never after bad input."""
    error = state.result(raise_on_failure=False)
    # Stages that use no classifier do not load torch, which takes 490 MB. Without torch, nothing fills a GPU.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        torch.cuda.empty_cache()
        return True
    return isinstance(error, OSError) and not isinstance(error, PERMANENT_IO)


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a manifest records."""
    packages = ("harvest-reliability", "lime", "numpy", "scikit-image", "scikit-learn", "torch", "torchvision", "zarr")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


@contextmanager
def progress(name: str, total: int, unit: str) -> Generator[Callable[[int], None]]:
    """Show progress on the terminal (with rate and time left) and as a progress artifact of the task run.

    Yields a function that takes the number of units just finished. It may be called after every unit. The artifact is
    updated at most every `PROGRESS_SECONDS`, and when the work is complete.
    """
    artifact = create_progress_artifact(progress=0.0, description=f"{name} ({total} {unit}s)")
    done, told = 0, time.monotonic()
    # With disable=None there is no bar if standard error is no terminal. The bar then counts nothing, so `done` does.
    with tqdm(total=total, desc=name, unit=unit, disable=None, leave=False) as bar:

        def advance(n: int) -> None:
            nonlocal done, told
            bar.update(n)
            done, now = done + n, time.monotonic()
            if done >= total or now - told >= PROGRESS_SECONDS:
                told = now
                update_progress_artifact(artifact_id=artifact, progress=100.0 * done / max(1, total))  # pyright: ignore

        yield advance
