"""Convolve tiles of several shapes together, in place of a 3x3 convolution.

What all tiles see is transformed into one table for each multiplication, whose rows are then multiplied with one matrix
of the transformed kernel. Smaller tiles take part in the first multiplications of larger ones. Tiles hold outputs, and
see inputs around them, or hold inputs, and give all outputs that see these.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.batches import batches
from tasks.explain.engine.measured import is_faster, measured_once
from tasks.explain.engine.products import Matrices
from tasks.explain.engine.winograd import Tiling, kernel_transform, tiling

VALUES_AT_ONCE = 2**19  # values that are gathered and transformed at once, which stay in the processor's cache
CHANNELS_AT_ONCE = 32  # input channels whose kernels are transformed at once, in float64, which takes twice the memory
TYPICAL_COLUMNS = 32 * 512  # tiles times channels with which transforms are measured
SIDES_GAIN = 1.2  # one side after the other must be so many times faster; on an AMD core it was 1.5 to 2


class Scratch:
    """Blocks of memory that steps use by turns, because new large blocks cost page faults at every pass."""

    def __init__(self) -> None:
        self._blocks: dict[int, torch.Tensor] = {}

    def take(self, which: int, like: torch.Tensor, *shape: int) -> torch.Tensor:
        """Return a block in this shape, with the type and device of `like`; its content is arbitrary."""
        needed, block = math.prod(shape), self._blocks.get(which)
        if block is None or needed > len(block):
            block = self._blocks[which] = like.new_empty(needed + needed // 8)
        return block[:needed].view(shape)


@dataclass(frozen=True)
class Tiles:
    """Tiles of one shape.

    Attributes
    ----------
    rows, cols : outputs along their sides, or inputs for a `SpreadKernel`.
    at : where they are among all tiles that are convolved together.
    seen : (rows seen, cols seen, n) row of a table of inputs for each position that a tile sees.
    """

    rows: int
    cols: int
    at: slice
    seen: torch.Tensor


class Transform:
    """Transform of the rows and of the columns of tiles, each by a matrix (after, before).

    Both sides at once are one product and a copy, while one side after the other multiplies less. Which is faster is
    measured.
    """

    def __init__(self, rows: NDArray[np.float64], cols: NDArray[np.float64], like: torch.Tensor) -> None:
        self.rows, self.cols, both = (
            torch.as_tensor(one, dtype=like.dtype, device=like.device) for one in (rows, cols, np.kron(rows, cols))
        )
        by_sides = like.device.type == "cpu" and sides_pay(max(*rows.shape, *cols.shape))
        self.both = None if by_sides else both

    @property
    def sides(self) -> tuple[int, int]:
        """Return the sides of transformed tiles."""
        return len(self.rows), len(self.cols)

    def forth(self, tiles: torch.Tensor, between: torch.Tensor, out: torch.Tensor) -> None:
        """Write rows @ tile @ cols.T of tiles (rows before, cols before, n) into `out`, a part of a table.

        `between` has room for as many values as `out`.
        """
        if self.both is None:
            _by_sides(self.rows, self.cols, tiles, between, out)
        else:
            _at_once(self.both, tiles, between, out)

    def back(self, tiles: torch.Tensor, between: torch.Tensor, out: torch.Tensor) -> None:
        """Write rows @ tile @ cols.T of tiles (rows before, cols before, n), a part of a table, into `out`."""
        if self.both is None:
            sides = between[: len(tiles) * len(self.cols) * tiles.shape[2]].view(len(tiles), len(self.cols), -1)
            torch.bmm(self.cols.expand(len(tiles), -1, -1), tiles, out=sides)
            torch.mm(self.rows, sides.view(len(tiles), -1), out=out.view(len(self.rows), -1))
        else:
            between.view(tiles.shape).copy_(tiles)
            torch.mm(self.both, between.view(self.both.shape[1], -1), out=out.view(len(self.both), -1))


def _by_sides(
    rows: torch.Tensor, cols: torch.Tensor, tiles: torch.Tensor, between: torch.Tensor, out: torch.Tensor
) -> None:
    sides = between[: len(rows) * tiles[0].numel()].view(len(rows), *tiles.shape[1:])
    torch.mm(rows, tiles.view(len(tiles), -1), out=sides.view(len(rows), -1))
    torch.bmm(cols.expand(len(rows), -1, -1), sides, out=out)


def _at_once(both: torch.Tensor, tiles: torch.Tensor, between: torch.Tensor, out: torch.Tensor) -> None:
    torch.mm(both, tiles.view(both.shape[1], -1), out=between.view(len(both), -1))
    out.copy_(between.view(out.shape))


@measured_once
def sides_pay(seen: int) -> bool:
    """Return whether this processor transforms tiles (seen, seen) faster by one side after the other."""
    side, both = torch.rand(seen, seen), torch.rand(seen**2, seen**2)
    tiles, between, out = (torch.rand(seen, seen, TYPICAL_COLUMNS) for _ in range(3))
    return is_faster(
        lambda: _by_sides(side, side, tiles, between, out), lambda: _at_once(both, tiles, between, out), SIDES_GAIN
    )


class TileKernel:
    """Kernel (out, in, 3, 3) for tiles, with an optional bias (out,).

    It is transformed at first use, because tiles may not gain on this processor, and again where larger tiles come.

    Attributes
    ----------
    side : outputs along a side of the largest tiles so far.
    """

    def __init__(self, weight: torch.Tensor, stride: int = 1, bias: torch.Tensor | None = None) -> None:
        self.weight, self.stride, self.bias, self.side = weight, stride, bias, 0
        self.n_outputs, self.n_inputs = weight.shape[:2]
        self.transforms = dict[tuple[int, int], tuple[Transform, Transform]]()
        self.kinds: list[int]
        self.products: Matrices

    def reach(self, side: int) -> None:
        """Transform the kernel for tiles of up to so many outputs a side, unless it is already."""
        if side <= self.side:
            return
        rows, self.kinds = self.taps_transform(side)
        both_sides = torch.as_tensor(np.kron(rows, rows), device=self.weight.device)
        matrices = self.weight.new_empty(len(both_sides), self.n_inputs, self.n_outputs)
        for part in batches(self.n_inputs, CHANNELS_AT_ONCE):
            taps = self.weight[:, part].double().permute(2, 3, 1, 0).flatten(2).flatten(0, 1)
            matrices[:, part] = torch.mm(both_sides, taps).view(len(both_sides), -1, self.n_outputs)
        self.side, self.n_kinds, self.products = side, len(rows), Matrices(matrices)

    def taps_transform(self, side: int) -> tuple[NDArray[np.float64], list[int]]:
        """Return the transforms (kinds, 3) of the taps along a side, and the kind of each multiplication."""
        return kernel_transform(side, self.stride)

    def tiling(self, side: int) -> Tiling:
        """Return how tiles with so many outputs are filtered along a side."""
        return tiling(side, self.stride)

    def transform(self, rows: int, cols: int) -> tuple[Transform, Transform]:
        """Return the transforms forth and back of tiles with these sides."""
        if (rows, cols) not in self.transforms:
            down, across = self.tiling(rows), self.tiling(cols)
            forth = Transform(down.inputs, across.inputs, self.weight)
            self.transforms[rows, cols] = forth, Transform(down.outputs, across.outputs, self.weight)
        return self.transforms[rows, cols]

    def matrix(self, row: int, col: int) -> int:
        """Return which matrix belongs to the multiplication in a row and column of transformed tiles."""
        return self.kinds[row] * self.n_kinds + self.kinds[col]

    def runs(self, sides: Iterable[int]) -> list[slice]:
        """Return the multiplications along a side in slices that end at `sides` and have matrices in one row."""
        ends = {i for i in range(1, max(sides)) if self.kinds[i] != self.kinds[i - 1] + 1}
        return [slice(*pair) for pair in pairwise(sorted({0, *ends, *sides}))]

    def add_bias(self, tiles: Tiles, products: torch.Tensor) -> None:
        """Add the bias to the products of some tiles, where all their outputs get what is added: at the point 1."""
        if self.bias is not None:
            # Tiles of one output may lack the point 1; they get what is added at 0.
            row, col = (self.stride * (1 + (side > 1)) for side in (tiles.rows, tiles.cols))
            products[row, col, tiles.at] += self.bias


class SpreadKernel(TileKernel):
    """Kernel (out, in, 3, 3) of stride 1 for tiles of inputs, which give what they add to all outputs that see them.

    So r inputs take r + 2 multiplications along a side, where the r + 2 outputs that see them take r + 4. It is minimal
    filtering transposed, a product of polynomials: Winograd 1980, DOI 10.1137/1.9781611970364.
    """

    def taps_transform(self, side: int) -> tuple[NDArray[np.float64], list[int]]:
        """Return the transforms of the taps turned around."""
        rows, kinds = super().taps_transform(side)
        return rows[:, ::-1], kinds

    def tiling(self, side: int) -> Tiling:
        """Return how tiles with so many inputs are filtered along a side."""
        return super().tiling(side).transposed()


def convolve_tiles(table: torch.Tensor, groups: Sequence[Tiles], kernel: TileKernel, scratch: Scratch) -> torch.Tensor:
    """Convolve what tiles see in a table of inputs (rows, in).

    Returns
    -------
    (outputs of all tiles, out), ordered by group, place in a tile, and tile; it lies in block 0 of `scratch`.
    """
    kernel.reach(max(max(one.rows, one.cols) for one in groups))
    transforms = [kernel.transform(one.rows, one.cols) for one in groups]
    sides = [forth.sides for forth, _ in transforms]  # multiplications along them
    most = [max(side[of] for side in sides) for of in (0, 1)]
    inputs = scratch.take(2, table, *most, groups[-1].at.stop, kernel.n_inputs)
    for one, (forth, _) in zip(groups, transforms, strict=True):
        _transform(table, one, forth, inputs, scratch)
    products = scratch.take(3, table, *most, groups[-1].at.stop, kernel.n_outputs)
    for row, cols in product(range(most[0]), kernel.runs({across for _, across in sides})):
        parts = (
            one.at for one, (down, across) in zip(groups, sides, strict=True) if row < down and cols.stop <= across
        )
        for at in joined(parts):
            kernel.products.times(inputs[row, cols, at], products[row, cols, at], kernel.matrix(row, cols.start))
    sizes = [math.prod(back.sides) * one.seen.shape[2] for one, (_, back) in zip(groups, transforms, strict=True)]
    found = scratch.take(0, table, sum(sizes), kernel.n_outputs)
    for one, (forth, back), out in zip(groups, transforms, found.split(sizes), strict=True):
        kernel.add_bias(one, products)
        part = products[: forth.sides[0], : forth.sides[1], one.at].flatten(2)
        back.back(part, scratch.take(1, table, part.numel()), out)
    return found


def _transform(table: torch.Tensor, tiles: Tiles, forth: Transform, inputs: torch.Tensor, scratch: Scratch) -> None:
    """Write what tiles of one shape see, transformed, into their part of `inputs`."""
    rows, cols, n = tiles.seen.shape
    part = inputs[: forth.sides[0], : forth.sides[1], tiles.at]
    for some in batches(n, max(1, VALUES_AT_ONCE // part[:, :, 0].numel())):
        index = tiles.seen[:, :, some].reshape(-1)
        seen = torch.index_select(table, 0, index, out=scratch.take(0, table, len(index), table.shape[1]))
        out = part[:, :, some].flatten(2)
        forth.forth(seen.view(rows, cols, -1), scratch.take(1, table, out.numel()), out)


def joined(parts: Iterable[slice]) -> list[slice]:
    """Join slices that follow each other without a gap."""
    found = list[slice]()
    for part in parts:
        start = found.pop().start if found and found[-1].stop == part.start else part.start
        found.append(slice(start, part.stop))
    return found
