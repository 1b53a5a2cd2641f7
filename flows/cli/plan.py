"""Print the plan of a campaign: its work, memory, storage and time."""

from typing import Any

from rich.table import Table

from flows.cli.options import tables_console
from storage.places.faults import size_text
from tasks.plan.store import WAITING


def print_plan(found: dict[str, Any]) -> None:
    """Print a plan as tables and notes."""
    console = tables_console()
    console.print(_stages_table(found))
    console.print(_store_table(found))
    print("\n".join(_notes(found)))


def _stages_table(found: dict[str, Any]) -> Table:
    n = sum(day["n_images"] for day in found["dates"])
    title = f"{found['campaign']}: {n:,} images of {len(found['dates'])} dates at {found['image_size']} px"
    table = Table(title=title, title_justify="left")
    names = ("stage", "task runs", "forward", "backward", "in part", "at once", "memory each", "process", "time")
    for name in names:
        table.add_column(name, justify="left" if name == "stage" else "right")
    for row in found["stages"]:
        counts = (f"{row[name]:,}" if row[name] else "" for name in ("n_tasks", "forward", "backward", "partial"))
        memory = (size_text(row[name]) if row[name] else "" for name in ("worker_bytes", "process_bytes"))
        taken = "" if row["seconds"] is None else time_text(row["seconds"])
        name = " ".join(filter(None, (row["stage"], row["method"])))
        table.add_row(name, *counts, str(row["n_at_once"] or ""), *memory, taken)
    totals = (sum(row[name] for row in found["stages"]) for name in ("n_tasks", "forward", "backward", "partial"))
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
    """Return one line for each assumption behind the figures."""
    rates, machine, sample = found["rates"], found["machine"], found["sampled_images"]
    disk = "" if machine["disk"] is None else f", and {size_text(machine['disk'])} of free disk"
    measured = [
        f"{said} {1000 * rates[name]:.3g} ms"
        for name, said in (
            ("forward", "a forward pass"),
            ("train", "a training sample"),
            ("train_float32", "a training sample in float32"),
            ("gradcam", "a Grad-CAM map"),
            ("fast", "a pass with prepared weights"),
            ("window", "an occlusion window"),
            ("segment", "an image's superpixels"),
            ("ingest", "reading an image"),
        )
        if rates[name] is not None
    ]
    waiting = sum(row["bytes"] for row in found["store"] if row["kind"] == WAITING)
    crops = [
        f"Orthophotos are read block by block. Until those before them in the list are read, crops wait in temporary "
        f"files beside the store's artefacts, or in TMPDIR for a store in a bucket: at most {size_text(waiting)} at a "
        "time, which are counted."
    ]
    return [
        f"Measured now on {rates['device']} with {rates['n_threads']} threads per task and batches of "
        f"{found['runtime']['batch_size']}: {', '.join(measured)}. {rates['n_side']} parallel tasks do "
        f"{rates['speedup']:.2f} times the work of one.",
        "Times are estimates for a machine as busy as it is now. They cover reading images and the classifier's "
        "passes; clustering, scores and report take additional time.",
        f"Counts are those of the source's lists, damaged and duplicate files included. The size of images is "
        f"estimated from {sample['n']} that were read: compressed, they take {sample['share']:.0%} of their pixels' "
        f"bytes. Everything else is counted uncompressed. With no compression at all the store takes "
        f"{size_text(found['store_upper_bound'])}.",
        f"Memory is an upper bound, and comes on top of {size_text(machine['own'])} for Python and its libraries. This "
        f"machine has {size_text(machine['memory'])} of memory, {size_text(machine['available'])} of it not used by "
        f"other processes now{disk}.",
        *(crops if waiting else []),
        "The plan is for an empty store: a run computes nothing again that its store has already.",
    ]


def time_text(seconds: float) -> str:
    """Write a duration in seconds for people, for example `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours = round(seconds / 3600)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min" if hours < 48 else f"{hours} h"
