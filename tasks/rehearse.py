"""Rehearse: one grey image through an untrained classifier and its explanation, before hours are spent on real ones."""

import numpy as np
import torch
from prefect import task

from storage.artifacts import ArtifactRef, Store
from storage.errors import InputError
from tasks.classifier import IMAGENET_MEAN, IMAGENET_STD, GivenClassifier, build_model, freeze, load_given
from tasks.explain import ExplainParams, check_explained_class
from tasks.saliency.gradcam import gradcam_maps
from tasks.stage import always_run
from tasks.training import TrainParams


def rehearse(
    classes: list[str], train: TrainParams, given: GivenClassifier | None, explain: ExplainParams, size: int
) -> None:
    """Classify and explain one grey image of `size` x `size` pixels.

    Raises
    ------
    InputError : unknown architecture or layer, images of a size the classifier cannot take, weights that do not fit.
    """
    n_classes = len(classes)
    model = (
        build_model(train.architecture, n_classes, "none", train.seed)
        if given is None
        else load_given(given, n_classes)
    )
    classifier = freeze(model, tuple(classes), IMAGENET_MEAN, IMAGENET_STD, torch.device("cpu"))
    grey = np.full((1, size, size, 3), 128, np.uint8)
    try:
        for method in explain.methods:
            if method == "gradcam":
                gradcam_maps(classifier, grey, np.zeros(1, np.int64), explain.layer)
    except (RuntimeError, ValueError, AssertionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            "The classifier takes images of ingest.image_size",
            f"it fails on {size} x {size} pixels: {error}",
            "use a size that the architecture takes, or another train.architecture",
        ) from error


@task(task_run_name="rehearse {campaign}", **always_run())
def rehearse_classifier(
    campaign: str,
    store: str,
    plants: ArtifactRef,
    params: TrainParams,
    given: GivenClassifier | None,
    explain: ExplainParams,
    image_size: int,
) -> None:
    """Refuse a classifier that cannot classify or explain the campaign's images, before it is trained."""
    summary = Store(store).open(plants).summary
    classes, choice = summary["classes"], explain.explained_class
    check_explained_class(choice, classes)
    unlabelled = {s: n["unlabelled"] for s, n in summary["counts"].items() if s != "train" and n["unlabelled"]}
    if choice == "label" and unlabelled:
        raise InputError(
            "explained_class = label needs the label of every explained image",
            f"images without: {unlabelled}",
            "use explained_class = predicted, which exists for unseen data too",
        )
    rehearse(classes, params, given, explain, image_size)
