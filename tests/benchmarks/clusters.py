"""Spectral clusters of 10,000 maps and PCA of 2,000 against scikit-learn's, one core."""

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import SpectralClustering
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from tasks.cluster.axes import fit_axes, map_vectors
from tasks.cluster.spectral import Clustering, cluster_maps
from tasks.explain.upsample import upsample
from tests.benchmarks.measure import Row, alternating, compare, seconds

N_POINTS, N_CLUSTERS, N_SEEDS, SIGMA = 10_000, 8, 10, 0.2
N_MAPS, SIDE, SIZE, N_COMPONENTS = 2000, 8, 256, 50


def cluster_rows() -> list[Row]:
    """Both comparisons; the difference of labels is 1 - their adjusted Rand index, that of axes the coordinates'."""
    return [*spectral_rows(), *pca_rows()]


def points() -> NDArray[np.float64]:
    """Coordinates (10000, 50) around eight centres of length one half, with noise of half that length."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(N_CLUSTERS, N_COMPONENTS))
    centres *= 0.5 / np.linalg.norm(centres, axis=1, keepdims=True)
    noise = rng.normal(0, 0.25 / np.sqrt(N_COMPONENTS), (N_POINTS, N_COMPONENTS))
    return centres[rng.integers(0, N_CLUSTERS, N_POINTS)] + noise


def spectral_rows() -> list[Row]:
    """From coordinates to labels with the paper's kernel: the same kernel, clusters and k-means runs for both.

    The peer shifts and inverts, hence factorises the matrix, which takes minutes and gigabytes: it runs once.
    """
    coordinates, found = points(), list[Clustering]()
    peer = SpectralClustering(
        N_CLUSTERS, eigen_solver="arpack", gamma=1 / (2 * SIGMA**2), n_init=N_SEEDS, random_state=0, n_jobs=1
    )
    ours = seconds(lambda: found.append(cluster_maps(coordinates, "sigma", SIGMA, N_CLUSTERS, N_SEEDS, 0, N_POINTS)), 2)
    theirs = seconds(lambda: peer.fit(coordinates), 1, warm_up=False)
    difference = 1 - float(adjusted_rand_score(found[0].labels, peer.labels_))
    name = f"spectral clusters of {N_POINTS:,} maps, exact (difference: 1 - Rand index)"
    return [compare(name, ours, "SpectralClustering, arpack", theirs, difference)]


def grad_cam_maps() -> NDArray[np.float32]:
    """Maps (2000, 8, 8) as Grad-CAM gives them: never negative, a few blobs of any strength."""
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:SIDE, :SIDE]
    centres, widths = rng.uniform(0, SIDE, (N_MAPS, 3, 2, 1, 1)), rng.uniform(0.7, 2.5, (N_MAPS, 3, 1, 1))
    blobs = np.exp(-((rows - centres[:, :, 0]) ** 2 + (cols - centres[:, :, 1]) ** 2) / (2 * widths**2)).sum(axis=1)
    noise = rng.normal(0, 0.1, (N_MAPS, SIDE, SIDE))
    return (np.maximum(blobs + noise, 0) * rng.uniform(0.01, 5, (N_MAPS, 1, 1))).astype(np.float32)


def pca_rows() -> list[Row]:
    """Coordinates of maps on 50 axes, against PCA of every pixel; upsampling to these pixels is not counted.

    The peer's default solver is randomised, so the difference is that from its exact one.
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
    """Coordinates (n, 50) from native maps."""
    vectors = map_vectors(maps, SIZE)
    return fit_axes(vectors, N_COMPONENTS).coordinates(vectors)


def upsampled_to_unit_length(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every pixel, (n, 65536), of maps scaled to length 1 when upsampled."""
    pixels = np.empty((len(maps), SIZE * SIZE), np.float32)
    for start in range(0, len(maps), 100):
        block = upsample(maps[start : start + 100], SIZE, SIZE).reshape(-1, SIZE * SIZE)
        pixels[start : start + 100] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return pixels
