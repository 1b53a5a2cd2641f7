"""Test which images the plant explorer shows."""

import numpy as np
import pytest

from tasks.report.explorer.chosen import Explained, evenly


@pytest.mark.parametrize(
    ("n", "limit", "expected"),
    [(3, 3, [0, 1, 2]), (2, 9, [0, 1]), (0, 4, []), (10, 5, [0, 2, 4, 6, 8]), (10, 4, [0, 2, 5, 7]), (7, 1, [0])],
)
def test_positions_at_equal_distances(n: int, limit: int, expected: list[int]) -> None:
    assert evenly(n, limit).tolist() == expected


def test_no_position_comes_twice_and_gaps_differ_by_one_at_most() -> None:
    gaps = np.diff(evenly(98_765, 10_000))
    assert len(gaps) == 9_999 and set(gaps.tolist()) == {9, 10}


def test_some_images_keep_their_values_together() -> None:
    images = Explained(np.arange(3), np.arange(3) * 10, ["a", "b", "c"], ["val", "test", "new"], np.arange(3) / 4)
    some = images[np.asarray([2, 0])]
    assert (some.plants, some.splits, len(some)) == (["c", "a"], ["new", "val"], 2)
    assert (some.day.tolist(), some.row.tolist(), some.novelty.tolist()) == ([2, 0], [20, 0], [0.5, 0.0])
