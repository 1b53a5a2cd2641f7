"""Rehearse a campaign: classify and explain one image of noise, before hours are spent on real ones."""

import numpy as np
import torch
from prefect import task

from storage.artifacts import ArtifactRef, Store
from storage.errors import InputError
from tasks.classify.model import freeze, load_given
from tasks.classify.params import IMAGENET_MEAN, IMAGENET_STD, GivenClassifier, TrainParams
from tasks.explain.checks import check_explained_class
from tasks.explain.methods import prepare_explainer
from tasks.explain.occlusion import n_windows
from tasks.explain.params import ExplainParams
from tasks.parameters import Runtime
from tasks.stage import always_run


def rehearse(
    classes: list[str], train: TrainParams, given: GivenClassifier | None, explain: ExplainParams, size: int
) -> None:
    """Classify and explain one image of noise, `size` x `size` pixels, by every method with the least possible work.

    Raises
    ------
    InputError : unknown architecture or layer, an image size that the classifier cannot take, weights that do not fit,
        or an occluded patch or stride larger than the image.
    """
    from tasks.classify.architectures import build_model

    n_classes = len(classes)
    model = (
        build_model(train.architecture, n_classes, "none", train.seed)
        if given is None
        else load_given(given, n_classes)
    )
    classifier = freeze(model, tuple(classes), IMAGENET_MEAN, IMAGENET_STD, torch.device("cpu"))
    noise = np.random.default_rng(0).random((1, 3, size, size), np.float32)
    little = least_work(explain, size)
    try:
        for method in explain.methods:
            prepare_explainer(method, classifier, little, Runtime())(noise, np.zeros(1, np.int64))
    except (RuntimeError, ValueError, AssertionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"the classifier fails on images of {size} x {size} pixels: {error}",
            "The classifier must take images of ingest.image_size",
            "use a size that the architecture takes, or another train.architecture",
        ) from error


def least_work(explain: ExplainParams, size: int) -> ExplainParams:
    """Return parameters of the same methods with the least work: one hidden window, two samples of few superpixels.

    Raises
    ------
    InputError : the patch or the stride is larger than an image of `size` x `size` pixels.
    """
    if {"occlusion", "occlusion_preview"} & set(explain.methods):
        n_windows(size, explain.occlusion)
    few = {"n_samples": 2, "segments": "slic", "regressor": "ridge"}
    changes = {
        "occlusion": explain.occlusion.model_copy(update={"stride": size}),
        "lime": explain.lime.model_copy(update=few),
    }
    return explain.model_copy(update=changes)


@task(task_run_name="rehearse {campaign}", **always_run())
def rehearse_classifier(
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
            f"some images to explain have no label: {', '.join(f'{n} {split}' for split, n in unlabelled.items())}",
            "With explained_class = label, every explained image must have a label",
            "use explained_class = predicted, which exists for unseen data too",
        )
    rehearse(classes, params, given, explain, image_size)
