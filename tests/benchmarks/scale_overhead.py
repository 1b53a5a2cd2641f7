"""Measure what a task costs apart from its work: tasks that write an empty artefact, in threads or on Dask's workers.

The module prints JSON: seconds until the first task is done, milliseconds per task, CPU milliseconds per task of the
run's process with its Prefect server, and of the workers.
"""

import json
import sys
import tempfile
import time

from flows.cli.options import configure_prefect

configure_prefect(logs=False)  # before Prefect is imported

import psutil  # noqa: E402
from prefect import flow, task  # noqa: E402

from flows.running.stages import Stages, wait_for  # noqa: E402
from storage.artifacts import Draft, Recipe, Store  # noqa: E402
from tasks.parameters import Runtime  # noqa: E402
from tasks.stage import cached_by, made_once  # noqa: E402

N_TASKS, N_WORKERS = 200, 2
WORKER = "multiprocessing.spawn"  # part of the command line of Dask's workers


def nothing_recipe(number: int) -> Recipe:
    """Return the recipe of an empty artefact."""
    return Recipe("nothing", 1, {"number": number})


@task(task_run_name="nothing {number}", **cached_by(nothing_recipe))
@made_once(nothing_recipe)
def make_nothing(draft: Draft, store: Store, number: int) -> None:
    """Write an empty artefact."""
    draft.write_bytes("nothing", b"")


def cpu_seconds() -> tuple[float, float]:
    """Return the CPU seconds of this process with its server, and of Dask's workers."""
    others, workers = 0.0, 0.0
    own = psutil.Process()
    for one in (own, *own.children(recursive=True)):
        times = one.cpu_times()
        if any(WORKER in part for part in one.cmdline()):
            workers += times.user + times.system
        else:
            others += times.user + times.system
    return others, workers


@flow(name="bench-overhead", validate_parameters=False)
def run_nothing(store: str, runtime: Runtime) -> dict[str, float]:
    """Run the tasks, the first ones before the time is taken."""
    # By its name, so that workers import the task instead of getting a copy of this module.
    from tests.benchmarks.scale_overhead import make_nothing as spread

    begun = time.perf_counter()
    with Stages("bench", store, N_TASKS, runtime) as stages:
        stages.spread(spread, number=-1).result()
        started = time.perf_counter() - begun
        wait_for([stages.spread(spread, number=-2 - i) for i in range(2 * N_WORKERS)])
        begun, before = time.perf_counter(), cpu_seconds()
        wait_for([stages.spread(spread, number=i) for i in range(N_TASKS)])
        seconds, after = time.perf_counter() - begun, cpu_seconds()
    own, workers = (1000 * (b - a) / N_TASKS for a, b in zip(before, after, strict=True))
    return {"start s": started, "ms": 1000 * seconds / N_TASKS, "CPU ms": own, "CPU ms of workers": workers}


def main(runner: str) -> None:
    """Run the flow and print what it measured as JSON."""
    runtime = Runtime.model_validate({"device": "cpu", "workers": N_WORKERS, "task_runner": runner})
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps({"runner": runner, **run_nothing(folder, runtime)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
