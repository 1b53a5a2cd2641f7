"""Which table is one of harvests, by whose columns, and what about it is a question."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tasks.recognise.folder_files import Sheet
from tasks.recognise.harvests import HarvestFound, find_harvest_table
from tasks.recognise.keys import Key
from tasks.sources.harvest_table import HarvestTable, read_harvest_table
from tasks.sources.text_tables import read_table
from tests.support.first_field import write_lines

PLANTS = ["P-01", "P-02", "P-03", "P-04"]
DAYS = [date(2024, 6, 3), date(2024, 6, 10)]


def find(root: Path, own: str = "") -> HarvestFound | None:
    """Recognise the table of harvests among all tables of a folder."""
    tables = {Sheet(path.name): read_table(path) for path in sorted(root.iterdir())}
    return find_harvest_table(tables, PLANTS, DAYS, own)


def keys(root: Path) -> dict[str, Key]:
    found = find(root)
    assert found is not None
    return {key.name: key for key in found.keys}


def read(root: Path) -> dict[str, Any]:
    """Read the table with the recognised keys, as a source does."""
    values = {name: key.value for name, key in keys(root).items() if not key.is_open}
    return dict(read_harvest_table(root, HarvestTable.model_validate(values), DAYS).harvests)


def test_dates_are_read_as_recognised(tmp_path: Path) -> None:
    lines = ["P-01;4.6.2024", "P-02;never", "P-03;", "P-04;13.06.2024"]
    write_lines(tmp_path / "Ernte.csv", "Pflanze;geerntet am", *lines)
    found = keys(tmp_path)
    assert (found["plant_column"].value, found["harvest_column"].value) == ("Pflanze", "geerntet am")
    assert found["date_format"].value == "%d.%m.%Y" and not found["date_format"].is_question
    assert found["observed_until"].is_open and found["observed_until"].value == "2024-06-13"
    assert read(tmp_path)["P-01"].by == date(2024, 6, 4)


def test_day_and_month_that_cannot_be_told_apart(tmp_path: Path) -> None:
    """Both orders lie in the season: 4 or 5 June, 6 April or May."""
    write_lines(tmp_path / "a.csv", "plant,harvest", "P-01,04/06/2024", "P-02,05/06/2024")
    assert keys(tmp_path)["date_format"].is_question and keys(tmp_path)["date_format"].value == "%d/%m/%Y"
    assert keys(tmp_path)["date_format"].others == (("%m/%d/%Y", "fits too"),)


def test_the_season_tells_day_and_month_apart(tmp_path: Path) -> None:
    """In a season around August, 9 January is too early, and 1 September is not."""
    table = read_table(write_lines(tmp_path / "a.csv", "plant,harvest", "P-01,09/01/2024"))
    found = find_harvest_table({Sheet("a.csv"): table}, PLANTS, [date(2024, 8, 28)])
    assert found is not None
    (key,) = [key for key in found.keys if key.name == "date_format"]
    assert key.value == "%m/%d/%Y" and not key.is_question


def test_flags_at_visits(tmp_path: Path) -> None:
    rows = [f"{plant},{day},{flag}" for plant in PLANTS for day, flag in ((DAYS[0], "no"), (DAYS[1], "yes"))]
    write_lines(tmp_path / "visits.csv", "plant,visited,cut", *rows)
    found = keys(tmp_path)
    assert (found["flag_column"].value, found["visit_column"].value) == ("cut", "visited")
    assert "observed_until" not in found and read(tmp_path)["P-01"].by == DAYS[1]


def test_flags_without_a_telling_name_are_a_question(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.csv", "plant,day,ill", *(f"P-01,{day},no" for day in DAYS))
    assert keys(tmp_path)["flag_column"].is_question


def test_observations_of_a_person(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.csv", "plant,date,state ready", "P-01,2024-06-03,ready", "P-02,2024-06-03,not ready")
    found = keys(tmp_path)
    assert (found["ready_column"].value, found["visit_column"].value) == ("state ready", "date")
    assert "observed_until" not in found and not found["ready_column"].is_question


def test_names_that_are_written_differently_are_a_question(tmp_path: Path) -> None:
    write_lines(tmp_path / "cut.csv", "id,harvest", "p1,2024-06-04", "p2,2024-06-05", "P-03,2024-06-05", "x,")
    key = keys(tmp_path)["plant_column"]
    assert key.is_question and "p1 for P-01, p2 for P-02" in key.why
    found = find(tmp_path)
    assert found is not None and found.n_matched == 3 and "1 of its 4 plants" in found.said


def test_the_table_with_most_plants_is_taken_and_the_other_is_named(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.csv", "plant,harvest", "P-01,2024-06-04")
    write_lines(tmp_path / "b.csv", "plant,harvest", "P-01,2024-06-04", "P-02,2024-06-04")
    found = find(tmp_path)
    assert found is not None and (found.table.path, found.others) == ("b.csv", (Sheet("a.csv"),))


def test_dates_without_a_telling_name_are_a_question(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.csv", "plant,when,planted", "P-01,2024-06-04,2024-03-01", "P-02,2024-06-04,2024-03-01")
    key = keys(tmp_path)["harvest_column"]
    assert key.value == "when" and key.is_question


@pytest.mark.parametrize(
    "lines",
    [
        ("plant,planted on", "P-01,2024-03-04"),
        ("plant,harvest", "Q-01,2024-06-04"),
        ("plant,kilos", "P-01,3"),
        ("plant,harvest", "P-01,soon"),
        ("plant,ready", "P-01,yes", "P-02,no"),
    ],
)
def test_tables_that_are_none_of_harvests(tmp_path: Path, lines: tuple[str, ...]) -> None:
    write_lines(tmp_path / "a.csv", *lines)
    assert find(tmp_path) is None


def test_dates_in_the_table_of_plants_must_be_called_harvests(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.csv", "plant,surveyed", "P-01,2024-06-04")
    assert find(tmp_path) is not None and find(tmp_path, "a.csv") is None
