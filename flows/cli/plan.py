"""The command that plans a campaign, and what it prints."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.options import DEFAULT_STORE, JsonOption, StoreOption, configure_prefect
from flows.plan.machine import size_text
from storage.artifacts import Store

app = typer.Typer()


@app.command()
def plan(
    campaign: Annotated[Path, typer.Argument(help="TOML file with at least `dates` and a table `source`")],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Say what a campaign will do, store and take on this machine, without running it; refuse what cannot fit.

    Reads the source's lists and sixteen images, and measures the classifier for some seconds. Exit code 2 when a stage
    needs more memory than there is, or the store more room than the disk has: the message says what to change.
    """
    configure_prefect(logs=False)
    from flows.cli.run_file import load_run_file
    from flows.plan.plan import plan_campaign, plan_rows

    params, runtime = load_run_file(campaign)
    found = plan_rows(plan_campaign(params, Store(store).address, runtime))
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        print_plan(found)


def print_plan(found: dict[str, Any]) -> None:
    """Print a plan for a person."""
    # A pipe has no width; tables cut to 80 columns would lose figures.
    console = Console(width=None if Console().is_terminal else 120, highlight=False)
    console.print(_stages_table(found))
    console.print(_store_table(found))
    print("\n".join(_notes(found)))


def _stages_table(found: dict[str, Any]) -> Table:
    n = sum(day["n_images"] for day in found["dates"])
    title = f"{found['campaign']}: {n:,} images of {len(found['dates'])} dates at {found['image_size']} px"
    table = Table(title=title, title_justify="left")
    names = ("stage", "task runs", "forward", "backward", "windows", "at once", "memory each", "process", "time")
    for name in names:
        table.add_column(name, justify="left" if name == "stage" else "right")
    for row in found["stages"]:
        counts = (f"{row[name]:,}" if row[name] else "" for name in ("n_tasks", "forward", "backward", "windows"))
        memory = (size_text(row[name]) if row[name] else "" for name in ("worker_bytes", "process_bytes"))
        taken = "" if row["seconds"] is None else time_text(row["seconds"])
        name = " ".join(filter(None, (row["stage"], row["method"])))
        table.add_row(name, *counts, str(row["n_at_once"] or ""), *memory, taken)
    totals = (sum(row[name] for row in found["stages"]) for name in ("n_tasks", "forward", "backward", "windows"))
    largest = max(row["process_bytes"] or 0 for row in found["stages"])
    table.add_section()
    table.add_row("all", *(f"{n:,}" for n in totals), "", "", size_text(largest), time_text(found["seconds"]))
    return table


def _store_table(found: dict[str, Any]) -> Table:
    table = Table(title="store", title_justify="left")
    table.add_column("artefacts")
    table.add_column("size", justify="right")
    for row in found["store"]:
        table.add_row(" ".join(filter(None, (row["kind"], row["method"]))), size_text(row["bytes"]))
    table.add_section()
    table.add_row("all", size_text(found["store_bytes"]))
    return table


def _notes(found: dict[str, Any]) -> list[str]:
    """What the figures rest on, a line each."""
    rates, machine, sample = found["rates"], found["machine"], found["sampled_images"]
    disk = "" if machine["disk"] is None else f", {size_text(machine['disk'])} of disk free"
    measured = [
        f"{said} {1000 * rates[name]:.3g} ms"
        for name, said in (
            ("forward", "a forward pass"),
            ("train", "a training sample"),
            ("gradcam", "a Grad-CAM map"),
            ("fast", "a prepared pass"),
            ("window", "a hidden window"),
            ("segment", "an image's superpixels"),
            ("ingest", "reading an image"),
        )
        if rates[name] is not None
    ]
    return [
        f"measured now on {rates['device']}, {rates['n_threads']} threads a task, batches of "
        f"{found['runtime']['batch_size']}: {', '.join(measured)}; {rates['n_side']} tasks side by side do "
        f"{rates['speedup']:.2f} times as much.",
        "Times are estimates: those of reading images and of the classifier, on a machine as busy as it is now; "
        "clustering, scores and report come on top.",
        f"Counts are those of the source's lists: damaged and duplicate files still count. Images are taken as they "
        f"compress in {sample['n']} that were read ({sample['share']:.0%} of their pixels), all else without "
        f"compression; with nothing compressed the store has {size_text(found['store_upper_bound'])}.",
        f"Memory is an upper bound beside {size_text(machine['own'])} of Python and its libraries. This machine: "
        f"{size_text(machine['memory'])} of memory, {size_text(machine['available'])} not taken by others now{disk}.",
        "Planned from nothing: what the store has already is not computed again.",
    ]


def time_text(seconds: float) -> str:
    """Seconds for people, e.g. `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours = round(seconds / 3600)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min" if hours < 48 else f"{hours} h"
