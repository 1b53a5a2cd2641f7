"""Compute the changed rows of a layer from those of the layers before it, with one rule for each kind of step.

A step starts with a head: convolution, pooling or a copy. It fills the rows at the positions that a change of
its sources reaches.
"""

from abc import ABC, abstractmethod
from functools import cached_property

import torch
from torch import nn
from torch.nn import functional

from tasks.explain.engine.cover import Cover
from tasks.explain.engine.products import Matrices
from tasks.explain.engine.rows import Layer, Positions, Rectangles, Table, seen_by
from tasks.explain.engine.tiles import Scratch, SpreadKernel, TileKernel, convolve_tiles
from tasks.explain.engine.winograd import suits


class Head(ABC):
    """First operation of a step.

    Attributes
    ----------
    sizes : kernel, stride and padding, which tell what a position sees.
    n_outputs : channels that it writes; None if as many as it reads.
    """

    sizes: tuple[int, int, int] = (1, 1, 0)
    n_outputs: int | None = None

    @abstractmethod
    def reached(self, source: Layer, height: int, width: int) -> Rectangles:
        """Return the rectangles of the output, `height` x `width`, that changes of the source reach."""

    def positions(self, source: Layer, rectangles: Rectangles) -> Positions:
        """Return the positions at which the output is computed: those of the source for equal rectangles, or new."""
        return source.positions if source.positions.rectangles is rectangles else Positions(rectangles)

    @abstractmethod
    def changed(self, source: Table, at: Positions, out: torch.Tensor, scratch: Scratch) -> None:
        """Write the output rows at these positions into `out` (count, channels)."""


class Copy(Head):
    """Copy of a layer that others read too, for operations that change values in place."""

    def reached(self, source: Layer, height: int, width: int) -> Rectangles:
        """Return the source's own rectangles."""
        return source.positions.rectangles

    def changed(self, source: Table, at: Positions, out: torch.Tensor, scratch: Scratch) -> None:
        """Write the source's rows."""
        out.copy_(source.rows(at, scratch))


class Pool(Head):
    """Square pooling by the largest value."""

    def __init__(self, kernel: int, stride: int, padding: int) -> None:
        self.sizes = (kernel, stride, padding)

    def reached(self, source: Layer, height: int, width: int) -> Rectangles:
        """Return the rectangles that see a change."""
        return source.positions.rectangles.through(*self.sizes, height, width)

    def changed(self, source: Table, at: Positions, out: torch.Tensor, scratch: Scratch) -> None:
        """Write the largest values."""
        index = source.index(at.window, *(seen_by(of, *self.sizes) for of in (at.row, at.col)))
        torch.amax(source.gather(index.view(-1, at.count), scratch), dim=0, out=out)


class Convolution(Head):
    """Square convolution, of several groups too."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        weight, bias = convolution.weight.detach(), convolution.bias
        self.weight, self.bias = weight, weight.new_zeros(len(weight)) if bias is None else bias.detach()
        self.n_outputs = len(weight)
        self.groups, self.kernel, self.stride = convolution.groups, convolution.kernel_size[0], convolution.stride[0]
        self.padding = int(convolution.padding[0])
        self.sizes = (self.kernel, self.stride, self.padding)
        self.is_tiled = self.groups == 1 and suits(weight, self.stride)
        self.tile_kernel = TileKernel(weight, self.stride, self.bias)

    @cached_property
    def matrices(self) -> Matrices:
        """Return a matrix for each group, whose rows have the order of gathered inputs: row, column, channel."""
        taps = self.weight.view(self.groups, -1, *self.weight.shape[1:]).permute(0, 3, 4, 2, 1)
        return Matrices(taps.flatten(1, 3).contiguous(), self.bias if self.groups == 1 else None)

    def reached(self, source: Layer, height: int, width: int) -> Rectangles:
        """Return the rectangles that see a change."""
        if self.sizes == (1, 1, 0):
            return source.positions.rectangles
        return source.positions.rectangles.through(*self.sizes, height, width)

    def changed(self, source: Table, at: Positions, out: torch.Tensor, scratch: Scratch) -> None:
        """Write the convolved rows."""
        if self.is_tiled:
            self._tiled(source, at, out, scratch)
        elif self.sizes == (1, 1, 0) and self.groups == 1:
            self.matrices.times(source.rows(at, scratch)[None], out[None])
        else:
            index = source.index(at.window, *(seen_by(of, *self.sizes) for of in (at.row, at.col))).permute(2, 0, 1)
            self._gathered(source.gather(index, scratch), out, scratch)

    def _tiled(self, source: Table, at: Positions, out: torch.Tensor, scratch: Scratch) -> None:
        cover = Cover(at)
        tiles = cover.tiles(source.index, self.stride, self.padding)
        convolved = convolve_tiles(source.table, tiles, self.tile_kernel, scratch)
        torch.index_select(convolved, 0, cover.places(), out=out)

    def _gathered(self, seen: torch.Tensor, out: torch.Tensor, scratch: Scratch) -> None:
        if self.groups == 1:
            return self.matrices.times(seen.reshape(1, len(out), -1), out[None])
        by_group = seen.view(len(out), -1, self.groups, self.weight.shape[1]).permute(2, 0, 1, 3)
        rows = scratch.take(1, seen, *by_group.shape).copy_(by_group).flatten(2)
        found = scratch.take(0, seen, self.groups, len(out), out.shape[1] // self.groups)
        self.matrices.times(rows, found)
        torch.add(found.transpose(0, 1), self.bias.view(self.groups, -1), out=out.view(len(out), self.groups, -1))
        return None


class SpreadConvolution(Convolution):
    """3x3 convolution of stride 1 of what windows add to its inputs, in tiles, added to its outputs without a window.

    Only changed inputs are multiplied, and rounding is as small as what windows change.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__(convolution)
        self.tile_kernel = SpreadKernel(self.weight)

    def _tiled(self, source: Table, at: Positions, out: torch.Tensor, scratch: Scratch) -> None:
        assert isinstance(source, Layer)  # only a layer has windows
        width = source.width + 2 * (self.padding - 1)
        torch.index_select(source.kept(self, self._whole), 0, at.row * width + at.col, out=out)
        if source.positions.count == 0:  # a stride stepped over all windows, and `at` is what is added later
            return
        cover = Cover(source.positions)
        added = convolve_tiles(source.differences(scratch), cover.own(), self.tile_kernel, scratch)
        places = cover.reached(at, before=2 - self.padding)
        added.index_fill_(0, (places < 0).nonzero()[:, 0], 0)
        out.index_add_(0, places.clamp_(min=0), added)

    def _whole(self, base: torch.Tensor) -> torch.Tensor:
        """Return the convolution (positions, out) of a whole activation (1, in, h, w)."""
        convolved = functional.conv2d(base, self.weight, self.bias, padding=self.padding)
        return convolved[0].flatten(1).t().contiguous()


class Stem(Convolution):
    """Convolution of the image, with a mask over its patches instead of rows gathered for few channels."""

    @cached_property
    def matrix(self) -> torch.Tensor:
        """Return the kernel as a matrix whose rows have the order of patches."""
        return self.weight.flatten(1).t().contiguous()

    def changed(self, source: Table, at: Positions, out: torch.Tensor, scratch: Scratch) -> None:
        """Write the convolved rows of patches whose changed pixels are 0."""
        assert isinstance(source, Layer)  # only a layer has hidden windows
        window, (rows, cols) = source.positions.rectangles, (seen_by(of, *self.sizes) for of in (at.row, at.col))
        down, right = rows - window.top[at.window], cols - window.left[at.window]
        is_row = (down >= 0) & (down < window.rows[at.window])
        is_col = (right >= 0) & (right < window.cols[at.window])
        is_hidden = (is_row[:, None] & is_col[None]).view(-1, at.count).t()
        across = (source.width + 2 * self.padding - self.kernel) // self.stride + 1
        patches = torch.index_select(source.kept(self, self._patches), 0, at.row * across + at.col)
        patches.view(at.count, -1, is_hidden.shape[1]).masked_fill_(is_hidden[:, None], 0)
        torch.addmm(self.bias, patches, self.matrix, out=out)

    def _patches(self, base: torch.Tensor) -> torch.Tensor:
        """Return what each output sees of a whole activation (1, in, h, w), (positions, in * kernel * kernel)."""
        seen = functional.unfold(base, self.kernel, padding=self.padding, stride=self.stride)
        return seen[0].t().contiguous()
