"""Test building, loading and running classifiers against numpy and scipy, and the messages of bad input."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from torch import nn

from storage.artifacts import Recipe, Store
from storage.errors import InputError
from tasks.batches import batches
from tasks.classify.architectures import build_model
from tasks.classify.given import load_given
from tasks.classify.loading import load_classifier
from tasks.classify.model import (
    Classifier,
    choose_device,
    freeze,
    normalise,
    pass_size,
    predict_logits,
    rgb_images,
    save_weights,
    softmax,
)
from tasks.classify.params import EXPORTED, IMAGENET_MEAN, IMAGENET_STD, GivenClassifier
from tasks.explain.gradcam import GradcamParams
from tasks.parameters import Runtime
from tests.support.maps import gradcam_maps

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
CLASSES = ("not_ready", "ready")


def images_of(n: int, height: int = 64, width: int = 64, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def frozen(model: nn.Module, classes: tuple[str, ...] = CLASSES) -> Classifier:
    return freeze(model, classes, IMAGENET_MEAN, IMAGENET_STD, CPU)


@pytest.fixture(scope="module")
def eager() -> Classifier:
    return frozen(build_model("resnet18", 2, "none", seed=1))


@pytest.fixture(scope="module")
def program(eager: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "classifier.pt2"
    example = (torch.zeros(2, 3, 64, 64),)
    exported = torch.export.export(eager.model, example, dynamic_shapes=({0: torch.export.Dim("images")},))
    torch.export.save(exported, path)
    return path


@pytest.fixture(scope="module")
def exported(program: Path) -> Classifier:
    return frozen(load_given(GivenClassifier(path=str(program), architecture=EXPORTED), 2))


def test_normalised_values_are_those_of_the_formula() -> None:
    images = images_of(3, 5, 7)
    mean, std = (0.1, 0.5, 0.9), (0.2, 0.3, 0.4)
    found = normalise(torch.from_numpy(images), mean, std).numpy()
    assert found.shape == (3, 3, 5, 7) and found.dtype == np.float32
    for channel in range(3):
        expected = (images[..., channel].astype(np.float64) / 255 - mean[channel]) / std[channel]
        np.testing.assert_allclose(found[:, channel], expected, atol=1e-5)


def test_a_classifier_feeds_its_model_with_its_own_normalisation() -> None:
    images = images_of(2, 4, 4)
    classifier = freeze(nn.Identity(), CLASSES, (0.0, 0.0, 0.0), (1.0, 0.5, 0.25), CPU)
    expected = images.transpose(0, 3, 1, 2) / 255 * np.asarray([1, 2, 4]).reshape(1, 3, 1, 1)
    np.testing.assert_allclose(classifier.inputs(images).numpy(), expected, rtol=1e-6)
    read_only = images[:]
    read_only.flags.writeable = False  # as from a memory-mapped file: torch would warn
    np.testing.assert_allclose(classifier.inputs(read_only).numpy(), expected, rtol=1e-6)


def test_every_stored_value_becomes_its_255th() -> None:
    pixels = np.arange(256 * 3, dtype=np.uint16).reshape(1, 16, 16, 3) // 3
    found = rgb_images(pixels.astype(np.uint8))
    assert found.shape == (1, 3, 16, 16) and found.dtype == np.float32 and found.flags.c_contiguous
    expected = np.broadcast_to(np.arange(256).reshape(16, 16) / 255, found.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    assert found.min() == 0 and found.max() == 1


def test_channels_and_positions_of_an_rgb_image_stay_where_they_are() -> None:
    pixels = np.zeros((2, 4, 5, 3), np.uint8)
    pixels[1, 3, 2, 0] = 255
    found = rgb_images(pixels)
    assert np.argwhere(found).tolist() == [[1, 0, 3, 2]]


@pytest.mark.parametrize("size", [(5, 7), (64, 64)])
def test_rgb_images_are_normalised_to_the_same_bits_as_stored_pixels(size: tuple[int, int]) -> None:
    """Predictions start from stored pixels and explanations from RGB images, but both need the same inputs."""
    pixels = images_of(3, *size)
    for mean, std in ((IMAGENET_MEAN, IMAGENET_STD), ((0.1, 0.5, 0.9), (0.2, 0.3, 0.4))):
        classifier = freeze(nn.Identity(), CLASSES, mean, std, CPU)
        expected = classifier.inputs(pixels)
        assert expected.abs().max() > 1
        assert torch.equal(classifier.normalised(rgb_images(pixels)), expected)
        read_only = rgb_images(pixels)
        read_only.flags.writeable = False  # torch would warn
        assert torch.equal(classifier.normalised(read_only), expected)


@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(-1e4, 1e4, width=32)))
def test_softmax_is_scipys(logits: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(softmax(logits), scipy.special.softmax(logits.astype(np.float64), axis=-1), atol=1e-14)


@given(n=st.integers(0, 50), size=st.integers(1, 60))
def test_batches_cover_everything_once_in_order(n: int, size: int) -> None:
    parts = [list(range(n))[part] for part in batches(n, size)]
    assert [i for part in parts for i in part] == list(range(n))
    assert all(len(part) == size for part in parts[:-1]) and all(parts)


def test_a_device_that_is_not_there_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(InputError, match=r"runtime\.device = cuda"):
        choose_device(Runtime(device="cuda"))
    assert choose_device(Runtime(device="auto")) == CPU


def test_the_cpu_can_always_be_asked_for() -> None:
    assert choose_device(Runtime(device="cpu")) == CPU


def test_tf32_is_refused_on_the_cpu() -> None:
    with pytest.raises(InputError, match=r"runtime\.saliency_precision is tf32"):
        choose_device(Runtime(device="cpu"), "tf32")


def test_saved_weights_load_into_the_same_classifier(tmp_path: Path, eager: Classifier) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(save_weights(eager.model))
    again = frozen(load_given(GivenClassifier(path=str(path)), 2))
    images = images_of(3)
    assert np.array_equal(predict_logits(again, images, 3), predict_logits(eager, images, 3))


def test_weights_of_another_number_of_classes_are_refused(tmp_path: Path, eager: Classifier) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(save_weights(eager.model))
    with pytest.raises(InputError, match="weights of resnet18 with 3 outputs") as caught:
        load_given(GivenClassifier(path=str(path)), 3)
    assert "fc.weight" in caught.value.found


def test_weights_of_another_architecture_are_refused(tmp_path: Path, eager: Classifier) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(save_weights(eager.model))
    with pytest.raises(InputError, match="weights of resnet34 with 2 outputs"):
        load_given(GivenClassifier(path=str(path), architecture="resnet34"), 2)


def test_weights_and_programs_are_not_taken_for_each_other(tmp_path: Path, program: Path, eager: Classifier) -> None:
    weights = tmp_path / "weights.pt2"
    weights.write_bytes(save_weights(eager.model))
    with pytest.raises(InputError, match="must hold an exported program"):
        load_given(GivenClassifier(path=str(weights), architecture=EXPORTED), 2)
    with pytest.raises(InputError, match="must hold weights of resnet18"):
        load_given(GivenClassifier(path=str(program)), 2)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"classifier\.path must be a file") as caught:
        load_given(GivenClassifier(path=str(tmp_path / "none.pt")), 2)
    assert "none.pt" in caught.value.found


def test_a_normalisation_without_spread_is_refused() -> None:
    with pytest.raises(ValueError, match="every standard deviation must be positive"):
        GivenClassifier(path="weights.pt", std=(0.2, 0.0, 0.2))


@pytest.mark.parametrize("batch_size", [2, 8])
def test_an_exported_program_answers_as_the_model_it_was_made_of(
    eager: Classifier, exported: Classifier, batch_size: int
) -> None:
    images = images_of(5)
    expected = predict_logits(eager, images, 5)
    np.testing.assert_allclose(predict_logits(exported, images, batch_size), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", ["layer4", "layer4.1.conv2", None])
def test_an_exported_program_is_explained_as_the_model_it_was_made_of(
    eager: Classifier, exported: Classifier, layer: str | None
) -> None:
    images, explained = rgb_images(images_of(4)), np.asarray([0, 1, 1, 0])
    expected = gradcam_maps(eager, images, explained, GradcamParams(layer=layer or "layer4"), Runtime())
    assert expected.any()
    found = gradcam_maps(exported, images, explained, GradcamParams(layer=layer), Runtime())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_an_exported_program_names_its_layers_where_one_is_unknown(exported: Classifier) -> None:
    with pytest.raises(InputError, match=r"explain\.gradcam\.layer") as caught:
        gradcam_maps(
            exported, rgb_images(images_of(1)), np.zeros(1, np.int64), GradcamParams(layer="layer5"), Runtime()
        )
    assert "layer4.1.conv2" in caught.value.remedy


@pytest.mark.parametrize("architecture", ["resnet18", EXPORTED])
def test_a_stored_classifier_is_the_one_that_was_stored(
    tmp_path: Path, eager: Classifier, program: Path, architecture: str
) -> None:
    content = program.read_bytes() if architecture == EXPORTED else save_weights(eager.model)
    store, recipe = Store(tmp_path), Recipe("classifier", 1, {"sha256": hashlib.sha256(content).hexdigest()})
    card = {"architecture": architecture, "mean": [0.1, 0.2, 0.3], "std": [1, 2, 3], "classes": CLASSES}
    with store.create(recipe) as draft:
        draft.write_bytes("program.pt2" if architecture == EXPORTED else "weights.pt", content)
        draft.write_json("card.json", card)
    loaded = load_classifier(store.open(recipe.ref), Runtime(device="cpu"))
    assert (loaded.classes, loaded.mean, loaded.std) == (CLASSES, (0.1, 0.2, 0.3), (1, 2, 3))
    same = freeze(eager.model, CLASSES, (0.1, 0.2, 0.3), (1, 2, 3), CPU)
    images = images_of(2)
    np.testing.assert_allclose(predict_logits(loaded, images, 2), predict_logits(same, images, 2), rtol=1e-4, atol=1e-5)


def test_a_frozen_classifier_is_in_evaluation_mode_and_takes_no_gradient(eager: Classifier) -> None:
    assert not any(module.training for module in eager.model.modules())
    assert not any(parameter.requires_grad for parameter in eager.model.parameters())


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_logits_do_not_depend_on_the_batch_size(eager: Classifier, batch_size: int) -> None:
    images = images_of(7)
    np.testing.assert_allclose(
        predict_logits(eager, images, batch_size), predict_logits(eager, images, 7), rtol=1e-4, atol=1e-5
    )


def test_logits_are_the_models_own(eager: Classifier) -> None:
    images = images_of(3)
    scaled = (images / 255 - IMAGENET_MEAN) / IMAGENET_STD
    inputs = torch.from_numpy(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), np.float32))
    with torch.no_grad():
        expected = eager.model(inputs).numpy()
    np.testing.assert_allclose(predict_logits(eager, images, 3), expected, rtol=1e-4, atol=1e-5)


def test_logits_follow_their_images(eager: Classifier) -> None:
    images, order = images_of(5), np.asarray([3, 1, 4, 0, 2])
    np.testing.assert_allclose(
        predict_logits(eager, images[order], 2), predict_logits(eager, images, 5)[order], rtol=1e-4, atol=1e-5
    )


def test_no_images_have_no_logits(eager: Classifier) -> None:
    assert predict_logits(eager, images_of(0), 4).shape == (0, 2)


@pytest.mark.parametrize("name", ["fc.bias", "layer1.0.bn1.running_var"])  # a parameter and a buffer
@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
def test_damaged_weights_are_refused(name: str, value: float) -> None:
    model = build_model("resnet18", 2, "none", seed=0)
    model.state_dict()[name][:2] = value
    with pytest.raises(InputError, match="weights must be finite numbers") as caught:
        frozen(model)
    assert "2 NaN or infinite" in caught.value.found


def test_logits_that_are_not_finite_are_refused() -> None:
    class Overflowing(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return (images.mean((2, 3))[:, :2] * torch.tensor([1, 1e-3]) * 1e3).exp()

    images = np.full((2, 4, 4, 3), 255, np.uint8)
    with pytest.raises(InputError, match="logits must be finite numbers") as caught:
        predict_logits(frozen(Overflowing()), images, 2)
    assert "2 of 4" in caught.value.found


def test_another_number_of_outputs_than_classes_is_refused(eager: Classifier) -> None:
    three = freeze(eager.model, ("a", "b", "c"), IMAGENET_MEAN, IMAGENET_STD, CPU)
    with pytest.raises(InputError, match="one logit per image and class") as caught:
        predict_logits(three, images_of(2), 2)
    assert "(2, 2) for 2 images and 3 classes" in caught.value.found


def test_outputs_that_are_no_tensor_are_refused() -> None:
    class WithAuxiliary(nn.Module):
        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return images.mean((2, 3)), images

    with pytest.raises(InputError, match="one logit per image and class") as caught:
        predict_logits(frozen(WithAuxiliary()), images_of(2), 2)
    assert "tuple" in caught.value.found


@pytest.mark.parametrize(
    ("device", "side", "batch_size", "expected"),
    [("cpu", 256, 32, 4), ("cpu", 64, 32, 32), ("cpu", 64, 128, 64), ("cpu", 1024, 32, 1), ("cuda", 1024, 32, 32)],
)
def test_a_cpu_takes_few_large_images_at_once(device: str, side: int, batch_size: int, expected: int) -> None:
    assert pass_size(device, (side, side), batch_size) == expected


def test_a_prediction_of_large_images_is_made_in_such_passes() -> None:
    model, seen = build_model("resnet18", 2, "none", 0), list[int]()
    model.register_forward_pre_hook(lambda _model, inputs: seen.append(len(inputs[0])))
    classifier = freeze(model, ("a", "b"), IMAGENET_MEAN, IMAGENET_STD, torch.device("cpu"))
    images = np.random.default_rng(0).integers(0, 256, (7, 256, 256, 3), np.uint8)
    logits = predict_logits(classifier, images, 32)
    assert seen == [4, 3]
    with torch.no_grad():
        np.testing.assert_allclose(logits, classifier.model(classifier.inputs(images)).numpy(), rtol=1e-4, atol=1e-5)
