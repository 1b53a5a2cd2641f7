"""Tests of the distance between plants."""

import numpy as np
import pytest

from tasks.sources.field.spacing import FEWEST, plant_spacing


def grid(rows: int, columns: int, east: float, north: float) -> tuple[np.ndarray, np.ndarray]:
    """Return positions of plants in rows, in the order of the rows."""
    y, x = np.mgrid[:rows, :columns]
    return 365000 + east * x.ravel(), 5615000 + north * y.ravel()


def test_the_spacing_is_the_distance_in_the_row_where_rows_stand_further_apart() -> None:
    assert plant_spacing(*grid(6, 10, east=0.45, north=0.75)) == 0.45


@pytest.mark.parametrize("angle", [0.3, 1.0])
def test_the_spacing_does_not_depend_on_the_rows_direction_or_the_order_of_plants(angle: float) -> None:
    x, y = grid(6, 10, east=0.45, north=0.75)
    order = np.random.default_rng(0).permutation(len(x))
    turned = np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y
    assert plant_spacing(turned[0][order], turned[1][order]) == 0.45


def test_gaps_a_weed_and_a_plant_that_was_found_twice_do_not_change_the_spacing() -> None:
    x, y = grid(10, 10, east=0.5, north=0.7)
    kept = np.delete(np.arange(100), [3, 17, 44, 45, 46, 80])
    found = np.append(x[kept], [x[0] + 0.2, x[50]]), np.append(y[kept], [y[0] + 0.1, y[50] + 0.01])
    assert plant_spacing(*found) == 0.5


def test_digits_beyond_the_second_do_not_count() -> None:
    assert plant_spacing(*grid(5, 5, east=0.4513, north=0.8)) == 0.45
    assert plant_spacing(*grid(5, 5, east=12.34, north=20)) == 12


def test_too_few_plants_have_no_spacing() -> None:
    x, y = grid(1, FEWEST, east=0.5, north=1)
    assert plant_spacing(x, y) == 0.5
    assert plant_spacing(x[1:], y[1:]) is None
    assert plant_spacing(x[:0], y[:0]) is None


def test_plants_that_stand_at_random_have_no_spacing() -> None:
    east, north = np.random.default_rng(1).uniform(0, 50, (2, 500))
    assert plant_spacing(east, north) is None


def test_plants_that_lie_on_one_another_have_no_spacing() -> None:
    x, y = grid(5, 5, east=0.5, north=0.5)
    assert plant_spacing(np.tile(x, 2), np.tile(y, 2)) is None
