"""Plan a campaign: estimate its work, memory, storage and time before it runs.

The plan reads the source's own lists, the size of a classifier, and a few images. The images are written to a temporary
folder, to measure how far they can be compressed. Nothing is written to the store.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import date
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from flows.campaign import check_run
from flows.parameters import CampaignParams
from flows.plan.limits import Machine, check_disk, check_memory
from flows.plan.machine import free_disk, memory_limit, n_processors
from flows.report.backgrounds import has_backgrounds
from storage.arrays.specs import IMAGES
from storage.arrays.zarr_files import write_array
from storage.artifacts import Recipe, Store
from tasks.classify.architectures import build_model
from tasks.classify.augment import copies_per_class
from tasks.classify.given import load_given
from tasks.classify.model import Classifier, choose_device, freeze
from tasks.classify.params import IMAGENET_MEAN, IMAGENET_STD
from tasks.ingest.checks import Counts, check_counts
from tasks.ingest.ingest import prepare_image
from tasks.ingest.looks import refuse_size
from tasks.ingest.survey import IngestParams, preview
from tasks.parameters import Runtime
from tasks.plan.memory import StageMemory, plan_memory
from tasks.plan.passes import StageWork, plan_work
from tasks.plan.rates import Rates, measure_rates, stage_seconds
from tasks.plan.rehearsal import rehearse
from tasks.plan.store import Size, plan_store
from tasks.plan.workload import Workload, count_date, measure_network
from tasks.sources.contract import Source, SourceImage, UnreadableImage

# Modules that the tasks of a run load when they compute, with the libraries behind them.
LOADED_BY_A_RUN = (
    *("scipy.optimize", "scipy.stats", "sklearn.cluster", "tasks.explain.lime"),
    *("storage.arrays.shards", "storage.published.decisions", "tasks.report.render"),
)
N_SAMPLED = 16  # images that are read to measure reading time and compression


@dataclass(frozen=True)
class Sample:
    """Measurements on a few images of a source.

    Attributes
    ----------
    n : number of images that could be read.
    seconds : time to read and prepare one image.
    share : stored bytes as a share of the pixels' bytes.
    """

    n: int
    seconds: float
    share: float


@dataclass(frozen=True)
class Plan:
    """Estimated work, memory, storage and time of a campaign.

    Attributes
    ----------
    stages : work of each stage, in the order of the DAG.
    memory : memory of each stage, in the order of the DAG.
    sizes : stored bytes of each kind of artefact, with images compressed like those of the sample.
    upper_bound : stored bytes of all artefacts with nothing compressed.
    seconds : time of each of `stages` at the measured rates; None where no rate is measured.
    """

    campaign: str
    work: Workload
    machine: Machine
    sample: Sample
    stages: list[StageWork]
    memory: list[StageMemory]
    sizes: list[Size]
    upper_bound: int
    rates: Rates
    seconds: list[float | None]


def plan_campaign(params: CampaignParams, store: str, runtime: Runtime) -> Plan:
    """Plan a campaign for an empty store, even if the store has some of its artefacts already.

    Raises
    ------
    InputError : the campaign would be refused before any image is opened, or does not fit into memory or on the disk.
    """
    check_run(params, runtime, is_here=True)
    for module in LOADED_BY_A_RUN:
        import_module(module)
    imported = psutil.Process().memory_info().rss  # a run, and each of its worker processes, takes as much
    available = min(memory_limit(), psutil.virtual_memory().available + imported)
    libraries = imported * (1 + own_processes(runtime))
    images, work, classifier = look(params, runtime)
    machine = Machine(memory_limit(), available, libraries, gpu_memory(classifier), free_disk(store))
    check_memory(work, machine)
    sample = sample_images(params.source, images, params.ingest)
    check_disk(work, machine, sample.share)
    stages = plan_work(work)
    n_side = min(runtime.workers, n_processors(), max(stage.n_tasks for stage in stages if stage.forward))
    rates = measure_rates(classifier, params.explain, work.train, params.ingest.image_size, runtime, n_side)
    rates = replace(rates, ingest=sample.seconds)
    return Plan(
        params.campaign,
        work,
        machine,
        sample,
        stages,
        plan_memory(work),
        plan_store(work, sample.share),
        sum(size.bytes for size in plan_store(work, 1.0)),
        rates,
        [stage_seconds(stage, rates) for stage in stages],
    )


def own_processes(runtime: Runtime) -> int:
    """Count the worker processes that a run starts on this machine."""
    return runtime.workers if runtime.task_runner == "dask" and runtime.scheduler is None else 0


def look(params: CampaignParams, runtime: Runtime) -> tuple[list[SourceImage], Workload, Classifier]:
    """List the source's images, and derive the workload and a classifier of the campaign's architecture.

    Raises
    ------
    InputError : the campaign would be refused before any image is opened.
    """
    classes, by_date = preview(params.source, params.dates, params.ingest)
    images = [image for of_date in by_date.values() for image in of_date]
    refuse_hopeless(params, classes, by_date)
    size = params.ingest.image_size
    rehearse(list(classes), params.train, params.classifier, params.explain, size, runtime)
    classifier = like_the_campaigns(params, classes, runtime)
    labels = [image.label for image in images if image.split == "train" and image.label is not None]
    copies = copies_per_class(params.augment.copies, len(classes))
    is_trained = params.classifier is None
    work = Workload(
        dates=tuple(count_date(day, of_date) for day, of_date in by_date.items()),
        n_classes=len(classes),
        n_training=len(labels) if is_trained else 0,
        n_samples=int(copies[labels].sum()) if is_trained else 0,
        network=measure_network(classifier, params.explain, size, runtime),
        ingest=params.ingest,
        train=params.train if is_trained else None,
        explain=params.explain,
        cluster=params.cluster,
        runtime=runtime,
        n_backgrounds=len(params.dates) if has_backgrounds(params) else 0,
    )
    return images, work, classifier


def refuse_hopeless(
    params: CampaignParams, classes: tuple[str, ...], by_date: Mapping[date, Sequence[SourceImage]]
) -> None:
    """Refuse a campaign that lists too few images, before any image is opened.

    Raises
    ------
    InputError : there are too few images or plants of a split or class.
    """
    listings = [
        {
            "date": day.isoformat(),
            "classes": classes,
            "images": [{"split": i.split, "label": i.label, "plant_id": i.plant_id} for i in images],
        }
        for day, images in by_date.items()
    ]
    check_counts(Counts.of(listings), params.cluster.n_needed, params.classifier is None)


def like_the_campaigns(params: CampaignParams, classes: tuple[str, ...], runtime: Runtime) -> Classifier:
    """Load the given classifier, or build an untrained one of the architecture that will be trained."""
    given = params.classifier
    if given is None:
        model = build_model(params.train.architecture, len(classes), "none", params.train.seed)
    else:
        model = load_given(given, len(classes))
    return freeze(model, classes, IMAGENET_MEAN, IMAGENET_STD, choose_device(runtime, runtime.saliency_precision))


def gpu_memory(classifier: Classifier) -> int | None:
    """Return the bytes of memory of the GPU that would compute; None on a CPU."""
    return torch.cuda.mem_get_info(classifier.device)[1] if classifier.device.type == "cuda" else None


def sample_images(source: Source, images: Sequence[SourceImage], params: IngestParams) -> Sample:
    """Read images spread over the list and write them as ingest does; images that cannot be read are skipped."""
    chosen = [images[i] for i in np.unique(np.linspace(0, len(images) - 1, N_SAMPLED).round().astype(int))]
    start, fit, read = time.perf_counter(), list[SourceImage](), list[NDArray[np.uint8]]()
    for image in chosen:
        with suppress(UnreadableImage):
            source.fingerprint(image)
            refuse_size(source, image, params.max_pixels)
            fit.append(image)
    for _, found in source.read_images(fit):
        with suppress(UnreadableImage):
            if not isinstance(found, UnreadableImage):
                read.append(prepare_image(found, params.image_size))
    seconds = (time.perf_counter() - start) / len(chosen)
    if not read:
        return Sample(0, seconds, 1.0)
    with TemporaryDirectory() as folder:
        store, recipe = Store(folder), Recipe("images", 1)
        with store.create(recipe) as draft:
            write_array(draft, IMAGES, np.stack(read))
        written = sum(file.size for file in store.open(recipe.ref).manifest.files.values())
    return Sample(len(read), seconds, written / (3 * params.image_size**2 * len(read)))


def plan_rows(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON values: counts, bytes and seconds of stages and artefacts, and the measurements."""
    needed = plan.machine.needed(plan.memory)
    memory = {(stage.stage, stage.method): (stage, need) for stage, need in zip(plan.memory, needed, strict=True)}
    rows = [
        {
            "stage": stage.stage,
            "method": stage.method,
            "n_tasks": stage.n_tasks,
            "n_images": stage.n_images,
            "forward": stage.forward,
            "backward": stage.backward,
            "partial": stage.partial,
            "forward_equivalents": stage.forward_equivalents,
            "seconds": taken,
            **_memory_row(memory.get((stage.stage, stage.method))),
        }
        for stage, taken in zip(plan.stages, plan.seconds, strict=True)
    ]
    return {
        "campaign": plan.campaign,
        "dates": [asdict(day) for day in plan.work.dates],
        "image_size": plan.work.ingest.image_size,
        "n_training_samples": plan.work.n_samples,
        "stages": rows,
        "store": [asdict(size) for size in plan.sizes],
        "store_bytes": sum(size.bytes for size in plan.sizes),
        "store_upper_bound": plan.upper_bound,
        "seconds": sum(taken for taken in plan.seconds if taken is not None),
        "machine": asdict(plan.machine),
        "rates": asdict(plan.rates),
        "sampled_images": asdict(plan.sample),
        "runtime": plan.work.runtime.model_dump(mode="json"),
    }


def _memory_row(found: tuple[StageMemory, int] | None) -> dict[str, int | None]:
    if found is None:
        return {"n_at_once": None, "worker_bytes": None, "process_bytes": None}
    stage, need = found
    return {"n_at_once": stage.n_at_once, "worker_bytes": stage.worker, "process_bytes": need}
