"""Train: fit the classifier on the augmented images, or copy a given classifier into the store.

Reads images and the augmentation table, writes the artefact `classifier`: weights, `card.json` and the table `epochs`.

Memory: the training and validation images of all dates.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from prefect import task

from storage.arrays.specs import IMAGES
from storage.arrays.zarr_files import open_array, read_rows
from storage.artifacts import Artifact, ArtifactRef, Draft, Recipe, Store
from storage.places.files import describe_file
from storage.tables import AUGMENTATION, EPOCHS, OBSERVATIONS
from storage.tables.parquet import read_table, rows_to_columns, write_table
from tasks.classify.changes import NO_CHANGE, TrainingSet
from tasks.classify.params import IMAGENET_MEAN, IMAGENET_STD, GivenClassifier, TrainParams
from tasks.heap import kept_memory
from tasks.parameters import Runtime
from tasks.stage import cached_by, made_once, progress

REVISION = 1


def load_training_set(artifacts: list[Artifact], augmentation: Artifact) -> TrainingSet:
    """Load the training images of all dates, and the samples that the augmentation table plans of them."""
    plan = read_table(augmentation, AUGMENTATION)
    used = sorted({(day.isoformat(), row) for day, row in zip(plan["acquired"], plan["row"], strict=True)})
    position = {key: n for n, key in enumerate(used)}
    images = [
        read_images(artifact, [row for day, row in used if day == artifact.summary["date"]])
        for artifact in sorted(artifacts, key=lambda a: a.summary["date"])
    ]
    samples = [
        (position[day.isoformat(), row], symmetry, NO_CHANGE if seed is None else seed)
        for day, row, symmetry, seed in zip(
            plan["acquired"], plan["row"], plan["symmetry"], plan["photometric_seed"], strict=True
        )
    ]
    return TrainingSet(np.concatenate(images), np.asarray(samples, np.int64), np.asarray(plan["label"], np.int64))


def load_validation_set(artifacts: list[Artifact]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Load the labelled validation images (n, h, w, 3) of all dates, and their labels (n,)."""
    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    for artifact in artifacts:
        table = read_table(artifact, OBSERVATIONS)
        chosen = [i for i, split in enumerate(table["split"]) if split == "val" and table["label"][i] is not None]
        images.append(read_images(artifact, [table["row"][i] for i in chosen]))
        labels += [table["label"][i] for i in chosen]
    return np.concatenate(images), np.asarray(labels, np.int64)


def read_images(artifact: Artifact, rows: list[int]) -> NDArray[np.uint8]:
    """Read some images (n, h, w, 3) of a date, without reading the others."""
    return read_rows(open_array(artifact, IMAGES), np.asarray(rows, np.int64))


def classifier_recipe(params: TrainParams, augmentation: ArtifactRef, images: list[ArtifactRef]) -> Recipe:
    """Return the recipe of a trained classifier."""
    inputs = {"augmentation": augmentation, "images": images}
    return Recipe("classifier", REVISION, params.model_dump(mode="json"), inputs)


def given_recipe(given: GivenClassifier, classes: tuple[str, ...]) -> Recipe:
    """Return the recipe of the copy of a given classifier, which depends on its file's content, not on its path."""
    path = Path(given.path)
    content = describe_file(path).sha256 if path.is_file() else "missing"
    params = {**given.facts(), "sha256": content, "classes": list(classes)}
    return Recipe("classifier", REVISION, params)


@task(task_run_name="train {campaign}", **cached_by(classifier_recipe))
@made_once(classifier_recipe)
def train_classifier(
    draft: Draft,
    store: Store,
    params: TrainParams,
    augmentation: ArtifactRef,
    images: list[ArtifactRef],
    runtime: Runtime,
) -> None:
    """Train the campaign's classifier, and continue from its checkpoint if an earlier run was killed."""
    from tasks.classify.model import save_weights, weights_file
    from tasks.classify.training import train

    artifacts = [store.open(ref) for ref in images]
    classes: list[str] = artifacts[0].summary["classes"]
    samples = load_training_set(artifacts, store.open(augmentation))
    with progress("train", params.epochs, "epoch") as advance, kept_memory():
        checkpoint = store.work_folder(classifier_recipe(params, augmentation, images).ref) / "checkpoint.pt"
        training = train(samples, load_validation_set(artifacts), len(classes), params, runtime, checkpoint, advance)
    card = {
        "architecture": params.architecture,
        "classes": classes,
        "image_size": samples.images.shape[1],
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
        "origin": "trained",
        "n_samples": len(samples.labels),
        "n_images": len(samples.images),
    }
    draft.write_bytes(weights_file(params.architecture), save_weights(training.model))
    draft.write_json("card.json", card)
    write_table(draft, EPOCHS, rows_to_columns(EPOCHS, training.epochs))
    draft.summary = {**card, "last_epoch": training.epochs[-1]}


@task(task_run_name="take classifier {campaign}", **cached_by(given_recipe))
@made_once(given_recipe)
def take_classifier(draft: Draft, store: Store, given: GivenClassifier, classes: tuple[str, ...]) -> None:
    """Load a given classifier to check it, and copy it into the store."""
    from tasks.classify.given import stored_content
    from tasks.classify.model import weights_file

    content, facts = stored_content(given, len(classes))
    card = {**facts, "classes": list(classes), "origin": "given"}
    draft.write_bytes(weights_file(given.architecture), content)
    draft.write_json("card.json", card)
    draft.summary = card
