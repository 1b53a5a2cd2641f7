"""Turn saliency maps into vectors and fit their principal axes. Pure functions; no Prefect, no files.

Maps are compared as images, upsampled bilinearly. Upsampling is linear. So the native maps have the same distances if
the Gram matrix of the upsampling operator is their metric, at a thousandth of the cost.

Axes come from inner products, summed over blocks of vectors. Vectors that do not fit into memory are read block by
block, with the same result. Kierdorf & Roscher 2023 (arXiv 2305.15149), section 2.5.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import scipy
from numpy.typing import NDArray

from tasks.explain.upsample import upsampling_weights

Floats = NDArray[np.float64]
MAPS_AT_ONCE = 32  # maps upsampled together, which bounds the memory of a step beside its result
VECTORS_AT_ONCE = 512  # vectors of a block; two blocks are held at a time
KRONECKER_LIMIT = 256  # most pixels of a map whose two sides are upsampled by one matrix product
LEAST_SHARE = 1e-6  # share of the first axis's variance above which axes of inner products are orthonormal to 1e-10


class Vectors(Protocol):
    """Vectors (n, features) that need not be in memory; a numpy array is an example."""

    @property
    def shape(self) -> tuple[int, int]:
        """Return the number of vectors and the number of features."""
        ...

    def __getitem__(self, rows: slice, /) -> Floats:
        """Return consecutive vectors, (rows, features)."""
        ...


@dataclass(frozen=True)
class PrincipalAxes:
    """Principal axes (PCA) of the validation maps.

    Attributes
    ----------
    mean : (features,) mean of the vectors.
    components : (n_components, features) orthonormal rows; the largest entry of each is positive.
    variance_share : (n_components,) share of the total variance, 0..1.
    """

    mean: Floats
    components: Floats
    variance_share: Floats

    def coordinates(self, vectors: Vectors) -> Floats:
        """Return the coordinates (n, n_components) of vectors (n, features)."""
        if isinstance(vectors, np.ndarray):
            return (vectors - self.mean) @ self.components.T
        found = np.empty((vectors.shape[0], len(self.components)))
        for rows, block in blocks(vectors):
            found[rows] = (block - self.mean) @ self.components.T
        return found

    def residuals(self, vectors: Vectors, coordinates: Floats) -> Floats:
        """Return the length (n,) of the part of each centred vector that the axes do not represent.

        It is computed from the remainder itself, because a difference of squared lengths would lose small remainders.
        """
        found = np.empty(vectors.shape[0])
        for rows, block in blocks(vectors):
            found[rows] = np.linalg.norm(block - self.mean - coordinates[rows] @ self.components, axis=1)
        return found


def blocks(vectors: Vectors) -> Iterator[tuple[slice, Floats]]:
    """Yield blocks of vectors in order, each with its slice of rows."""
    for start in range(0, vectors.shape[0], VECTORS_AT_ONCE):
        rows = slice(start, min(start + VECTORS_AT_ONCE, vectors.shape[0]))
        yield rows, vectors[rows]


def upsampling_root(native: int, size: int) -> Floats:
    """Return the root R (native, native) of the Gram matrix of linear upsampling U (size, native): R'R = U'U."""
    weights = upsampling_weights(native, size)
    values, vectors = scipy.linalg.eigh(weights.T @ weights)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T


def map_vectors(maps: NDArray[np.floating], size: int, scaling: Literal["unit", "rms"] = "unit") -> Floats:
    """Return vectors (n, rows * cols) with the distances of maps (n, rows, cols) upsampled to `size` x `size`.

    `unit` scales each upsampled map to Euclidean length 1; zero maps stay zero. `rms` divides by `size`, so that
    distances are root-mean-square differences per pixel.
    """
    n, rows, cols = maps.shape
    left, right = upsampling_root(rows, size), upsampling_root(cols, size)
    vectors = np.empty((n, rows * cols))
    both = np.kron(left, right) if rows * cols <= KRONECKER_LIMIT else None
    for start in range(0, n, MAPS_AT_ONCE):
        block = maps[start : start + MAPS_AT_ONCE].astype(np.float64)
        if both is not None:
            block = block.reshape(len(block), -1) @ both  # the roots are symmetric
        elif (rows, cols) != (size, size):  # then both roots are the identity
            block = np.tensordot(np.tensordot(block, left, (1, 1)), right, (1, 1))  # (map, cols, y), (map, y, x)
        vectors[start : start + MAPS_AT_ONCE] = block.reshape(len(block), -1)
    if scaling == "rms":
        vectors /= size
        return vectors
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.where(length > 0, length, 1)
    return vectors


def fit_axes(vectors: Vectors, n_components: int) -> PrincipalAxes:
    """Fit the PCA of vectors (n, features) with at most `n_components`, n - 1 or `features` axes.

    Memory: the smaller of the matrices (features, features) and (n, n), and two blocks of vectors.

    Inner products lose axes of very small variance. If one of those is wanted, a singular value decomposition takes
    over (see `largest_pairs`). It loads all vectors if there are more features than vectors. That happens only to maps
    with fewer different patterns than axes.
    """
    n, features = vectors.shape
    keep = min(n_components, n - 1, features)
    if features <= n:
        mean, products = moments(vectors)
        found = scatter_axes(products, keep)
        squared, axes = found if found is not None else singular_axes(triangle(vectors, mean), keep)
    else:
        mean, products = inner_products(vectors)
        found = gram_axes(vectors, mean, products, keep)
        squared, axes = found if found is not None else singular_axes(load(vectors) - mean, keep)
    total = float(np.trace(products))
    signs = np.sign(axes[np.arange(keep), np.abs(axes).argmax(axis=1)])
    axes *= signs[:, None]
    return PrincipalAxes(mean, axes, squared / total if total > 0 else np.zeros(keep))


def moments(vectors: Vectors) -> tuple[Floats, Floats]:
    """Return the mean (features,) and the scatter about it (features, features), computed in one pass.

    Every block adds its scatter about its own mean, and a term for the distance between that mean and the mean so far
    (Chan, Golub & LeVeque 1979). Sums of squares minus the squared mean would lose digits of vectors that lie close
    together and far from zero.
    """
    features = vectors.shape[1]
    mean, scatter = np.zeros(features), np.zeros((features, features))
    for rows, block in blocks(vectors):
        own = block.mean(axis=0)
        centred, between = block - own, own - mean
        scatter += centred.T @ centred
        scatter += rows.start * len(block) / rows.stop * np.outer(between, between)
        mean += len(block) / rows.stop * between
    return mean, scatter


def inner_products(vectors: Vectors) -> tuple[Floats, Floats]:
    """Return the mean (features,) and inner products (n, n) of the centred vectors, by pairs of blocks."""
    n, features = vectors.shape
    mean, products = np.zeros(features), np.empty((n, n))
    for _, block in blocks(vectors):
        mean += block.sum(axis=0) / n
    for rows, block in blocks(vectors):
        centred = block - mean
        products[rows, rows] = centred @ centred.T
        for cols, other in blocks(vectors):
            if cols.start >= rows.start:
                break
            products[rows, cols] = centred @ (other - mean).T
            products[cols, rows] = products[rows, cols].T
    return mean, products


def largest_pairs(products: Floats, keep: int) -> tuple[Floats, Floats] | None:
    """Return the `keep` largest eigenvalues, descending, and eigenvectors (size, keep) of products (size, size).

    Returns None if a wanted axis has less than `LEAST_SHARE` of the first one's variance, as with fewer different maps
    than axes. Inner products square the singular values, so small ones are lost.
    """
    if not keep:
        return None
    size = len(products)
    values, vectors = scipy.linalg.eigh(products, subset_by_index=[size - keep, size - 1])
    values, vectors = values[::-1], vectors[:, ::-1]
    return None if values[-1] <= LEAST_SHARE * values[0] else (values, vectors)


def scatter_axes(scatter: Floats, keep: int) -> tuple[Floats, Floats] | None:
    """Return n times the variances (keep,), and axes (keep, features), of a scatter (features, features).

    Returns None where `singular_axes` must take over.
    """
    found = largest_pairs(scatter, keep)
    return None if found is None else (found[0], np.ascontiguousarray(found[1].T))


def gram_axes(vectors: Vectors, mean: Floats, products: Floats, keep: int) -> tuple[Floats, Floats] | None:
    """Return n times the variances (keep,), and axes (keep, features), from inner products (n, n).

    Returns None where `singular_axes` must take over. This is fifteen times as fast as `scatter_axes` if maps have more
    pixels than there are maps.
    """
    found = largest_pairs(products, keep)
    if found is None:
        return None
    squared, weights = found[0], found[1] / np.sqrt(found[0])
    axes = np.zeros((keep, vectors.shape[1]))
    for rows, block in blocks(vectors):
        axes += weights[rows].T @ (block - mean)
    return squared, axes


def singular_axes(centred: Floats, keep: int) -> tuple[Floats, Floats]:
    """Return squared singular values (keep,), descending, and axes (keep, features) of centred vectors."""
    _, singular, axes = scipy.linalg.svd(centred, full_matrices=False)
    return singular[:keep] ** 2, axes[:keep].copy()  # a view would keep all axes in memory


def triangle(vectors: Vectors, mean: Floats) -> Floats:
    """Return R (features, features) of the QR decomposition of centred vectors.

    R has their singular values and axes, not squared.
    """
    found = np.empty((0, len(mean)))
    for _, block in blocks(vectors):
        found = np.asarray(np.linalg.qr(np.concatenate([found, block - mean]), mode="r"), np.float64)
    return found


def load(vectors: Vectors) -> Floats:
    """Return all vectors as one array, (n, features)."""
    if isinstance(vectors, np.ndarray):
        return vectors
    found = np.empty(vectors.shape)
    for rows, block in blocks(vectors):
        found[rows] = block
    return found


def isometric(vectors: Vectors) -> Floats:
    """Return coordinates (n, r), r <= min(n, features), with the same distances as the vectors (n, features).

    Their inner products about the mean are the same too, and so is the PCA of any part of them. Folds over maps
    therefore need no vectors with more features than there are maps. If there are no more features than vectors, the
    vectors themselves are returned. Otherwise coordinates come from the pivoted Cholesky factor of the inner products,
    exact to n times the rounding of the longest vector's.
    """
    n, features = vectors.shape
    if features <= n:
        return load(vectors)
    factor, pivots, rank, _ = scipy.linalg.lapack.dpstrf(inner_products(vectors)[1], lower=1)  # pyright: ignore
    coordinates = np.zeros((n, max(int(rank), 1)))  # equal vectors have rank 0
    coordinates[pivots - 1, :rank] = np.tril(factor)[:, :rank]
    return coordinates
