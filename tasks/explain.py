"""Explain: one saliency map per image, for the class named by `explained_class`.

Reads `images`, `classifier` and `predictions`, writes `saliency`: maps at native resolution divided by their peak
(float16 would lose small ones), the peaks, and which row and class each map explains. Training images are not
explained: no later stage reads their maps.

`explained_class = label` explains the true class. After Grad-CAM's ReLU a wrongly classified image then has an almost
empty map, so the maps carry the label. It exists to reproduce the paper's numbers, marks every table, and is refused
for images without a label.
"""

from datetime import date
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from prefect import task
from pydantic import Field

from storage.arrays import (
    EXPLAINED_CLASS,
    IMAGES,
    PEAK,
    ROWS,
    SALIENCY,
    create_array,
    open_array,
    write_array,
    write_block,
)
from storage.artifacts import ArtifactRef, Recipe, Store
from storage.errors import InputError
from storage.tables import PREDICTIONS, Rows, read_table
from tasks.classifier import batches, load_classifier
from tasks.parameters import Params, Runtime
from tasks.saliency.gradcam import gradcam_maps
from tasks.stage import cached_by, progress, versions

REVISION = 1
Method = Literal["gradcam"]


class ExplainParams(Params):
    """Saliency maps."""

    methods: tuple[Method, ...] = Field(
        default=("gradcam",), min_length=1, description="saliency methods, side by side"
    )
    explained_class: str = Field(
        default="predicted",
        description="predicted, the name of a class, or label (uses ground truth; not valid for unseen data)",
    )
    layer: str | None = Field(default=None, description="Grad-CAM's layer; null: the last convolutional stage")


def check_explained_class(choice: str, classes: list[str]) -> None:
    """Refuse a word that names no class to explain.

    Raises
    ------
    InputError : neither `predicted`, `label` nor one of the classes.
    """
    if choice not in ("predicted", "label", *classes):
        raise InputError(
            "explain.explained_class is predicted, label or the name of a class",
            repr(choice),
            f"use predicted, or one of {', '.join(classes)}",
        )


def explained_classes(choice: str, classes: list[str], predictions: Rows, rows: list[int]) -> NDArray[np.int64]:
    """Class to explain for each of some rows of a table of predictions, shape (len(rows),).

    Raises
    ------
    InputError : neither `predicted`, `label` nor a class; `label` for images without one.
    """
    if choice == "predicted":
        return np.asarray([predictions["predicted"][i] for i in rows], np.int64)
    if choice in classes:
        return np.full(len(rows), classes.index(choice), np.int64)
    check_explained_class(choice, classes)
    missing = [predictions["plant_id"][i] for i in rows if predictions["label"][i] is None]
    if missing:
        raise InputError(
            "explained_class = label needs the label of every explained image",
            f"{len(missing)} of {len(rows)} images have none, e.g. {', '.join(missing[:3])}",
            "use explained_class = predicted, which exists for unseen data too",
        )
    return np.asarray([predictions["label"][i] for i in rows], np.int64)


def scale_to_peak(maps: NDArray[np.floating]) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Maps (n, rows, cols) divided by their largest value, and those values (n,); zero maps stay zero.

    Raises
    ------
    InputError : NaN or infinite values.
    """
    n_bad = int((~np.isfinite(maps)).any(axis=(1, 2)).sum())
    if n_bad:
        raise InputError(
            "Saliency maps hold finite numbers", f"{n_bad} of {len(maps)} do not", "check the classifier's weights"
        )
    peaks = np.abs(maps).max(axis=(1, 2)).astype(np.float32)
    scaled = maps / np.where(peaks > 0, peaks, 1)[:, None, None]
    return scaled.astype(np.float16), peaks


def saliency_recipe(
    params: ExplainParams, method: Method, images: ArtifactRef, classifier: ArtifactRef, predictions: ArtifactRef
) -> Recipe:
    """What makes a date's saliency maps by one method."""
    fields = {**params.model_dump(mode="json", exclude={"methods"}), "method": method}
    return Recipe(
        "saliency", REVISION, fields, {"images": images, "classifier": classifier, "predictions": predictions}
    )


@task(task_run_name="explain {campaign} {date} {method}", **cached_by(saliency_recipe))
def explain_images(
    campaign: str,
    date: date,
    store: str,
    params: ExplainParams,
    method: Method,
    images: ArtifactRef,
    classifier: ArtifactRef,
    predictions: ArtifactRef,
    runtime: Runtime,
) -> ArtifactRef:
    """Explain every image of a date that is not for training, whole shards at a time."""
    recipe, files = saliency_recipe(params, method, images, classifier, predictions), Store(store)
    if files.holds(recipe.ref):
        return recipe.ref
    model = load_classifier(files.open(classifier), runtime)
    table = read_table(files.open(predictions), PREDICTIONS)
    chosen = [i for i, split in enumerate(table["split"]) if split != "train"]
    explained = explained_classes(params.explained_class, list(model.classes), table, chosen)
    rows = np.asarray([table["row"][i] for i in chosen], np.int64)
    pixels = open_array(files.open(images), IMAGES)
    with (
        files.create(recipe, versions()) as draft,
        progress(f"explain {date} {method}", len(rows), "map") as advance,
    ):
        array: Any = None
        peaks: list[NDArray[np.float32]] = []
        for part in batches(len(rows), SALIENCY.shard or len(rows)):
            shard = np.asarray(pixels.oindex[rows[part]], np.uint8)
            maps = gradcam_maps(model, shard, explained[part], params.layer, runtime.batch_size)
            scaled, peak = scale_to_peak(maps)
            array = array if array is not None else create_array(draft, SALIENCY, (len(rows), *maps.shape[1:]))
            write_block(array, part.start, scaled)
            peaks.append(peak)
            advance(len(maps))
        if array is None:
            create_array(draft, SALIENCY, (0, 0, 0))
        write_array(draft, PEAK, np.concatenate([*peaks, np.zeros(0, np.float32)]))
        write_array(draft, ROWS, rows)
        write_array(draft, EXPLAINED_CLASS, explained)
        draft.summary = {"method": method, "n_maps": len(rows), "n_zero": int(sum((p == 0).sum() for p in peaks))}
    return recipe.ref
