"""Plan how many bytes each kind of artefact takes in the store. Pure functions of a `Workload`; no Prefect.

Arrays are counted by their shapes, before compression, which is exact for arrays that cannot be compressed. Tables are
counted by the width of their columns, before encoding. Manifests are counted for shards only. Reports and files for
other tools are counted by the row. That is rough, but they are a small part of any large store.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from storage.arrays.specs import EXPLAINED_CLASS, MODEL_INPUTS, PEAK, ROWS, SALIENCY
from storage.tables import (
    ADJUSTED,
    ASSIGNMENTS,
    AUGMENTATION,
    CROSSFIT,
    DECIDED,
    OBSERVATIONS,
    PREDICTIONS,
    RELIABILITIES,
)
from storage.tables.widths import row_bytes
from tasks.explain.methods import SHARD_MAPS
from tasks.explain.params import Method
from tasks.plan.workload import Workload
from tasks.score.combine import INPUTS

LISTED_BYTES = 1200  # bytes per image of a date's listing as JSON, which two artefacts hold
REPORT_BYTES = 8_000_000  # bytes of a report's pages and figures without its rows; the files are also published
PICTURE_BYTES, MOST_PICTURE_BYTES = 7000, 8_000_000  # bytes of an image in the plant explorer, and of all of them
EXPLORED_BYTES = 600  # bytes of an image, besides its picture, that are kept for the plant explorer by each method
REPORT_ROW_BYTES = 400  # bytes per plant, date and method on the page and in the files for other tools
CHECKPOINT_COPIES = 3  # copies of the weights in a checkpoint, because Adam keeps two more numbers per weight
INDEX_BYTES = 16  # bytes per chunk in the index of its shard
DATE_BYTES = 6000  # bytes of the metadata of a date's maps as a dataset, and lines in the manifest
PLANT_BYTES = 24  # bytes of a plant's id
WAITING = "waiting crops"  # kind of the temporary files of crops that wait for their turn
SHARD_BYTES = 6000  # bytes of a shard's manifest, array metadata, and lines in the date's manifest


@dataclass(frozen=True)
class Size:
    """Bytes of one kind of artefact; `method` is set if each saliency method has its own."""

    kind: str
    bytes: int
    method: Method | None = None


def plan_store(work: Workload, image_share: float) -> list[Size]:
    """Return the bytes of everything that a campaign writes to the store.

    The checkpoint of training and images that wait are included, although they are deleted.

    Parameters
    ----------
    image_share : stored bytes of images per byte of pixels, as measured on some images; 1 for an upper bound.
    """
    n_explained = sum(day.n_explained for day in work.dates)
    images = work.n_images * (round(work.image_bytes * image_share) + INDEX_BYTES)
    sizes = [
        Size("images", images),
        Size("listings", 2 * work.n_images * LISTED_BYTES),
        Size("classifier", work.network.weight_bytes),
        Size("predictions", work.n_images * 4 * (work.network.n_features + work.n_classes)),
        *(Size("saliency", saliency_bytes(work, method), method) for method in work.explain.methods),
        *(Size("clusters", cluster_bytes(work, method), method) for method in work.explain.methods),
        *(Size("scores", n_explained * score_row_bytes(), method) for method in work.explain.methods),
        Size("tables", table_rows_bytes(work)),
        Size("reports", 2 * report_bytes(work) + explored_bytes(work)),
    ]
    if work.train is not None:
        sizes.append(Size("checkpoint", CHECKPOINT_COPIES * work.network.weight_bytes))
    if waiting := waiting_bytes(work):
        sizes.append(Size(WAITING, waiting))
    return sizes


def waiting_bytes(work: Workload) -> int:
    """Return the most bytes of crops that wait at a time until those before them in the listing are read.

    Orthophotos are read block by block. If plant ids say nothing of where plants stand, nearly all crops of a date
    wait. They are not compressed. Dates are ingested in parallel.
    """
    n_crops = sorted((day.n_crops for day in work.dates), reverse=True)
    return sum(n_crops[: work.runtime.workers]) * work.image_bytes


def saliency_bytes(work: Workload, method: Method) -> int:
    """Return bytes of the maps of all dates: float16 at native resolution, stored once.

    A date's array consists of the files of its shards. Peak, row and explained class of a map are stored in the shard
    and for the date. On a file system without hard links, the maps are stored twice.
    """
    n_maps = sum(day.n_explained for day in work.dates)
    rows, cols = work.map_shape(method)
    of_vectors = sum(np.dtype(spec.dtype).itemsize for spec in (PEAK, ROWS, EXPLAINED_CLASS))
    n_shards = sum(-(-day.n_explained // SHARD_MAPS[method]) for day in work.dates)
    of_map = rows * cols * np.dtype(SALIENCY.dtype).itemsize + INDEX_BYTES + 2 * of_vectors + PLANT_BYTES
    return n_maps * of_map + n_shards * SHARD_BYTES + len(work.dates) * DATE_BYTES


def cluster_bytes(work: Workload, method: Method) -> int:
    """Return bytes of fitted clusters and cross-fitting: axes, coordinates, prototypes and validation features."""
    rows, cols = work.map_shape(method)
    n, features = work.n_validation, rows * cols
    keep = min(work.cluster.n_components, max(n - 1, 0), features)
    axes = 8 * (keep + 1) * features
    of_image = 8 * (keep + 3) + 4 * (work.network.n_features + work.n_classes)
    return axes + 4 * work.cluster.n_clusters * features + n * of_image


def score_row_bytes() -> int:
    """Return bytes of an explained image beside its tables: the inputs of the combined model."""
    return len(INPUTS) * np.dtype(MODEL_INPUTS.dtype).itemsize


def table_rows_bytes(work: Workload) -> int:
    """Return bytes of the rows of the large tables, in their artefacts and published.

    Other tables are not counted, because they have one row per cluster.
    """
    n, n_maps, methods = work.n_images, sum(day.n_explained for day in work.dates), len(work.explain.methods)
    rows: Mapping[str, int] = {
        OBSERVATIONS.name: n,
        PREDICTIONS.name: n,
        AUGMENTATION.name: work.n_samples,
        ASSIGNMENTS.name: n_maps * methods,
        RELIABILITIES.name: n_maps * methods,
        ADJUSTED.name: n_maps * methods,
        DECIDED.name: n_maps * methods,
        CROSSFIT.name: work.n_validation * methods,
    }
    return 2 * sum(count * row_bytes(name) for name, count in rows.items())


def explored_bytes(work: Workload) -> int:
    """Return the bytes of what is kept of every date for the plant explorer of later reports."""
    n_explained = sum(day.n_explained for day in work.dates)
    pictures = min(n_explained * PICTURE_BYTES, MOST_PICTURE_BYTES)
    return pictures + n_explained * EXPLORED_BYTES * len(work.explain.methods)


def report_bytes(work: Workload) -> int:
    """Return the bytes of a report: its pages, with a row for every image and method, and small pictures."""
    n_explained = sum(day.n_explained for day in work.dates)
    pictures = min(n_explained * PICTURE_BYTES, MOST_PICTURE_BYTES)
    return REPORT_BYTES + pictures + work.n_images * REPORT_ROW_BYTES * len(work.explain.methods)
