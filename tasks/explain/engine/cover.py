"""Cover the outputs of a convolution, or its changed inputs, with tiles, so that few multiplications are needed."""

from collections.abc import Callable
from itertools import pairwise

import torch

from tasks.explain.engine.rows import Positions, divided, seen_by, spread
from tasks.explain.engine.tiles import Tiles
from tasks.explain.engine.winograd import LARGEST, tiling

# Rows (a, b, n) of a table for windows (n,), rows (a, n) and columns (b, n) of their activations.
Index = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class Cover:
    """Tiles that cover every rectangle exactly, ordered by their shape.

    Along a side, there are as few tiles as its length allows, and they differ by one output at most.

    Attributes
    ----------
    window, row, col : (n,) window of each tile, and row and column of its first output.
    first, pitch : (n,) place of its first output among all positions, and how far its rows lie apart there.
    shapes : rows and columns of each shape of tiles, larger ones first, and where its tiles are among all.
    side : the longest side of a tile.
    """

    def __init__(self, at: Positions) -> None:
        boxes = at.rectangles
        (n_down, *down), (n_across, *across) = _divided(boxes.rows), _divided(boxes.cols)
        window, _, within = spread(n_down * n_across)
        part = divided(within, n_across[window])
        top, rows = _part(part, *(of[window] for of in down))
        left, cols = _part(within - part * n_across[window], *(of[window] for of in across))
        shape = rows * (LARGEST + 1) + cols
        order = shape.argsort(descending=True, stable=True)
        window, top, left = window[order], top[order], left[order]
        self.window, self.pitch = at.names[window], boxes.cols[window]
        self.row, self.col = boxes.top[window] + top, boxes.left[window] + left
        self.first = at.first[window] + top * self.pitch + left
        found, counts = torch.unique_consecutive(shape[order], return_counts=True)
        ends = pairwise([0, *counts.cumsum(0).tolist()])
        self.shapes = [
            (*divmod(one, LARGEST + 1), slice(*part)) for one, part in zip(found.tolist(), ends, strict=True)
        ]
        self.side = max((max(rows, cols) for rows, cols, _ in self.shapes), default=0)

    def tiles(self, index: Index, stride: int, padding: int) -> list[Tiles]:
        """Return the tiles of a convolution, with the rows of its inputs' table as `index` says."""
        # One index of squares as large as the largest tile sees, of which smaller ones take the upper left corner.
        most = (tiling(max(sides), stride).seen for sides in zip(*(shape[:2] for shape in self.shapes), strict=True))
        down, across = (seen_by(of, size, stride, padding) for of, size in zip((self.row, self.col), most, strict=True))
        seen = index(self.window, down, across)
        return [
            Tiles(rows, cols, at, seen[: tiling(rows, stride).seen, : tiling(cols, stride).seen, at])
            for rows, cols, at in self.shapes
        ]

    def own(self) -> list[Tiles]:
        """Return the tiles with the place of each of their own positions among all."""
        steps = torch.arange(self.side, device=self.row.device)
        places = self.first + steps[:, None, None] * self.pitch + steps[:, None]
        return [Tiles(rows, cols, at, places[:rows, :cols, at]) for rows, cols, at in self.shapes]

    def places(self) -> torch.Tensor:
        """Return for each output its row (count,) in a table ordered by shape, place in a tile, and tile."""
        flat = torch.cat([one.seen.flatten() for one in self.own()])
        return torch.empty_like(flat).index_copy_(0, flat, torch.arange(len(flat), device=flat.device))

    def reached(self, at: Positions, before: int) -> torch.Tensor:
        """Return where outputs of tiles of inputs are among the positions `at`; those outside have -1.

        A tile's outputs begin `before` positions before its inputs, and are two more along a side. They are ordered by
        shape, place in a tile, and tile.
        """
        steps = torch.arange(self.side + 2, device=self.row.device)[:, None] - before
        is_inside, places = at.find(self.window, self.row + steps, self.col + steps)
        places = torch.where(is_inside, places, -1)
        return torch.cat([places[: rows + 2, : cols + 2, part].flatten() for rows, cols, part in self.shapes])


def _divided(lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return into how many tiles lengths are divided, the side of the smaller ones, and how many are larger by one."""
    n = divided(lengths + LARGEST - 1, LARGEST)
    side = divided(lengths, n.clamp(min=1))
    return n, side, lengths - n * side


def _part(part: torch.Tensor, side: torch.Tensor, n_larger: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first output and the side of the tiles with these numbers; larger tiles come first."""
    return part * side + torch.minimum(part, n_larger), side + (part < n_larger)
