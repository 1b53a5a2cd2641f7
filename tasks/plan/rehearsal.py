"""Rehearse a campaign: classify and explain synthetic images, before real ones are read and hours are spent on them."""

import numpy as np
import torch

from storage.errors import InputError
from tasks.classify.architectures import build_model
from tasks.classify.given import load_given
from tasks.classify.model import Classifier, choose_device, freeze, pass_size
from tasks.classify.params import IMAGENET_MEAN, IMAGENET_STD, GivenClassifier, TrainParams
from tasks.classify.programs import plain
from tasks.explain.methods import prepare_explainer
from tasks.explain.occlusion import n_windows
from tasks.explain.params import ExplainParams
from tasks.ingest.checks import Counts
from tasks.parameters import Runtime
from tasks.plan.trial import FAILURES, try_passes

# Largest trial pass for another machine, images. This machine may lack the memory for what a GPU takes at once.
MOST_ELSEWHERE = 64


def rehearse(
    classes: list[str],
    train: TrainParams,
    given: GivenClassifier | None,
    explain: ExplainParams,
    size: int,
    runtime: Runtime,
    is_here: bool = True,
) -> None:
    """Classify and explain synthetic images, `size` x `size` pixels, by every method with the least possible work.

    A given classifier is also run on passes of every kind that will be made (see `try_passes`).

    Parameters
    ----------
    is_here : whether this machine explains. If not, the CPU is used, because the other machine's device is unknown.

    Raises
    ------
    InputError : unknown architecture or layer, an image size that the classifier cannot take, weights that do not fit,
        answers that depend on the batch, or an occluded patch or stride larger than the image.
    """
    if given is None:
        model = build_model(train.architecture, len(classes), "none", train.seed)
        classifier = freeze(model, tuple(classes), IMAGENET_MEAN, IMAGENET_STD, torch.device("cpu"))
    else:
        device = choose_device(runtime, runtime.saliency_precision) if is_here else torch.device("cpu")
        classifier = freeze(load_given(given, len(classes)), tuple(classes), given.mean, given.std, device)
        at_once = pass_size(device.type, (size, size), runtime.batch_size)
        largest = at_once if is_here else min(runtime.batch_size, MOST_ELSEWHERE)
        try_passes(classifier, size, largest, given.outputs == "logits")
    explain_noise(classifier, explain, size, runtime, "train" if given is None else "classifier")


def explain_noise(classifier: Classifier, explain: ExplainParams, size: int, runtime: Runtime, table: str) -> None:
    """Explain one image of noise by every method, in the precision of the runtime.

    Parameters
    ----------
    table : table of the campaign file that names the classifier, for error messages.

    Raises
    ------
    InputError : the classifier does not take such images, or a method cannot explain it.
    """
    noise = np.random.default_rng(0).random((1, 3, size, size), np.float32)
    little = least_work(explain, size)
    try:
        for method in explain.methods:
            prepare_explainer(method, classifier, little, runtime)(noise, np.zeros(1, np.int64))
    except (InputError, torch.OutOfMemoryError):
        raise
    except FAILURES as error:
        precision = runtime.saliency_precision
        in_float = "" if precision == "float32" else ", or runtime.saliency_precision = float32"
        raise InputError(
            f"the classifier fails on images of {size} x {size} pixels in {precision}: {plain(error)}",
            "The classifier must take images of ingest.image_size, and be explained in runtime.saliency_precision",
            f"use a size that the architecture takes, or another {table}.architecture{in_float}",
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


def refuse_unlabelled(counts: Counts) -> None:
    """Refuse images to explain that have no label.

    Raises
    ------
    InputError : some images outside the training split have none.
    """
    unlabelled = {s: n["unlabelled"] for s, n in counts.by_split.items() if s != "train" and n["unlabelled"]}
    if unlabelled:
        raise InputError(
            f"some images to explain have no label: {', '.join(f'{n} {split}' for split, n in unlabelled.items())}",
            "With explained_class = label, every explained image must have a label",
            "use explained_class = predicted, which exists for unseen data too",
        )
