"""Draw the saliency maps of an invented campaign, and the axes on which they are placed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from storage.arrays.specs import PCA_COMPONENTS, PCA_MEAN, PROTOTYPES
from storage.arrays.zarr_files import write_array
from storage.artifacts import Draft

MEAN, N_AXES = 0.01, 5  # mean of every feature, and number of axes


def maps_of(method: str, clusters: Sequence[int], size: int, noise: float = 0.0) -> NDArray[np.float64]:
    """Return maps (n, side, side) with a peak that depends on the cluster, and a trough except for Grad-CAM.

    `noise` is the height of what tells maps of a cluster apart.
    """
    side = {"gradcam": 8, "lime": size}.get(method, 13)
    y, x = (8 * axis / side for axis in np.mgrid[:side, :side])
    at = [(2.5 * np.sin(2.4 * c), 2.5 * np.cos(2.4 * c)) for c in clusters]
    peaks = [np.exp(-((y - 3.5 - cy) ** 2 + (x - 3.5 - cx) ** 2) / 6) for cy, cx in at]
    troughs = [np.exp(-((y - 3.5 + cy) ** 2 + (x - 3.5 + cx) ** 2) / 6) for cy, cx in at]
    depth = 0 if method == "gradcam" else 0.8
    own = noise * np.random.default_rng(len(clusters)).uniform(size=(len(clusters), side, side))
    return np.asarray(peaks).reshape(own.shape) - depth * np.asarray(troughs).reshape(own.shape) + own


def axes_of(n_features: int) -> NDArray[np.float64]:
    """Return orthonormal axes (`N_AXES`, n_features)."""
    return np.linalg.qr(np.random.default_rng(0).normal(size=(n_features, N_AXES)))[0].T


def write_axes(draft: Draft, means: NDArray[np.float64]) -> None:
    """Write what the report reads of fitted clusters: their mean maps (n, side, side), and the axes."""
    write_array(draft, PROTOTYPES, means)
    write_array(draft, PCA_MEAN, np.full(means[0].size, MEAN))
    write_array(draft, PCA_COMPONENTS, axes_of(means[0].size))
