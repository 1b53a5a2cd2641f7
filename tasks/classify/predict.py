"""Predict: compute the classifier's answer for every image of a date.

Reads `images` and `classifier`, writes the table `predictions`, the logits and the features (inputs of the last layer).
A date of many images is predicted in parallel parts, each an artefact `predictions_part`. `predict_images` then merges
them into the date's `predictions`.

Memory: classifier + one shard of images (64) + features of 1,024 images + two numbers per image of the date. A forward
pass takes at most `runtime.batch_size` images of one shard. So batches, and the last bits of every number, do not
depend on the number of parts or workers.
"""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from prefect import task

from storage.arrays.chunks import shard_length
from storage.arrays.specs import FEATURES, IMAGES, LOGITS
from storage.arrays.zarr_files import (
    check_tiling,
    create_array,
    open_array,
    read_array,
    write_array,
    write_block,
)
from storage.artifacts import Artifact, ArtifactRef, Draft, Recipe, Store
from storage.tables import OBSERVATIONS, PREDICTIONS
from storage.tables.parquet import Rows, read_table, write_table
from tasks.batches import batches
from tasks.parameters import Runtime
from tasks.stage import cached_by, made_once

if TYPE_CHECKING:
    from tasks.classify.model import Classifier

REVISION = 2
FEATURES_BLOCK = 1024  # images whose features share a file
# Images of a part, which are whole files of images and of features. At 256 pixels a part takes a core some minutes and
# a GPU some seconds.
PART_IMAGES = 4 * FEATURES_BLOCK


def predictions_recipe(images: ArtifactRef, classifier: ArtifactRef) -> Recipe:
    """Return the recipe of a date's predictions."""
    return Recipe("predictions", REVISION, {}, {"images": images, "classifier": classifier})


def part_recipe(images: ArtifactRef, classifier: ArtifactRef, first: int, last: int) -> Recipe:
    """Return the recipe of the predictions for images `first` to `last` of a date."""
    inputs = {"images": images, "classifier": classifier}
    return Recipe("predictions_part", REVISION, {"first": first, "last": last}, inputs)


def date_parts(store: Store, images: ArtifactRef, classifier: ArtifactRef) -> list[tuple[int, int]]:
    """Return the first and last image of each part of a date; empty if the date is small or already predicted."""
    if store.holds(predictions_recipe(images, classifier).ref):
        return []
    n_images = open_array(store.open(images), IMAGES).shape[0]
    parts = [(part.start, part.stop - 1) for part in batches(n_images, PART_IMAGES)]
    return parts if len(parts) > 1 else []


def write_answers(
    draft: Draft, classifier: "Classifier", pixels: Any, first: int, last: int, batch_size: int
) -> NDArray[np.float32]:
    """Compute and write logits and features of images `first` to `last` of an array (m, h, w, 3).

    Returns
    -------
    logits : (n, k) for n = last - first + 1 images and k classes.
    """
    from tasks.classify.features import logits_and_features, n_features

    n, width = last + 1 - first, n_features(classifier)
    logits = np.empty((n, len(classifier.classes)), np.float32)
    stored = create_array(draft, FEATURES, (n, width))
    for block in batches(n, FEATURES_BLOCK):
        features = np.empty((block.stop - block.start, width), np.float32)
        for part in batches(len(features), shard_length(pixels)):
            images = np.asarray(pixels[first + block.start + part.start : first + block.start + part.stop])
            found = logits_and_features(classifier, images, batch_size)
            logits[block][part], features[part] = found
        write_block(stored, block.start, features)
        draft.settle()
    write_array(draft, LOGITS, logits)
    return logits


def copy_answers(draft: Draft, parts: list[Artifact], n: int) -> NDArray[np.float32]:
    """Merge logits and features of parts into those of `n` images.

    Returns
    -------
    logits : (n, k) for k classes.

    Raises
    ------
    ArtifactError : the parts do not cover the images exactly once.
    """
    starts = [int(part.manifest.params["first"]) for part in parts]
    ranges = [range(start, int(part.manifest.params["last"]) + 1) for start, part in zip(starts, parts, strict=True)]
    check_tiling(ranges, n, FEATURES_BLOCK)
    sources = [open_array(part, FEATURES) for part in parts]
    stored = create_array(draft, FEATURES, (n, *sources[0].shape[1:]))
    for start, source in zip(starts, sources, strict=True):
        for block in batches(source.shape[0], FEATURES_BLOCK):
            write_block(stored, start + block.start, np.asarray(source[block]))
            draft.settle()
    logits = np.concatenate([read_array(part, LOGITS) for part in parts])
    write_array(draft, LOGITS, logits)
    return logits


def predictions_of(logits: NDArray[np.float32], observations: Rows, classifier: str) -> dict[str, list[Any]]:
    """Return the columns of the table `predictions` from logits (n, k) and the observations of the n images."""
    from tasks.classify.model import softmax

    probabilities = softmax(logits)
    return {
        **{name: observations[name] for name in ("plant_id", "split", "label", "row")},
        "predicted": np.argmax(probabilities, axis=1).tolist(),
        "probabilities": probabilities.tolist(),
        "classifier": [classifier] * len(logits),
    }


@task(task_run_name="predict {campaign} {date} {first}..{last}", **cached_by(part_recipe))
@made_once(part_recipe)
def predict_part(
    draft: Draft,
    store: Store,
    date: date,
    images: ArtifactRef,
    classifier: ArtifactRef,
    runtime: Runtime,
    first: int,
    last: int,
) -> None:
    """Classify images `first` to `last` of a date (see `date_parts`)."""
    from tasks.classify.loading import load_classifier

    pixels, model = open_array(store.open(images), IMAGES), load_classifier(store.open(classifier), runtime)
    write_answers(draft, model, pixels, first, last, runtime.batch_size)


@task(task_run_name="predict {campaign} {date}", **cached_by(predictions_recipe))
@made_once(predictions_recipe)
def predict_images(
    draft: Draft,
    store: Store,
    date: date,
    images: ArtifactRef,
    classifier: ArtifactRef,
    runtime: Runtime,
    parts: Sequence[ArtifactRef] = (),
) -> None:
    """Classify every image of a date, or merge the parts that `predict_part` made."""
    from tasks.classify.loading import load_classifier

    artifact = store.open(images)
    observations = read_table(artifact, OBSERVATIONS)
    n = len(observations["row"])
    if parts:
        logits = copy_answers(draft, [store.open(part) for part in parts], n)
    else:
        model = load_classifier(store.open(classifier), runtime)
        logits = write_answers(draft, model, open_array(artifact, IMAGES), 0, n - 1, runtime.batch_size)
    write_table(draft, PREDICTIONS, predictions_of(logits, observations, classifier.digest))
    draft.summary = {"date": artifact.summary["date"], "n_images": n}
