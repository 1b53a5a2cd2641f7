"""Measure how ingest and export grow with the plants of one date, without the hours of predicting and explaining.

Images are all the same, and are not decoded. Decisions are drawn at random. Each stage runs in its own process with one
thread, so that the peak memory is its own:

    python -m tests.benchmarks.scale_date --sizes 20000 100000 300000
"""

import argparse
import hashlib
import json
import shutil
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from storage.artifacts import ArtifactRef, Recipe, Store
from storage.tables import DECIDED, OBSERVATIONS, PROMISES, READY_COUNTS
from storage.tables.parquet import Rows, iter_table, write_table, writing_table
from tasks import stage
from tasks.export.export import export_decisions
from tasks.export.params import ExportParams, FieldParams
from tasks.ingest.ingest import check_campaign, ingest_images, survey_source
from tasks.ingest.params import IngestParams
from tasks.sources.contract import ReadImage, SourceImage, SourceListing
from tests.benchmarks.scale_fit import Measured, as_json
from tests.benchmarks.store import peak_megabytes

SIZES, FOLDER = (20_000, 100_000, 300_000), Path("build/scale-date")
DAY, SIDE, CLASSES = date(2022, 8, 1), 32, ("not_ready", "ready")
PARAMS = IngestParams(image_size=SIDE)
N_FITTED, TEST_EVERY = 200, 10  # plants of validation, and of training; one in so many other plants is a test plant
PER_ROW, SPACING, PLANTS_A_PLOT = 200, 0.5, 1000  # plants a row of the field, and metres between them
WORDS = ("harvest", "leave", "check")
FIT = {"method": "gradcam", "explained_class": "predicted", "classifier": "0" * 24, "clusters": "1" * 24}


class DrawnSource:
    """Source of one date whose images have the same pixels, and other names, places, splits and labels."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)

    def list_images(self, dates: Sequence[date]) -> SourceListing:
        """List the plants of the date by their ids."""
        images = sorted((self.image(k, dates[0]) for k in range(self.n)), key=lambda image: image.plant_id)
        return SourceListing(CLASSES, tuple(images))

    def image(self, k: int, day: date) -> SourceImage:
        """Return the image of a plant: the first are validated and trained on, the others are tested or new."""
        split = "val" if k < N_FITTED else "train" if k < 2 * N_FITTED else "new" if k % TEST_EVERY else "test"
        plant = f"Plot{1 + k // PLANTS_A_PLOT}_{k}"
        label, place = None if split == "new" else k % 2, divmod(k, PER_ROW)
        northing, easting = (SPACING * one for one in place)
        path = f"{day}/{plant}.jpg"
        return SourceImage(plant, day, split, "manifest", path, label=label, easting=easting, northing=northing)

    def fingerprint(self, image: SourceImage) -> str:
        """Return a digest of the image's name, as if each had its own content."""
        return hashlib.sha256(image.path.encode()).hexdigest()

    def look_at(self, image: SourceImage) -> None:
        """Return nothing, as there is no file."""

    def read_images(self, images: Sequence[SourceImage]) -> Iterator[ReadImage]:
        """Return the pixels for every image."""
        return ((position, self.pixels) for position in range(len(images)))


def ingest(store: Path, n: int) -> None:
    """List the images, ingest them, and check the campaign."""
    given: dict[str, Any] = {"params": PARAMS}
    checks: dict[str, Any] = {"n_needed": 8, "is_trained": True}
    source: Any = DrawnSource(n)
    found = survey_source.fn(str(store), source=source, dates=(DAY,), **given, **checks)
    listing = found[f"listing {DAY}"]
    images = ingest_images.fn(str(store), date=DAY, source=source, listing=listing, **given)
    check_campaign.fn(str(store), images=[images], **given, **checks)
    (store / "images.json").write_text(images.model_dump_json())


def draw(store: Path, n: int) -> None:
    """Write decisions about the ingested plants."""
    opened, rng = Store(store), np.random.default_rng(0)
    with opened.create(decided_recipe(n)) as draft:
        with writing_table(draft, DECIDED, by_plant=True) as write:
            for part in iter_table(opened.open(images_of(store)), OBSERVATIONS, ("plant_id", "split", "label")):
                write(drawn_decisions(part, rng))
        write_table(draft, READY_COUNTS, {column.name: [] for column in READY_COUNTS.columns})
    with opened.create(Recipe("promises", 1)) as draft:
        write_table(draft, PROMISES, {column.name: [] for column in PROMISES.columns})


def drawn_decisions(plants: Rows, rng: np.random.Generator) -> Rows:
    """Return rows of the table `decided` for some plants."""
    n = len(plants["plant_id"])
    chosen: NDArray[np.integer] = rng.integers(0, len(WORDS), n)
    answers = rng.integers(0, 2, (2, n))
    return {
        **plants,
        **{name: [text] * n for name, text in FIT.items()},
        "cluster": rng.integers(1, 9, n).tolist(),
        "predicted": answers[0].tolist(),
        "answer": answers[1].tolist(),
        "is_corrected": (answers[0] != answers[1]).tolist(),
        "is_outside": [False] * n,
        "ready_probability": rng.random(n).tolist(),
        "answer_reliability": rng.uniform(0.5, 1, n).tolist(),
        "decision": [WORDS[i] for i in chosen],
        "check_reason": ["unsure novel" if WORDS[i] == "check" else "" for i in chosen],
    }


def decided_recipe(n: int) -> Recipe:
    """Return the recipe of the drawn decisions."""
    return Recipe("decided", 1, {"n": n})


def images_of(store: Path) -> ArtifactRef:
    """Return the reference of the ingested images."""
    return ArtifactRef.model_validate_json((store / "images.json").read_text())


def export(store: Path, n: int) -> None:
    """Export the decisions."""
    export_decisions.fn(
        str(store),
        campaign="scale",
        date=DAY,
        method="gradcam",
        params=ExportParams(),
        field=FieldParams(),
        images=images_of(store),
        decided=decided_recipe(n).ref,
        promises=Recipe("promises", 1).ref,
    )


STAGES: dict[str, Callable[[Path, int], None]] = {"ingest": ingest, "draw": draw, "export": export}


def run(name: str, folder: str, size: str) -> None:
    """Run a stage and print its seconds and megabytes as JSON."""
    warnings.simplefilter("ignore")
    # Without a server, progress artefacts cannot be made.
    stage.create_progress_artifact = lambda **_: uuid.uuid4()  # pyright: ignore
    stage.update_progress_artifact = lambda **_: uuid.uuid4()  # pyright: ignore
    start, begun = peak_megabytes(), time.perf_counter()
    STAGES[name](Path(folder), int(size))
    seconds = time.perf_counter() - begun
    print(json.dumps({"n": int(size), "seconds": seconds, "start_mb": start, "peak_mb": peak_megabytes()}))


def main() -> None:
    """Measure both stages at every size, and print a table."""
    from tests.benchmarks.scale import run_module, show  # it loads torch, which the stages do without

    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale_date", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="Numbers of plants")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="Folder of the stores, which are removed")
    options, console = parser.parse_args(), Console(width=250)
    measured: dict[str, list[Measured]] = {"ingest": [], "export": []}
    for n in sorted({*options.sizes}):
        store = options.folder / str(n)
        shutil.rmtree(store, ignore_errors=True)
        for name in STAGES:
            found = Measured(**run_module("tests.benchmarks.scale_date", name, str(store.absolute()), str(n)))
            if name in measured:
                measured[name].append(found)
                console.print(f"{n:,} {name}: {found.seconds:.1f} s, {found.peak_mb:,.0f} MB", highlight=False)
        shutil.rmtree(store)
    show([as_json(name, rows) for name, rows in measured.items()], console)


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in STAGES:
        run(*sys.argv[1:])
    else:
        main()
