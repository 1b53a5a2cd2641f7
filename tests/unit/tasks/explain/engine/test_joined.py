"""Convolutions keep their outputs when joined with what follows them."""

import pytest
import torch
from torch import nn
from torch.fx import GraphModule

from tasks.classify.architectures import build_model
from tasks.explain.engine.forward import fast_model
from tasks.explain.engine.joined import packed_model
from tasks.explain.engine.packed import PackedConvolution
from tasks.explain.engine.tracing import kept_name
from tests.unit.tasks.explain.engine.test_forward import RUNTIME, classifier_of, noise

pytestmark = pytest.mark.usefixtures("one_thread")


def n_packed(model: nn.Module) -> int:
    return sum(isinstance(module, PackedConvolution) for module in model.modules())


def test_what_follows_a_convolution_of_a_resnet_joins_it() -> None:
    model = fast_model(classifier_of("resnet18"), RUNTIME)
    assert isinstance(model, GraphModule)
    assert n_packed(model) == 20
    others = [node.target for node in model.graph.nodes if node.op in ("call_module", "call_function")]
    assert [str(name) for name in others if "packed" not in str(name)][:1] == ["maxpool"]
    assert len(others) == 20 + 4  # pooling twice, flatten and the last layer
    assert sum(len(node.args) == 2 for node in model.graph.nodes if node.op == "call_module") == 8


@pytest.mark.parametrize("layer", ["layer4.1.conv2", "layer4.1.bn2", "layer4", "layer2", "conv1"])
def test_the_output_of_a_kept_layer_is_what_it_was(layer: str) -> None:
    classifier, inputs = classifier_of("resnet18"), noise(2)
    outputs: list[torch.Tensor] = []
    for model in (classifier.model, fast_model(classifier, RUNTIME, keep=layer)):
        handle = model.get_submodule(kept_name(model, layer)).register_forward_hook(
            lambda _m, _i, out: outputs.append(out.clone())
        )
        with torch.no_grad():
            model(inputs)
        handle.remove()
    expected, found = outputs
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_convolutions_above_a_kept_layer_keep_their_gradient() -> None:
    assert n_packed(fast_model(classifier_of("resnet18"), RUNTIME, keep="layer3")) == 15


class Joined(nn.Module):
    """Sums and activations that join a convolution, or must not."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.act = nn.Hardswish()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        first = self.act(self.a(inputs))  # joins
        second = first + self.b(first)  # joins
        both = self.c(second)
        both = both + both  # has one convolution, not two
        first += both  # changes another tensor in place
        return torch.relu(first + second)


def test_sums_join_only_where_nothing_else_changes() -> None:
    torch.manual_seed(0)
    model, inputs = Joined().eval().requires_grad_(False), noise(2, 8)
    expected = model(inputs)
    packed = packed_model(model)
    assert isinstance(packed, GraphModule)
    torch.testing.assert_close(packed(inputs), expected)
    activations = [m.activation and m.activation[0] for m in packed.modules() if isinstance(m, PackedConvolution)]
    assert activations == ["hardswish", None, None]


def test_a_model_without_convolutions_is_returned_itself() -> None:
    model = build_model("resnet18", 2, "none", seed=0).get_submodule("fc")
    assert packed_model(model) is model
