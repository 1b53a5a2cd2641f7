"""Explain each image by one saliency map, for the class named by `explained_class`.

Reads `images`, `classifier` and `predictions`. `explain_shards` writes artefacts `saliency_shard`, one for each shard
of a date's maps. A shard holds maps at native resolution, divided by their peak because float16 would lose small ones.
It also holds the peaks, and the row and class that each map explains. `gather_maps` joins the shards to the date's
`saliency`, whose array consists of the same files. Training images are not explained, because no later stage reads
their maps.

A shard has one writer. A killed run loses at most one shard per task, and a later run continues at the first missing
one. A deleted shard is made again, even if the date's maps still exist.

Memory: the classifier, a shard of images, the images of one call and a shard of maps, however many images a date has.
A call takes `runtime.batch_size` images for Grad-CAM. The other methods take one image, with as many perturbed copies.

`explained_class = label` explains the true class. After Grad-CAM's ReLU, a wrongly classified image then has an almost
empty map, so the maps carry the label. The choice exists to reproduce the paper's numbers. It is marked in every table
and refused for images without a label.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task

from storage.arrays.specs import EXPLAINED_CLASS, IMAGES, PEAK, ROWS, SALIENCY, ArraySpec
from storage.arrays.zarr_files import (
    Part,
    iter_images,
    link_shards,
    open_array,
    read_array,
    write_array,
    write_group,
)
from storage.artifacts import Artifact, ArtifactRef, Draft, Recipe, Store
from storage.errors import InputError
from storage.tables import PREDICTIONS
from storage.tables.parquet import Rows, read_table
from tasks.batches import batches
from tasks.explain.checks import check_explained_class
from tasks.explain.methods import SHARD_MAPS, Explainer, flat_maps, map_groups, prepare_explainer
from tasks.explain.params import APPROXIMATE, ExplainParams, Method
from tasks.parameters import Runtime
from tasks.stage import cached_by, made_once, progress, versions

REVISION = 2


def explained_classes(choice: str, classes: list[str], predictions: Rows, rows: list[int]) -> NDArray[np.int64]:
    """Return the class to explain for each of some rows of a table of predictions, shape (len(rows),).

    Raises
    ------
    InputError : the choice is neither `predicted`, `label` nor a class, or is `label` and an image has none.
    """
    if choice == "predicted":
        return np.asarray([predictions["predicted"][i] for i in rows], np.int64)
    if choice in classes:
        return np.full(len(rows), classes.index(choice), np.int64)
    check_explained_class(choice, classes)
    missing = [predictions["plant_id"][i] for i in rows if predictions["label"][i] is None]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(rows)} images to explain have no label, e.g. {', '.join(missing[:3])}",
            "With explained_class = label, every explained image must have a label",
            "use explained_class = predicted, which exists for unseen data too",
        )
    return np.asarray([predictions["label"][i] for i in rows], np.int64)


def scale_to_peak(maps: NDArray[np.floating]) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Divide maps (n, rows, cols) by their largest magnitude; returns them with those magnitudes (n,).

    Zero maps stay zero.

    Raises
    ------
    InputError : the maps have NaN or infinite values.
    """
    n_bad = int((~np.isfinite(maps)).any(axis=(1, 2)).sum())
    if n_bad:
        raise InputError(
            f"{n_bad} of {len(maps)} saliency maps have NaN or infinite values",
            "Saliency maps must hold finite numbers",
            "check the classifier's weights",
        )
    peaks = np.abs(maps).max(axis=(1, 2)).astype(np.float32)
    scaled = maps / np.where(peaks > 0, peaks, 1)[:, None, None]
    return scaled.astype(np.float16), peaks


def n_constant(maps: NDArray[np.floating]) -> int:
    """Count stored maps (n, rows, cols) that have the same value everywhere, not zero."""
    return int((flat_maps(maps) & maps.any(axis=(1, 2))).sum())


def explained_images(predictions: Rows) -> list[int]:
    """Return the rows of a table of predictions that are explained: all but training images."""
    return [i for i, split in enumerate(predictions["split"]) if split != "train"]


def date_groups(store: Store, method: Method, predictions: ArtifactRef) -> list[tuple[int, int]]:
    """Split the explained images of a date into tasks; returns the first and the last map of each (`map_groups`)."""
    return map_groups(len(explained_images(read_table(store.open(predictions), PREDICTIONS))), method)


def saliency_recipe(
    params: ExplainParams,
    method: Method,
    images: ArtifactRef,
    classifier: ArtifactRef,
    predictions: ArtifactRef,
    runtime: Runtime,
) -> Recipe:
    """Return the recipe of a date's saliency maps by one method.

    The precision is part of it only if it is not float32, because it changes the maps.
    """
    precision = {} if runtime.saliency_precision == "float32" else {"precision": runtime.saliency_precision}
    fields = {
        **params.of_method(method).model_dump(mode="json"),
        "method": method,
        "explained_class": params.explained_class,
        "approximate": method in APPROXIMATE,
        **precision,
    }
    return Recipe(
        "saliency", REVISION, fields, {"images": images, "classifier": classifier, "predictions": predictions}
    )


def shard_recipes(
    params: ExplainParams,
    method: Method,
    images: ArtifactRef,
    classifier: ArtifactRef,
    predictions: ArtifactRef,
    runtime: Runtime,
    first: int,
    last: int,
) -> list[Recipe]:
    """Return the recipe of each shard of maps `first` to `last` of a date."""
    whole = saliency_recipe(params, method, images, classifier, predictions, runtime)
    starts = range(first, last + 1, SHARD_MAPS[method])
    ends = [*(start - 1 for start in starts[1:]), last]
    return [
        replace(whole, kind="saliency_shard", params={**whole.params, "first": start, "last": end})
        for start, end in zip(starts, ends, strict=True)
    ]


def explain_rows(
    explain: Explainer,
    pixels: Any,
    rows: NDArray[np.integer],
    explained: NDArray[np.integer],
    size: int,
    advance: Callable[[int], None],
) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Explain some rows of an array of images (m, h, w, 3), `size` at a time; returns scaled maps and peaks (n,)."""
    from tasks.classify.model import rgb_images

    parts: list[tuple[NDArray[np.float16], NDArray[np.float32]]] = []
    for part, images in zip(batches(len(rows), size), iter_images(pixels, rows, size), strict=True):
        parts.append(scale_to_peak(explain(rgb_images(images), explained[part])))
        advance(len(images))
    return np.concatenate([maps for maps, _ in parts]), np.concatenate([peaks for _, peaks in parts])


def make_shards(
    store: Store, recipes: list[Recipe], params: ExplainParams, runtime: Runtime, advance: Callable[[int], None]
) -> None:
    """Make the shards of a date and method that are not yet in the store, one after another."""
    from tasks.classify.loading import load_classifier

    method, inputs = recipes[0].params["method"], recipes[0].inputs
    model = load_classifier(store.open(inputs["classifier"]), runtime, runtime.saliency_precision)
    table = read_table(store.open(inputs["predictions"]), PREDICTIONS)
    chosen = explained_images(table)
    rows = np.asarray([table["row"][i] for i in chosen], np.int64)
    explained = explained_classes(params.explained_class, list(model.classes), table, chosen)
    explain = prepare_explainer(method, model, params, runtime)
    pixels = open_array(store.open(inputs["images"]), IMAGES)
    size = runtime.batch_size if method == "gradcam" else 1
    for recipe in recipes:
        own = slice(recipe.params["first"], recipe.params["last"] + 1)
        if store.holds(recipe.ref):  # an earlier run made it, or a parallel one
            advance(own.stop - own.start)
            continue
        maps, peaks = explain_rows(explain, pixels, rows[own], explained[own], size, advance)
        with store.create(recipe, versions()) as draft:
            write_array(draft, SALIENCY, maps, SHARD_MAPS[method])
            write_vectors(draft, peaks, rows[own], explained[own])
            draft.summary = {
                "method": method,
                "approximate": method in APPROXIMATE,
                "n_maps": len(maps),
                "n_zero": int((peaks == 0).sum()),
                "n_constant": n_constant(maps),
            }


def write_vectors(
    draft: Draft, peaks: NDArray[np.floating], rows: NDArray[np.integer], explained: NDArray[np.integer]
) -> None:
    """Write the arrays (n,) that belong to maps: peaks, rows and explained classes."""
    for spec, values in ((PEAK, peaks), (ROWS, rows), (EXPLAINED_CLASS, explained)):
        write_array(draft, spec, values)


@task(task_run_name="explain {campaign} {date} {method} {first}..{last}", **cached_by(shard_recipes))
def explain_shards(
    store: str,
    date: date,
    params: ExplainParams,
    method: Method,
    images: ArtifactRef,
    classifier: ArtifactRef,
    predictions: ArtifactRef,
    runtime: Runtime,
    first: int,
    last: int,
) -> list[ArtifactRef]:
    """Explain images `first` to `last` among those of a date that are not for training (see `map_groups`)."""
    recipes = shard_recipes(params, method, images, classifier, predictions, runtime, first, last)
    refs, opened = [recipe.ref for recipe in recipes], Store(store)
    if not all(opened.holds(ref) for ref in refs):
        with progress(f"explain {date} {method}", last + 1 - first, "map") as advance:
            make_shards(opened, recipes, params, runtime, advance)
    return refs


@task(task_run_name="gather {campaign} {date} {method}", **cached_by(saliency_recipe))
@made_once(saliency_recipe)
def gather_maps(
    draft: Draft,
    store: Store,
    date: date,
    params: ExplainParams,
    method: Method,
    images: ArtifactRef,
    classifier: ArtifactRef,
    predictions: ArtifactRef,
    runtime: Runtime,
    shards: list[list[ArtifactRef]],
) -> None:
    """Join the shards that `explain_shards` made to the saliency maps of a date."""
    parts = [store.open(ref) for group in shards for ref in group]
    answered = read_table(store.open(predictions), PREDICTIONS)
    explained = explained_images(answered)
    link_shards(draft, SALIENCY, len(explained), [Part(part.manifest.params["first"], part) for part in parts])
    write_vectors(draft, joined(parts, PEAK), joined(parts, ROWS), joined(parts, EXPLAINED_CLASS))
    attributes = {"date": date.isoformat(), "method": method, "explained_class": params.explained_class}
    write_group(draft, [answered["plant_id"][i] for i in explained], attributes)
    counts = {name: sum(part.summary[name] for part in parts) for name in ("n_maps", "n_zero", "n_constant")}
    draft.summary = {"method": method, "approximate": method in APPROXIMATE, **counts}


def joined(parts: list[Artifact], spec: ArraySpec) -> NDArray[Any]:
    """Join one array (n,) from those of its parts."""
    return np.concatenate([np.zeros(0, spec.dtype), *(read_array(part, spec) for part in parts)])
