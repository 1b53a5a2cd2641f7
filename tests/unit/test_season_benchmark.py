"""Test what the benchmark of a season says of its dates, and how it counts bytes."""

import os
from pathlib import Path

from tests.benchmarks.season import Measured, disk_bytes, season_table


def test_a_file_with_two_links_counts_once(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a").write_bytes(bytes(1000))
    (tmp_path / "b").write_bytes(bytes(30))
    os.link(tmp_path / "one" / "a", tmp_path / "linked")
    assert disk_bytes(tmp_path) == 1030


def test_the_table_has_the_means_of_each_fit_and_the_sizes_at_its_last_date() -> None:
    found = [
        Measured(number, own, float(number), 2.0 * number, 1.0, number * 10**6, kept, 3 * 10**6, 4 * 10**6)
        for number, own, kept in ((3, 2, None), (4, 2, 2 * 10**6), (5, 4, 10**6))
    ]
    columns = [list(column.cells) for column in season_table(found).columns]
    assert list(zip(*columns, strict=True)) == [
        ("3-4", "2", "3.50", "7.00", "1.00", "3.0", "4.0", "2.0", "4.0"),
        ("5-5", "4", "5.00", "10.00", "1.00", "3.0", "5.0", "1.0", "4.0"),
    ]
