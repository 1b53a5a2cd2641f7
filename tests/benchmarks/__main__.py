"""Run the benchmarks (`make bench`), print their table and write its rows to build/bench.json.

The benchmarks need a quiet machine and half an hour, most of which captum takes. With a CUDA device, its rows follow.
"""

import json
import warnings
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from tests.benchmarks import clusters, commands, gpu, saliency, store, tables
from tests.benchmarks.measure import Row, use_one_core

RESULT = Path("build/bench.json")


def main() -> None:
    """Run all benchmarks, and write rows after each one, so that an interrupted run keeps what it measured."""
    warnings.simplefilter("ignore")  # warnings of captum and lime
    use_one_core()
    RESULT.parent.mkdir(exist_ok=True)
    rows: list[Row] = []
    benchmarks = [
        commands.command_rows,
        commands.cached_rows,
        saliency.gradcam_rows,
        store.store_rows,
        tables.table_rows,
        clusters.cluster_rows,
        saliency.lime_rows,
        saliency.occlusion_rows,
    ]
    for benchmark in [*benchmarks, *([gpu.gpu_rows] if torch.cuda.is_available() else [])]:
        rows += benchmark()
        RESULT.write_text(json.dumps([row.as_json() for row in rows], indent=1))
        show(rows)


def show(rows: list[Row]) -> None:
    """Print all rows as a table."""
    table = Table(title=rows[0].machine)
    for name in ("what", "ours, s", "peer", "peer, s", "ratio", "difference / range"):
        table.add_column(name, justify="left" if name in ("what", "peer") else "right")
    for row in rows:
        difference = "" if row.max_difference is None else f"{row.max_difference:.1e}"
        table.add_row(row.name, f"{row.ours_s:.2f}", row.peer, f"{row.peer_s:.2f}", f"{row.ratio:.2f}", difference)
    Console().print(table)


if __name__ == "__main__":
    main()
