"""Compute 3x3 convolutions of stride 1 or 2 by Winograd's minimal filtering.

Lavin & Gray 2016, DOI 10.1109/CVPR.2016.435. For stride 1, m outputs along a side take m + 2 multiplications instead of
3 m. So a tile of 4x4 outputs takes 36 instead of 144, each a row of a matrix product over channels. For stride 2, the
outer two taps of the kernel see every second input and are filtered alone: m outputs take 2 m + 1 multiplications. The
result equals the convolution up to float rounding. With few channels, the transforms cost as much as they save.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

LARGEST = 6  # most outputs along a side of a tile; rounding grows with it
MIN_CHANNELS = 64  # least channels of input and output; with fewer, the transforms cost what the tiles save
# Where polynomials are evaluated after infinity; this order keeps rounding of small tiles least.
POINTS = (0.0, 1.0, -1.0, 2.0, -0.5, -2.0, 0.5)


@dataclass(frozen=True)
class Tiling:
    """Minimal filtering along one side of a tile: outputs @ ((kernel[kinds] @ taps) * (inputs @ seen)).

    Smaller tiles use the first of the points of larger ones, so all have one transformed kernel.

    Attributes
    ----------
    inputs : (seen, seen) transform of the inputs that a tile sees.
    outputs : (side, seen) transform back.
    """

    inputs: NDArray[np.float64]
    outputs: NDArray[np.float64]

    @property
    def seen(self) -> int:
        """Return the number of inputs along a side, which is that of multiplications too."""
        return len(self.inputs)

    def transposed(self) -> "Tiling":
        """Return how `side` inputs give all outputs that see them, with the taps turned around."""
        return Tiling(self.outputs.T, self.inputs.T)


def toom_cook(side: int, taps: int) -> Tiling:
    """Make the filtering of `side` outputs by `taps` taps at stride 1 from polynomials at infinity and in `POINTS`."""
    points = np.asarray(POINTS[: side + taps - 2])
    others = [np.delete(points, i) for i in range(len(points))]
    scale = [np.prod(point - other) for point, other in zip(points, others, strict=True)]
    rows = [np.append(np.atleast_1d(np.poly(other))[::-1], 0) / one for other, one in zip(others, scale, strict=True)]
    last = np.eye(side)[-1]  # infinity: the highest coefficient
    return Tiling(
        inputs=np.stack([np.poly(points)[::-1], *rows]).astype(np.float64),
        outputs=np.column_stack([last, np.vander(points, side, increasing=True).T]),
    )


@cache
def tiling(side: int, stride: int) -> Tiling:
    """Return the filtering of `side` outputs by three taps at stride 1 or 2."""
    if stride == 1:
        return toom_cook(side, 3)
    outer, seen = toom_cook(side, 2), 2 * side + 1
    inputs, outputs = np.zeros((seen, seen)), np.zeros((side, seen))
    inputs[::2, ::2], inputs[1::2, 1::2] = outer.inputs, np.eye(side)
    outputs[:, ::2], outputs[:, 1::2] = outer.outputs, np.eye(side)
    return Tiling(inputs, outputs)


def kernel_transform(side: int, stride: int) -> tuple[NDArray[np.float64], list[int]]:
    """Return the transforms (kinds, 3) of a kernel for tiles up to a side, and the kind of each multiplication."""
    n, taps = (side + 1, 3) if stride == 1 else (side, 2)
    rows = np.vstack([np.eye(taps)[-1], np.vander(POINTS[:n], taps, increasing=True)])
    if stride == 1:
        return rows, list(range(len(rows)))
    outer = np.insert(rows, 1, 0, axis=1)
    return np.vstack([outer, [0, 1, 0]]), [len(rows) if i % 2 else i // 2 for i in range(2 * side + 1)]


def suits(weight: torch.Tensor, stride: int, least: int = MIN_CHANNELS) -> bool:
    """Return whether a convolution with this kernel (out, in, rows, cols) can run as tiles and gains by it."""
    return tuple(weight.shape[2:]) == (3, 3) and stride in (1, 2) and min(weight.shape[:2]) >= least


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
