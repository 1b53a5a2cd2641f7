"""Upsampling on read: maps are stored at native resolution and shown or compared at another, always bilinearly.

One operator serves overlays, prototypes and the distances of `tasks.axes`: what is compared is what is shown.
Samples are centres of equal cells (`align_corners=False` of `torch.nn.functional.interpolate`), and beyond the centres
of the outer cells their value goes on. An occlusion map is spread over the whole image like any other, although the
centres of its outermost windows lie half a patch inside: near the borders it is shown up to half a patch too far out.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def upsampling_weights(native: int, size: int) -> Floats:
    """Weights U (size, native) of linear upsampling along one axis: rows sum to 1 and hold at most two entries."""
    position = np.clip((np.arange(size) + 0.5) * (native / size) - 0.5, 0, native - 1)
    lower = np.floor(position).astype(np.int64)
    upper = np.minimum(lower + 1, native - 1)
    weights = np.zeros((size, native))
    weights[np.arange(size), lower] = 1 - (position - lower)
    weights[np.arange(size), upper] += position - lower
    return weights


def upsample(maps: NDArray[np.floating], height: int, width: int) -> Floats:
    """Maps (..., rows, cols) as (..., height, width) float64, in the same unit and within the range of each map."""
    rows, cols = maps.shape[-2:]
    return upsampling_weights(rows, height) @ maps.astype(np.float64) @ upsampling_weights(cols, width).T
