"""Measure the CPU time of a new date from files to decisions, by stage, and what a process for each date costs.

A small campaign is fitted on two dates of a folder of images. A process of its own then scores a new date of many
plants, as a worker's process does. It counts the CPU seconds of every task. What is left are its start with all
imports, and the flow: Prefect's client, and waiting. Prefect's server is another process and is not counted. Small
dates are then scored by a process each, and as many by one process, one after the other, as `score-dates` does it.

Run it by `python -m tests.benchmarks.new_date`; 5,000 plants of 96 pixels take some six minutes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

FIRST, N_OWN, CAMPAIGN = date(2022, 8, 20), 2, "season"
N_FITTED, N_SMALL = 400, 48  # plants of the dates of the fit, and of each small date
CLASSES = ("not_ready", "ready")
# Tasks of every stage; those of others are listed by their own names.
STAGES = {
    "ingest": ("await_arrival", "survey_acquisition", "ingest_images", "check_acquisition", "keep_background"),
    "predict": ("predict_part", "predict_images"),
    "explain": ("explain_shards", "gather_maps"),
    "assign": ("assign_images",),
    "score": ("rate_images", "measure_drift"),
    "adjust and decide": ("adjust_predictions", "decide_images", "sum_up_acquisition"),
    "export": ("export_decisions",),
    "publish": ("publish_acquisition", "publish_renewed_report", "reuse_artifact"),
    "report": ("write_report",),
}


def draw(root: Path, days: Sequence[date], n_plants: Sequence[int], side: int) -> None:
    """Draw the images of some dates and their manifest; the fit's dates have labels."""
    from tests.benchmarks.scale_field import picture

    ground = np.random.default_rng(0).integers(40, 110, (32, 32, 3)).astype(np.uint8)
    lines = ["file,split,label,plant_id,date"]
    for d, (day, n) in enumerate(zip(days, n_plants, strict=True)):
        (root / str(day)).mkdir(parents=True)
        for k in range(n):
            rng = np.random.default_rng([k, d])
            ripeness = float(rng.random())
            drawn = picture(ripeness, ground, rng).resize((side, side))
            drawn.save(root / str(day) / f"{k}.jpg", quality=90)
            split = ("val", "train")[k % 2] if k < N_FITTED else "new"
            label = CLASSES[int(ripeness + rng.normal(0, 0.15) > 0.5)] if d < N_OWN else ""
            lines.append(f"{day}/{k}.jpg,{split},{label},Plot{1 + k // 1000}_{k},{day}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")


def fit(root: Path, store: Path, days: Sequence[date], side: int) -> None:
    """Fit the campaign on its own dates."""
    from flows.campaign import analyse_campaign
    from tasks.ingest.params import IngestParams
    from tasks.sources.folder.source import FolderSource
    from tests.support.campaigns import RESNET18, small_campaign

    source = FolderSource(root=str(root), classes=CLASSES)
    params = small_campaign(CAMPAIGN, source=source, dates=days, ingest=IngestParams(image_size=side), train=RESNET18)
    analyse_campaign(params, str(store))


def score(store: str, days: Sequence[str]) -> None:
    """Score dates one after the other in this process, and print its CPU seconds by task as JSON."""
    from flows.acquisition import score_acquisition
    from flows.running.stages import Stages
    from tasks.ingest.params import ArrivalParams

    seconds: dict[str, float] = {}
    of_run: Callable[..., Any] = Stages._of_run  # pyright: ignore[reportPrivateUsage]

    def timed_of_run(self: Stages, task: Any) -> Any:
        made, run = of_run(self, task), task.fn

        @wraps(run)
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.thread_time()  # tasks run beside each other
            try:
                return run(*args, **kwargs)
            finally:
                seconds[task.name] = seconds.get(task.name, 0.0) + time.thread_time() - start

        made.fn = timed
        return made

    Stages._of_run = timed_of_run  # pyright: ignore[reportPrivateUsage]
    started, at = time.process_time(), time.perf_counter()
    for day in days:
        score_acquisition(CAMPAIGN, date.fromisoformat(day), store, arrival=ArrivalParams(settle_seconds=0))
    wall = time.perf_counter() - at
    found = {"start": started, "tasks": seconds, "all": time.process_time(), "wall": wall}
    sys.stdout.write(f"{json.dumps(found)}\n")


def scored(store: Path, days: Sequence[date]) -> dict[str, Any]:
    """Score dates in a process of its own that uses this process's server; return what it prints."""
    from flows.running.dask.workers import server_address

    command = [sys.executable, "-m", "tests.benchmarks.new_date", "--score", str(store), *map(str, days)]
    settings = {"OMP_NUM_THREADS": "1", "PREFECT_API_URL": server_address(), "PREFECT_LOGGING_LEVEL": "ERROR"}
    found = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **settings})
    if found.returncode:
        raise RuntimeError(found.stderr)
    return json.loads(found.stdout.splitlines()[-1])


def stage_table(found: dict[str, Any], n_plants: int) -> Table:
    """Return the CPU seconds of a date by stage."""
    tasks = dict(found["tasks"])
    rows = {stage: sum(tasks.pop(name, 0.0) for name in names) for stage, names in STAGES.items()}
    rows = {"start of the process, imports": found["start"], **rows, **tasks}
    rows["the flow: Prefect, and threads that tasks start"] = found["all"] - sum(rows.values())
    table = Table("stage", "CPU s", "ms a plant", title=f"a new date of {n_plants:,} plants, {found['wall']:.0f} s")
    for stage, seconds in [*rows.items(), ("all", found["all"])]:
        table.add_row(stage, f"{seconds:.2f}", f"{1000 * seconds / n_plants:.2f}")
    return table


def together_table(store: Path, days: Sequence[date]) -> Table:
    """Score the first half of some small dates in a process each, and the second in one; return the CPU seconds."""
    half = len(days) // 2
    alone, one = [scored(store, [day]) for day in days[:half]], scored(store, days[half:])
    table = Table("dates", "processes", "CPU s", "CPU s a date")
    for n, n_processes, seconds in ((half, half, sum(each["all"] for each in alone)), (half, 1, one["all"])):
        table.add_row(str(n), str(n_processes), f"{seconds:.1f}", f"{seconds / n:.2f}")
    return table


def main() -> None:
    """Draw, fit and score, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plants", type=int, default=5000, help="plants of the new date")
    parser.add_argument("--side", type=int, default=96, help="side of its images in pixels")
    parser.add_argument("--small-dates", type=int, default=20, help="small dates scored by a process each; 0 for none")
    parser.add_argument("--score", nargs="+", help=argparse.SUPPRESS)  # store and dates, in the measured process
    asked = parser.parse_args()
    if asked.score:
        return score(asked.score[0], asked.score[1:])
    from prefect.testing.utilities import prefect_test_harness

    n_later = 1 + 2 * asked.small_dates
    days = [FIRST + timedelta(days=i) for i in range(N_OWN + n_later)]
    with tempfile.TemporaryDirectory() as name, prefect_test_harness(server_startup_timeout=120):
        root, store, console = Path(name) / "field", Path(name) / "store", Console(width=100)
        n_plants = [N_FITTED] * N_OWN + [asked.plants] + [N_SMALL] * (n_later - 1)
        draw(root, days, n_plants, asked.side)
        fit(root, store, days[:N_OWN], asked.side)
        console.print(stage_table(scored(store, [days[N_OWN]]), asked.plants))
        if asked.small_dates:
            console.print(together_table(store, days[N_OWN + 1 :]))
    return None


if __name__ == "__main__":
    main()
