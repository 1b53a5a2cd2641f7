"""Run checks on Dask's workers before their tasks, and flush their events to the server before they end."""

import os
import sys
from collections.abc import Iterable

import httpx
from prefect.events.worker import EventsWorker

from storage.artifacts import ArtifactRef, Store
from storage.errors import ArtifactError
from tasks.stage import versions

SERVER_SECONDS = 10  # timeout of requests to the Prefect server
ALLOCATOR = "MALLOC_TRIM_THRESHOLD_"  # environment variable by which glibc returns freed memory to Linux


async def send_events() -> None:
    """Send this worker's pending events to the server, because Dask kills a worker soon after it must stop."""
    await EventsWorker.drain_all(timeout=SERVER_SECONDS, at_exit=False)  # type: ignore[misc]


def worker_problem(server: str, store: str, refs: Iterable[ArtifactRef], expected: dict[str, str]) -> str:
    """Say what keeps the worker that calls this from doing its tasks; empty if nothing does."""
    own = versions()
    differing = [
        f"{name} {own[name]} where this run has {wanted}" for name, wanted in expected.items() if own[name] != wanted
    ]
    if differing:
        return "has " + ", ".join(differing)
    try:
        httpx.get(f"{server}/health", timeout=SERVER_SECONDS).raise_for_status()
    except httpx.HTTPError as error:
        return f"cannot reach the Prefect server at {server}: {error!r}"
    try:
        for ref in refs:
            Store(store).open(ref)
    except (ArtifactError, OSError) as error:
        return f"cannot read this run's artefacts in the store {store}: {error}"
    return ""


def gives_memory_back() -> bool:
    """Tell whether the process that calls this returns freed memory to Linux at once, which makes it slow.

    Dask sets `ALLOCATOR` for its workers. glibc then stops adapting to sizes that are allocated repeatedly, so every
    batch's activations are new pages. ResNet18's passes were measured to take twice as long in one process, and longer
    in two parallel ones.
    """
    return sys.platform == "linux" and ALLOCATOR in os.environ and "MALLOC_MMAP_THRESHOLD_" not in os.environ
