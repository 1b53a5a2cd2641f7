"""Measure what a task costs apart from its work: tasks that write an empty artefact, in threads or on Dask's workers.

The module prints JSON: seconds until the first task is done, and from the last one to the end; milliseconds per task,
CPU milliseconds per task of the run's process with its Prefect server, and of the workers; and percent of a core that
they take while every worker waits in a task.
"""

import json
import sys
import tempfile
import time

from flows.cli.options import configure_prefect

configure_prefect(logs=False)  # before Prefect is imported

from flows.cli.server.own import await_server, begin_server  # noqa: E402

SERVER = begin_server() if __name__ == "__main__" else None  # Dask's workers import this module too

import psutil  # noqa: E402
from prefect import flow, task  # noqa: E402

from flows.running.stages import Stages, wait_for  # noqa: E402
from storage.artifacts import Draft, Recipe, Store  # noqa: E402
from tasks.parameters import Runtime  # noqa: E402
from tasks.stage import cached_by, made_once  # noqa: E402

N_TASKS, N_WORKERS = 200, 2
REST, SETTLED = 30.0, 5.0  # seconds for which workers wait, and seconds after which these are measured
WORKER = "multiprocessing.spawn"  # part of the command line of Dask's workers


def nothing_recipe(number: int) -> Recipe:
    """Return the recipe of an empty artefact."""
    return Recipe("nothing", 1, {"number": number})


@task(task_run_name="nothing {number}", **cached_by(nothing_recipe))
@made_once(nothing_recipe)
def make_nothing(draft: Draft, store: Store, number: int) -> None:
    """Write an empty artefact."""
    draft.write_bytes("nothing", b"")


@task(task_run_name="wait {number}", persist_result=False)
def wait_long(store: str, number: int) -> None:
    """Keep a worker for `REST` seconds without using its processor."""
    time.sleep(REST)


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
    # By their names, so that workers import the tasks instead of getting a copy of this module.
    from tests.benchmarks.scale_overhead import make_nothing as spread
    from tests.benchmarks.scale_overhead import wait_long

    begun = time.perf_counter()
    with Stages("bench", store, N_TASKS, runtime) as stages:
        stages.spread(spread, number=-1).result()
        started = time.perf_counter() - begun
        wait_for([stages.spread(spread, number=-2 - i) for i in range(2 * N_WORKERS)])
        begun, before = time.perf_counter(), cpu_seconds()
        wait_for([stages.spread(spread, number=i) for i in range(N_TASKS)])
        seconds, after = time.perf_counter() - begun, cpu_seconds()
        waiting = [stages.spread(wait_long, number=i) for i in range(N_WORKERS)]
        resting = percent_at_rest()
        wait_for(waiting)
        begun = time.perf_counter()
    ended = time.perf_counter() - begun
    own, workers = (1000 * (b - a) / N_TASKS for a, b in zip(before, after, strict=True))
    measured = {"ms": 1000 * seconds / N_TASKS, "CPU ms": own, "CPU ms of workers": workers}
    return {"start s": started, "end s": ended, **measured, **resting}


def percent_at_rest() -> dict[str, float]:
    """Return the share of a core that this process with its server, and the workers, take while the workers wait."""
    time.sleep(SETTLED)
    before = cpu_seconds()
    time.sleep(REST - 2 * SETTLED)
    own, workers = (100 * (b - a) / (REST - 2 * SETTLED) for a, b in zip(before, cpu_seconds(), strict=True))
    return {"% at rest": own, "% of workers at rest": workers}


def main(runner: str) -> None:
    """Run the flow and print what it measured as JSON."""
    runtime = Runtime.model_validate({"device": "cpu", "workers": N_WORKERS, "task_runner": runner})
    await_server(SERVER)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps({"runner": runner, **run_nothing(folder, runtime)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
