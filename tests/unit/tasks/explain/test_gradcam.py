"""Grad-CAM against captum, a finite difference, and the closed form where the head is one linear layer."""

from functools import cache

import numpy as np
import pytest
import torch
import torchvision
from captum.attr import LayerGradCam
from numpy.typing import NDArray
from torch import nn

from storage.errors import InputError
from tasks.classify.architectures import build_model
from tasks.classify.model import Classifier, freeze, predict_logits, rgb_images
from tasks.classify.params import IMAGENET_MEAN, IMAGENET_STD
from tasks.explain.gradcam import GradcamParams, last_convolutional_stage, recorded_output
from tasks.parameters import Runtime
from tests.support.maps import gradcam_maps

pytestmark = pytest.mark.usefixtures("one_thread")

EXPLAINED = np.asarray([0, 1, 2, 1])


def frozen(model: nn.Module) -> Classifier:
    return freeze(model, ("a", "b", "c"), IMAGENET_MEAN, IMAGENET_STD, torch.device("cpu"))


@cache
def classifier_of(architecture: str) -> Classifier:
    return frozen(build_model(architecture, 3, "none", seed=4))


def images_of(n: int, height: int = 64, width: int = 64) -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def maps_of(
    classifier: Classifier,
    pixels: NDArray[np.uint8],
    explained: NDArray[np.integer],
    layer: str | None = None,
    batch_size: int = 32,
) -> NDArray[np.float32]:
    """Our maps of stored pixels (n, h, w, 3)."""
    params, runtime = GradcamParams(layer=layer), Runtime(device="cpu", batch_size=batch_size)
    return gradcam_maps(classifier, rgb_images(pixels), explained, params, runtime)


def assert_close(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """Equal to 1e-5 of the largest value; the maps must show something, or the comparison would be empty."""
    assert found.shape == expected.shape and found.dtype == np.float32
    assert expected.any()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * float(expected.max()))


def captum_maps(
    classifier: Classifier, images: NDArray[np.uint8], explained: NDArray[np.int64], layer: str
) -> NDArray[np.float32]:
    """Captum's maps at the layer's resolution, (n, rows, cols)."""
    method = LayerGradCam(classifier.model, classifier.model.get_submodule(layer))
    inputs = classifier.inputs(images).requires_grad_(True)
    maps = method.attribute(inputs, target=torch.from_numpy(explained), relu_attributions=True)
    assert isinstance(maps, torch.Tensor)
    return maps[:, 0].detach().numpy()


@pytest.mark.parametrize(
    ("architecture", "layer"),
    [
        ("resnet18", "layer4"),
        ("resnet18", "layer4.1.conv2"),
        ("resnet18", "layer3"),
        pytest.param("resnet34", "layer4", marks=pytest.mark.nightly),  # of the blocks of resnet18, twice as many
        # A convolution whose output the following ReLU overwrites.
        pytest.param("vgg11", "features.18", marks=pytest.mark.nightly),
        pytest.param("vgg11", "features", marks=pytest.mark.slow),
        ("mobilenet_v3_small", "features"),
        ("densenet121", "features"),  # a ReLU outside the stage overwrites its output
    ],
)
def test_maps_are_captums(architecture: str, layer: str) -> None:
    classifier, images = classifier_of(architecture), images_of(4)
    assert_close(maps_of(classifier, images, EXPLAINED, layer), captum_maps(classifier, images, EXPLAINED, layer))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (65, 97), (96, 33)])
def test_maps_of_a_linear_head_have_a_closed_form(height: int, width: int) -> None:
    """The mean gradient of a class after average pooling is its row of weights over the number of positions."""
    classifier, images = classifier_of("resnet18"), images_of(4, height, width)
    children = dict(classifier.model.named_children())
    head = children.pop("fc")
    children.pop("avgpool")
    assert isinstance(head, nn.Linear)
    with torch.no_grad():
        activations = nn.Sequential(*children.values())(classifier.inputs(images)).double().numpy()
    rows, cols = activations.shape[2:]
    weights = head.weight.double().numpy()[EXPLAINED] / (rows * cols)
    expected = np.maximum(np.einsum("nk,nkyx->nyx", weights, activations), 0)
    assert_close(maps_of(classifier, images, EXPLAINED, "layer4"), expected.astype(np.float32))


class Bent(nn.Module):
    """A convolution, a bend and a head that mixes positions, so that gradients differ between them."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.kernel = nn.Conv2d(3, 4, 3, stride=4, bias=False)
        self.head = nn.Linear(4 * 8 * 8, 3)
        with torch.no_grad():
            self.kernel.weight.copy_(torch.randn(4, 3, 3, 3, generator=generator))
            self.head.weight.copy_(torch.randn(3, 256, generator=generator) / 16)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.kernel(images)).flatten(1))


def test_weights_are_the_mean_gradients_of_the_explained_logit() -> None:
    """A finite difference for every channel, pushing all its positions at once, instead of a backward pass."""
    model = Bent()
    classifier, images = frozen(model), images_of(4, 32, 32)
    step = 1e-5
    with torch.no_grad():
        activations = model.kernel(classifier.inputs(images)).double()
        head = nn.Linear(256, 3).double()
        head.load_state_dict(model.head.state_dict())
        maps = torch.zeros(4, 8, 8, dtype=torch.float64)
        for channel in range(4):
            push = torch.zeros(1, 4, 1, 1, dtype=torch.float64)
            push[0, channel] = step
            above, below = (head(torch.tanh(activations + sign * push).flatten(1)) for sign in (1, -1))
            slope = (above - below)[range(4), EXPLAINED] / (2 * step)
            maps += slope[:, None, None] / 64 * activations[:, channel]
    assert_close(maps_of(classifier, images, EXPLAINED, "kernel"), maps.clamp(min=0).float().numpy())


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_maps_do_not_depend_on_the_batch_size(batch_size: int) -> None:
    classifier, images = classifier_of("resnet18"), images_of(4)
    assert_close(maps_of(classifier, images, EXPLAINED, None, batch_size), maps_of(classifier, images, EXPLAINED))


def test_each_image_is_explained_for_its_own_class() -> None:
    classifier, images = classifier_of("resnet18"), images_of(4)
    of_class = [maps_of(classifier, images, np.full(4, c), "layer4.1.conv2") for c in range(3)]
    assert np.abs(of_class[0] - of_class[1]).max() > 0.1 * of_class[0].max()
    expected = np.stack([of_class[c][i] for i, c in enumerate(EXPLAINED)])
    assert_close(maps_of(classifier, images, EXPLAINED, "layer4.1.conv2"), expected)


def test_maps_follow_their_images() -> None:
    classifier, images, order = classifier_of("resnet18"), images_of(4), np.asarray([2, 0, 3, 1])
    maps = maps_of(classifier, images, EXPLAINED, "layer3")
    assert_close(maps_of(classifier, images[order], EXPLAINED[order], "layer3"), maps[order])


def test_maps_scale_with_the_logits() -> None:
    model = Bent()
    images = images_of(4, 32, 32)
    maps = maps_of(frozen(model), images, EXPLAINED, "kernel")
    with torch.no_grad():
        model.head.weight.mul_(4)
    assert_close(maps_of(frozen(model), images, EXPLAINED, "kernel"), 4 * maps)


@pytest.mark.parametrize(("size", "shape"), [((64, 64), (2, 2)), ((65, 97), (3, 4)), ((256, 256), (8, 8))])
def test_maps_have_the_layers_resolution(size: tuple[int, int], shape: tuple[int, int]) -> None:
    assert maps_of(classifier_of("resnet18"), images_of(1, *size), np.zeros(1, np.int64)).shape == (1, *shape)


def test_no_images_have_no_maps() -> None:
    assert len(maps_of(classifier_of("resnet18"), images_of(0), np.zeros(0, np.int64))) == 0


@pytest.mark.parametrize(
    ("architecture", "stage"),
    [
        ("resnet18", "layer4"),
        ("vgg11", "features"),
        ("mobilenet_v2", "features"),
        ("mobilenet_v3_small", "features"),
        ("densenet121", "features"),
    ],
)
def test_the_last_convolutional_stage(architecture: str, stage: str) -> None:
    classifier = classifier_of(architecture)
    assert last_convolutional_stage(classifier, rgb_images(images_of(1))) == stage
    assert n_hooks(classifier.model) == 0


def test_the_default_layer_is_the_last_convolutional_stage() -> None:
    classifier, images = classifier_of("resnet18"), images_of(4)
    by_default = maps_of(classifier, images, EXPLAINED)
    assert np.array_equal(by_default, maps_of(classifier, images, EXPLAINED, "layer4"))


@pytest.mark.parametrize(("architecture", "size"), [("vit_b_32", 224), ("swin_t", 64)])
def test_a_transformer_is_refused_unless_a_layer_is_named(architecture: str, size: int) -> None:
    """Its last convolution is its first layer; in Swin a stage that holds it gives channels last."""
    classifier = classifier_of(architecture)
    image, explained = rgb_images(images_of(1, size, size)), np.zeros(1, np.int64)
    with pytest.raises(InputError, match="last stage is convolutional") as caught:
        gradcam_maps(classifier, image, explained, GradcamParams(), Runtime())
    assert "occlusion or lime" in caught.value.remedy
    layer = {"vit_b_32": "conv_proj", "swin_t": "features.0.0"}[architecture]
    assert gradcam_maps(classifier, image, explained, GradcamParams(layer=layer), Runtime()).shape[1:] > (1, 1)


def test_images_whose_last_stage_is_a_single_position_are_refused() -> None:
    with pytest.raises(InputError, match="more than one position") as caught:
        maps_of(classifier_of("resnet18"), images_of(1, 32, 32), np.zeros(1, np.int64))
    assert "32 x 32" in caught.value.found and "ingest.image_size" in caught.value.remedy


@pytest.mark.parametrize("layer", ["layer5", "layer4.1.conv", "Layer4"])
def test_an_unknown_layer_is_refused_and_the_layers_are_listed(layer: str) -> None:
    with pytest.raises(InputError, match=r"explain\.gradcam\.layer") as caught:
        maps_of(classifier_of("resnet18"), images_of(1), np.zeros(1, np.int64), layer)
    listed = caught.value.remedy.removeprefix("use one of: ").split(", ")
    assert {"conv1", "layer4", "layer4.1.conv2"} <= set(listed)
    assert not {"", "fc", "relu", "layer4.1.bn2"} & set(listed)


@pytest.mark.parametrize("layer", ["fc", "layer4.1.relu"])  # no positions; runs twice
def test_a_layer_that_gives_no_single_map_is_refused(layer: str) -> None:
    with pytest.raises(InputError, match="runs once") as caught:
        maps_of(classifier_of("resnet18"), images_of(2), np.zeros(2, np.int64), layer)
    assert layer in caught.value.found


@pytest.mark.parametrize("explained", [[0, 3], [-1, 0]])
def test_a_class_that_the_classifier_does_not_have_is_refused(explained: list[int]) -> None:
    with pytest.raises(InputError, match="explained class") as caught:
        maps_of(classifier_of("resnet18"), images_of(2), np.asarray(explained))
    assert "0..2" in caught.value.remedy


def n_hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._backward_hooks) for m in model.modules())  # pyright: ignore[reportPrivateUsage]


def test_the_model_is_as_before_after_use() -> None:
    classifier, images = frozen(torchvision.models.resnet18(num_classes=3)), images_of(4)
    before = {name: tensor.clone() for name, tensor in classifier.model.state_dict().items()}
    logits = predict_logits(classifier, images, 4)
    maps_of(classifier, images, EXPLAINED, "layer4.1.conv2")
    assert n_hooks(classifier.model) == 0
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in classifier.model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in classifier.model.state_dict().items())
    assert np.array_equal(predict_logits(classifier, images, 4), logits)


def test_the_model_is_as_before_after_an_error() -> None:
    classifier, images = frozen(torchvision.models.resnet18(num_classes=3)), images_of(2)
    logits = predict_logits(classifier, images, 2)
    with pytest.raises(InputError):
        maps_of(classifier, images, np.zeros(2, np.int64), "layer4.1.relu")
    with pytest.raises(KeyError, match="planted"), recorded_output(classifier.model, "layer4"):
        raise KeyError("planted")
    assert n_hooks(classifier.model) == 0
    assert np.array_equal(predict_logits(classifier, images, 2), logits)


def test_recording_does_not_change_the_answer() -> None:
    classifier = classifier_of("vgg11")
    inputs = classifier.inputs(images_of(2))
    with torch.no_grad():
        expected = classifier.model(inputs)
    with recorded_output(classifier.model, "features.18") as recorded:
        found = classifier.model(inputs)
    assert torch.equal(found, expected)
    (output,) = recorded
    assert (output < 0).any()  # the ReLU after the layer wrote into a copy


def test_nothing_below_the_layer_is_differentiated() -> None:
    classifier = classifier_of("resnet18")
    inputs = classifier.inputs(images_of(1)).requires_grad_(True)
    with recorded_output(classifier.model, "layer4") as recorded:
        logits = classifier.model(inputs)
        below, above = torch.autograd.grad(logits.sum(), [inputs, recorded[0]], allow_unused=True)
    assert below is None and above.abs().sum() > 0
