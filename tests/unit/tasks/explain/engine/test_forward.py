"""Fast forward passes give the classifier's own answers, and leave the classifier as it was."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.fx import GraphModule

from storage.errors import InputError
from tasks.classify.architectures import build_model
from tasks.classify.model import Classifier, freeze
from tasks.classify.params import IMAGENET_MEAN, IMAGENET_STD
from tasks.explain.engine.forward import class_scores, fast_forward, fast_model
from tasks.explain.engine.packed import PackedConvolution
from tasks.explain.engine.tracing import folding_pairs
from tasks.explain.occlusion import OcclusionParams
from tasks.parameters import Runtime
from tests.support.classifiers import unsettled
from tests.support.maps import occlusion_maps

pytestmark = pytest.mark.usefixtures("one_thread")
RUNTIME = Runtime(device="cpu")


def frozen(model: nn.Module) -> Classifier:
    return freeze(model, ("a", "b"), IMAGENET_MEAN, IMAGENET_STD, torch.device("cpu"))


def classifier_of(architecture: str) -> Classifier:
    """Random weights, and normalisation that does something."""
    return frozen(unsettled(build_model(architecture, 2, "none", seed=0)))


def noise(n: int, size: int = 64) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50", "mobilenet_v2", "densenet121", "squeezenet1_1"])
@pytest.mark.parametrize("packed", [True, False])
def test_answers_are_the_classifiers(architecture: str, packed: bool) -> None:
    classifier, inputs = classifier_of(architecture), noise(9)
    before = {name: tensor.clone() for name, tensor in classifier.model.state_dict().items()}
    with torch.no_grad():
        expected = classifier.model(inputs)
    found = fast_forward(classifier, RUNTIME, packed)(inputs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert all(torch.equal(tensor, before[name]) for name, tensor in classifier.model.state_dict().items())


@pytest.mark.parametrize(
    "architecture", ["mobilenet_v3_small", pytest.param("efficientnet_b0", marks=pytest.mark.slow)]
)
def test_mobile_networks_take_the_same_way(architecture: str) -> None:
    classifier, inputs = classifier_of(architecture), noise(2)
    assert isinstance(fast_model(classifier, RUNTIME), GraphModule)
    with torch.no_grad():
        expected = classifier.model(inputs)
    found = fast_forward(classifier, RUNTIME)(inputs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_only_float32_on_a_cpu_is_packed() -> None:
    classifier = classifier_of("resnet18")
    rough = RUNTIME.model_copy(update={"saliency_precision": "bfloat16"})
    for model in (fast_model(classifier, RUNTIME, packed=False), fast_model(classifier, rough)):
        assert not isinstance(model, GraphModule)
        assert not any(isinstance(module, nn.BatchNorm2d | PackedConvolution) for module in model.modules())


class Overwriting(nn.Module):
    """Changes a convolution's input before its output is used, which a graph does not show."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.head = nn.Conv2d(3, 3, 1), nn.Linear(3, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        inputs = inputs + 1
        out = self.kernel(inputs)
        return self.head((out + inputs.mul_(3)).mean(dim=(2, 3)))


class Spreading(Overwriting):
    """Adds more positions than the convolution has, so that the sum is larger than its output."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        out = self.kernel(inputs.mean(dim=(2, 3), keepdim=True)) + inputs
        return self.head(torch.relu(out).mean(dim=(2, 3)))


@pytest.mark.parametrize("kind", [Overwriting, Spreading])
def test_a_packed_model_with_another_answer_is_not_used(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    classifier, inputs = frozen(kind()), noise(3, 8)
    assert isinstance(fast_model(classifier, RUNTIME), GraphModule)
    with pytest.warns(RuntimeWarning, match="classifier's own is used"):
        found = fast_forward(classifier, RUNTIME)(inputs)
    torch.testing.assert_close(found, classifier.model(inputs))


class Branching(nn.Module):
    """Takes another way for dark images, so it cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        out = self.norm(self.kernel(inputs)).mean(dim=(2, 3))
        return self.head(out) if inputs.mean() > 0 else -self.head(out)


def test_a_model_that_cannot_be_traced_is_used_as_it_is() -> None:
    classifier = frozen(Branching())
    assert folding_pairs(classifier.model) == []
    for inputs in (noise(2).abs(), -noise(2).abs()):
        torch.testing.assert_close(fast_forward(classifier, RUNTIME)(inputs), classifier.model(inputs))


def test_an_exported_program_is_occluded_as_the_model_it_was_made_of(tmp_path: Path) -> None:
    classifier = classifier_of("resnet18")
    batch = torch.export.Dim("batch", min=1, max=1024)
    program = torch.export.export(classifier.model, (noise(2, 48),), dynamic_shapes={"x": {0: batch}})
    torch.export.save(program, tmp_path / "program.pt2")
    exported = frozen(torch.export.unflatten(torch.export.load(tmp_path / "program.pt2")))
    images = np.random.default_rng(0).random((1, 3, 48, 48), np.float32)
    params = OcclusionParams(stride=18, score="logit")
    expected = occlusion_maps(classifier, images, np.asarray([1]), params, RUNTIME)
    found = occlusion_maps(exported, images, np.asarray([1]), params, RUNTIME)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * float(np.ptp(expected)))


def test_answers_that_are_not_finite_are_refused() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(InputError, match="finite"):
        fast_forward(frozen(model), RUNTIME)(torch.full((1, 3, 2, 2), torch.inf))


def test_scores_are_probabilities_or_logits() -> None:
    logits = torch.tensor([[0.0, np.log(3.0)], [30.0, 0.0]])
    assert class_scores(logits, 1, "probability").tolist() == pytest.approx([0.75, np.exp(-30.0)], rel=1e-6)
    assert class_scores(logits, 1, "logit").tolist() == pytest.approx([np.log(3.0), 0.0])


def test_a_model_is_gone_with_its_last_user() -> None:
    """Not at some later collection: a worker makes one for each of its tasks."""
    gc.collect()
    gc.disable()
    try:
        left = weakref.ref(fast_model(classifier_of("resnet18"), RUNTIME))
        assert left() is None
    finally:
        gc.enable()
