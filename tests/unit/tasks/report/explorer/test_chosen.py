"""Test which images the plant explorer shows."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.report.explorer.chosen import evenly, sheet_sizes, shown_sheets


@pytest.mark.parametrize(
    ("n", "limit", "expected"),
    [(3, 3, [0, 1, 2]), (2, 9, [0, 1]), (0, 4, []), (10, 5, [0, 2, 4, 6, 8]), (10, 4, [0, 2, 5, 7]), (7, 1, [0])],
)
def test_positions_at_equal_distances(n: int, limit: int, expected: list[int]) -> None:
    assert evenly(n, limit).tolist() == expected


def test_no_position_comes_twice_and_gaps_differ_by_one_at_most() -> None:
    gaps = np.diff(evenly(98_765, 10_000))
    assert len(gaps) == 9_999 and set(gaps.tolist()) == {9, 10}


@pytest.mark.parametrize(("n", "sizes"), [(0, []), (99, [99]), (100, [100]), (201, [100, 100, 1])])
def test_a_sheet_holds_a_hundred(n: int, sizes: list[int]) -> None:
    assert sheet_sizes(n).tolist() == sizes


def shown(counts: list[int], n_bytes: int = 0, most_bytes: int = 1) -> list[NDArray[np.int64]]:
    sizes = [sheet_sizes(n) for n in counts]
    return shown_sheets(sizes, [one * n_bytes for one in sizes], 10_000, most_bytes)


def test_all_sheets_are_shown_where_they_fit() -> None:
    assert [len(one) for one in shown([5_000, 4_000, 950, 50])] == [50, 40, 10, 1]


def test_every_date_has_the_same_share_and_its_most_novel_images() -> None:
    found = shown([20_000, 8_000, 30])
    assert [len(one) for one in found] == [70, 28, 1]  # 35 of 100; 36 would be too many
    assert all(one[0] == 0 for one in found) and set(np.diff(found[0]).tolist()) == {2, 3}


def test_pictures_that_are_too_large_together_leave_sheets_out() -> None:
    assert [len(one) for one in shown([1_000, 1_000], n_bytes=10, most_bytes=10_000)] == [5, 5]


def test_each_of_very_many_dates_has_a_sheet() -> None:
    assert [len(one) for one in shown([200] * 150)] == [1] * 150
