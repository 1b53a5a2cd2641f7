"""`make bench`: one table on the terminal, and the same rows in build/bench.json.

Needs a quiet machine and half an hour, most of it captum's. With a CUDA device its table follows.
"""

import json
import warnings
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from tests.benchmarks import clusters, gpu, saliency, store, tables
from tests.benchmarks.measure import Row, use_one_core

RESULT = Path("build/bench.json")


def main() -> None:
    """Run everything; rows are written as they come, so that an interrupted run keeps what it measured."""
    warnings.simplefilter("ignore")  # captum and lime warn of their own
    use_one_core()
    RESULT.parent.mkdir(exist_ok=True)
    rows: list[Row] = []
    benchmarks = [
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
    """Print the table."""
    table = Table(title=rows[0].machine)
    for name in ("what", "ours, s", "peer", "peer, s", "ratio", "difference / range"):
        table.add_column(name, justify="left" if name in ("what", "peer") else "right")
    for row in rows:
        difference = "" if row.max_difference is None else f"{row.max_difference:.1e}"
        table.add_row(row.name, f"{row.ours_s:.2f}", row.peer, f"{row.peer_s:.2f}", f"{row.ratio:.2f}", difference)
    Console().print(table)


if __name__ == "__main__":
    main()
