"""Compute 3x3 convolutions by Winograd's minimal filtering F(4x4, 3x3).

Lavin & Gray 2016, DOI 10.1109/CVPR.2016.435. Four outputs along a side take 6 multiplications instead of 12. So a tile
of 4x4 outputs takes 36 instead of 144, each a row of a matrix product over channels. The result equals the convolution
up to float rounding. With few channels, the transforms cost as much as they save.
"""

import math
from functools import cached_property

import torch
from torch import nn

from tasks.batches import batches
from tasks.explain.engine.products import PreparedMatrix

TILE = 4  # outputs along a side of a tile
SEEN = TILE + 2  # inputs along a side that a tile sees
MAX_TILES = 1024  # tiles of whole activations in one product; more do not fit into the processor's cache
MIN_CHANNELS = 64  # least channels of input and output; with fewer, the transforms cost what the tiles save

# Transforms of input (6 of 6), kernel (6 of 3) and output (4 of 6), for the points 0, 1, -1, 2, -2 and infinity.
INPUT = (
    (4.0, 0.0, -5.0, 0.0, 1.0, 0.0),
    (0.0, -4.0, -4.0, 1.0, 1.0, 0.0),
    (0.0, 4.0, -4.0, -1.0, 1.0, 0.0),
    (0.0, -2.0, -1.0, 2.0, 1.0, 0.0),
    (0.0, 2.0, -1.0, -2.0, 1.0, 0.0),
    (0.0, 4.0, 0.0, -5.0, 0.0, 1.0),
)
KERNEL = (
    (1 / 4, 0.0, 0.0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0.0, 0.0, 1.0),
)
OUTPUT = (
    (1.0, 1.0, 1.0, 1.0, 1.0, 0.0),
    (0.0, 1.0, -1.0, 2.0, -2.0, 0.0),
    (0.0, 1.0, 1.0, 4.0, 4.0, 0.0),
    (0.0, 1.0, -1.0, 8.0, -8.0, 1.0),
)


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
    return tuple(weight.shape[2:]) == (3, 3) and stride == 1 and min(weight.shape[:2]) >= MIN_CHANNELS


def transformed_kernel(weight: torch.Tensor) -> torch.Tensor:
    """Transform a kernel (out, in, 3, 3) into 36 matrices (36, in, out)."""
    side = torch.tensor(KERNEL, dtype=torch.float64, device=weight.device)
    # One product for both sides writes the matrices in the wanted layout, without a copy of all 36.
    both = torch.kron(side, side).view(SEEN * SEEN, -1)
    columns = weight.double().permute(2, 3, 1, 0).reshape(both.shape[1], -1)
    return torch.mm(both, columns).to(weight.dtype).view(SEEN * SEEN, weight.shape[1], weight.shape[0])


class TileKernel:
    """Kernel (out, in, 3, 3) transformed for tiles."""

    def __init__(self, weight: torch.Tensor) -> None:
        self.n_outputs = len(weight)
        self.matrices = [PreparedMatrix(matrix) for matrix in transformed_kernel(weight)]


def convolve_tiles(tiles: torch.Tensor, kernel: TileKernel, scratch: Scratch, out: torch.Tensor) -> None:
    """Convolve input tiles (36, n, in) into `out`, which has 16 * n * outputs values.

    The positions of a tile are in row order, also in `out`. `tiles` may lie in block 0 of `scratch`; it is overwritten.
    """
    _, n, channels = tiles.shape
    forth, back = tiles.new_tensor(INPUT), tiles.new_tensor(OUTPUT)
    half = torch.mm(forth, tiles.view(SEEN, -1), out=scratch.take(1, tiles, SEEN, SEEN * n * channels))
    inputs = scratch.take(0, tiles, SEEN * SEEN, n, channels)
    torch.bmm(forth.expand(SEEN, SEEN, SEEN), half.view(SEEN, SEEN, -1), out=inputs.view(SEEN, SEEN, -1))
    products = scratch.take(1, tiles, SEEN * SEEN, n, kernel.n_outputs)
    for matrix, rows, product in zip(kernel.matrices, inputs, products, strict=True):
        matrix.times(rows, product)
    half = torch.mm(back, products.view(SEEN, -1), out=scratch.take(0, tiles, TILE, SEEN * n * kernel.n_outputs))
    torch.bmm(back.expand(TILE, TILE, SEEN), half.view(TILE, SEEN, -1), out=out.view(TILE, TILE, -1))


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
        seen = padded.unfold(1, SEEN, TILE).unfold(2, SEEN, TILE)  # (n, down, across, channels, row, col)
        whole = inputs.new_empty(n, down, TILE, across, TILE, kernel.n_outputs)
        for part in batches(n, max(1, MAX_TILES // (down * across))):
            tiles = self.scratch.take(0, inputs, SEEN, SEEN, part.stop - part.start, down, across, channels)
            tiles.copy_(seen[part].permute(4, 5, 0, 1, 2, 3))
            out = inputs.new_empty(TILE, TILE, *tiles.shape[2:5], kernel.n_outputs)
            convolve_tiles(tiles.view(SEEN * SEEN, -1, channels), kernel, self.scratch, out)
            torch.add(out.permute(2, 3, 0, 4, 1, 5), bias, out=whole[part])
        return whole.view(n, TILE * down, TILE * across, -1)[:, :height, :width].permute(0, 3, 1, 2)


def is_plain(convolution: nn.Conv2d) -> bool:
    """Return whether a convolution is square, ungrouped, undilated and padded with equally many zeros on every side."""
    pairs = (convolution.kernel_size, convolution.stride, convolution.padding)
    return (
        all(isinstance(pair, tuple) and pair[0] == pair[1] for pair in pairs)
        and convolution.groups == 1
        and convolution.dilation == (1, 1)
        and convolution.padding_mode == "zeros"
    )
