"""Packed convolutions against torch's, with what joins them; small ones do not depend on a measurement."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from tasks.explain.engine import packed
from tasks.explain.engine.packed import (
    ACTIVATIONS,
    MAX_TILES,
    MIN_WHOLE,
    PackedConvolution,
    WinogradConvolution,
    gains_by_tiles,
    images_at_once,
)
from tasks.explain.engine.tiles import Scratch

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
    convolution = nn.Conv2d(MIN_WHOLE, MIN_WHOLE, 3, padding=1).requires_grad_(False)
    inputs, other = noise(2, MIN_WHOLE, 7, 9), noise(2, MIN_WHOLE, 7, 9)
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


@given(st.integers(1, 3), st.integers(3, 14), st.integers(3, 14), st.integers(0, 2), st.integers(1, 2), st.booleans())
@settings(max_examples=40, deadline=None)
def test_whole_activations_in_tiles_are_convolved_as_torch_does(
    n: int, height: int, width: int, padding: int, stride: int, bias: bool
) -> None:
    convolution = nn.Conv2d(5, 7, 3, stride, padding, bias=bias).double()
    inputs = torch.randn(n, 5, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        expected = convolution(inputs)
        found = WinogradConvolution(convolution, Scratch())(inputs)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)


def test_sizes_and_parts_that_differ_use_one_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is made again where larger tiles are needed, and images are convolved some at a time."""
    monkeypatch.setattr(packed, "MAX_TILES", 8)
    convolution = nn.Conv2d(4, 6, 3, padding=1).double()
    tiles = WinogradConvolution(convolution, Scratch())
    with torch.no_grad():
        for side, n in ((3, 5), (12, 5), (8, 1)):
            inputs = noise(n, 4, side, side).double()
            torch.testing.assert_close(tiles(inputs), convolution(inputs), rtol=0, atol=1e-11)
    assert images_at_once(12, 12) == 2 and images_at_once(60, 60) == 1 < MAX_TILES


def test_tiles_in_float32_are_as_exact_as_torchs_own_convolution() -> None:
    generator = torch.Generator().manual_seed(1)
    convolution = nn.Conv2d(128, 128, 3, padding=1, bias=False)
    convolution.weight.data = torch.randn(128, 128, 3, 3, generator=generator) / 34
    inputs = torch.randn(1, 128, 24, 24, generator=generator).relu()
    exact = functional.conv2d(inputs.double(), convolution.weight.double(), padding=1)
    with torch.no_grad():
        tiles = (WinogradConvolution(convolution, Scratch())(inputs) - exact).abs().max()
    assert tiles < 4e-5 * exact.abs().max()
