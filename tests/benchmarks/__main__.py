"""Run the benchmarks (`make bench`), print their table and write its rows to build/bench.json.

The benchmarks need a quiet machine and half an hour, half of which captum and the lime package take. With a CUDA
device, its rows follow.
"""

import json
import warnings
from pathlib import Path

import torch

from tests.benchmarks import clusters, commands, gpu, passes, saliency, store, tables
from tests.benchmarks.measure import Row, show, use_one_core

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
        passes.pass_rows,
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


if __name__ == "__main__":
    main()
