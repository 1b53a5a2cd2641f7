"""Test the eight symmetries of the square against numpy, and the seeded change of brightness."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasks.classify.changes import N_SYMMETRIES, NO_CHANGE, apply_symmetry, photometric_change

SQUARE = np.arange(3 * 4 * 4, dtype=np.float32).reshape(3, 4, 4)  # no two pixels are equal


def images_of(pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [apply_symmetry(torch.from_numpy(pixels), s).numpy() for s in range(N_SYMMETRIES)]


def number_of(pixels: NDArray[np.float32]) -> int:
    """Return the number of the symmetry that turns SQUARE into these pixels."""
    (found,) = [s for s, image in enumerate(images_of(SQUARE)) if np.array_equal(image, pixels)]
    return found


@pytest.mark.parametrize("symmetry", range(N_SYMMETRIES))
def test_a_symmetry_is_quarter_turns_and_then_a_flip(symmetry: int) -> None:
    planes = [np.rot90(plane, symmetry % 4) for plane in SQUARE]
    expected = np.stack([np.fliplr(plane) if symmetry >= 4 else plane for plane in planes])
    assert np.array_equal(images_of(SQUARE)[symmetry], expected)


def test_the_identity_comes_first() -> None:
    assert np.array_equal(images_of(SQUARE)[0], SQUARE)


def test_the_symmetries_are_a_group_of_eight() -> None:
    table = np.asarray([[number_of(image) for image in images_of(first)] for first in images_of(SQUARE)])
    everything = list(range(N_SYMMETRIES))
    # A group's table is a Latin square: every element once in every row and column, so every one has an inverse.
    assert [sorted(row) for row in table.tolist()] == [everything] * N_SYMMETRIES
    assert [sorted(column) for column in table.T.tolist()] == [everything] * N_SYMMETRIES
    assert (table != table.T).any()  # turning and flipping do not commute


def test_an_image_that_is_not_square_changes_its_sides_on_odd_turns() -> None:
    wide = torch.zeros(2, 3, 5, 7)
    shapes = [tuple(apply_symmetry(wide, s).shape[-2:]) for s in range(N_SYMMETRIES)]
    assert shapes == [(5, 7), (7, 5)] * 4


@given(seed=st.integers(0, 2**31 - 1))
def test_a_photometric_change_is_small_and_its_seed_decides(seed: int) -> None:
    gain, offset = photometric_change(seed)
    assert 0.85 <= gain <= 1.15 and -0.08 <= offset <= 0.08
    assert photometric_change(seed) == (gain, offset)


def test_photometric_changes_differ_and_fill_their_range() -> None:
    changes = np.asarray([photometric_change(seed) for seed in range(400)])
    assert len(np.unique(changes, axis=0)) == 400
    assert (changes.min(axis=0) < [0.86, -0.075]).all() and (changes.max(axis=0) > [1.14, 0.075]).all()


def test_no_change_is_the_identity() -> None:
    assert photometric_change(NO_CHANGE) == photometric_change(-1) == (1.0, 0.0)
