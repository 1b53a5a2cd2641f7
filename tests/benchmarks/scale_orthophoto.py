"""Measure time, memory and bytes read of listing and reading 20,000 plants of an orthophoto of 4 GB.

`make bench-scale` runs it after the stages. It draws an uncompressed orthophoto and a table of plants whose ids say
nothing of where they stand, which takes 4 GB in a temporary folder. Each step then runs in its own process, and reads
the file from the disk. The module prints a table and writes `build/bench-orthophoto.json`.

A step reads the bytes that Linux counts for its process (`/proc/self/io`), which are compared with those of the blocks
that hold pixels of a crop.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

from tasks.sources.contract import SourceImage, UnreadableImage
from tasks.sources.field.source import FieldSource

RESULT = Path("build/bench-orthophoto.json")
DAY, CRS, WEST, NORTH = date(2024, 5, 1), "EPSG:32632", 365000.0, 5615000.0
BLOCK, N_BLOCKS, PIXEL = 512, 72, 0.002  # side of a block in pixels, blocks along a side, metres of a pixel
SIDE = 250  # pixels of a crop, which is half a metre
SPACING = 256  # pixels between plants
N_PLANTS = 20_000
N_DRAWN = 16  # different blocks of noise


@dataclass(frozen=True)
class Step:
    """What a step took.

    Attributes
    ----------
    start_mb, peak_mb : resident memory before the step, and its peak.
    read_bytes : bytes that the process read in the step.
    """

    name: str
    n: int
    seconds: float
    start_mb: float
    peak_mb: float
    read_bytes: int


def draw(root: Path, n_blocks: int, n_plants: int) -> None:
    """Write `ortho.tif`, of some blocks along each side, and `plants.csv`."""
    size, rng = n_blocks * BLOCK, np.random.default_rng(0)
    noise = rng.integers(1, 255, (N_DRAWN, 3, BLOCK, BLOCK), dtype=np.uint8)
    options = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "interleave": "pixel", "bigtiff": "yes"}
    transform = rasterio.Affine(PIXEL, 0, WEST, 0, -PIXEL, NORTH)
    known: Any = {"driver": "GTiff", "count": 3, "dtype": "uint8", "crs": CRS, "transform": transform, **options}
    with rasterio.open(root / "ortho.tif", "w", width=size, height=size, **known) as file:
        for k in range(n_blocks**2):
            row, column = divmod(k, n_blocks)
            window = Window(BLOCK * column, BLOCK * row, BLOCK, BLOCK)  # pyright: ignore[reportCallIssue]
            file.write(noise[rng.integers(N_DRAWN)], window=window)
    ids = rng.permutation(n_plants)
    rows, columns = np.divmod(np.arange(n_plants), size // SPACING - 2)
    x, y = (WEST + PIXEL * SPACING * (columns + 1)).tolist(), (NORTH - PIXEL * SPACING * (rows + 1)).tolist()
    lines = [f"p{name:05},{x[k]!r},{y[k]!r}" for k, name in enumerate(ids.tolist())]
    (root / "plants.csv").write_text("\n".join(["id,easting,northing", *lines]))


def drop_from_cache(path: Path) -> None:
    """Take a file out of the system's cache, so that it is read from the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def source_of(root: Path) -> FieldSource:
    """Return the source."""
    plants = {"path": "plants.csv", "crs": CRS, "id_column": "id"}
    keys = {"root": str(root), "rasters": {DAY: "ortho.tif"}, "crop_metres": SIDE * PIXEL, "crs": CRS}
    return FieldSource.model_validate({**keys, "plants": plants})


def images_of(root: Path) -> Sequence[SourceImage]:
    """List the plants."""
    return source_of(root).list_images([DAY]).images


def read_all(root: Path, images: Sequence[SourceImage]) -> None:
    """Read every crop and keep none."""
    for _, found in source_of(root).read_images(images):
        assert not isinstance(found, UnreadableImage)


def survey_all(root: Path, _: Sequence[SourceImage]) -> None:
    """List the plants with their fingerprints, for which the whole file is read."""
    from tasks.ingest.survey import IngestParams, survey

    survey(source_of(root), [DAY], IngestParams(), is_scored=True)


def ingest_all(root: Path, _: Sequence[SourceImage]) -> None:
    """Survey, and write every crop of 256 pixels into a store."""
    from storage.artifacts import Recipe, Store
    from tasks.ingest.ingest import write_images
    from tasks.ingest.survey import IngestParams, survey

    params = IngestParams()
    listing = survey(source_of(root), [DAY], params, is_scored=True).listings[DAY]
    with Store(root / "store").create(Recipe("images", 1)) as draft:
        write_images(draft, source_of(root), listing, params.image_size, lambda _: None)


STEPS: dict[str, Callable[[Path, Sequence[SourceImage]], object]] = {
    "list": lambda root, _: images_of(root),
    "list, with a no-data value": lambda root, _: images_of(root),
    "read": read_all,
    "read, with a no-data value": read_all,
    "survey": survey_all,
    "survey and ingest": ingest_all,
}


def run_step(name: str, root: Path) -> Step:
    """Run a step in this process."""
    images = images_of(root) if name.startswith("read") else []
    if name.startswith("survey"):
        import_module("tasks.ingest.ingest")  # its libraries are not the step's
    start_mb, start_bytes, begun = peak_megabytes(), process_bytes(), time.perf_counter()
    STEPS[name](root, images)
    seconds, n_bytes = time.perf_counter() - begun, process_bytes() - start_bytes
    return Step(name, len(images_of(root)), seconds, start_mb, peak_megabytes(), n_bytes)


def peak_megabytes() -> float:
    """Return the peak resident memory of this process in megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def process_bytes() -> int:
    """Return how many bytes this process has read."""
    return int(Path("/proc/self/io").read_text().split()[1])


def measure(root: Path, n_blocks: int, n_plants: int) -> list[Step]:
    """Draw the orthophoto, and run each step in its own process."""
    from tests.benchmarks.scale import run_module

    draw(root, n_blocks, n_plants)
    steps: list[Step] = []
    for name in STEPS:
        with rasterio.open(root / "ortho.tif", "r+") as file:
            file.nodata = 0 if "no-data" in name else None
        drop_from_cache(root / "ortho.tif")
        steps.append(Step(**run_module("tests.benchmarks.scale_orthophoto", "--step", name, "--folder", str(root))))
    return steps


def touched_bytes(root: Path, n_blocks: int) -> int:
    """Return the bytes of the blocks that hold pixels of a crop."""
    from tests.support.orthophotos import touched_blocks

    centres = np.array([image.centre for image in images_of(root)])
    side = n_blocks * BLOCK
    return 3 * BLOCK**2 * len(touched_blocks(centres, SIDE, (BLOCK, BLOCK), (side, side)))


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{result['n_plants']:,} plants, {result['file_bytes'] / 1e9:.2f} GB; {result['machine']}")
    for heading in ("step", "s", "MB before", "MB at the peak", "GB read", "of the blocks touched"):
        table.add_column(heading, justify="left" if heading == "step" else "right")
    for step in result["steps"]:
        memory = (f"{step['start_mb']:,.0f}", f"{step['peak_mb']:,.0f}")
        read = f"{step['read_bytes'] / 1e9:.2f}", f"{step['read_bytes'] / result['touched_bytes']:.3f}"
        table.add_row(step["name"], f"{step['seconds']:.1f}", *memory, *read)
    Console(width=150).print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all steps, or one of them in the process of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale_orthophoto", description=__doc__)
    parser.add_argument("--blocks", type=int, default=N_BLOCKS, help="Blocks along a side of the orthophoto")
    parser.add_argument("--plants", type=int, default=N_PLANTS, help="Number of plants")
    parser.add_argument("--folder", type=Path, help="Folder in which the temporary folder is made; of a step, itself")
    parser.add_argument("--step", help="Run one step in this process and print it as JSON")
    parser.add_argument("--result", type=Path, default=RESULT, help="JSON file for the results")
    options = parser.parse_args(arguments)
    if options.step:
        print(json.dumps(asdict(run_step(options.step, options.folder))))
        return
    from tests.benchmarks.measure import machine

    with TemporaryDirectory(dir=options.folder) as folder:
        steps = measure(Path(folder), options.blocks, options.plants)
        result = {
            "machine": machine(),
            "n_plants": options.plants,
            "file_bytes": (Path(folder) / "ortho.tif").stat().st_size,
            "touched_bytes": touched_bytes(Path(folder), options.blocks),
            "steps": [asdict(step) for step in steps],
        }
    options.result.parent.mkdir(parents=True, exist_ok=True)
    options.result.write_text(json.dumps(result, indent=1))
    show(result)


if __name__ == "__main__":
    main(sys.argv[1:])
