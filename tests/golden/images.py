"""Compute pinned numbers of the stages from images to saliency maps, from inputs without a random generator."""

from datetime import date, timedelta
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from storage.artifacts import ArtifactRef
from tasks.classify import augment, features, predict, train
from tasks.classify.changes import NO_CHANGE, TrainingSet
from tasks.classify.model import freeze, predict_logits, rgb_images, softmax
from tasks.explain import explain
from tasks.explain.gradcam import GradcamParams
from tasks.explain.lime import LimeParams
from tasks.explain.methods import ExplainParams, Method, prepare_explainer
from tasks.explain.occlusion import OcclusionParams
from tasks.ingest import ingest
from tasks.ingest.labels import SameDay, decide
from tasks.parameters import Runtime
from tasks.sources.contract import Harvest

CPU = Runtime(device="cpu")


def ref(kind: str, number: int = 0) -> ArtifactRef:
    return ArtifactRef(kind=kind, digest=f"{number:024x}")


def digests(*refs: ArtifactRef) -> list[str]:
    return [str(one) for one in refs]


def small_images(n: int, size: int = 12) -> NDArray[np.uint8]:
    """Make images without a random generator: remainders of squares."""
    number = np.arange(n * size * size * 3, dtype=np.int64)
    return (number * number % 251).astype(np.uint8).reshape(n, size, size, 3)


class Bent(nn.Module):
    """Small classifier: a convolution, tanh and a linear layer, with weights from sines."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Conv2d(3, 4, 3, stride=3)
        self.head = nn.Linear(4 * 4 * 4, 2)
        for number, parameter in enumerate(self.parameters()):
            wave = np.sin(np.arange(parameter.numel()) * (number + 1.5)).astype(np.float32)
            parameter.data = torch.from_numpy(wave.reshape(parameter.shape)) / 4

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.kernel(images)).flatten(1))


def bent_classifier() -> Any:
    return freeze(Bent(), ("a", "b"), (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), torch.device("cpu"))


def golden_ingest() -> dict[str, Any]:
    """Compute every outcome of the label rule around an acquisition date, and images that were made square."""
    day = date(2021, 8, 23)

    def outcomes(window: int, same_day: SameDay) -> dict[str, list[str]]:
        return {
            f"{after:+d}": [
                decide(Harvest(day + timedelta(after), day + timedelta(after + n)), day, window, same_day).value
                for n in (1, 2, 4)
            ]
            for after in range(-5, 6)
        }

    lost = [decide(Harvest(day + timedelta(after), date.max), day).value for after in range(-1, 5)]
    tall = small_images(1)[0][:, :7]
    params = ingest.IngestParams(image_size=64)
    return {
        "window 3": outcomes(3, "ready"),
        "window 0, same day excluded": outcomes(0, "excluded"),
        "lost": lost,
        "prepared": [ingest.prepare_image(tall, size).tolist() for size in (2, 4)],
        "digests": digests(
            ingest.listing_recipe({"date": "2021-08-23", "entries": []}).ref,
            ingest.images_recipe(params, ref("listing")).ref,
        ),
    }


def golden_augment() -> dict[str, Any]:
    labels, copies = np.arange(6) * 5 % 2, np.asarray([9, 18])
    params = augment.AugmentParams()
    return {
        "copies": augment.plan_copies(labels, copies, seed=7).tolist(),
        "weighted_sampling": augment.plan_weighted_sampling(labels, copies, seed=7).tolist(),
        "digests": digests(augment.augmentation_recipe(params, [ref("images", 1), ref("images", 2)]).ref),
    }


def golden_train() -> dict[str, Any]:
    seeds = np.asarray([NO_CHANGE, 1, 2**31 - 1])
    samples = np.stack([np.asarray([0, 1, 1]), np.asarray([0, 3, 6]), seeds], axis=1)
    inputs, _ = TrainingSet(small_images(2, 3), samples, np.arange(3)).batch(np.arange(3))
    return {
        "inputs": inputs.tolist(),
        "digests": digests(train.classifier_recipe(train.TrainParams(), ref("augmentation"), [ref("images")]).ref),
    }


def golden_predict() -> dict[str, Any]:
    logits, of_layer = features.logits_and_features(bent_classifier(), small_images(3), 2)
    return {
        "probabilities": softmax(predict_logits(bent_classifier(), small_images(3), 2)).tolist(),
        "logits": logits.tolist(),
        "features": of_layer[:, ::8].tolist(),
        "digests": digests(
            predict.predictions_recipe(ref("images"), ref("classifier")).ref,
            predict.part_recipe(ref("images"), ref("classifier"), 0, 4095).ref,
        ),
    }


def golden_lime() -> NDArray[np.float32]:
    """Explain an image of 36 uniform squares, one value each, because superpixels need larger images than others."""
    squares = small_images(1, 6).repeat(8, axis=1).repeat(8, axis=2)
    model = nn.Sequential(nn.AdaptiveAvgPool2d(12), Bent())
    classifier = freeze(model, ("a", "b"), (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), torch.device("cpu"))
    explain_images = prepare_explainer("lime", classifier, ExplainParams(lime=LimeParams(n_samples=200)), CPU)
    return explain_images(rgb_images(squares), np.asarray([1]))[:, 4::8, 4::8]


def golden_explain() -> dict[str, Any]:
    params = ExplainParams(gradcam=GradcamParams(layer="kernel"), occlusion=OcclusionParams(patch=5, stride=3))
    images, explained, classifier = rgb_images(small_images(4)), np.asarray([0, 1, 1, 0]), bent_classifier()
    gradcam, occlusion, preview = (
        prepare_explainer(method, classifier, params, CPU)(images, explained) for method in get_args(Method)[:3]
    )
    refs = (ref("images"), ref("classifier"), ref("predictions"))
    recipes = [explain.saliency_recipe(ExplainParams(), method, *refs, CPU) for method in get_args(Method)]
    recipes += explain.shard_recipes(ExplainParams(), "occlusion", *refs, CPU, 16, 40)
    return {
        "gradcam": gradcam.tolist(),
        "peaks": explain.scale_to_peak(gradcam)[1].tolist(),
        "occlusion": occlusion.tolist(),
        "occlusion_preview": preview.tolist(),
        "lime": golden_lime().tolist(),
        "digests": digests(*(recipe.ref for recipe in recipes)),
    }
