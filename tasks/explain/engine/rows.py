"""Activations as rows: what a hidden window changes in a layer, and where each position's channels lie.

A window changes a rectangle of every early activation and nothing outside it. So a layer is kept as a table of rows,
one position's channels each: first the activation of the unoccluded image inside a border of zeros, then the changed
positions of all windows. A convolution gathers the rows it needs by index, so that image borders, rectangles of other
sizes and residual inputs are no special cases.
"""

from dataclasses import dataclass

import torch

from tasks.explain.engine.winograd import Scratch


def divided(values: torch.Tensor, divisor: int | torch.Tensor) -> torch.Tensor:
    """Integer division that rounds down."""
    return torch.div(values, divisor, rounding_mode="floor")


@dataclass(frozen=True)
class Rectangles:
    """Changed rectangle of each of n windows in one layer: first row and column, rows and columns, (n,) int64 each."""

    top: torch.Tensor
    left: torch.Tensor
    rows: torch.Tensor
    cols: torch.Tensor

    def through(self, kernel: int, stride: int, padding: int, height: int, width: int) -> "Rectangles":
        """What a convolution or pooling makes of them in an output of `height` x `width` positions."""
        top, rows = _through(self.top, self.rows, kernel, stride, padding, height)
        left, cols = _through(self.left, self.cols, kernel, stride, padding, width)
        return Rectangles(top, left, rows, cols)


def _through(
    start: torch.Tensor, length: torch.Tensor, kernel: int, stride: int, padding: int, limit: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """First output that sees an interval of inputs, and how many do; none where a stride steps over the interval."""
    first = divided(start + padding - kernel + stride, stride).clamp(min=0)
    last = divided(start + length - 1 + padding, stride).clamp(max=limit - 1)
    return first, (last - first + 1).clamp(min=0)


class Positions:
    """Positions of every window's rectangle in a flat list, one by one or in square tiles that cover it.

    Attributes
    ----------
    tile : side of a tile, 1 for single positions.
    window, row, col : (n,) of each position, or of each tile's first.
    count : rows of a table that the positions take; those of tiles are ordered by position in the tile, then tile.
    """

    def __init__(self, rectangles: Rectangles, tile: int = 1) -> None:
        self.rectangles, self.tile = rectangles, tile
        self.across = divided(rectangles.cols + tile - 1, tile)
        n_tiles = self.across * divided(rectangles.rows + tile - 1, tile)
        self.first = n_tiles.cumsum(0) - n_tiles
        self.window = torch.repeat_interleave(torch.arange(len(n_tiles), device=n_tiles.device), n_tiles)
        across = self.across[self.window]
        within = torch.arange(len(self.window), device=n_tiles.device) - self.first[self.window]
        down = divided(within, across)
        self.row = rectangles.top[self.window] + tile * down
        self.col = rectangles.left[self.window] + tile * (within - down * across)
        self.count = len(self.window) * tile * tile

    def grid(self, size: int, stride: int = 1, shift: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows and columns (size, n) of a square of inputs that starts at stride * position - shift."""
        steps = torch.arange(size, device=self.row.device)[:, None] - shift
        return self.row * stride + steps, self.col * stride + steps


class Layer:
    """One activation of an image and of its occluded versions.

    Parameters
    ----------
    base : (channels, height, width) of the unoccluded image.
    """

    def __init__(self, base: torch.Tensor, border: int = 1) -> None:
        channels, self.height, self.width = base.shape
        self.border, self.pitch = border, self.width + 2 * border
        self.n_base = (self.height + 2 * border) * self.pitch
        self.table = base.new_zeros(self.n_base, channels)
        grid = self.table.view(self.height + 2 * border, self.pitch, channels)
        grid[border : border + self.height, border : border + self.width] = base.permute(1, 2, 0)
        self.positions: Positions

    @property
    def changed(self) -> torch.Tensor:
        """Rows (count, channels) of the changed positions."""
        return self.table[self.n_base : self.n_base + self.positions.count]

    def change(self, positions: Positions) -> torch.Tensor:
        """Make room for the rows of these positions, (count, channels), which the caller fills."""
        self.positions = positions
        needed = self.n_base + positions.count
        if needed > len(self.table):  # grown once or twice, then reused by every further pass
            table = self.table.new_empty(needed + positions.count // 8, self.table.shape[1])
            table[: self.n_base] = self.table[: self.n_base]
            self.table = table
        return self.changed

    def index(self, window: torch.Tensor, rows: torch.Tensor, cols: torch.Tensor) -> torch.Tensor:
        """Row of the table that holds each position, (a, b, n), for windows (n,), rows (a, n) and columns (b, n).

        A position outside the activation is a zero row of the border.
        """
        rows = rows.clamp(-self.border, self.height - 1 + self.border)
        cols = cols.clamp(-self.border, self.width - 1 + self.border)
        base = ((rows + self.border) * self.pitch)[:, None] + (cols + self.border)[None]
        at, tile, n_tiles = self.positions, self.positions.tile, len(self.positions.window)
        down, right = rows - at.rectangles.top[window], cols - at.rectangles.left[window]
        from_row = (down % tile) * (tile * n_tiles) + divided(down, tile) * at.across[window]
        from_col = (right % tile) * n_tiles + divided(right, tile)
        from_row += at.first[window] + self.n_base
        is_row = (down >= 0) & (down < at.rectangles.rows[window])
        is_col = (right >= 0) & (right < at.rectangles.cols[window])
        return torch.where(is_row[:, None] & is_col[None], from_row[:, None] + from_col[None], base)

    def gather(self, index: torch.Tensor, scratch: Scratch) -> torch.Tensor:
        """Rows of the table, (*index.shape, channels), in block 0 of `scratch`."""
        flat = index.reshape(-1)
        out = scratch.take(0, self.table, len(flat), self.table.shape[1])
        return torch.index_select(self.table, 0, flat, out=out).view(*index.shape, -1)
