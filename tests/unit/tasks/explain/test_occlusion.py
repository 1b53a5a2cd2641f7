"""Occlusion against one forward pass a window, captum, and the closed form where the classifier is linear."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from captum.attr import Occlusion as CaptumOcclusion
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import nn
from torchvision.models import VisionTransformer

from storage.errors import InputError
from tasks.classify.architectures import build_model
from tasks.classify.model import Classifier, freeze
from tasks.classify.params import IMAGENET_MEAN, IMAGENET_STD
from tasks.explain.engine.incremental import take_apart
from tasks.explain.engine.rules import Convolution
from tasks.explain.occlusion import Occlusion, OcclusionParams, OcclusionPreview, window_corners
from tasks.parameters import Runtime
from tests.support.maps import occlusion_maps
from tests.support.networks import fitted_to_noise

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
RUNTIME = Runtime(device="cpu", batch_size=16)


def frozen(model: nn.Module, n_classes: int = 2) -> Classifier:
    return freeze(model, tuple("abc"[:n_classes]), IMAGENET_MEAN, IMAGENET_STD, CPU)


@cache
def classifier_of(architecture: str) -> Classifier:
    return frozen(fitted_to_noise(architecture, seed=4, n=8, side=64))


def images_of(n: int, height: int, width: int) -> NDArray[np.float32]:
    """Smooth blobs on noise, values in 0..1."""
    rng = np.random.default_rng(7)
    rows, cols = np.mgrid[:height, :width]
    centres = rng.random((n, 3, 2)) * (height, width)
    distance = (rows - centres[..., :1, None]) ** 2 + (cols - centres[..., 1:, None]) ** 2
    blobs = np.exp(-distance / (2 * (height / 5) ** 2))
    return (0.7 * blobs + 0.3 * rng.random((n, 3, height, width))).astype(np.float32)


def one_by_one(
    classifier: Classifier, image: NDArray[np.float32], explained: int, params: OcclusionParams
) -> NDArray[np.float64]:
    """The map by its definition, in float64: one window, one forward pass at a time."""
    whole, hidden = logits_one_by_one(classifier, image, params)
    if params.score == "probability":
        whole, hidden = (np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True) for z in (whole, hidden))
    return whole[explained] - hidden[..., explained]


def logits_one_by_one(
    classifier: Classifier, image: NDArray[np.float32], params: OcclusionParams
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logits of the image and, row by row, with each window hidden."""
    model, inputs = classifier.model.double(), classifier.normalised(image[None]).double()
    hidden: list[list[NDArray[np.float64]]] = []
    with torch.no_grad():
        whole = model(inputs)[0].numpy()
        for row in range(0, image.shape[1] - params.patch + 1, params.stride):
            hidden.append([])
            for col in range(0, image.shape[2] - params.patch + 1, params.stride):
                occluded = inputs.clone()
                occluded[..., row : row + params.patch, col : col + params.patch] = 0
                hidden[-1].append(model(occluded)[0].numpy())
    model.float()
    return whole, np.asarray(hidden)


def assert_within(found: NDArray[np.floating], expected: NDArray[np.floating], share: float = 1e-4) -> None:
    """Equal to a share of the range of values, of which there must be one."""
    span = float(np.ptp(expected))
    assert found.shape == expected.shape and span > 1e-3
    np.testing.assert_allclose(found, expected, rtol=0, atol=share * span)


@pytest.mark.parametrize(
    ("architecture", "height", "width", "patch", "stride"),
    [
        ("resnet18", 64, 64, 11, 17),  # the last window ends before the border
        ("resnet18", 64, 64, 16, 16),  # windows touch every border
        ("resnet18", 45, 83, 5, 13),  # odd and not square
        ("resnet18", 33, 40, 33, 1),  # a window as high as the image
        pytest.param("resnet34", 50, 64, 11, 17, marks=pytest.mark.nightly),  # of the blocks of resnet18, twice as many
        pytest.param("resnet50", 64, 49, 11, 17, marks=pytest.mark.slow),  # the other kind of block
    ],
)
def test_maps_are_what_one_forward_pass_a_window_gives(
    architecture: str, height: int, width: int, patch: int, stride: int
) -> None:
    classifier, images = classifier_of(architecture), images_of(1, height, width)
    for score, explained in (("probability", 1), ("logit", 0)):
        params = OcclusionParams(patch=patch, stride=stride, score=score)  # type: ignore[arg-type]
        explain = Occlusion(classifier, params, RUNTIME)
        found = explain(images, np.asarray([explained]))
        assert explain.network is not None and explain.checked  # the engine was there to the end
        assert found.dtype == np.float32
        assert_within(found[0], one_by_one(classifier, images[0], explained, params))


class Scaled(nn.Module):
    """Each pixel is scaled by a mean of all, and a convolution runs as tiles."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 128, 5, stride=2), nn.ReLU(), nn.Conv2d(128, 128, 3), nn.ReLU(), nn.MaxPool2d(2)]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(512, 2))
        nn.init.normal_(self.layers[-1].weight)  # type: ignore[arg-type]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layers(inputs / (1 + inputs.abs().mean(dim=(1, 2, 3), keepdim=True)))


def small_transformer() -> nn.Module:
    torch.manual_seed(0)
    model = VisionTransformer(32, 8, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=16, num_classes=2)
    for parameter in model.parameters():  # torchvision starts so small that every answer is the same
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.5)
    return model


@pytest.mark.parametrize("build", [Scaled, small_transformer])
def test_other_classifiers_are_explained_by_the_loop(build: Callable[[], nn.Module]) -> None:
    classifier, images, params = frozen(build()), images_of(2, 32, 32), OcclusionParams(patch=8, stride=6)
    explain = Occlusion(classifier, params, RUNTIME)
    assert explain.network is None
    expected = np.stack([one_by_one(classifier, image, c, params) for image, c in zip(images, (0, 1), strict=True)])
    assert_within(explain(images, np.asarray([0, 1])), expected)


def test_maps_agree_with_captum_where_its_windows_are_ours() -> None:
    """Captum averages over the windows that cover a pixel, and adds a clipped one at the far borders."""
    classifier, images = classifier_of("resnet18"), images_of(1, 56, 64)
    params = OcclusionParams(patch=8, stride=4, score="logit")
    method = CaptumOcclusion(lambda x: classifier.model(x)[:, 1:2])
    inputs = classifier.normalised(images)
    attribution = method.attribute(inputs, (3, 8, 8), strides=(3, 4, 4), target=0, perturbations_per_eval=16)
    assert isinstance(attribution, torch.Tensor)
    ours = occlusion_maps(classifier, images, np.asarray([1]), params, RUNTIME)[0].astype(np.float64)
    total, n_covering = np.zeros((56, 64)), np.zeros((56, 64))
    for (row, col), value in zip(window_corners(56, 64, params).flatten(0, 1).tolist(), ours.ravel(), strict=True):
        total[row : row + 8, col : col + 8] += value
        n_covering[row : row + 8, col : col + 8] += 1
    assert_within((total / n_covering), attribution[0, 0].numpy())


class Linear(nn.Module):
    """Logits that are weighted sums of the pixels."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(2)))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.einsum("nchw,kchw->nk", inputs, self.weight)


def test_maps_of_a_linear_classifier_are_the_hidden_weighted_pixels() -> None:
    classifier, images = frozen(Linear(20, 30)), images_of(2, 20, 30)
    params = OcclusionParams(patch=6, stride=5, score="logit")
    model, inputs = classifier.model, classifier.normalised(images)
    assert isinstance(model, Linear)
    products = (inputs * model.weight.detach()[[0, 1]]).sum(dim=1, keepdim=True)
    expected = 36 * nn.functional.avg_pool2d(products, 6, 5)[:, 0]
    assert_within(occlusion_maps(classifier, images, np.asarray([0, 1]), params, RUNTIME), expected.numpy(), 1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 500])
def test_the_windows_of_a_pass_change_nothing(batch_size: int) -> None:
    classifier, images, params = classifier_of("resnet18"), images_of(1, 48, 64), OcclusionParams(stride=9)
    expected = occlusion_maps(classifier, images, np.asarray([1]), params, RUNTIME)
    runtime = Runtime(device="cpu", batch_size=batch_size)
    assert_within(occlusion_maps(classifier, images, np.asarray([1]), params, runtime), expected, 2e-5)


def test_the_order_of_images_changes_nothing() -> None:
    classifier, images, params = classifier_of("resnet18"), images_of(3, 48, 48), OcclusionParams(stride=9)
    classes, order = np.asarray([0, 1, 1]), [2, 0, 1]
    expected = occlusion_maps(classifier, images, classes, params, RUNTIME)
    assert np.array_equal(occlusion_maps(classifier, images[order], classes[order], params, RUNTIME), expected[order])


def test_hiding_evidence_for_one_of_two_classes_is_hiding_evidence_against_the_other() -> None:
    classifier, images, params = classifier_of("resnet18"), images_of(1, 48, 48), OcclusionParams(stride=9)
    of_class = [occlusion_maps(classifier, images, np.asarray([c]), params, RUNTIME) for c in (0, 1)]
    assert_within(of_class[0], -of_class[1], 1e-4)


def test_a_saturated_classifier_still_has_a_map() -> None:
    """Float32 probabilities would all be 1, and their differences 0."""
    model = Linear(20, 20)
    with torch.no_grad():
        model.weight[0], model.weight[1] = 1e-3, 0.0
    images = np.full((1, 3, 20, 20), 1.0, np.float32)
    classifier = frozen(nn.Sequential(model, Shift(20.0)))
    found = occlusion_maps(classifier, images, np.asarray([0]), OcclusionParams(patch=5, stride=5), RUNTIME)
    assert (found > 0).all() and found.max() < 1e-8


class Shift(nn.Module):
    """Adds to the first logit."""

    def __init__(self, amount: float) -> None:
        super().__init__()
        self.amount = amount

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return logits + torch.tensor([self.amount, 0.0])


def test_the_mean_colour_hides_nothing() -> None:
    images = np.broadcast_to(np.asarray(IMAGENET_MEAN, np.float32)[None, :, None, None], (1, 3, 40, 40)).copy()
    found = occlusion_maps(classifier_of("resnet18"), images, np.asarray([0]), OcclusionParams(stride=9), RUNTIME)
    assert not found.any()  # what rounding leaves is not taken for evidence


def test_an_engine_that_is_wrong_is_found_out_and_replaced() -> None:
    classifier, images, params = classifier_of("resnet18"), images_of(2, 48, 48), OcclusionParams(stride=9)
    expected = [one_by_one(classifier, image, 0, params) for image in images]
    explain = Occlusion(classifier, params, RUNTIME)
    assert explain.network is not None
    head = explain.network.steps[0].head
    assert isinstance(head, Convolution)
    head.bias += 0.5
    with pytest.warns(RuntimeWarning, match="the loop is used"):
        found = explain(images, np.asarray([0, 0]))
    assert explain.network is None
    assert_within(found, np.stack(expected))


def test_what_can_be_taken_apart() -> None:
    assert take_apart(classifier_of("resnet18").model)
    assert take_apart(Scaled().eval()) is None
    assert take_apart(build_model("resnet18", 2, "none", 0).train()) is None


def test_bfloat16_is_another_map_of_the_same_thing() -> None:
    classifier, images, params = classifier_of("resnet18"), images_of(1, 48, 48), OcclusionParams(stride=6)
    exact = occlusion_maps(classifier, images, np.asarray([1]), params, RUNTIME)
    runtime = RUNTIME.model_copy(update={"saliency_precision": "bfloat16"})
    rough = occlusion_maps(classifier, images, np.asarray([1]), params, runtime)
    assert not np.array_equal(rough, exact)
    assert np.corrcoef(rough.ravel(), exact.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("changes", [{"patch": 49}, {"stride": 49}, {"patch": 48, "stride": 60}])
def test_windows_beyond_the_image_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(InputError, match="fit into the image") as caught:
        params = OcclusionParams.model_validate(changes)
        occlusion_maps(classifier_of("resnet18"), images_of(1, 48, 48), np.zeros(1, int), params, RUNTIME)
    assert "48 pixels" in caught.value.found and "explain.occlusion" in caught.value.remedy


@pytest.mark.parametrize("changes", [{"patch": 0}, {"stride": 0}, {"score": "loss"}, {"preview_step": 1}])
def test_parameters_without_meaning_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OcclusionParams(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_images_that_are_not_finite_are_refused(value: float) -> None:
    images = images_of(2, 48, 48)
    images[1, 0, 3, 3] = value
    with pytest.raises(InputError, match="finite"):
        occlusion_maps(classifier_of("resnet18"), images, np.zeros(2, int), OcclusionParams(), RUNTIME)


def test_no_images_have_no_maps() -> None:
    found = occlusion_maps(
        classifier_of("resnet18"), images_of(0, 48, 48), np.zeros(0, int), OcclusionParams(), RUNTIME
    )
    assert found.shape == (0, 19, 19)


def test_a_preview_that_refines_everything_is_the_map() -> None:
    classifier, images = classifier_of("resnet18"), images_of(1, 40, 52)
    params = OcclusionParams(stride=4, preview_refined=1)
    expected = occlusion_maps(classifier, images, np.asarray([1]), params, RUNTIME)
    assert_within(OcclusionPreview(classifier, params, RUNTIME)(images, np.asarray([1])), expected, 2e-5)


def test_a_preview_is_exact_where_it_looked_and_between_its_neighbours_elsewhere() -> None:
    classifier, images = classifier_of("resnet18"), images_of(1, 40, 56)
    params = OcclusionParams(patch=8, stride=4, preview_step=3, preview_refined=0)
    expected = occlusion_maps(classifier, images, np.asarray([1]), params, RUNTIME)[0]
    found = OcclusionPreview(classifier, params, RUNTIME)(images, np.asarray([1]))[0]
    rows, cols = [0, 3, 6, 8], [0, 3, 6, 9, 12]
    assert found.shape == expected.shape == (9, 13)
    assert_within(found[np.ix_(rows, cols)], expected[np.ix_(rows, cols)])  # tiles of other sides, by windows a pass
    middle = (2 * found[3, 3] + found[3, 6]) / 3
    np.testing.assert_allclose(found[3, 4], middle, rtol=1e-4)
    assert np.abs(found - expected).max() > 1e-3 * np.ptp(expected)  # or there is nothing approximate about it


def test_a_preview_refines_where_the_gradient_points() -> None:
    """For a linear classifier the guess is exact, so the strongest windows are those that are refined."""
    classifier, images = frozen(Linear(24, 24)), images_of(1, 24, 24)
    params = OcclusionParams(patch=4, stride=2, score="logit", preview_step=5, preview_refined=0.2)
    expected = occlusion_maps(classifier, images, np.asarray([0]), params, RUNTIME)[0]
    found = OcclusionPreview(classifier, params, RUNTIME)(images, np.asarray([0]))[0]
    strongest = np.argsort(-np.abs(expected).ravel())[: round(0.2 * expected.size)]
    np.testing.assert_allclose(found.ravel()[strongest], expected.ravel()[strongest], rtol=1e-4)
