"""Measure how every stage grows with the number of plant-dates, and compare two workers with one.

`make bench-scale` runs it. It draws small campaigns of several sizes (see `scale_field`) and runs each stage's task
functions in its own process on one core, so that the peak memory is that of the stage. It prints tables and writes
`build/bench-scale.json`. The default sizes (1,000, 10,000 and 100,000) take half an hour on a quiet machine. The drawn
campaigns stay in the folder. What a task costs apart from its work is measured with tasks that do nothing.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.measure import machine
from tests.benchmarks.scale_field import N_DATES, PAPERS_SIDE, SIDE, Field, composition, draw_field
from tests.benchmarks.scale_fit import LIMIT_GIB, Measured, as_json
from tests.benchmarks.scale_stages import STAGES

RESULT, FOLDER = Path("build/bench-scale.json"), Path("build/scale")
SIZES = 1_000, 10_000, 100_000
# Plant-dates of both sides with which workers are compared, in pixels; each of three runs takes minutes.
N_SMALL, N_LARGE = 10_000, 2_000
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
NOT_MEASURED = "classify"  # stage that is run but not measured


def run_module(module: str, *arguments: str) -> dict[str, Any]:
    """Run a module in its own process with one computing thread, and return the JSON that it prints last."""
    command = [sys.executable, "-m", module, *arguments]
    found = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ONE_THREAD})
    if found.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{found.stderr}")
    return json.loads(found.stdout.splitlines()[-1])


def run_stage(stage: str, field: Field, weights: str) -> Measured:
    """Run one stage and return its seconds and memory."""
    return Measured(**run_module("tests.benchmarks.scale_stages", stage, weights, *field.arguments))


def trained_weights(field: Field) -> str:
    """Train a classifier for one epoch on a campaign, for use at all sizes; return the path of its weights."""
    for stage in ("ingest", "classify"):
        run_stage(stage, field, "")
    (found,) = Path(field.store).glob("artifacts/classifier/*/weights.pt")
    kept = field.folder.parent / "weights.pt"
    shutil.copyfile(found, kept)
    return str(kept.absolute())


def measure_stages(
    fields: Sequence[Field], weights: str, console: Console, stages: Sequence[str] = tuple(STAGES)
) -> dict[str, list[Measured]]:
    """Measure every stage at every size, the smallest size first."""
    rows: dict[str, list[Measured]] = {stage: [] for stage in stages if stage != NOT_MEASURED}
    for field in fields:
        for stage in stages:
            found = run_stage(stage, field, weights)
            if stage != NOT_MEASURED:
                rows[stage].append(found)
            console.print(f"{field.n:,} {stage}: {found.seconds:.1f} s, {found.peak_mb:,.0f} MB", highlight=False)
    return rows


def compare_workers(field: Field, weights: str) -> dict[str, Any]:
    """Time predicting and explaining a campaign with one worker, two threads and two processes of Dask.

    The flow's own tasks run, each time on a copy of the store after ingest. Starting and ending Dask's processes is
    included in the time.
    """
    for stage in ("ingest", "classify"):
        run_stage(stage, field, weights)
    seconds: dict[str, float] = {}
    for name, workers, runner in (("1", "1", "threads"), ("2", "2", "threads"), ("2 of Dask", "2", "dask")):
        store = field.folder / f"workers-{workers}"
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(field.store, store)
        arguments = (str(store), workers, runner, weights, *field.arguments)
        seconds[name] = run_module("tests.benchmarks.scale_workers", *arguments)["seconds"]
        shutil.rmtree(store)
    return {
        "n": field.n,
        "side": field.side,
        "seconds": seconds,
        "speedup": {name: seconds["1"] / taken for name, taken in seconds.items()},
    }


def measure_overhead(console: Console) -> list[dict[str, Any]]:
    """Measure what a task costs with two threads and with two processes of Dask (see `scale_overhead`)."""
    found = [run_module("tests.benchmarks.scale_overhead", runner) for runner in ("threads", "dask")]
    for one in found:
        told = ", ".join(f"{name} {value:.1f}" for name, value in one.items() if name != "runner")
        console.print(f"a task that does nothing, with {one['runner']}: {told}", highlight=False)
    return found


def show(stages: Sequence[dict[str, Any]], console: Console) -> None:
    """Print the table of all stages."""
    table = Table(title=f"{processor()}; one thread a stage")
    names = [f"{size['n']:,}" for size in stages[0]["sizes"]]
    for name in ("stage", *(f"{n}: s" for n in names), *(f"{n}: /s" for n in names), *(f"{n}: MB" for n in names)):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for name in ("exponent", "fixed, s", "of the work", "bytes each", "GiB at 1,000,000"):
        table.add_column(name, justify="right")
    for one in stages:
        sizes = one["sizes"]
        cells = [f"{s['seconds']:.1f}" for s in sizes] + [f"{s['per_second']:,.0f}" for s in sizes]
        cells += [f"{s['peak_mb']:,.0f}" for s in sizes]
        if "exponent" in one:
            of_work = "–" if one["exponent_of_work"] is None else f"{one['exponent_of_work']:.2f}"
            over = "" if one["is_under_limit"] else f" (over {LIMIT_GIB:g})"
            cells += [f"{one['exponent']:.2f}", f"{one['fixed_s']:.1f}", of_work, f"{one['bytes_each']:,.0f}"]
            cells.append(f"{one['gib_at_million']:.2f}{over}")
        table.add_row(one["stage"], *cells)
    console.print(table)


def processor() -> str:
    """Return the name of the processor."""
    return machine().rpartition(",")[0]


def machine_json() -> dict[str, Any]:
    """Return a description of the machine, for the result file."""
    return {"processor": processor(), "cores": os.cpu_count(), "system": platform.platform(), "threads": 1}


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=list(SIZES), help="Sizes of the campaigns, in plant-dates"
    )
    parser.add_argument("--dates", type=int, default=N_DATES, help="Number of acquisition dates of each campaign")
    parser.add_argument(
        "--stages", action=argparse.BooleanOptionalAction, default=True, help="Measure how every stage grows"
    )
    parser.add_argument(
        "--images",
        type=int,
        default=N_LARGE,
        help=f"Number of images of {PAPERS_SIDE} pixels with which workers are compared; 7,000 are ten minutes of work",
    )
    parser.add_argument(
        "--workers",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="Compare two workers with one, and measure what a task costs",
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="Folder in which campaigns are drawn and analysed")
    parser.add_argument("--result", type=Path, default=RESULT, help="JSON file for the results")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw campaigns, measure stages and workers, print tables, and write results after each step."""
    options, console = read_arguments(arguments), Console(width=250)
    sizes = sorted({*options.sizes})
    fields = [Field(options.folder / str(n), n, options.dates) for n in sizes]
    for field in fields:
        draw_field(field)
    weights = trained_weights(fields[0])
    result: dict[str, Any] = {"machine": machine_json(), "campaigns": {**composition(), "dates": options.dates}}
    options.result.parent.mkdir(parents=True, exist_ok=True)
    if options.stages:
        measured = measure_stages(fields, weights, console)
        result["stages"] = [as_json(stage, rows) for stage, rows in measured.items()]
        options.result.write_text(json.dumps(result, indent=1))
        show(result["stages"], console)
    if options.workers:
        result["overhead"] = measure_overhead(console)
    result["workers"] = list[dict[str, Any]]()
    for side, n in ((SIDE, N_SMALL), (PAPERS_SIDE, options.images)) if options.workers else ():
        field = Field(options.folder / f"workers-{side}", n, options.dates, side)
        draw_field(field)
        result["workers"].append(found := compare_workers(field, weights))
        options.result.write_text(json.dumps(result, indent=1))
        told = ", ".join(f"{name} in {s:.1f} s ({found['speedup'][name]:.2f}x)" for name, s in found["seconds"].items())
        console.print(f"predict and explain {n:,} of {side} pixels with workers: {told}", highlight=False)


if __name__ == "__main__":
    main()
