"""Keep activations as tables of rows, to which hidden windows add the positions that they change.

A window changes a rectangle of every early activation and nothing outside it. So a layer is a table in which each row
holds the channels of one position. First come the rows of the image without a window, inside a border of zeros. Then
come the changed positions of all windows. A convolution gathers the rows it needs by index. So image borders,
rectangles of different sizes and residual inputs need no special cases.
"""

from dataclasses import dataclass

import torch

from tasks.explain.engine.winograd import Scratch


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
    """Positions of every window's rectangle in a flat list, either single or in square tiles that cover it.

    Attributes
    ----------
    tile : side of a tile in positions, 1 for single positions.
    window, row, col : (n,) window, row and column of each position, or of the first position of each tile.
    count : number of table rows for the positions; in tiles, they are ordered by position in the tile, then by tile.
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
        """Return rows and columns (size, n) of a square of inputs that starts at stride * position - shift."""
        steps = torch.arange(size, device=self.row.device)[:, None] - shift
        return self.row * stride + steps, self.col * stride + steps


class Layer:
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
        self.seen: torch.Tensor | None = None

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
        """Return the table row (a, b, n) of each position, for windows (n,), rows (a, n) and columns (b, n).

        Positions outside the activation have a zero row of the border.
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
        """Copy rows of the table, (*index.shape, channels), into block 0 of `scratch`."""
        flat = index.reshape(-1)
        out = scratch.take(0, self.table, len(flat), self.table.shape[1])
        return torch.index_select(self.table, 0, flat, out=out).view(*index.shape, -1)

    def patches(self, kernel: int, stride: int, padding: int) -> torch.Tensor:
        """Return what each position of a convolution sees without a window, (positions, channels * kernel * kernel).

        It is kept, for the one convolution of the layer.
        """
        if self.seen is not None:
            return self.seen
        inside = slice(self.border, self.border + self.height), slice(self.border, self.border + self.width)
        base = self.table[: self.n_base].view(-1, self.pitch, self.table.shape[1])[inside].permute(2, 0, 1)
        unfolded = torch.nn.functional.unfold(base[None], kernel, padding=padding, stride=stride)
        self.seen = unfolded[0].t().contiguous()
        return self.seen

    def rows(self, at: Positions, scratch: Scratch) -> torch.Tensor:
        """Return the rows (count, channels) at these positions, which may be a view of the table or of block 0."""
        if at is self.positions:
            return self.changed
        return self.gather(self.index(at.window, *at.grid(at.tile)).view(-1), scratch)

    def whole(self, n: int) -> torch.Tensor:
        """Return the activations (n, channels, height, width) of every window."""
        window = torch.arange(n, device=self.table.device)
        rows, cols = (
            torch.arange(side, device=window.device)[:, None].expand(-1, n) for side in (self.height, self.width)
        )
        index = self.index(window, rows, cols).permute(2, 0, 1)
        found = torch.index_select(self.table, 0, index.reshape(-1))
        return found.view(*index.shape, -1).permute(0, 3, 1, 2)
