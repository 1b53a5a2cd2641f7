"""Test that the sheets of a workbook are read as the same table in a text file would be, and what is refused."""

from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import InputError
from tasks.sources.harvest_table import HarvestTable, find_harvests, read_harvest_table
from tasks.sources.text_tables import parse_date, read_table
from tasks.sources.workbooks import CONTAINER
from tests.support.workbooks import calculate, write_workbook

DAY = date(2024, 5, 1)


def read(path: Path, sheet: str | None = None) -> list[list[str]]:
    return [list(row.values()) for _, row in read_table(path, sheet).rows]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7.0, "7"),
        (7, "7"),
        (-3.0, "-3"),
        ("7.0", "7.0"),
        (" 007 ", "007"),
        (365001.25, "365001.25"),
        (0.1, "0.1"),
        (True, "True"),
        (DAY, "2024-05-01"),
        (datetime(2024, 5, 1, 14, 30), "2024-05-01 14:30:00"),
        (time(14, 30), "14:30:00"),
        ("01.05.2024", "01.05.2024"),
        (None, ""),
    ],
)
def test_cells_become_the_text_of_a_text_table(tmp_path: Path, value: Any, text: str) -> None:
    path = write_workbook(tmp_path / "t.xlsx", [["plant", "cell"], ["a", value]])
    assert read(path) == [["a", text]]


def test_zeros_that_a_number_is_shown_with_belong_to_an_id(tmp_path: Path) -> None:
    path = write_workbook(tmp_path / "t.xlsx", [["plant"], [7], [1234.0]])
    book = openpyxl.load_workbook(path)
    for cell in ("A2", "A3"):
        book["Table"][cell].number_format = "000"
    book.save(path)
    assert read(path) == [["007"], ["1234"]]


def test_empty_rows_and_columns_are_left_out_and_lines_are_those_of_the_sheet(tmp_path: Path) -> None:
    rows = [[], ["plant", None, "x", None], ["a", None, 1, None], [], ["b", None, 2, None], [None, None, None, ""]]
    table = read_table(write_workbook(tmp_path / "t.XLSX", rows))
    assert table.columns == ("plant", "x")
    assert table.rows == ((3, {"plant": "a", "x": "1"}), (5, {"plant": "b", "x": "2"}))


def test_a_sheet_is_named_where_there_are_several(tmp_path: Path) -> None:
    sheets = {"Empty": [], "May": [["plant"], ["a"]], "Notes": [["plant"], ["b"]]}
    assert read(write_workbook(tmp_path / "one.xlsx", sheets, hidden="Notes")) == [["a"]]
    path = write_workbook(tmp_path / "two.xlsx", sheets)
    assert read(path, "Notes") == [["b"]]
    with pytest.raises(InputError, match=r"two\.xlsx has the sheets May, Notes"):
        read(path)
    with pytest.raises(InputError, match="has the sheets Empty, May, Notes, and none named June"):
        read(path, "June")


def test_formulas_count_by_their_results(tmp_path: Path) -> None:
    path = write_workbook(tmp_path / "t.xlsx", [["plant", "x"], ["a", "=1+1"], ["b", '=""'], ["c", "=2/4"]])
    with pytest.raises(InputError, match=r"formulas without results: B2, B3, B4"):
        read(path)
    calculate(path, {"1+1": "2", '""': '""', "2/4": "0.5"})
    assert read(path) == [["a", "2"], ["b", ""], ["c", "0.5"]]


def test_a_cell_that_is_a_date_needs_no_format(tmp_path: Path) -> None:
    path = write_workbook(tmp_path / "t.xlsx", [["d"], [DAY], ["03.05.2024"], ["2024-05-01"]])
    cells = [cell for row in read(path) for cell in row]
    assert [parse_date(cell, "%d.%m.%Y") for cell in cells] == [DAY, date(2024, 5, 3), None]
    assert parse_date(cells[0], "%Y-%d-%m") == DAY, "a format with day and month exchanged is one of texts"


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.text("ab ,;\"'7.-é\n", max_size=4), min_size=3, max_size=3), min_size=1, max_size=4))
def test_a_workbook_is_read_like_the_text_table_with_its_cells(cells: list[list[str]]) -> None:
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in [["x", "y", "z"], *cells]]
    with TemporaryDirectory() as folder:
        (Path(folder) / "t.csv").write_text("\n".join(quoted))
        workbook = write_workbook(Path(folder) / "t.xlsx", [["x", "y", "z"], *cells])
        assert read(workbook) == read(Path(folder) / "t.csv")


def rows_of(*rows: list[Any], merged: str = "") -> Callable[[Path], Any]:
    return lambda path: write_workbook(path, [["plant", "x"], *rows], merged)


def cut(path: Path) -> None:
    path.write_bytes(rows_of(["a", 1])(path).read_bytes()[:-200])


def with_part_damaged(path: Path) -> None:
    """Write a workbook whose sheet is no XML, in a sound archive."""
    write_workbook(path, [["plant", "x"], ["a", 1]])
    calculate(path, {})
    content = path.read_bytes().replace(b"<sheetData>", b"<sheetDat<>")
    path.write_bytes(content)


TITLE: list[list[Any]] = [["Harvest 2024"], ["plant", "x"], ["a", 1], ["b", 2]]
REFUSED: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "missing": ("t.xlsx", lambda path: None, "cannot be read"),
    "folder": ("t.xlsx", Path.mkdir, "cannot be read"),
    "text": ("t.xlsx", lambda path: path.write_text("plant,x\na,1\n"), "cannot be read as a workbook.*save it again"),
    "empty": ("t.xlsx", lambda path: path.touch(), "cannot be read as a workbook"),
    "cut": ("t.xlsx", cut, "cannot be read as a workbook"),
    "damaged": ("t.xlsx", with_part_damaged, "cannot be read as a workbook"),
    "password": ("t.xlsx", lambda path: path.write_bytes(CONTAINER * 9), "has a password, or is an old workbook"),
    "old": ("t.xls", lambda path: path.write_bytes(b"\xd0\xcf\x11\xe0"), "a .xls spreadsheet.*save the table as .xlsx"),
    "OpenDocument": ("t.ods", lambda path: path.write_bytes(b"PK"), "is a .ods spreadsheet"),
    "no cells": ("t.xlsx", lambda path: write_workbook(path, []), "the sheets none with cells"),
    "title": ("t.xlsx", lambda path: write_workbook(path, TITLE), "row of one cell, 'Harvest 2024'.*remove titles"),
    "merged title": ("t.xlsx", lambda path: write_workbook(path, TITLE, "A1:B1"), "merged cells: A1:B1.*unmerge"),
    "merged plots": ("t.xlsx", rows_of(["a", 1], ["b", None], merged="B2:B3"), "merged cells: B2:B3"),
    "cell beyond the header": ("t.xlsx", rows_of(["a", 1, 3]), "line 2, has 3 cells for 2 columns"),
    "column named twice": ("t.xlsx", lambda path: write_workbook(path, [["x", "x"], [1, 2]]), "each once"),
    "error": ("t.xlsx", rows_of(["a", "#REF!"], ["#N/A", 1]), "cells with errors: B2 #REF!, A3 #N/A"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused(tmp_path: Path, case: str) -> None:
    name, spoil, message = REFUSED[case]
    spoil(tmp_path / name)
    with pytest.raises(InputError, match=f"(?s){message}") as caught:
        read_table(tmp_path / name)
    assert all((caught.value.found, caught.value.rule, caught.value.remedy))


def test_harvests_are_read_from_a_workbook(tmp_path: Path) -> None:
    rows = [["plant_id", "harvest_date"], [7.0, DAY], ["b", "never"], ["c", None]]
    write_workbook(tmp_path / "harvest.xlsx", rows)
    found = find_harvests(tmp_path, None, [DAY])
    (tmp_path / "harvest.csv").write_text("plant_id,harvest_date\n7,2024-05-01\nb,never\nc,\n")
    assert found.table == "harvest.xlsx" and find_harvests(tmp_path, None, [DAY]).table == "harvest.csv"
    assert found.harvests == find_harvests(tmp_path, None, [DAY]).harvests and set(found.harvests) == {"7", "b", "c"}
    write_workbook(tmp_path / "all.xlsx", {"2023": [["plant_id"], ["z"]], "2024": rows})
    named = read_harvest_table(tmp_path, HarvestTable(path="all.xlsx", sheet="2024"), [DAY])
    assert named.harvests == found.harvests
