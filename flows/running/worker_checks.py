"""What is run on Dask's workers beside tasks: whether they can work, and that they have told all before they end."""

import os
import sys
from collections.abc import Iterable

import httpx
from prefect.events.worker import EventsWorker

from storage.artifacts import ArtifactRef, Store
from storage.errors import ArtifactError
from tasks.stage import versions

SERVER_SECONDS = 10
ALLOCATOR = "MALLOC_TRIM_THRESHOLD_"


async def send_events() -> None:
    """Send what the server has not been told yet of this worker's task runs: Dask kills it soon after it must stop."""
    await EventsWorker.drain_all(timeout=SERVER_SECONDS, at_exit=False)  # type: ignore[misc]


def worker_problem(server: str, store: str, refs: Iterable[ArtifactRef], expected: dict[str, str]) -> str:
    """What keeps the worker that runs this from its work; empty where nothing does."""
    own = versions()
    differing = [
        f"{name} {own[name]}, not this run's {wanted}" for name, wanted in expected.items() if own[name] != wanted
    ]
    if differing:
        return "has " + ", ".join(differing)
    try:
        httpx.get(f"{server}/health", timeout=SERVER_SECONDS).raise_for_status()
    except httpx.HTTPError as error:
        return f"does not reach the Prefect server at {server}: {error!r}"
    try:
        for ref in refs:
            Store(store).open(ref)
    except (ArtifactError, OSError) as error:
        return f"does not see the store {store} as this run does: {error}"
    return ""


def gives_memory_back() -> bool:
    """Whether the process that runs this returns memory to Linux as soon as it is free, and asks for it again.

    Dask sets `ALLOCATOR` for its workers, by which glibc also stops learning which sizes come again: every batch's
    activations are then new pages. ResNet18's passes were measured to take twice as long by that in one process, and
    longer in two side by side.
    """
    return sys.platform == "linux" and ALLOCATOR in os.environ and "MALLOC_MMAP_THRESHOLD_" not in os.environ
