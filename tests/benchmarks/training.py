"""Compare training in float32 and in bfloat16 on one core: CPU time of a sample, and accuracy of several seeds.

Run it by `python -m tests.benchmarks.training`, which takes two minutes. It trains in a thread, as tasks do, and keeps
memory as they do (see `tasks.heap`) unless `--usual-memory` is given. With `--seeds 0 1 2` it also trains as `harvest
demo` does, on its seasons of these seeds, or on photographs (`--photographs`). These lie in a folder of each split with
a folder of each class. Accuracies are those of all validation and test images.
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from statistics import mean, median

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from flows.cli.demo import IMAGE_SIZE, demo_campaign, demo_season
from tasks.classify.augment import plan_copies
from tasks.classify.params import TrainParams
from tasks.classify.training import Training, TrainingSet, evaluate, train_epoch
from tasks.heap import kept_memory, share_one_heap
from tasks.ingest.ingest import prepare_image
from tasks.sources.synthetic.season import grow_season
from tests.benchmarks.measure import machine, use_one_core

CPU = torch.device("cpu")
PRECISIONS = "float32", "bfloat16"
ARCHITECTURES = "resnet18", "mobilenet_v3_small", "efficientnet_b0"
Labelled = tuple[NDArray[np.uint8], NDArray[np.int64]]  # images (n, h, w, 3) and their classes (n,)


def sample_times(architecture: str, size: int, repeats: int) -> dict[str, list[float]]:
    """Measure the CPU milliseconds of a sample by precision, in turns, in epochs of one batch with augmentation."""
    n = TrainParams().batch_size
    pixels, rows = np.random.default_rng(0).integers(0, 256, (n, size, size, 3), np.uint8), np.arange(n)
    samples = TrainingSet(pixels, np.stack([rows, rows % 8, rows], axis=1), rows % 2)

    def runner(precision: str) -> Callable[[], object]:
        params = TrainParams.model_validate({"architecture": architecture, "precision": precision})
        training = Training.start(params, 2, CPU)
        return lambda: train_epoch(training, samples, params, CPU)

    runs, taken = {name: runner(name) for name in PRECISIONS}, {name: list[float]() for name in PRECISIONS}
    for turn in range(1 + repeats):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if turn:  # the first one warms up
                taken[name].append(1000 * (time.process_time() - start) / n)
    return taken


def photographs(folder: Path, size: int) -> tuple[Labelled, Labelled]:
    """Read the training images of a folder, and those of its other splits."""
    files = sorted((path.parts[-3] != "train", path.parts[-2], path) for path in folder.glob("*/*/*.*"))
    classes = sorted({name for _, name, _ in files})
    images = np.stack([prepare_image(np.asarray(Image.open(path).convert("RGB")), size) for *_, path in files])
    return split(images, np.asarray([classes.index(name) for _, name, _ in files]), np.asarray([o for o, *_ in files]))


def season(seed: int, size: int) -> tuple[Labelled, Labelled]:
    """Draw the training images of a season of `harvest demo`, and those of its other splits."""
    grown = grow_season(demo_season(shortcut=False, seed=seed).model_copy(update={"image_size": size}))
    seen = [one for one in grown.observations if one.state != "harvested" and one.fault is None]
    images = np.stack([grown.image(one) for one in seen])
    labels = np.asarray([one.state == "ready" for one in seen])
    return split(images, labels, np.asarray([one.plant.split != "train" for one in seen]))


def split(
    images: NDArray[np.uint8], labels: NDArray[np.integer], is_other: NDArray[np.bool_]
) -> tuple[Labelled, Labelled]:
    """Split labelled images into those of training and the others."""
    whole = labels.astype(np.int64)
    return (images[~is_other], whole[~is_other]), (images[is_other], whole[is_other])


def accuracy(trained_on: Labelled, others: Labelled, params: TrainParams, copies: int) -> float:
    """Train, and return the accuracy on the other images."""
    images, labels = trained_on
    plan = plan_copies(labels, np.asarray([copies, copies]), params.seed)
    samples = TrainingSet(images, plan, labels[plan[:, 0]])
    training = Training.start(params, 2, CPU)
    for _ in range(params.epochs):
        training.epochs.append({"train_loss": train_epoch(training, samples, params, CPU)[0]})
    found = evaluate(training.model, *others, 32, CPU)[1]
    assert found is not None
    return found


def show_times(size: int, repeats: int) -> None:
    """Print the CPU time of a sample by architecture."""
    table = Table(*("architecture", *(f"{name}, CPU ms (min, median, max)" for name in PRECISIONS), "ratio of medians"))
    for architecture in ARCHITECTURES:
        taken = sample_times(architecture, size, repeats)
        cells = [f"{min(ms):.1f}, {median(ms):.1f}, {max(ms):.1f}" for ms in taken.values()]
        table.add_row(architecture, *cells, f"{median(taken['float32']) / median(taken['bfloat16']):.2f}")
    Console().print(f"A training sample of {size} pixels on {machine()}", table)


def show_accuracies(folder: Path | None, size: int, seeds: list[int], epochs: int, copies: int) -> None:
    """Print the accuracy of each seed."""
    table, found = Table("seed", "samples", "judged images", *PRECISIONS), {name: list[float]() for name in PRECISIONS}
    usual = demo_campaign("demo", Path()).train.model_copy(update={"epochs": epochs})
    for seed in seeds:
        trained_on, others = season(seed, size) if folder is None else photographs(folder, size)
        for name in PRECISIONS:
            params = usual.model_copy(update={"seed": seed, "precision": name})
            found[name].append(accuracy(trained_on, others, params, copies))
        last = (f"{found[name][-1]:.3f}" for name in PRECISIONS)
        table.add_row(str(seed), str(copies * len(trained_on[1])), str(len(others[1])), *last)
    table.add_row("mean", "", "", *(f"{mean(of):.3f}" for of in found.values()))
    Console().print(f"Accuracy on {folder or 'seasons of the demo'} at {size} pixels, {epochs} epochs", table)


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="pixels of the images that are timed")
    parser.add_argument("--repeats", type=int, default=5, help="timed batches of each precision; 0 times nothing")
    parser.add_argument("--seeds", type=int, nargs="*", default=[], help="seeds whose accuracy is compared")
    parser.add_argument("--photographs", type=Path, help="folder of images; without it, seasons are drawn")
    parser.add_argument("--pixels", type=int, default=IMAGE_SIZE, help="pixels of the images of an accuracy")
    parser.add_argument("--epochs", type=int, default=6, help="epochs of an accuracy")
    parser.add_argument("--copies", type=int, default=1, help="samples of each training image")
    parser.add_argument("--usual-memory", action="store_true", help="allocate as glibc does by default")
    asked = parser.parse_args()
    if not asked.usual_memory:
        share_one_heap()
    use_one_core()
    with ThreadPoolExecutor(1) as thread, nullcontext() if asked.usual_memory else kept_memory():
        thread.submit(show, asked).result()


def show(asked: argparse.Namespace) -> None:
    """Print what is asked for."""
    torch.set_num_threads(1)  # holds for the thread that calls it
    if asked.repeats:
        show_times(asked.size, asked.repeats)
    if asked.seeds:
        show_accuracies(asked.photographs, asked.pixels, asked.seeds, asked.epochs, asked.copies)


if __name__ == "__main__":
    main()
