"""Layers that versions of an image share, against whole passes in float64, where only an error could differ."""

from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional

from tasks.classify.architectures import build_model
from tasks.explain.engine import states
from tasks.explain.engine.rows import Table
from tasks.explain.engine.states import ImageTable, StateTable, shared_layers, shared_network
from tests.support.classifiers import unsettled

pytestmark = pytest.mark.usefixtures("one_thread")
Image = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Residual(nn.Module):
    """Padded pooling, sums of values that see less and more, strides, an activation that reads a layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.pool = nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.MaxPool2d(3, 2, 1)
        self.wide, self.same = nn.Conv2d(8, 64, 3, padding=1), nn.Conv2d(64, 64, 3, padding=1)
        self.down, self.short = nn.Conv2d(64, 64, 3, 2, 1), nn.Conv2d(64, 64, 1, 2)
        self.head = nn.Linear(64 * 4, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        out = self.wide(self.pool(torch.relu(self.norm(self.stem(inputs)))))
        out = torch.relu(out) + self.same(out)
        out = functional.relu(self.short(out) + self.down(out), inplace=True)
        return self.head(functional.adaptive_avg_pool2d(out, 2).flatten(1))


def image_of(side: int, blocks: int, n: int, seed: int = 0) -> Image:
    """An image and its hidden version, blocks x blocks squares as superpixels, and n versions that show some."""
    generator = torch.Generator().manual_seed(seed)
    pair = torch.randn(2, 3, side, side, generator=generator, dtype=torch.float64)
    of_side = torch.arange(side) * blocks // side
    shown = torch.rand(n, blocks**2, generator=generator) < 0.5
    return pair, of_side[:, None] * blocks + of_side, shown


def versions_of(pair: torch.Tensor, segments: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    return torch.where(shown[:, segments][:, None], pair[0], pair[1])


def found_and_expected(model: nn.Module, image: Image, most: float) -> tuple[torch.Tensor, torch.Tensor, int]:
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(states, "MOST_SHARE", most)
        patch.setattr(states, "LEAST_WORK", 0)
        network = shared_network(model)
        assert network is not None
        layers = shared_layers(network, *image)
        assert layers is not None
        order = torch.randperm(len(image[2]), generator=torch.Generator().manual_seed(3))
        return layers.logits(order), model(versions_of(*image))[order], len(layers.layers)


# With no limit, all layers are shared, however little they save.
@pytest.mark.parametrize("most", [0.1, 0.5, 100.0])
@pytest.mark.parametrize(("side", "blocks"), [(40, 4), (53, 3)])
def test_logits_are_those_of_whole_passes(side: int, blocks: int, most: float) -> None:
    torch.manual_seed(0)
    found, expected, _ = found_and_expected(unsettled(Residual()).double(), image_of(side, blocks, 70), most)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))
    assert float((expected - expected[0]).abs().max()) > 1e-5 * float(expected.abs().max())


def test_a_cut_inside_a_block_takes_two_activations() -> None:
    torch.manual_seed(0)
    model = unsettled(build_model("resnet18", 2, "none", seed=0)).double()
    found, expected, n_cut = found_and_expected(model, image_of(64, 3, 40), 0.2)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))
    assert n_cut == 2


def test_a_table_has_a_row_for_each_state_that_occurs_and_no_more() -> None:
    """Three superpixels in columns; positions see one or two of them, in all states but one."""
    shown = torch.tensor([one for one in product([False, True], repeat=3) if one != (True, True, False)])
    seen = torch.zeros(3, 2, 4, dtype=torch.bool)
    for column, members in enumerate(((0,), (0, 1), (1, 2), (2,))):
        seen[list(members), :, column] = True
    table = StateTable(seen, shown, side=1, channels=5, like=torch.zeros(1))
    assert table.table.shape == (1 + 2 * (2 + 4 + 4 + 2), 5)  # (True, True) occurs for columns 0 and 1 with the third
    assert same_rows(table, shown, lambda row, col: shown[:, seen[:, row, col]])
    blocks = StateTable(seen, shown, side=2, channels=5, like=torch.zeros(1))
    assert blocks.table.shape == (1 + 4 * (4 + 4), 5)


def same_rows(table: Table, shown: torch.Tensor, state: object) -> bool:
    """Whether versions share the row of a position exactly where its state is the same, and no two positions do."""
    owner: dict[int, tuple[object, ...]] = {}
    n = torch.arange(len(shown))
    for row, col in product(range(table.height), range(table.width)):
        index = table.index(n, torch.full((1, len(n)), row), torch.full((1, len(n)), col)).flatten().tolist()
        for which, one in zip(index, state(row, col).tolist(), strict=True):  # type: ignore[operator]
            if owner.setdefault(which, (row, col, *one)) != (row, col, *one):
                return False
    return sorted(owner) == list(range(1, len(table.table)))


def test_pixels_are_those_of_each_version_and_zero_outside() -> None:
    pair, segments, shown = image_of(6, 3, 5)
    table = ImageTable(pair, segments, shown)
    assert torch.equal(table.whole(torch.arange(5)), versions_of(pair, segments, shown))
    outside = table.index(torch.arange(5), torch.full((1, 5), -1), torch.full((1, 5), 6))
    assert not table.table[outside].any()


def test_more_members_than_are_told_apart_have_a_state_for_each_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "MOST_MEMBERS", 1)
    torch.manual_seed(0)
    found, expected, _ = found_and_expected(unsettled(Residual()).double(), image_of(40, 3, 20), 100.0)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


def test_layers_that_save_nothing_and_images_of_many_superpixels_are_left_to_whole_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = image_of(40, 3, 20)
    pointwise = shared_network(
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(4 * 40 * 40, 2)).double().eval()
    )
    assert pointwise is not None and shared_layers(pointwise, *image) is None  # three multiplications for each value
    network = shared_network(unsettled(Residual()).double())
    assert network is not None
    monkeypatch.setattr(states, "MOST_SHARE", 100)
    assert shared_layers(network, *image) is not None
    monkeypatch.setattr(states, "MOST_VALUES", 9 * 40 * 40 - 1)
    assert shared_layers(network, *image) is None
