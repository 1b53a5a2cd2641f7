"""Steps that a window changes in part against whole passes, in float64 where nothing but an error could differ."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models.vgg import cfgs, make_layers

from tasks.classify.architectures import build_model
from tasks.explain.engine.incremental import Network, OccludedImage, take_apart
from tests.support.classifiers import unsettled

pytestmark = pytest.mark.usefixtures("one_thread")
PATCH = 7


class Unit(nn.Module):
    """Every kind of step: padded pooling, groups, sums either way, and values that several nodes read."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.act = nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        self.pool, self.grouped = nn.MaxPool2d(3, 2, 1), nn.Conv2d(8, 128, 3, padding=1, groups=2)
        self.narrow, self.second = nn.Conv2d(128, 8, 1), nn.MaxPool2d(2)
        self.down, self.short = nn.Conv2d(8, 64, 3, 2, 1), nn.Conv2d(8, 64, 1, 2)
        self.wide, self.head = nn.Conv2d(64, 64, 3, padding=1), nn.Linear(64 * 4, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        out = self.pool(self.act(self.norm(self.stem(inputs))))
        out = out + self.narrow(functional.relu(self.grouped(out)))  # the image's own rectangle is the smaller one
        out = self.second(functional.relu(out, inplace=True))
        out = self.short(out) + self.down(out)  # the first one sees less than the second
        out = torch.relu(out) + out
        out += self.wide(out)
        return self.head(functional.adaptive_avg_pool2d(out, 2).flatten(1))


class Stepping(nn.Module):
    """Convolutions of changes with more or less padding than usual, and a stride that steps over small windows."""

    def __init__(self) -> None:
        super().__init__()
        self.seen, self.stepped = nn.Conv2d(3, 64, 3, 2, 1), nn.Conv2d(3, 64, 1, 2)
        self.wider, self.narrower = nn.Conv2d(64, 64, 3, padding=2), nn.Conv2d(64, 64, 3)
        self.same, self.head = nn.Conv2d(64, 64, 3, padding=1), nn.Linear(64, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        out = torch.relu(self.same(torch.relu(self.stepped(inputs))) + self.seen(inputs))
        out = torch.relu(self.narrower(self.wider(out)))
        return self.head(functional.adaptive_avg_pool2d(out, 1).flatten(1))


def assert_exact(model: nn.Module, side: int, patch: int = PATCH) -> None:
    """Compare windows in every corner and inside, and one row off the grid of the strides, with whole passes."""
    last = side - patch
    corners = torch.tensor([[0, 0], [0, last], [last, 0], [last, last], [13, 22], [side // 2, 5], [17, 17]])
    image = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1)).to(next(model.parameters()))
    hidden = image.repeat(len(corners), 1, 1, 1)
    for occluded, (row, col) in zip(hidden, corners.tolist(), strict=True):
        occluded[:, row : row + patch, col : col + patch] = 0
    network = take_apart(model)
    assert network is not None
    with torch.inference_mode():
        expected, occluded = model(hidden), OccludedImage(network, image)
        for part in (corners[:3], corners):  # layers are used again
            found = occluded.logits(part, patch)
            torch.testing.assert_close(found, expected[: len(part)], rtol=1e-9, atol=1e-9 * float(expected.abs().max()))
    assert float((expected - expected[0]).abs().max()) > 1e-5 * float(expected.abs().max())


@pytest.mark.parametrize("side", [40, 61])
def test_every_kind_of_step_is_exact(side: int) -> None:
    torch.manual_seed(0)
    assert_exact(unsettled(Unit()).double(), side)


@pytest.mark.parametrize("patch", [1, 2, PATCH])
def test_any_padding_and_windows_between_strides_are_exact(patch: int) -> None:
    torch.manual_seed(0)
    assert_exact(unsettled(Stepping()).double(), 30, patch)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["resnet18", "resnext50_32x4d"])
def test_residual_networks_are_exact(architecture: str) -> None:
    assert_exact(unsettled(build_model(architecture, 2, "none", seed=0)).double(), 64)


def test_a_vgg_is_exact() -> None:
    layers = make_layers(cfgs["A"], batch_norm=True)  # without the 120 million weights of its linear layers
    assert_exact(
        unsettled(nn.Sequential(layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 2))).double(), 32
    )


@pytest.mark.parametrize("architecture", ["mobilenet_v3_small", "mobilenet_v2", "regnet_x_400mf", "squeezenet1_1"])
def test_networks_that_gain_nothing_are_left_to_the_loop(architecture: str) -> None:
    assert take_apart(build_model(architecture, 2, "none", seed=0).eval()) is None


def test_pooling_of_negative_values_beyond_the_border_is_left_to_the_end() -> None:
    """The zeros around a layer would win the maximum."""
    layers = [nn.Conv2d(3, 4, 3), nn.MaxPool2d(3, 2, 1), nn.Flatten(), nn.Linear(4 * 15 * 15, 2)]
    network = take_apart(nn.Sequential(*layers).eval())
    assert isinstance(network, Network) and len(network.steps) == 1
    assert_exact(nn.Sequential(*layers).eval().double(), 32)
