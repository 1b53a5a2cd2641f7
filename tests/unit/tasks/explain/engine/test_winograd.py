"""Winograd's convolution against torch's, in float64 where only rounding of the transforms could differ."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from tasks.explain.engine import winograd
from tasks.explain.engine.winograd import (
    MIN_CHANNELS,
    SIDES,
    Scratch,
    TileKernel,
    WinogradConvolution,
    convolve_tiles,
    is_plain,
    suits,
    tiling,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.integers(1, 3), st.integers(3, 14), st.integers(3, 14), st.integers(0, 2), st.booleans())
@settings(max_examples=30, deadline=None)
def test_whole_activations_are_convolved_as_torch_does(
    n: int, height: int, width: int, padding: int, bias: bool
) -> None:
    convolution = nn.Conv2d(5, 7, 3, padding=padding, bias=bias).double()
    inputs = torch.randn(n, 5, height, width, generator=generator(), dtype=torch.float64)
    with torch.no_grad():
        expected = convolution(inputs)
        found = WinogradConvolution(convolution, Scratch())(inputs)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)


def test_one_tile_of_a_kernel_that_copies_its_centre() -> None:
    weight = torch.zeros(1, 1, 3, 3)
    weight[0, 0, 1, 1] = 1
    tile = torch.arange(36.0).view(36, 1, 1)
    out = torch.empty(16, 1, 1)
    convolve_tiles(tile.clone(), TileKernel(weight), Scratch(), out)
    torch.testing.assert_close(out.view(4, 4), torch.arange(36.0).view(6, 6)[1:5, 1:5], rtol=0, atol=1e-4)


@pytest.mark.parametrize("by_sides", [True, False])
@pytest.mark.parametrize(("side", "stride"), [(side, stride) for stride in SIDES for side in SIDES[stride]])
def test_tiles_of_every_side_and_stride_are_convolved_as_torch_does(
    side: int, stride: int, by_sides: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winograd, "sides_pay", lambda *_: by_sides)
    seen, n = tiling(side, stride).seen, 3
    assert seen == stride * (side - 1) + 3
    inputs = torch.randn(n, 5, seen, seen, generator=generator(), dtype=torch.float64)
    weight, bias = (torch.randn(7, *more, generator=generator(1), dtype=torch.float64) for more in ((5, 3, 3), ()))
    out = torch.empty(side * side, n, 7, dtype=torch.float64)
    tiles = inputs.permute(2, 3, 0, 1).contiguous().view(seen * seen, n, 5)
    kernel = TileKernel(weight, side, stride, bias)
    assert (kernel.forth.by_sides, kernel.back.by_sides) == (by_sides, by_sides)
    convolve_tiles(tiles, kernel, Scratch(), out)
    expected = functional.conv2d(inputs, weight, bias, stride)
    torch.testing.assert_close(out.view(side, side, n, 7).permute(2, 3, 0, 1), expected, rtol=0, atol=1e-11)


def test_scratch_is_not_shared_between_its_two_blocks() -> None:
    scratch, like = Scratch(), torch.zeros(1)
    first, second = scratch.take(0, like, 2, 3).fill_(1), scratch.take(1, like, 6).fill_(2)
    assert first.sum() == 6 and second.sum() == 12
    assert scratch.take(0, like, 3).data_ptr() == first.data_ptr()  # memory is used again


@pytest.mark.parametrize(
    ("options", "plain"),
    [({}, True), ({"groups": 2}, False), ({"dilation": 2}, False), ({"padding_mode": "reflect", "padding": 1}, False)],
)
def test_convolutions_of_other_kinds_are_left_alone(options: dict[str, object], plain: bool) -> None:
    convolution = nn.Conv2d(MIN_CHANNELS, MIN_CHANNELS, 3, **options)  # type: ignore[arg-type]
    assert is_plain(convolution) == plain


def test_what_gains_by_tiles() -> None:
    wide = torch.zeros(MIN_CHANNELS, MIN_CHANNELS, 3, 3)
    assert suits(wide, 1) and suits(wide, 2)
    assert not suits(wide, 3) and not suits(wide[:, :3], 1) and not suits(wide[..., :1], 1)


def test_float32_is_as_exact_as_torchs_own_convolution() -> None:
    weight = torch.randn(128, 128, 3, 3, generator=generator(1)) / 34
    inputs = torch.randn(1, 128, 16, 16, generator=generator(2)).relu()
    exact = functional.conv2d(inputs.double(), weight.double(), padding=1)
    convolution = nn.Conv2d(128, 128, 3, padding=1, bias=False)
    convolution.weight.data = weight
    with torch.no_grad():
        tiles = (WinogradConvolution(convolution, Scratch())(inputs) - exact).abs().max()
    assert tiles < 2e-5 * exact.abs().max()
