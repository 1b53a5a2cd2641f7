"""Fast forward passes give the classifier's own answers, and leave the classifier as it was."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from storage.errors import InputError
from tasks.classify.architectures import build_model
from tasks.classify.model import Classifier, freeze
from tasks.classify.params import IMAGENET_MEAN, IMAGENET_STD
from tasks.explain.engine.forward import class_scores, fast_forward, fast_model, folding_pairs
from tasks.explain.engine.winograd import WinogradConvolution
from tasks.explain.occlusion import OcclusionParams
from tasks.parameters import Runtime
from tests.support.maps import occlusion_maps

pytestmark = pytest.mark.usefixtures("one_thread")
RUNTIME = Runtime(device="cpu")


def frozen(model: nn.Module) -> Classifier:
    return freeze(model, ("a", "b"), IMAGENET_MEAN, IMAGENET_STD, torch.device("cpu"))


def classifier_of(architecture: str) -> Classifier:
    """Random weights, and normalisation that does something: folding the identity would prove nothing."""
    model = build_model(architecture, 2, "none", seed=0)
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.uniform_(module.bias, -0.2, 0.2, generator)
    return frozen(model)


def noise(n: int, size: int = 64) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50", "mobilenet_v2", "densenet121", "squeezenet1_1"])
@pytest.mark.parametrize("tiled", [True, False])
def test_answers_are_the_classifiers(architecture: str, tiled: bool) -> None:
    classifier, inputs = classifier_of(architecture), noise(9)
    before = {name: tensor.clone() for name, tensor in classifier.model.state_dict().items()}
    with torch.no_grad():
        expected = classifier.model(inputs)
    found = fast_forward(classifier, RUNTIME, tiled)(inputs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert all(torch.equal(tensor, before[name]) for name, tensor in classifier.model.state_dict().items())


def test_every_normalisation_of_a_resnet_is_folded_and_wide_convolutions_run_as_tiles() -> None:
    model = fast_model(classifier_of("resnet18"), RUNTIME)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert sum(isinstance(module, WinogradConvolution) for module in model.modules()) == 13
    plain = fast_model(classifier_of("resnet18"), RUNTIME, tiled=False)
    assert not any(isinstance(module, WinogradConvolution) for module in plain.modules())
    rough = fast_model(classifier_of("resnet18"), RUNTIME.model_copy(update={"saliency_precision": "bfloat16"}))
    assert not any(isinstance(module, WinogradConvolution) for module in rough.modules())


class Crossed(nn.Module):
    """Convolutions whose output is used twice, or that run twice, cannot take a normalisation in."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.twice, self.after = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.free, self.last = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        out = self.shared(inputs)
        out = self.norm(out) + out
        out = self.after(self.twice(self.twice(out)))
        return self.last(self.free(out)).mean(dim=(2, 3))


def test_only_convolutions_that_feed_one_normalisation_once_are_folded() -> None:
    assert folding_pairs(Crossed().eval()) == [("free", "last")]


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


def test_models_are_traced_while_others_run() -> None:
    """Tracing patches every module of the process; tasks run side by side in threads."""
    classifier, inputs = classifier_of("resnet18"), noise(1)
    expected = folding_pairs(classifier.model)
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(lambda: classifier.model(inputs)) for _ in range(20)]
        traces = [pool.submit(folding_pairs, classifier_of("resnet18").model) for _ in range(6)]
        answers += [pool.submit(lambda: classifier.model(inputs)) for _ in range(20)]
        assert all(trace.result() == expected for trace in traces)
        assert all(torch.equal(answer.result(), answers[0].result()) for answer in answers)


@pytest.mark.parametrize("layer", ["layer4.1.conv2", "layer4.1.bn2", "layer4", "conv1"])
def test_the_output_of_a_kept_layer_is_what_it_was(layer: str) -> None:
    classifier, inputs = classifier_of("resnet18"), noise(2)
    outputs: list[torch.Tensor] = []
    for model in (classifier.model, fast_model(classifier, RUNTIME, keep=layer)):
        handle = model.get_submodule(layer).register_forward_hook(lambda _m, _i, out: outputs.append(out.clone()))
        with torch.no_grad():
            model(inputs)
        handle.remove()
    expected, found = outputs
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


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
