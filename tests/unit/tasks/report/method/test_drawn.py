"""Test how rows of the dates of a fit are kept: by a case worked by hand."""

from typing import Any

from tasks.report.method.drawn import tally, untallied


def test_equal_rows_are_counted_in_the_order_in_which_they_first_come() -> None:
    rows: list[dict[str, Any]] = [{"label": label, "split": "test"} for label in (1, None, 1, 0, None, 1)]
    assert tally(rows) == [({"label": label, "split": "test"}, n) for label, n in ((1, 3), (None, 2), (0, 1))]
    found = untallied(tally(rows))
    assert [row["label"] for row in found] == [1, 1, 1, None, None, 0] and found[0] is found[2]
    assert tally([]) == [] == untallied([])
