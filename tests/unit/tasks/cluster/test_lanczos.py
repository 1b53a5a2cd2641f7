"""Compare the Lanczos method with LAPACK, and count its products beside those of ARPACK."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse.linalg
from numpy.typing import NDArray

from storage.errors import InputError
from tasks.cluster.affinity import affinity_matrix
from tasks.cluster.lanczos import MOST_RESTARTS, largest_eigenpairs

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


@pytest.mark.parametrize("has_own", [False, True], ids=["zero diagonal", "ones"])
def test_values_as_small_as_rounding_take_no_restart(has_own: bool) -> None:
    """Affinities that are all but equal have one large eigenvalue; the others differ by 1e-12 and less."""
    coordinates = np.random.default_rng(0).normal(size=(600, 20))
    affinity = affinity_matrix(coordinates, "sigma", 1e6) + has_own * np.eye(600)
    root = 1 / np.sqrt(affinity.sum(axis=1))
    matrix = root[:, None] * affinity * root
    product, calls = counted(matrix)
    found, vectors = largest_eigenpairs(product, 600, 6)
    assert len(calls) <= 48
    np.testing.assert_allclose(found, np.linalg.eigvalsh(matrix)[-6:], atol=1e-13)
    assert np.linalg.norm(matrix @ vectors - vectors * found, axis=0).max() < 1e-13


def crowded(n: int, power: int) -> Floats:
    """Return eigenvalues that crowd below 1, more closely with a larger power."""
    return 1 - (np.arange(n) / n) ** power


def test_close_values_are_exact_up_to_the_last_restarts() -> None:
    values = crowded(300, 3)  # 1 is 4e-8 from the next
    product, calls = counted(np.diag(values))
    found, vectors = largest_eigenpairs(product, 300, 4)
    assert 300 < len(calls) / 20 < MOST_RESTARTS
    inverse = scipy.sparse.diags_array(values, format="csc")
    theirs = scipy.sparse.linalg.eigsh(inverse, k=4, sigma=1.001, which="LM", v0=np.ones(300))[0]  # pyright: ignore
    np.testing.assert_allclose(found, np.sort(theirs), atol=1e-12)
    np.testing.assert_allclose(np.abs(vectors[:3, 1:]), np.eye(3)[:, ::-1], atol=1e-4)


def test_values_that_are_too_close_are_refused() -> None:
    product, calls = counted(np.diag(crowded(200, 4)))
    with pytest.raises(InputError, match=r"not exact after 500 restarts.*only \de-\d\d apart") as caught:
        largest_eigenpairs(product, 200, 4)
    assert "raise cluster.scale" in caught.value.remedy
    assert len(calls) == 20 * (MOST_RESTARTS + 2)
