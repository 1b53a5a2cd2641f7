"""Find the largest eigenpairs of a symmetric operator by the Lanczos method with thick restarts.

Wu & Simon 2000 (DOI 10.1137/S0895479898334605). ARPACK needs the same small residual for every pair. Spectral
clustering needs one eigenvalue more than eigenvectors, for the eigengap, and that one often lies among many close
eigenvalues. An eigenvalue's error is at most its squared residual over the distance to the next eigenvalue (Parlett
1998, DOI 10.1137/1.9781611971163, chapter 11). So the last pair may stop at a larger residual than the others. For
10,000 maps in eight clusters that takes 61 products instead of 113.

The number of restarts grows as the gaps between eigenvalues shrink. A path of 2,400 vertices, whose gaps are 9e-7,
takes 400. Saliency maps have a rounding of 6e-8, and eigenvectors turn by that over their gap: where gaps are smaller
still, they belong to the rounding. So the iteration ends after `MOST_RESTARTS`. Pure functions; no Prefect, no files.
"""

from collections.abc import Callable

import numpy as np
import scipy
from numpy.typing import NDArray

from storage.errors import InputError

Floats = NDArray[np.float64]
TOLERANCE = 1e-12  # residual of an eigenpair as a share of the eigenvalue; values further apart are told apart
ROUNDING = 1e-14  # residual below which products with an operator of norm 1 are rounding
LAST_ERROR = 1e-10  # error of the last eigenvalue
MOST_RESTARTS = 500  # restarts after which no more exact eigenpairs are expected


def largest_eigenpairs(product: Callable[[Floats], Floats], n: int, wanted: int) -> tuple[Floats, Floats]:
    """Return the largest eigenvalues (wanted,), ascending, and eigenvectors (n, wanted) of an operator of norm 1.

    Of the smallest, only the eigenvalue is exact: its vector may have an error of the root of `LAST_ERROR`.

    Parameters
    ----------
    product : multiplies a vector (n,) by the symmetric operator.

    Raises
    ------
    InputError : the pairs are not exact after `MOST_RESTARTS` restarts, because eigenvalues are too close.
    """
    least = min(n, max(20, 4 * wanted))  # vectors before the first test: an invariant subspace of few looks finished
    most = min(n, 2 * least)
    basis, projected = np.empty((most + 1, n)), np.zeros((most, most))
    generator = np.random.default_rng(0)
    basis[0] = random_direction(generator, basis[:0])  # a constant start misses vectors that differ in sign by halves
    size = n_restarts = 0
    while True:
        image = product(basis[size])
        size += 1
        shares = remove_shares(image, basis[:size])
        projected[size - 1, :size] = projected[:size, size - 1] = shares
        rest = float(np.linalg.norm(image))
        if size >= least:
            values, vectors = scipy.linalg.eigh(projected[:size, :size])
            if is_exact(values, rest * np.abs(vectors[-1, -wanted:])):
                return values[-wanted:], basis[:size].T @ vectors[:, -wanted:]
            if size == most:
                if n_restarts == MOST_RESTARTS:
                    raise too_close(values[-wanted - 1 :], n)
                size, n_restarts = least, n_restarts + 1
                basis[:size] = vectors[:, -size:].T @ basis[:most]
                projected[:] = np.pad(np.diag(values[-size:]), (0, most - size))
        basis[size] = image / rest if rest > ROUNDING else random_direction(generator, basis[:size])


def is_exact(values: Floats, residuals: Floats) -> bool:
    """Return whether the pairs of the largest of some eigenvalues (m,), ascending, have small residuals (wanted,)."""
    wanted, last = len(residuals), float(residuals[0])
    gap = values[-wanted] - values[-wanted - 1] if wanted < len(values) else 0.0
    error = last * min(1.0, last / gap) if gap > 0 else last
    small = np.maximum(TOLERANCE * np.abs(values[len(values) - wanted + 1 :]), ROUNDING)
    return bool(error <= LAST_ERROR and (residuals[1:] <= small).all())


def remove_shares(vector: Floats, basis: Floats) -> Floats:
    """Make a vector (n,) orthogonal to orthonormal rows (m, n), in place, and return its products (m,) with them.

    One pass leaves rounding of the removed part, which may be larger than what is left.
    """
    total = np.zeros(len(basis))
    for _ in range(2):
        shares = basis @ vector
        vector -= shares @ basis
        total += shares
    return total


def random_direction(generator: np.random.Generator, basis: Floats) -> Floats:
    """Draw a vector (n,) of length 1 that is orthogonal to orthonormal rows (m, n)."""
    vector = generator.normal(size=basis.shape[1])
    remove_shares(vector, basis)
    return vector / np.linalg.norm(vector)


def too_close(values: Floats, n: int) -> InputError:
    """Return the error for eigenvalues (wanted + 1,) of n saliency maps that are too close to be told apart."""
    return InputError(
        f"the {len(values) - 1} largest eigenvalues of the affinities of {n} saliency maps are not exact after "
        f"{MOST_RESTARTS} restarts: two of them are only {np.diff(values).min():.0e} apart",
        "The eigenvalues must lie further apart than rounding, and do not where the affinity graph almost falls into "
        "many parts",
        "raise cluster.scale, or use cluster.affinity = gamma, or change cluster.n_clusters",
    )
