"""Models in two parts give the answers of the whole, and are cut where little is passed on."""

from functools import cache

import pytest
import torch
from torch import nn
from torch.fx import GraphModule, symbolic_trace

from tasks.explain.engine import staged as module
from tasks.explain.engine.forward import fast_model, images_a_pass
from tasks.explain.engine.staged import StagedModel, single_values, staged
from tasks.explain.engine.tracing import kept_name
from tests.unit.tasks.explain.engine.test_forward import RUNTIME, classifier_of, noise

pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def packed(architecture: str, keep: str | None = None) -> GraphModule:
    model = fast_model(classifier_of(architecture), RUNTIME, keep=keep)
    assert isinstance(model, GraphModule)
    return model


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v3_small"])
def test_parts_give_the_answers_of_the_whole(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CPU_PIXELS", 2 * 64 * 64)
    model, inputs = packed(architecture), noise(5)
    parts = staged(model, inputs[:1])
    assert isinstance(parts, StagedModel)
    with torch.no_grad():
        torch.testing.assert_close(parts(inputs), model(inputs), rtol=1e-5, atol=1e-6)
        assert 0 < parts.early(inputs[:1]).numel() < inputs[:1].numel()


def test_a_resnet_is_cut_after_the_first_block_of_its_second_stage() -> None:
    parts = staged(packed("resnet18"), noise(1))
    assert isinstance(parts, StagedModel)
    with torch.no_grad():
        assert parts.early(noise(2)).shape == (2, 128, 8, 8)


def test_a_cut_lies_below_the_kept_layer() -> None:
    parts = staged(packed("resnet18", "layer4"), noise(1))
    assert isinstance(parts, StagedModel) and kept_name(parts, "layer4").startswith("late.")
    whole = packed("resnet18", "layer1")
    assert staged(whole, noise(1)) is whole


class Long(nn.Module):
    """Uses its first output at the end, so that only there is a single tensor."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        first = inputs[:, :1]
        second = first.exp()
        third = second.sin() + first
        return third.sum(dim=(2, 3))


def test_only_places_with_one_tensor_are_cuts() -> None:
    nodes = list(symbolic_trace(Long()).graph.nodes)
    assert [nodes[i].name for i in single_values(nodes)] == ["inputs", "getitem", "add", "sum_1"]


def test_more_images_pass_at_once_through_late_layers() -> None:
    classifier, shape = classifier_of("resnet18"), (256, 256)
    parts = staged(packed("resnet18"), noise(1))
    assert images_a_pass(parts, classifier, shape, 32) == 4 * images_a_pass(classifier.model, classifier, shape, 32)
    assert images_a_pass(parts, classifier, shape, 3) == 3
