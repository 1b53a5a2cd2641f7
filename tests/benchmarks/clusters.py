"""Compare spectral clustering of 10,000 maps and PCA of 2,000 maps with scikit-learn, on one core."""

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import SpectralClustering
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from tasks.cluster.axes import fit_axes, map_vectors
from tasks.cluster.spectral import Clustering, cluster_maps
from tasks.explain.upsample import upsample
from tests.benchmarks.measure import Row, alternating, compare, repeated, seconds

N_POINTS, N_CLUSTERS, N_SEEDS, SIGMA = 10_000, 8, 10, 0.2
N_MAPS, SIDE, SIZE, N_COMPONENTS = 2000, 8, 256, 50


def cluster_rows() -> list[Row]:
    """Run both comparisons. Labels differ by 1 - adjusted Rand index, axes by the largest difference of coordinates."""
    return [*spectral_rows(), *pca_rows()]


def points() -> NDArray[np.float64]:
    """Draw coordinates (10000, 50) around eight centres of length one half, with noise of half that length."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(N_CLUSTERS, N_COMPONENTS))
    centres *= 0.5 / np.linalg.norm(centres, axis=1, keepdims=True)
    noise = rng.normal(0, 0.25 / np.sqrt(N_COMPONENTS), (N_POINTS, N_COMPONENTS))
    return centres[rng.integers(0, N_CLUSTERS, N_POINTS)] + noise


def spectral_rows() -> list[Row]:
    """Compare the step from coordinates to labels, with the same kernel, clusters and k-means runs for both.

    The peer factorises the matrix for shift-invert, which takes minutes and gigabytes. So it runs only once.
    """
    coordinates, found = points(), list[Clustering]()
    peer = SpectralClustering(
        N_CLUSTERS, eigen_solver="arpack", gamma=1 / (2 * SIGMA**2), n_init=N_SEEDS, random_state=0, n_jobs=1
    )
    ours = repeated(lambda: found.append(cluster_maps(coordinates, "sigma", SIGMA, N_CLUSTERS, N_SEEDS, 0, N_POINTS)))
    theirs = seconds(lambda: peer.fit(coordinates), 1, warm_up=False)
    difference = 1 - float(adjusted_rand_score(found[0].labels, peer.labels_))
    name = f"spectral clusters of {N_POINTS:,} maps, exact (difference: 1 - Rand index)"
    return [compare(name, ours, "SpectralClustering, arpack", theirs, difference)]


def grad_cam_maps() -> NDArray[np.float32]:
    """Draw maps (2000, 8, 8) like those of Grad-CAM: not negative, a few blobs of random strength."""
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:SIDE, :SIDE]
    centres, widths = rng.uniform(0, SIDE, (N_MAPS, 3, 2, 1, 1)), rng.uniform(0.7, 2.5, (N_MAPS, 3, 1, 1))
    blobs = np.exp(-((rows - centres[:, :, 0]) ** 2 + (cols - centres[:, :, 1]) ** 2) / (2 * widths**2)).sum(axis=1)
    noise = rng.normal(0, 0.1, (N_MAPS, SIDE, SIDE))
    return (np.maximum(blobs + noise, 0) * rng.uniform(0.01, 5, (N_MAPS, 1, 1))).astype(np.float32)


def pca_rows() -> list[Row]:
    """Compare coordinates of maps on 50 axes with PCA of every pixel; the peer's upsampling is not timed.

    The peer's default solver is randomised, so the difference is measured from its exact solver.
    """
    maps = grad_cam_maps()
    pixels = upsampled_to_unit_length(maps)
    expected = np.asarray(PCA(N_COMPONENTS, svd_solver="arpack", random_state=0).fit_transform(pixels), np.float64)
    difference = float(np.abs(np.abs(axes_coordinates(maps)) - np.abs(expected)).max() / np.ptp(expected))
    peer = PCA(N_COMPONENTS, random_state=0)
    mine, theirs = alternating(lambda: axes_coordinates(maps), lambda: peer.fit_transform(pixels))
    name = f"PCA of {N_MAPS:,} maps to {N_COMPONENTS} dimensions (difference from the exact solver)"
    return [compare(name, mine, f"PCA of {SIZE}x{SIZE} pixels, default solver", theirs, difference)]


def axes_coordinates(maps: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return coordinates (n, 50) of native maps."""
    vectors = map_vectors(maps, SIZE)
    return fit_axes(vectors, N_COMPONENTS).coordinates(vectors)


def upsampled_to_unit_length(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the pixels (n, 65536) of upsampled maps, scaled to length 1."""
    pixels = np.empty((len(maps), SIZE * SIZE), np.float32)
    for start in range(0, len(maps), 100):
        block = upsample(maps[start : start + 100], SIZE, SIZE).reshape(-1, SIZE * SIZE)
        pixels[start : start + 100] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return pixels
