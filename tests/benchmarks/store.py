"""Compare writing, gathering and reading 10,000 occlusion maps as shards with plain numpy files of the same blocks.

It runs in its own process, so that the peak memory is that of writing and reading alone. `python -m
tests.benchmarks.store FOLDER` measures once, and leaves what it wrote in the folder.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from storage.arrays.specs import SALIENCY
from storage.arrays.zarr_files import Part, link_shards, open_array, write_array
from storage.artifacts import Recipe, Store

if TYPE_CHECKING:
    from tests.benchmarks.measure import Row

N_MAPS, SIDE, SHARD = 10_000, 123, 16
MEGABYTES = N_MAPS * SIDE * SIDE * 2 / 1e6


def block(k: int) -> NDArray[np.float16]:
    """Draw sixteen maps, smooth with fine noise, like occlusion maps."""
    rng = np.random.default_rng(k)
    coarse = rng.random((SHARD, 16, 16)).repeat(8, axis=1).repeat(8, axis=2)[:, :SIDE, :SIDE]
    return (0.9 * coarse + 0.1 * rng.random((SHARD, SIDE, SIDE))).astype(np.float16)


def store_rows() -> "list[Row]":
    """Return rows for writing and for reading, with the best MB/s and the peak memory in their names."""
    # imports torch, whose memory must not count in the measured process
    from tests.benchmarks.measure import REPEATS, compare

    # A file system without a journal makes folders slowly for a minute after others beside them were deleted. So all
    # that the repetitions write is deleted at the end.
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.benchmarks.store", folder]
        runs = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(REPEATS)]
    found = {name: sorted(run[name] for run in runs) for name in runs[0]}
    memory = f"peak memory {found['peak'][-1]:.0f} MB, of it {found['start'][-1]:.0f} MB Python's own"
    written = f"{N_MAPS:,} occlusion maps written and gathered ({MEGABYTES / found['written'][0]:.0f} MB/s; {memory})"
    read = f"{N_MAPS:,} occlusion maps read back ({MEGABYTES / found['read'][0]:.0f} MB/s)"
    return [
        compare(written, found["written"], "numpy.save, not compressed, no manifest", found["saved"]),
        compare(read, found["read"], "numpy.load of the same", found["loaded"]),
    ]


def main() -> None:
    """Measure in this process, in a new folder below a given one, and print JSON."""
    found = {"start": peak_megabytes(), **measure(Path(tempfile.mkdtemp(dir=sys.argv[1])))}
    print(json.dumps({**found, "peak": peak_megabytes()}))


def measure(folder: Path) -> dict[str, float]:
    """Return the seconds of each step, without drawing the maps and without importing Zarr."""
    times: dict[str, float] = {"written": 0, "saved": 0, "read": 0, "loaded": 0}
    with Store(folder / "first").create(Recipe("saliency_shard", 1)) as draft:
        write_array(draft, SALIENCY, block(0), SHARD)
    store, parts = Store(folder / "store"), list[Part]()
    for k in range(N_MAPS // SHARD):
        maps, start = block(k), time.perf_counter()
        recipe = Recipe("saliency_shard", 1, {"first": k * SHARD})
        with store.create(recipe) as draft:
            write_array(draft, SALIENCY, maps, SHARD)
        parts.append(Part(k * SHARD, store.open(recipe.ref)))
        times["written"] += time.perf_counter() - start
        start = time.perf_counter()
        np.save(folder / f"{k}.npy", maps)
        times["saved"] += time.perf_counter() - start
    start = time.perf_counter()
    whole = Recipe("saliency", 1)
    with store.create(whole) as draft:
        link_shards(draft, SALIENCY, N_MAPS, parts)
    times["written"] += time.perf_counter() - start
    array = open_array(store.open(whole.ref), SALIENCY)
    for k in range(N_MAPS // SHARD):
        start = time.perf_counter()
        maps = np.asarray(array[k * SHARD : (k + 1) * SHARD])
        times["read"] += time.perf_counter() - start
        start = time.perf_counter()
        plain = np.load(folder / f"{k}.npy")
        times["loaded"] += time.perf_counter() - start
        if not np.array_equal(maps, plain):
            raise ValueError(f"block {k} differs")
    return times


def peak_megabytes() -> float:
    """Return the peak resident memory of this process in megabytes; `getrusage` would include the parent process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


if __name__ == "__main__":
    main()
