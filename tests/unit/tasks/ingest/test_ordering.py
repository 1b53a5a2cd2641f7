"""Test that images read in any order come out in that of their listing, with little on disk and nothing in memory."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ingest.ordering import Observation, Shelf, in_listing_order


def read(order: Sequence[int], unreadable: frozenset[int] = frozenset()) -> Iterator[Observation]:
    """Yield images of one colour, the colour being the position."""
    for position in order:
        image = None if position in unreadable else np.full((4, 4, 3), position, np.uint8)
        yield Observation(position, 10 * position, 7, image, "cut" if image is None else "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("waiting")


@given(order=st.permutations(range(12)), unreadable=st.frozensets(st.integers(0, 11)))
def test_any_order_becomes_that_of_the_listing(folder: Path, order: list[int], unreadable: frozenset[int]) -> None:
    found = list(in_listing_order(read(order, unreadable), folder))
    assert [one.position for one in found] == list(range(12))
    for one, expected in zip(found, read(range(12), unreadable), strict=True):
        assert (one.height, one.width, one.problem) == (expected.height, expected.width, expected.problem)
        np.testing.assert_equal(one.image, expected.image)
    assert list(folder.iterdir()) == []


def test_an_image_is_given_on_as_soon_as_it_is_due(tmp_path: Path) -> None:
    taken: list[int] = []

    def watched() -> Iterator[Observation]:
        for one in read([1, 0, 2, 3]):
            taken.append(one.position)
            yield one

    due = in_listing_order(watched(), tmp_path)
    assert next(due).position == 0 and taken == [1, 0]
    assert next(due).position == 1 and taken == [1, 0]
    assert next(due).position == 2 and taken == [1, 0, 2]


def test_places_on_disk_are_used_again() -> None:
    file = BytesIO()
    shelf, images = Shelf(file), [np.full((4, 4, 3), k, np.uint8) for k in range(100)]
    waiting = [shelf.put(images[0]), shelf.put(images[1])]
    for k in range(2, 100):
        np.testing.assert_array_equal(shelf.take(waiting.pop(0), (4, 4, 3)), images[k - 2])
        waiting.append(shelf.put(images[k]))
    assert len(file.getvalue()) == 2 * 48
