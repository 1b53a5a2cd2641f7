"""What no saliency method takes: images and classes that cannot be explained."""

from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from storage.errors import InputError
from tasks.classify.model import freeze, rgb_images
from tasks.classify.params import IMAGENET_MEAN, IMAGENET_STD
from tasks.explain.checks import check_inputs
from tasks.explain.methods import ExplainParams, Method, prepare_explainer
from tasks.parameters import Runtime

CLASSIFIER = freeze(nn.Identity(), ("a", "b", "c"), IMAGENET_MEAN, IMAGENET_STD, torch.device("cpu"))


def images_of(n: int, height: int = 5, width: int = 7) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((n, 3, height, width), dtype=np.float32)


def refusal(images: NDArray[np.float32], explained: NDArray[np.integer]) -> InputError:
    with pytest.raises(InputError) as caught:
        check_inputs(CLASSIFIER, images, explained)
    return caught.value


@pytest.mark.parametrize("n", [0, 1, 4])
@pytest.mark.parametrize("dtype", [np.int64, np.int16, np.uint8])
def test_images_and_classes_that_fit_pass(n: int, dtype: type[np.integer]) -> None:
    assert check_inputs(CLASSIFIER, images_of(n), (np.arange(n) % 3).astype(dtype)) is None


def test_the_ends_of_the_range_pass() -> None:
    images = rgb_images(np.asarray([0, 255] * 6, np.uint8).reshape(1, 2, 2, 3))
    assert images.min() == 0 and images.max() == 1
    assert check_inputs(CLASSIFIER, images, np.asarray([2])) is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_and_counted(value: float) -> None:
    images = images_of(4)
    images[1, 2, 4, 6] = images[3, 0, 0, 0] = images[3, 0, 0, 1] = value
    error = refusal(images, np.zeros(4, np.int64))
    assert error.rule == "Images to explain must hold finite numbers"
    assert "2 of 4" in error.found and "first in image 1" in error.found


@pytest.mark.parametrize(
    "shape", [(5, 7), (3, 5, 7), (2, 3, 5), (2, 5, 7, 3), (2, 1, 5, 7), (2, 4, 5, 7), (2, 3, 5, 7, 1)]
)
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    error = refusal(np.full(shape, 0.5, np.float32), np.zeros(shape[0], np.int64))
    assert error.rule.startswith("Images to explain must be (n, 3, height, width)") and str(shape) in error.found


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1)])
def test_another_number_of_classes_than_images_is_refused(shape: tuple[int, ...]) -> None:
    error = refusal(images_of(2), np.zeros(shape, np.int64))
    assert "one class each" in error.rule and f"classes {shape}" in error.found


@pytest.mark.parametrize("value", [255.0, 1.001, -0.001, -2.1])
def test_values_beyond_0_and_1_are_refused(value: float) -> None:
    images = images_of(2)
    images[1, 0, 0, 0] = value
    error = refusal(images, np.zeros(2, np.int64))
    assert error.rule == "Images to explain must hold RGB values in 0..1"
    assert f"{value:.4g}" in error.found and "255" in error.remedy


def test_stored_pixels_and_normalised_inputs_are_refused() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    explained = np.zeros(2, np.int64)
    assert "0..1" in refusal(pixels.transpose(0, 3, 1, 2).astype(np.float32), explained).rule
    assert "0..1" in refusal(CLASSIFIER.inputs(pixels).numpy(), explained).rule


@pytest.mark.parametrize("explained", [[0, 3], [-1, 0], [7, 7]])
def test_a_class_that_the_classifier_does_not_have_is_refused(explained: list[int]) -> None:
    error = refusal(images_of(2), np.asarray(explained))
    assert error.rule == "The explained class must be one of the classifier's 3 classes" and "0..2" in error.remedy
    assert str(sorted(set(explained))) in error.found


@pytest.mark.parametrize("method", get_args(Method))
def test_every_method_checks_before_the_classifier_runs(method: Method) -> None:
    class Untouched(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if images.numel():  # which also keeps it from being traced
                raise AssertionError("the classifier ran")
            return images

    classifier = freeze(Untouched(), ("a", "b"), IMAGENET_MEAN, IMAGENET_STD, torch.device("cpu"))
    explain = prepare_explainer(method, classifier, ExplainParams(), Runtime(device="cpu"))
    images = images_of(2, 16, 20)
    images[1] = np.nan
    with pytest.raises(InputError, match="finite numbers"):
        explain(images, np.zeros(2, np.int64))
    with pytest.raises(InputError, match="explained class"):
        explain(images[:1], np.asarray([2]))
