"""Keep activations as tables of rows, to which hidden windows add the positions that they change.

A window changes a rectangle of every early activation and nothing outside it. So a layer is a table in which each row
holds the channels of one position. First come the rows of the image without a window, inside a border of zeros. Then
come the changed positions of all windows. A convolution gathers the rows it needs by index. So image borders,
rectangles of different sizes and residual inputs need no special cases.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property

import torch

from tasks.explain.engine.tiles import Scratch


def divided(values: torch.Tensor, divisor: int | torch.Tensor) -> torch.Tensor:
    """Divide integers, rounding down."""
    return torch.div(values, divisor, rounding_mode="floor")


@dataclass(frozen=True)
class Rectangles:
    """Changed rectangle of each of n windows in one layer: first row and column, height and width, (n,) int64 each."""

    top: torch.Tensor
    left: torch.Tensor
    rows: torch.Tensor
    cols: torch.Tensor

    def through(self, kernel: int, stride: int, padding: int, height: int, width: int) -> "Rectangles":
        """Return the rectangles that a convolution or pooling changes in an output of `height` x `width` positions."""
        top, rows = _through(self.top, self.rows, kernel, stride, padding, height)
        left, cols = _through(self.left, self.cols, kernel, stride, padding, width)
        return Rectangles(top, left, rows, cols)

    def union(self, other: "Rectangles") -> "Rectangles":
        """Return the smallest rectangles that cover both: these themselves if they cover the other ones."""
        is_empty, is_other_empty = (one.rows * one.cols == 0 for one in (self, other))
        top, rows = _union((self.top, self.rows), (other.top, other.rows), is_empty, is_other_empty)
        left, cols = _union((self.left, self.cols), (other.left, other.cols), is_empty, is_other_empty)
        joined = Rectangles(top, left, rows, cols)
        pairs = zip((top, left, rows, cols), (self.top, self.left, self.rows, self.cols), strict=True)
        return self if all(torch.equal(a, b) for a, b in pairs) else joined


def _union(
    first: tuple[torch.Tensor, torch.Tensor],
    second: tuple[torch.Tensor, torch.Tensor],
    is_first_empty: torch.Tensor,
    is_second_empty: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return start and length of the interval that covers two, of which an empty one does not count."""
    start, end = torch.minimum(first[0], second[0]), torch.maximum(sum(first), sum(second))  # type: ignore[type-var]
    length = torch.where(is_second_empty, first[1], torch.where(is_first_empty, second[1], end - start))
    return torch.where(is_second_empty, first[0], torch.where(is_first_empty, second[0], start)), length


def _through(
    start: torch.Tensor, length: torch.Tensor, kernel: int, stride: int, padding: int, limit: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first output that sees an interval of inputs, and how many do; 0 if a stride steps over it."""
    first = divided(start + padding - kernel + stride, stride).clamp(min=0)
    last = divided(start + length - 1 + padding, stride).clamp(max=limit - 1)
    return first, (last - first + 1).clamp(min=0)


class Positions:
    """Positions of rectangles in a flat list: by rectangle, then row, then column.

    Attributes
    ----------
    names : (rectangles,) window of each rectangle, by default its number.
    first : (rectangles,) where the positions of each one begin.
    window, row, col : (count,) window, row and column of each position.
    count : number of positions.
    """

    def __init__(self, rectangles: Rectangles, names: torch.Tensor | None = None) -> None:
        self.rectangles = rectangles
        at, self.first, within = spread(rectangles.rows * rectangles.cols)
        cols = rectangles.cols[at]
        down = divided(within, cols)
        self.row, self.col = rectangles.top[at] + down, rectangles.left[at] + (within - down * cols)
        self.names = torch.arange(len(self.first), device=at.device) if names is None else names
        self.window, self.count = self.names[at], len(at)

    @cached_property
    def _boxes(self) -> torch.Tensor:
        boxes = self.rectangles
        return torch.stack([boxes.top, boxes.left, boxes.rows, boxes.cols, self.first])

    def find(
        self, rectangle: torch.Tensor, rows: torch.Tensor, cols: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return which rows (a, n) and columns (b, n) are inside rectangles (n,), and their places in the list.

        Both are (a, b, n). The place of what is outside has no meaning.
        """
        top, left, n_rows, n_cols, first = self._boxes[:, rectangle]
        down, right = rows - top, cols - left
        is_row, is_col = (down >= 0) & (down < n_rows), (right >= 0) & (right < n_cols)
        return is_row[:, None] & is_col[None], (down * n_cols + first)[:, None] + right[None]


def spread(counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return for things of which each window has some, in a flat list: their window, where it begins, and what follows.

    Returns
    -------
    (n,) window of each thing; (windows,) first thing of each window; (n,) number of each thing within its window.
    """
    first = counts.cumsum(0) - counts
    window = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    return window, first, torch.arange(len(window), device=counts.device) - first[window]


def seen_by(outputs: torch.Tensor, size: int, stride: int, padding: int) -> torch.Tensor:
    """Return the rows or columns (size, n) of the inputs that outputs in these rows or columns (n,) see."""
    return outputs * stride + torch.arange(size, device=outputs.device)[:, None] - padding


class Table(ABC):
    """Activation of one layer for many versions of an image, as rows (n, channels) of which versions share some.

    Attributes
    ----------
    table : the rows.
    height, width : positions along the sides.
    """

    table: torch.Tensor
    height: int
    width: int

    @abstractmethod
    def index(self, window: torch.Tensor, rows: torch.Tensor, cols: torch.Tensor) -> torch.Tensor:
        """Return the table row (a, b, n) of each position, for windows (n,), rows (a, n) and columns (b, n).

        Positions outside the activation have a row of zeros.
        """

    def gather(self, index: torch.Tensor, scratch: Scratch) -> torch.Tensor:
        """Copy rows of the table, (*index.shape, channels), into block 0 of `scratch`."""
        flat = index.reshape(-1)
        out = scratch.take(0, self.table, len(flat), self.table.shape[1])
        return torch.index_select(self.table, 0, flat, out=out).view(*index.shape, -1)

    def rows(self, at: Positions, scratch: Scratch) -> torch.Tensor:
        """Return the rows (count, channels) at these positions, which may be a view of the table or of block 0."""
        return self.gather(self.index(at.window, at.row[None], at.col[None]).view(-1), scratch)

    def whole(self, window: torch.Tensor) -> torch.Tensor:
        """Return the activations (n, channels, height, width) of some windows (n,)."""
        rows, cols = (
            torch.arange(side, device=window.device)[:, None].expand(-1, len(window))
            for side in (self.height, self.width)
        )
        index = self.index(window, rows, cols).permute(2, 0, 1)
        found = torch.index_select(self.table, 0, index.reshape(-1))
        return found.view(*index.shape, -1).permute(0, 3, 1, 2)


class Layer(Table):
    """Activation of one layer for an image and its occluded versions.

    Parameters
    ----------
    base : (channels, height, width) activation of the image without a window.
    border : width of the zeros around it, in positions.
    """

    def __init__(self, base: torch.Tensor, border: int = 1) -> None:
        channels, self.height, self.width = base.shape
        self.border, self.pitch = border, self.width + 2 * border
        self.n_base = (self.height + 2 * border) * self.pitch
        self.table = base.new_zeros(self.n_base, channels)
        grid = self.table.view(self.height + 2 * border, self.pitch, channels)
        grid[border : border + self.height, border : border + self.width] = base.permute(1, 2, 0)
        self.positions: Positions
        self.of_base = dict[Hashable, torch.Tensor]()

    @property
    def changed(self) -> torch.Tensor:
        """Return the rows (count, channels) of the changed positions."""
        return self.table[self.n_base : self.n_base + self.positions.count]

    def change(self, positions: Positions) -> torch.Tensor:
        """Make room for the rows of these positions, (count, channels), which the caller fills."""
        self.positions = positions
        needed = self.n_base + positions.count
        if needed > len(self.table):  # the table grows once or twice, and all further passes reuse it
            table = self.table.new_empty(needed + positions.count // 8, self.table.shape[1])
            table[: self.n_base] = self.table[: self.n_base]
            self.table = table
        return self.changed

    def index(self, window: torch.Tensor, rows: torch.Tensor, cols: torch.Tensor) -> torch.Tensor:
        """Return the row that a window changed, or that of the image without a window."""
        rows = rows.clamp(-self.border, self.height - 1 + self.border)
        cols = cols.clamp(-self.border, self.width - 1 + self.border)
        base = ((rows + self.border) * self.pitch)[:, None] + (cols + self.border)[None]
        is_changed, place = self.positions.find(window, rows, cols)
        return torch.where(is_changed, place + self.n_base, base)

    @property
    def base(self) -> torch.Tensor:
        """Return the activation of the image without a window, (1, channels, height, width)."""
        grid = self.table[: self.n_base].view(-1, self.pitch, self.table.shape[1])
        inside = slice(self.border, self.border + self.height), slice(self.border, self.border + self.width)
        return grid[inside].permute(2, 0, 1)[None]

    def kept(self, reader: Hashable, compute: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Return what `compute` makes of the activation without a window, which is computed once for each reader."""
        if reader not in self.of_base:
            self.of_base[reader] = compute(self.base)
        return self.of_base[reader]

    def differences(self, scratch: Scratch) -> torch.Tensor:
        """Return what windows add to the rows of the changed positions, (count, channels), in block 4 of `scratch`."""
        at, out = self.positions, scratch.take(4, self.table, *self.changed.shape)
        torch.index_select(self.table, 0, (at.row + self.border) * self.pitch + at.col + self.border, out=out)
        return torch.sub(self.changed, out, out=out)

    def rows(self, at: Positions, scratch: Scratch) -> torch.Tensor:
        """Return the rows (count, channels) at these positions, which may be a view of the table or of block 0."""
        if at is self.positions:
            return self.changed
        return super().rows(at, scratch)
