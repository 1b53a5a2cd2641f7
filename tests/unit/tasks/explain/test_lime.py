"""LIME against the package `lime`, and in closed form where the classifier's probability is linear in the pixels."""

from functools import cache
from typing import Any, Literal

import numpy as np
import pytest
import torch
from lime.lime_image import LimeImageExplainer
from lime.wrappers.scikit_image import SegmentationAlgorithm
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter
from skimage.segmentation import slic
from sklearn.linear_model import LinearRegression
from torch import nn
from torchvision.models import VisionTransformer

from storage.errors import InputError
from tasks.classify.architectures import build_model
from tasks.classify.model import Classifier, freeze
from tasks.classify.params import IMAGENET_MEAN, IMAGENET_STD
from tasks.explain.engine.states import SharedLayers
from tasks.explain.lime import (
    LimeParams,
    coefficients,
    mean_colours,
    prepare_lime,
    random_samples,
    seed_of,
    similarity,
    superpixels,
)
from tasks.explain.samples import SampleScores
from tasks.parameters import Runtime
from tests.support.classifiers import unsettled
from tests.support.maps import lime_maps

pytestmark = pytest.mark.usefixtures("one_thread")

Segments = Literal["quickshift", "slic"]
Regressor = Literal["least_squares", "ridge"]
Model = Literal["convolutions", "transformer"]
FEW = LimeParams(n_samples=150, segments="slic")
CPU = Runtime(device="cpu")


class Convolutions(nn.Module):
    """A small network with what larger ones have: batch normalisation, a bend, pooling, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Conv2d(3, 8, 5, stride=2)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(32, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = torch.relu(self.norm(self.kernel(images)))
        return 3 * self.head(nn.functional.adaptive_avg_pool2d(features, 2).flatten(1))


@cache
def classifier_of(kind: Model) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        if kind == "convolutions":
            model = Convolutions()
            nn.init.uniform_(model.get_buffer("norm.running_var"), 0.5, 2)  # something for the folding to fold
        else:
            model = VisionTransformer(32, 8, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=16, num_classes=2)
            nn.init.normal_(model.get_parameter("heads.head.weight"))  # zero until trained
    return freeze(model, ("a", "b"), IMAGENET_MEAN, IMAGENET_STD, torch.device("cpu"))


def images_of(n: int, height: int, width: int) -> NDArray[np.float32]:
    """Blurred noise (n, 3, h, w) in 0..1, which falls into several superpixels."""
    noise = np.random.default_rng(8).random((n, 3, height, width))
    blurred = gaussian_filter(noise, (0, 0, 2, 2))
    low, high = blurred.min(), blurred.max()
    return ((blurred - low) / (high - low)).astype(np.float32)


def package_map(
    classifier: Classifier, image: NDArray[np.float32], explained: int, params: LimeParams
) -> NDArray[np.float64]:
    """The package's weights painted on the superpixels, with our superpixels and our random numbers."""
    seed = seed_of(image, params.seed)
    segments = superpixels(image, params.segments, seed)

    def probabilities(batch: NDArray[np.float64]) -> NDArray[np.float64]:
        inputs = classifier.normalised(batch.transpose(0, 3, 1, 2).astype(np.float32))
        with torch.no_grad():
            return torch.softmax(classifier.model(inputs).double(), 1).numpy()

    explainer: Any = LimeImageExplainer(random_state=np.random.RandomState(seed))
    explanation = explainer.explain_instance(
        image.transpose(1, 2, 0).astype(np.float64),
        probabilities,
        labels=(explained,),
        top_labels=None,
        hide_color=None,
        num_samples=params.n_samples,
        segmentation_fn=lambda _: segments,
        model_regressor=LinearRegression() if params.regressor == "least_squares" else None,
        random_seed=0,  # only keeps the package from drawing one
    )
    weights = dict(explanation.local_exp[explained])
    assert len(weights) == segments.max() + 1 >= 4
    return np.vectorize(weights.get)(segments)


@pytest.mark.parametrize("regressor", ["least_squares", "ridge"])
@pytest.mark.parametrize(
    ("kind", "size", "segments"),
    [
        ("convolutions", (64, 48), "quickshift"),
        ("convolutions", (48, 64), "slic"),
        ("convolutions", (37, 51), "slic"),
        ("convolutions", (79, 65), "quickshift"),
        ("transformer", (32, 32), "slic"),
    ],
)
def test_maps_are_the_packages(kind: Model, size: tuple[int, int], segments: Segments, regressor: Regressor) -> None:
    classifier, image = classifier_of(kind), images_of(1, *size)
    params = LimeParams(n_samples=150, segments=segments, regressor=regressor, seed=4)
    for explained in range(2):
        found = lime_maps(classifier, image, np.asarray([explained]), params, CPU)
        expected = package_map(classifier, image[0], explained, params)
        assert found.shape == (1, *size) and found.dtype == np.float32
        assert np.ptp(expected) > 1e-3  # or the comparison would be empty
        np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("size", "contrast"), [((64, 48), 1), ((79, 65), 1), ((256, 256), 0)])
def test_quickshift_is_the_packages(size: tuple[int, int], contrast: int) -> None:
    """Without contrast all pixels are equal, and the seed decides between them."""
    image = np.float32(0.5) + contrast * (images_of(1, *size)[0] - np.float32(0.5))
    pixels = image.transpose(1, 2, 0).astype(np.float64)
    expected, other = (
        SegmentationAlgorithm("quickshift", kernel_size=4, max_dist=200, ratio=0.2, rng=seed)(pixels) for seed in (7, 8)
    )
    assert expected.max() > 2 and np.array_equal(expected, other) == (contrast == 1)
    found = superpixels(image, "quickshift", 7)
    assert np.array_equal(found, expected) and np.array_equal(np.unique(found), np.arange(found.max() + 1))


def test_superpixels_of_slic_are_scikit_images() -> None:
    (image,) = images_of(1, 45, 33)
    found = superpixels(image, "slic", 0)
    assert np.array_equal(found + 1, slic(image.transpose(1, 2, 0)))  # which counts from 1
    assert np.array_equal(np.unique(found), np.arange(found.max() + 1))


class Affine(nn.Module):
    """Probability of the first class affine in the pixels: offset + sum(weights * image), from RGB in 0..1."""

    def __init__(self, weights: torch.Tensor, offset: float) -> None:
        super().__init__()
        self.weights, self.offset = nn.Parameter(weights), offset

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        probability = self.offset + (images * self.weights).sum((1, 2, 3))
        return torch.stack([probability, 1 - probability], dim=1).log()


def affine(weights: NDArray[np.floating], offset: float) -> Classifier:
    model = Affine(torch.as_tensor(weights, dtype=torch.float32), offset)
    return freeze(model, ("a", "b"), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), torch.device("cpu"))


@pytest.mark.parametrize("segments", ["quickshift", "slic"])
def test_weights_of_an_affine_probability_have_a_closed_form(segments: Segments) -> None:
    """Showing a superpixel adds sum(weights * (pixel - mean)) over its pixels, whatever else is shown."""
    (image,) = images_of(1, 64, 48)
    weights = np.random.default_rng(1).normal(0, 0.005, image.shape)
    params = LimeParams(n_samples=150, segments=segments)
    found = lime_maps(affine(weights, 0.5), image[None], np.zeros(1, np.int64), params, CPU)[0]
    labels = superpixels(image, segments, seed_of(image, 0))
    assert labels.max() > 2
    for label in range(labels.max() + 1):
        colours = image[:, labels == label].astype(np.float64)
        added = (weights[:, labels == label] * (colours - colours.mean(axis=1, keepdims=True))).sum()
        np.testing.assert_allclose(found[labels == label], added, rtol=0, atol=2e-6)


def test_a_superpixel_that_the_classifier_does_not_see_weighs_nothing() -> None:
    (image,) = images_of(1, 40, 56)
    labels = superpixels(image, "slic", 0)
    weights = np.where(labels == 2, np.random.default_rng(1).normal(0, 0.02, image.shape), 0)
    found = lime_maps(affine(weights, 0.5), image[None], np.zeros(1, np.int64), FEW, CPU)[0]
    assert np.abs(found[labels == 2]).min() > 1e-3
    assert np.abs(found[labels != 2]).max() < 1e-6


def test_a_hand_worked_image() -> None:
    """One row of four pixels in two superpixels of means 0.5 and 0.4; p = 0.1 + 0.4 * first + 0.2 * third pixel."""
    image = np.repeat(np.asarray([[[0, 1, 0.2, 0.6]]], np.float32), 3, axis=0)
    segments = np.asarray([[0, 0, 1, 1]])
    hidden = mean_colours(image, segments)
    np.testing.assert_allclose(hidden, np.repeat([[[0.5, 0.5, 0.4, 0.4]]], 3, axis=0), rtol=1e-6)
    red = np.zeros((3, 1, 4))
    red[0, 0, [0, 2]] = 0.4, 0.2
    classifier = affine(red, 0.1)
    on = np.asarray([[1, 1], [0, 1], [1, 0], [0, 0]])
    with torch.no_grad():
        pair = classifier.normalised(np.stack([image, hidden]))
        scores = SampleScores(classifier, Runtime(device="cpu", batch_size=3))(pair, segments, on, explained=0)
    np.testing.assert_allclose(scores, [0.14, 0.34, 0.18, 0.38], atol=1e-6)
    np.testing.assert_allclose(coefficients(on, scores, "least_squares"), [-0.2, -0.04], atol=1e-6)


def test_the_fit_is_the_weighted_normal_equations() -> None:
    generator = np.random.default_rng(0)
    on, scores = random_samples(60, 9, seed=5), generator.random(60)
    cosine = on.sum(axis=1) / np.maximum(np.linalg.norm(on, axis=1) * 3, 1e-9)
    weight = np.diag(np.sqrt(np.exp(-((1 - cosine) ** 2) / 0.25**2)))
    design = np.column_stack([np.ones(60), on])
    products, answers = design.T @ weight @ design, design.T @ weight @ scores
    expected = np.linalg.solve(products, answers)[1:]
    np.testing.assert_allclose(coefficients(on, scores, "least_squares"), expected, atol=1e-10)
    penalised = np.linalg.solve(products + np.diag([0, *[1] * 9]), answers)[1:]  # not the intercept
    np.testing.assert_allclose(coefficients(on, scores, "ridge"), penalised, atol=1e-10)


def test_samples_are_weighted_by_their_nearness() -> None:
    near = similarity(np.asarray([0, 0.25, 1]))
    np.testing.assert_allclose(near, [1, np.exp(-0.5), np.exp(-8)], rtol=1e-12)


def test_samples_are_drawn_as_the_package_draws_them() -> None:
    on = random_samples(20, 7, seed=11)
    drawn = np.random.RandomState(11).randint(0, 2, 140).reshape(20, 7)
    assert (on[0] == 1).all() and not (drawn[0] == 1).all()
    assert np.array_equal(on[1:], drawn[1:])


def test_probabilities_of_two_classes_weigh_against_each_other() -> None:
    classifier, images = classifier_of("convolutions"), images_of(1, 48, 48)
    one, other = (lime_maps(classifier, images, np.asarray([c]), FEW, CPU) for c in (0, 1))
    assert np.ptp(one) > 1e-3
    np.testing.assert_allclose(one, -other, atol=1e-7)


def test_each_image_is_explained_for_its_own_class() -> None:
    classifier, images = classifier_of("convolutions"), np.repeat(images_of(1, 48, 48), 2, axis=0)
    one, other = lime_maps(classifier, images, np.asarray([0, 1]), FEW, CPU)
    assert np.ptp(one) > 1e-3
    np.testing.assert_allclose(one, -other, atol=1e-7)


@pytest.mark.parametrize("batch_size", [1, 7, 150, 4096])
def test_maps_do_not_depend_on_the_batch_size(batch_size: int) -> None:
    classifier, images, explained = classifier_of("convolutions"), images_of(2, 45, 33), np.asarray([1, 0])
    expected = lime_maps(classifier, images, explained, FEW, CPU)
    found = lime_maps(classifier, images, explained, FEW, Runtime(device="cpu", batch_size=batch_size))
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_a_pass_holds_one_batch_and_all_samples_pass_once() -> None:
    sizes: list[int] = []

    def forward(inputs: torch.Tensor) -> torch.Tensor:
        assert inputs.is_contiguous(memory_format=torch.channels_last)
        sizes.append(len(inputs))
        return inputs.sum((2, 3))[:, :2]

    score = SampleScores(classifier_of("convolutions"), Runtime(device="cpu", batch_size=8))
    score.forward, score.network = forward, None
    scores = score(torch.rand(2, 3, 5, 6), np.arange(30).reshape(5, 6), random_samples(20, 30, 0), 1)
    assert sizes == [8, 8, 4] and scores.shape == (20,)


@pytest.mark.parametrize("segments", ["quickshift", "slic"])
def test_shared_layers_give_the_maps_of_whole_passes(segments: Segments) -> None:
    """The smallest ResNet, whose first layers hardly see more than one superpixel of a picture of 64 pixels."""
    model = unsettled(build_model("resnet18", 2, "none", seed=0))
    classifier = freeze(model, ("a", "b"), IMAGENET_MEAN, IMAGENET_STD, torch.device("cpu"))
    images, explained, params = images_of(2, 64, 64), np.asarray([0, 1]), FEW.model_copy(update={"segments": segments})
    score = SampleScores(classifier, CPU)
    scores = {}
    for network in (score.network, None):
        score.network = network
        scores[network is None] = [
            scores_of(score, classifier, images[i], int(c), params) for i, c in enumerate(explained)
        ]
    assert score.checked == {torch.Size((2, 3, 64, 64))}
    np.testing.assert_allclose(scores[False], scores[True], rtol=0, atol=1e-5)
    assert np.ptp(scores[True]) > 1e-3


def scores_of(
    score: SampleScores, classifier: Classifier, image: NDArray[np.float32], explained: int, params: LimeParams
) -> NDArray[np.float64]:
    segments = superpixels(image, params.segments, 0)
    pair = classifier.normalised(np.stack([image, mean_colours(image, segments)]))
    return score(pair, segments, random_samples(params.n_samples, int(segments.max()) + 1, 0), explained)


@pytest.mark.parametrize("fault", ["another answer", "an error"])
def test_shared_layers_that_differ_are_left_with_a_warning(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = unsettled(build_model("resnet18", 2, "none", seed=0))
    classifier, images = (
        freeze(model, ("a", "b"), IMAGENET_MEAN, IMAGENET_STD, torch.device("cpu")),
        images_of(1, 64, 64),
    )
    score = SampleScores(classifier, CPU)

    def wrong(layers: SharedLayers, versions: torch.Tensor) -> torch.Tensor:
        if fault == "an error":
            raise RuntimeError("could not create a primitive descriptor")
        return layers.tail(*(one.whole(versions) for one in layers.layers)) + 0.1

    monkeypatch.setattr(SharedLayers, "logits", wrong)
    with pytest.warns(RuntimeWarning, match="whole passes are used"):
        found = scores_of(score, classifier, images[0], 1, FEW)
    assert score.network is None
    assert np.array_equal(found, scores_of(score, classifier, images[0], 1, FEW))


def test_a_map_does_not_depend_on_the_images_beside_or_before_it() -> None:
    classifier, images, order = classifier_of("convolutions"), images_of(4, 40, 40), np.asarray([2, 0, 3, 1])
    explained = np.asarray([0, 1, 1, 0])
    explain = prepare_lime(classifier, FEW, CPU)
    maps = explain(images, explained)
    assert all(np.ptp(one) > 1e-3 for one in maps)
    assert np.array_equal(explain(images[order], explained[order]), maps[order])
    assert np.array_equal(explain(images[3:], explained[3:]), maps[3:])
    assert np.array_equal(explain(images, explained), maps)


def test_maps_follow_the_seed() -> None:
    classifier, images, explained = classifier_of("convolutions"), images_of(1, 40, 40), np.zeros(1, np.int64)
    maps = [lime_maps(classifier, images, explained, FEW.model_copy(update={"seed": s}), CPU) for s in (0, 1, 0)]
    assert np.array_equal(maps[0], maps[2]) and not np.array_equal(maps[0], maps[1])


def test_the_seed_of_an_image_is_in_its_content_alone() -> None:
    (image,) = images_of(1, 12, 10)
    transposed = np.asfortranarray(image)
    other = image.copy()
    other[2, 5, 5] = np.nextafter(other[2, 5, 5], np.float32(1))
    assert seed_of(image, 0) == seed_of(transposed, 0) == seed_of(image.copy(), 0)
    different = {seed_of(image, 0), seed_of(image, 1), seed_of(other, 0), seed_of(image.reshape(3, 10, 12), 0)}
    assert len(different) == 4 and all(0 <= seed < 2**31 for seed in different)


def test_the_seed_of_an_image_stays_the_same_from_run_to_run() -> None:
    # Another number would mean other maps under the same name.
    assert seed_of(np.full((3, 2, 2), 0.5, np.float32), 0) == 369006914


def test_a_model_is_as_before_after_use() -> None:
    classifier, images = classifier_of("convolutions"), images_of(1, 40, 40)
    before = {name: tensor.clone() for name, tensor in classifier.model.state_dict().items()}
    lime_maps(classifier, images, np.zeros(1, np.int64), FEW, CPU)
    assert all(torch.equal(before[name], tensor) for name, tensor in classifier.model.state_dict().items())
    assert not classifier.model.training


@pytest.mark.parametrize("segments", ["quickshift", "slic"])
@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_an_image_of_one_colour_has_an_exactly_empty_map(level: float, segments: Segments) -> None:
    images = np.full((1, 3, 32, 48), level, np.float32)
    params = LimeParams(n_samples=2, segments=segments)  # fewer than superpixels, which do not matter here
    maps = lime_maps(classifier_of("convolutions"), images, np.zeros(1, np.int64), params, CPU)
    assert maps.shape == (1, 32, 48) and not maps.any()


def test_an_image_of_one_superpixel_has_a_constant_map() -> None:
    (image,) = images_of(1, 16, 16) * np.float32(0.1)
    assert superpixels(image, "quickshift", seed_of(image, 0)).max() == 0
    weights = image - image.mean(axis=(1, 2), keepdims=True)
    (found,) = lime_maps(affine(weights, 0.5), image[None], np.zeros(1, np.int64), LimeParams(n_samples=150), CPU)
    added = (weights * weights).sum()
    assert np.ptp(found) == 0 and added > 0.05
    np.testing.assert_allclose(found, added, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1)])
def test_the_smallest_images_have_maps(size: tuple[int, int]) -> None:
    images = np.random.default_rng(0).random((2, 3, *size), dtype=np.float32)
    for segments in ("quickshift", "slic"):
        params = LimeParams(n_samples=50, segments=segments)
        maps = lime_maps(affine(np.full((3, *size), 0.01), 0.5), images, np.zeros(2, np.int64), params, CPU)
        assert maps.shape == (2, *size) and np.isfinite(maps).all()


def test_no_images_have_no_maps() -> None:
    maps = lime_maps(classifier_of("convolutions"), images_of(2, 40, 40)[:0], np.zeros(0, np.int64), FEW, CPU)
    assert maps.shape == (0, 40, 40) and maps.dtype == np.float32


def test_fewer_samples_than_superpixels_are_refused_with_the_way_out() -> None:
    classifier, images = classifier_of("convolutions"), images_of(2, 64, 64)
    images[0] = 0.5
    n_segments = int(superpixels(images[1], "quickshift", seed_of(images[1], 0)).max()) + 1
    assert n_segments > 3
    params = LimeParams(n_samples=n_segments)
    with pytest.raises(InputError, match="more samples than an image has superpixels") as caught:
        lime_maps(classifier, images, np.zeros(2, np.int64), params, CPU)
    assert caught.value.found == f"explain.lime.n_samples is {n_segments}, and an image has {n_segments} superpixels"
    assert all(name in caught.value.remedy for name in ("explain.lime.n_samples", '"slic"', '"ridge"'))
    for enough in ({"n_samples": n_segments + 1}, {"regressor": "ridge"}):
        maps = lime_maps(classifier, images, np.zeros(2, np.int64), params.model_copy(update=enough), CPU)
        assert maps[1].any()


def test_images_that_are_not_finite_are_refused() -> None:
    images = images_of(2, 40, 40)
    images[1, 0, 3, 3] = np.nan
    with pytest.raises(InputError, match="finite numbers"):
        lime_maps(classifier_of("convolutions"), images, np.zeros(2, np.int64), FEW, CPU)


@pytest.mark.parametrize("wrong", [{"n_samples": 1}, {"segments": "felzenszwalb"}, {"regressor": "lasso"}])
def test_parameters_out_of_bounds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        LimeParams(**wrong)


def test_the_default_is_the_papers() -> None:
    params = LimeParams()
    assert (params.n_samples, params.segments, params.regressor) == (1000, "quickshift", "least_squares")
