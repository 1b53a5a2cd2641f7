"""Upsample saliency maps bilinearly. Maps are stored at native resolution, and shown or compared at another one.

The same operator serves overlays, prototypes and the distances of `tasks.cluster.axes`, so what is compared is what is
shown. Samples are centres of equal cells (`align_corners=False` of `torch.nn.functional.interpolate`). Beyond the
centres of the outer cells, their value continues.

An occlusion map is spread over the whole image like any other. The centres of its outermost windows lie half a patch
inside, so near the borders it is shown up to half a patch too far out.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def upsampling_weights(native: int, size: int) -> Floats:
    """Return weights U (size, native) of linear upsampling along one axis; rows sum to 1, with at most two entries."""
    position = np.clip((np.arange(size) + 0.5) * (native / size) - 0.5, 0, native - 1)
    lower = np.floor(position).astype(np.int64)
    upper = np.minimum(lower + 1, native - 1)
    weights = np.zeros((size, native))
    weights[np.arange(size), lower] = 1 - (position - lower)
    weights[np.arange(size), upper] += position - lower
    return weights


def upsample(maps: NDArray[np.floating], height: int, width: int) -> Floats:
    """Upsample maps (..., rows, cols) to (..., height, width) float64, in the same unit and range."""
    rows, cols = maps.shape[-2:]
    return upsampling_weights(rows, height) @ maps.astype(np.float64) @ upsampling_weights(cols, width).T
