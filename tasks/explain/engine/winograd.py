"""Compute 3x3 convolutions of stride 1 or 2 by Winograd's minimal filtering.

Lavin & Gray 2016, DOI 10.1109/CVPR.2016.435. For stride 1, m outputs along a side take m + 2 multiplications instead of
3 m. So a tile of 4x4 outputs takes 36 instead of 144, each a row of a matrix product over channels. For stride 2, the
outer two taps of the kernel see every second input and are filtered alone: m outputs take 2 m + 1 multiplications. The
result equals the convolution up to float rounding. With few channels, the transforms cost as much as they save.
"""

import math
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tasks.batches import batches
from tasks.explain.engine.measured import is_faster, measured_once
from tasks.explain.engine.products import Matrices

TILE = 4  # outputs along a side of a tile of whole activations
CHANNELS_AT_ONCE = 32  # input channels whose kernels are transformed at once, in float64, which takes twice the memory
MAX_TILES = 1024  # tiles of whole activations in one product; more do not fit into the processor's cache
TYPICAL_COLUMNS = 32 * 512  # tiles times channels with which transforms are measured
SIDES_GAIN = 1.2  # one side after the other must be so many times faster; on an AMD core it was 1.5 to 2
MIN_CHANNELS = 64  # least channels of input and output; with fewer, the transforms cost what the tiles save
SIDES = {1: (4, 5, 6), 2: (4,)}  # outputs along a side of the tiles that may cover rectangles, for each stride
# Where polynomials are evaluated beside infinity; this order keeps rounding of small tiles least.
POINTS = (0.0, 1.0, -1.0, 2.0, -0.5, -2.0, 0.5)


@dataclass(frozen=True)
class Tiling:
    """Minimal filtering along one side of a tile: outputs @ ((kernel @ taps) * (inputs @ seen)).

    Attributes
    ----------
    inputs : (seen, seen) transform of the inputs that a tile sees.
    kernel : (seen, taps) transform of the kernel.
    outputs : (side, seen) transform back.
    stride : inputs between two outputs.
    """

    inputs: NDArray[np.float64]
    kernel: NDArray[np.float64]
    outputs: NDArray[np.float64]
    stride: int = 1

    @property
    def seen(self) -> int:
        """Return the number of inputs along a side, which is that of multiplications too."""
        return len(self.inputs)

    @property
    def side(self) -> int:
        """Return the number of outputs along a side."""
        return len(self.outputs)


def toom_cook(side: int, taps: int) -> Tiling:
    """Make the filtering of `side` outputs by `taps` taps at stride 1 from polynomials in `POINTS` and infinity."""
    points = np.asarray(POINTS[: side + taps - 2])
    others = [np.delete(points, i) for i in range(len(points))]
    scale = np.asarray([np.prod(point - other) for point, other in zip(points, others, strict=True)])
    rows = [np.append(np.poly(other)[::-1], 0) for other in others]
    last = np.eye(side + taps - 1)[-1]  # infinity: the highest coefficient
    return Tiling(
        inputs=np.stack([*rows, np.poly(points)[::-1]]),
        kernel=np.vstack([np.vander(points, taps, increasing=True) / scale[:, None], last[-taps:]]),
        outputs=np.column_stack([np.vander(points, side, increasing=True).T, last[-side:]]),
    )


@cache
def tiling(side: int, stride: int) -> Tiling:
    """Return the filtering of `side` outputs by three taps at stride 1 or 2."""
    if stride == 1:
        return toom_cook(side, 3)
    outer, seen = toom_cook(side, 2), 2 * side + 1
    inputs, kernel = np.zeros((seen, seen)), np.zeros((seen, 3))
    inputs[: side + 1, ::2], inputs[side + 1 :, 1::2] = outer.inputs, np.eye(side)
    kernel[: side + 1, ::2], kernel[side + 1 :, 1] = outer.kernel, 1
    return Tiling(inputs, kernel, np.hstack([outer.outputs, np.eye(side)]), stride=2)


class Scratch:
    """Two blocks of memory that steps use by turns, because new large blocks cost page faults at every pass."""

    def __init__(self) -> None:
        self._blocks: dict[int, torch.Tensor] = {}

    def take(self, which: int, like: torch.Tensor, *shape: int) -> torch.Tensor:
        """Return block 0 or 1 in this shape, with the type and device of `like`; its content is arbitrary."""
        needed, block = math.prod(shape), self._blocks.get(which)
        if block is None or needed > len(block):
            block = self._blocks[which] = like.new_empty(needed + needed // 8)
        return block[:needed].view(shape)


def suits(weight: torch.Tensor, stride: int) -> bool:
    """Return whether a convolution with this kernel (out, in, rows, cols) can run as tiles and gains by it."""
    return tuple(weight.shape[2:]) == (3, 3) and stride in SIDES and min(weight.shape[:2]) >= MIN_CHANNELS


class TileKernel:
    """Kernel (out, in, 3, 3) transformed for tiles, with an optional bias (out,)."""

    def __init__(
        self, weight: torch.Tensor, side: int = TILE, stride: int = 1, bias: torch.Tensor | None = None
    ) -> None:
        self.tiling, self.bias, self.n_outputs = tiling(side, stride), bias, len(weight)
        both_sides = torch.as_tensor(np.kron(self.tiling.kernel, self.tiling.kernel), device=weight.device)
        matrices = weight.new_empty(len(both_sides), weight.shape[1], len(weight))
        for part in batches(weight.shape[1], CHANNELS_AT_ONCE):
            taps = weight[:, part].double().permute(2, 3, 1, 0).flatten(2).flatten(0, 1)
            matrices[:, part] = torch.mm(both_sides, taps).view(len(both_sides), -1, len(weight))
        self.products = Matrices(matrices)
        # Both alike: which is faster for the smaller transform back is too close to tell.
        by_sides = weight.device.type == "cpu" and sides_pay(self.tiling.seen)
        self.forth, self.back = (Transform(one, weight, by_sides) for one in (self.tiling.inputs, self.tiling.outputs))


class Transform:
    """Transform of the rows and columns of tiles by a matrix (after, before), with the type and device of `like`."""

    def __init__(self, matrix: NDArray[np.float64], like: torch.Tensor, by_sides: bool) -> None:
        side = torch.as_tensor(matrix, dtype=like.dtype, device=like.device)
        self.by_sides, self.matrix = by_sides, side if by_sides else torch.kron(side, side)

    def write(self, tiles: torch.Tensor, between: torch.Tensor, out: torch.Tensor) -> None:
        """Write side @ tile @ side.T for tiles (before * before, n) into `out` (after * after, n).

        Both sides at once read and write tiles once. One side after the other reads and writes them twice, but
        multiplies less. `between` has room for after * before * n values.
        """
        if self.by_sides:
            _by_sides(tiles, self.matrix, between, out)
        else:
            torch.mm(self.matrix, tiles, out=out.view(len(self.matrix), -1))


@measured_once
def sides_pay(seen: int) -> bool:
    """Return whether this processor transforms tiles (seen, seen) faster by one side after the other."""
    side, both_sides = torch.rand(seen, seen), torch.rand(seen**2, seen**2)
    tiles, out, between = (torch.rand(seen**2, TYPICAL_COLUMNS) for _ in range(3))
    return is_faster(
        lambda: _by_sides(tiles, side, between, out), lambda: torch.mm(both_sides, tiles, out=out), SIDES_GAIN
    )


def _by_sides(tiles: torch.Tensor, side: torch.Tensor, between: torch.Tensor, out: torch.Tensor) -> None:
    after, before = side.shape
    torch.mm(side, tiles.view(before, -1), out=between.view(after, -1))
    sides = side.expand(after, after, before)
    torch.bmm(sides, between.view(after, before, -1), out=out.view(after, after, -1))


def convolve_tiles(tiles: torch.Tensor, kernel: TileKernel, scratch: Scratch, out: torch.Tensor) -> None:
    """Convolve input tiles (seen * seen, n, in) into `out`, which has side * side * n * outputs values.

    The positions of a tile are in row order, also in `out`. `tiles` may lie in block 0 of `scratch`; it is overwritten.
    """
    n_seen, n, channels = tiles.shape
    at = 0 if kernel.forth.by_sides else 1  # block of the transformed inputs; products take the other one
    inputs = scratch.take(at, tiles, n_seen, n, channels)
    kernel.forth.write(tiles.view(n_seen, -1), scratch.take(1, tiles, n_seen, n * channels), inputs)
    products = scratch.take(1 - at, tiles, n_seen, n, kernel.n_outputs)
    kernel.products.times(inputs, products)
    if kernel.bias is not None:
        # All outputs of a tile get what is added at the point 1, the second along each side.
        products[kernel.tiling.seen + 1] += kernel.bias
    between = scratch.take(at, tiles, kernel.tiling.side * kernel.tiling.seen, n * kernel.n_outputs)
    kernel.back.write(products.view(n_seen, -1), between, out)


class WinogradConvolution:
    """3x3 convolution of stride 1 over whole activations, which one thread at a time may run; it has no gradient."""

    def __init__(self, convolution: nn.Conv2d, scratch: Scratch) -> None:
        self.scratch, self.weight, bias = scratch, convolution.weight.detach(), convolution.bias
        self.bias = self.weight.new_zeros(len(self.weight)) if bias is None else bias.detach()
        self.padding = int(convolution.padding[0])

    @cached_property
    def kernel(self) -> TileKernel:
        """Return the transformed kernel, made at first use, because tiles may not gain on this processor."""
        return TileKernel(self.weight)

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Convolve (n, in, h, w) into (n, out, h', w')."""
        kernel, bias = self.kernel, self.bias
        n, channels, height, width = inputs.shape
        height, width = height + 2 * self.padding - 2, width + 2 * self.padding - 2
        down, across = -(-height // TILE), -(-width // TILE)
        right, bottom = TILE * across - width, TILE * down - height
        edges = (0, 0, self.padding, self.padding + right, self.padding, self.padding + bottom)
        padded = nn.functional.pad(inputs.permute(0, 2, 3, 1), edges)
        size = kernel.tiling.seen
        seen = padded.unfold(1, size, TILE).unfold(2, size, TILE)  # (n, down, across, channels, row, col)
        whole = inputs.new_empty(n, down, TILE, across, TILE, kernel.n_outputs)
        for part in batches(n, max(1, MAX_TILES // (down * across))):
            tiles = self.scratch.take(0, inputs, size, size, part.stop - part.start, down, across, channels)
            tiles.copy_(seen[part].permute(4, 5, 0, 1, 2, 3))
            out = inputs.new_empty(TILE, TILE, *tiles.shape[2:5], kernel.n_outputs)
            convolve_tiles(tiles.view(size * size, -1, channels), kernel, self.scratch, out)
            torch.add(out.permute(2, 3, 0, 4, 1, 5), bias, out=whole[part])
        return whole.view(n, TILE * down, TILE * across, -1)[:, :height, :width].permute(0, 3, 1, 2)


def is_plain(convolution: nn.Conv2d, grouped: bool = False) -> bool:
    """Return whether a convolution is square, undilated and padded with equally many zeros on every side.

    Groups are allowed if `grouped`.
    """
    pairs = (convolution.kernel_size, convolution.stride, convolution.padding)
    return (
        all(isinstance(pair, tuple) and pair[0] == pair[1] for pair in pairs)
        and (grouped or convolution.groups == 1)
        and convolution.dilation == (1, 1)
        and convolution.padding_mode == "zeros"
    )
