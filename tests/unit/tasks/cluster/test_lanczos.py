"""Compare the Lanczos method with LAPACK, and count its products beside those of ARPACK."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse.linalg
from numpy.typing import NDArray

from tasks.cluster.lanczos import largest_eigenpairs

Floats = NDArray[np.float64]


def with_values(values: Floats) -> Floats:
    """Return a symmetric matrix with these eigenvalues and random eigenvectors."""
    n = len(values)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(n, n)))[0]
    return (turn * values) @ turn.T


def counted(matrix: Floats) -> tuple[Callable[[Floats], Floats], list[int]]:
    """Return the product with a matrix, and a list that gets an entry for each."""
    calls = list[int]()

    def product(vector: Floats) -> Floats:
        calls.append(1)
        return matrix @ vector.ravel()

    return product, calls


CLUSTERED = np.concatenate([np.linspace(0.9, 1, 5), np.linspace(-0.2, 0.2, 295)])


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (CLUSTERED, 6),
        (np.linspace(0, 1, 400), 4),  # close everywhere: restarts many times
        (np.linspace(-1, 1, 12), 12),  # all there are
        (np.linspace(-1, 1, 30), 1),
        (np.concatenate([[1.0, 0.8], np.full(60, -0.01)]), 4),  # two vectors span all but a repeated eigenvalue
    ],
    ids=["clusters", "close", "all", "one", "repeated"],
)
def test_pairs_are_those_of_lapack(values: Floats, wanted: int) -> None:
    matrix = with_values(values)
    product, _ = counted(matrix)
    found, vectors = largest_eigenpairs(product, len(matrix), wanted)
    np.testing.assert_allclose(found, np.sort(values)[-wanted:], atol=2e-10)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(wanted), atol=1e-11)
    residuals = np.linalg.norm(matrix @ vectors - vectors * found, axis=0)
    assert residuals[1:].max(initial=0) < 1e-11 and residuals[0] < 1e-4


def test_takes_fewer_products_than_arpack() -> None:
    matrix = with_values(CLUSTERED)
    ours, our_calls = counted(matrix)
    largest_eigenpairs(ours, len(matrix), 6)
    theirs, their_calls = counted(matrix)
    operator = scipy.sparse.linalg.LinearOperator(matrix.shape, matvec=theirs, dtype=np.float64)  # pyright: ignore
    start = np.random.default_rng(0).normal(size=len(matrix))
    scipy.sparse.linalg.eigsh(operator, k=6, which="LA", v0=start, ncv=24, tol=1e-12)  # pyright: ignore
    assert len(our_calls) < 0.7 * len(their_calls)
