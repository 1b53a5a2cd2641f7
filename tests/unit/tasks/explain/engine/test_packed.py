"""Packed convolutions against torch's, with what joins them; small ones do not depend on a measurement."""

import pytest
import torch
from torch import nn

from tasks.explain.engine import packed
from tasks.explain.engine.packed import ACTIVATIONS, PackedConvolution, gains_by_tiles
from tasks.explain.engine.winograd import MIN_CHANNELS, Scratch

pytestmark = pytest.mark.usefixtures("one_thread")


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 4


@pytest.mark.parametrize("added", [True, False])
@pytest.mark.parametrize("kind", [None, *ACTIVATIONS])
@pytest.mark.parametrize("tiled", [True, False])
def test_sums_and_activations_are_torchs(
    kind: type[nn.Module] | None, added: bool, tiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "gains_by_tiles", lambda *_: tiled)
    convolution = nn.Conv2d(MIN_CHANNELS, MIN_CHANNELS, 3, padding=1).requires_grad_(False)
    inputs, other = noise(2, MIN_CHANNELS, 7, 9), noise(2, MIN_CHANNELS, 7, 9)
    expected = convolution(inputs) + other if added else convolution(inputs)
    expected = expected if kind is None else kind()(expected)
    before = other.clone()
    joined = PackedConvolution(convolution, None if kind is None else ACTIVATIONS[kind], Scratch())
    found = joined(inputs, other) if added else joined(inputs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(other, before)


@pytest.mark.parametrize(
    "options", [{"stride": 2}, {"groups": 4}, {"dilation": 2}, {"bias": False}, {"kernel_size": (1, 3)}]
)
def test_every_kind_of_convolution_is_packed(options: dict[str, object]) -> None:
    convolution = nn.Conv2d(4, 8, **{"kernel_size": 3, **options}).requires_grad_(False)  # type: ignore[arg-type]
    joined = PackedConvolution(convolution, None, Scratch())
    for inputs in (noise(2, 4, 9, 9), noise(1, 4, 12, 5)):  # packed for the first size
        torch.testing.assert_close(joined(inputs), convolution(inputs), rtol=1e-4, atol=1e-4)


def test_small_convolutions_are_never_tiled_and_large_ones_as_their_measurement_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = torch.Size((16, 256, 8, 8))
    assert not gains_by_tiles(64, 1, torch.Size((4, 64, 16, 16)))
    assert len({gains_by_tiles(256, 1, large) for _ in range(3)}) == 1
    monkeypatch.setattr(packed, "_tiles_pay", lambda *_: True)
    assert gains_by_tiles(256, 1, large) and not gains_by_tiles(64, 1, torch.Size((4, 64, 16, 16)))
