"""Fill in exported files as people do, and read what they wrote."""

import csv
import io
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pyogrio
import pytest

from storage.artifacts import Recipe, Store
from storage.errors import InputError
from storage.published.sheets import write_workbook
from storage.published.walks import write_walk
from tasks.export.entries import Entries, read_entries
from tests.support.local_stores import local
from tests.unit.storage.published.test_geodata import FORM, LOOKS, ROWS, origin, written
from tests.unit.storage.published.test_walks import ODD, PLANTS

DAY = date(2021, 8, 23)
FILLED = {"2021_Ref_Plot2_E18": "yes", "=1+1": "no"}  # what was found, by plant
WHEN = "2021-09-03 14:30:00"


def read(path: Path, campaign: str = "field2", day: date = DAY) -> Entries:
    return read_entries(path, FORM, campaign, day)


def exported(folder: Path, decimal: Any = "point") -> dict[str, Path]:
    """Export the plants, and return the files by name."""
    store, recipe = Store(folder), Recipe("decisions", 1, {})
    with store.create(recipe) as draft:
        write_walk(draft, PLANTS, {}, origin(), decimal, FORM)
        write_workbook(draft, PLANTS, origin(), {name: look.colour for name, look in LOOKS.items()}, FORM)
    artifact = store.open(recipe.ref)
    return {name: local(artifact.file(name)) for name in artifact.manifest.files}


def fill_csv(path: Path, to: Path, separator: str, plant: str) -> Path:
    """Fill in a CSV as a spreadsheet program does that keeps texts and writes every cell again."""
    rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig")), delimiter=separator))
    for row in rows:
        row["checked_ready"] = FILLED.get(row[plant].removeprefix("'"), "")
        row["remark"] = "muddy; wet" if row["checked_ready"] else ""
    return write_csv(to, rows, separator)


def write_csv(path: Path, rows: Iterable[dict[str, Any]], separator: str = ",") -> Path:
    listed = list(rows)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(listed[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(listed)
    return path


def fill_workbook(path: Path, to: Path) -> Path:
    book = openpyxl.load_workbook(path)
    page: Any = book["Walk"]
    columns = {cell.value: cell.column for cell in page[1]}
    for row in range(2, page.max_row + 1):
        if found := FILLED.get(page.cell(row, columns["plant"]).value):
            page.cell(row, columns["checked_ready"]).value = found
            page.cell(row, columns["checked_at"]).value = pd.Timestamp(WHEN).to_pydatetime()
            page.cell(row, columns["remark"]).value = "muddy; wet"
    book.save(to)
    return to


def fill_geopackage(folder: Path, to: Path, layer: str = "decisions") -> Path:
    """Write the layer again as GDAL does, with two plants filled in."""
    frame: Any = pyogrio.read_dataframe(written(folder, ROWS).file("decisions.gpkg"), layer="decisions")
    is_filled = frame["plant_id"].isin(list(FILLED))
    frame["checked_ready"] = frame["plant_id"].map(FILLED)
    frame["checked_at"] = pd.Series([pd.Timestamp(WHEN)] * len(frame)).where(is_filled)
    frame["remark"] = pd.Series(["muddy; wet"] * len(frame)).where(is_filled)
    pyogrio.write_dataframe(frame, to, layer=layer, driver="GPKG")
    return to


def check(entries: Entries, n_blank: int, at: str, word: str) -> None:
    assert {entry.plant_id: entry.found for entry in entries.rows} == FILLED
    assert entries.n_blank == n_blank and entries.n_remarks == 0
    for entry in entries.rows:
        assert (entry.checked_by, entry.remark) == ("", "muddy; wet") and entry.where.startswith(f"{word} ")
        assert entry.checked_at.replace("T", " ").startswith(at) and bool(entry.checked_at) == bool(at)


@pytest.mark.parametrize(("decimal", "separator"), [("point", ","), ("comma", ";")])
def test_a_short_list_comes_back(tmp_path: Path, decimal: str, separator: str) -> None:
    """The plant `=1+1` has an apostrophe before it in the CSV, and none in its id."""
    path = exported(tmp_path / "store", decimal)["walk.csv"]
    entries = read(fill_csv(path, tmp_path / "walk.csv", separator, "plant"))
    check(entries, len(PLANTS) - 2, "", "line")
    assert [entry.where for entry in entries.rows] == ["line 2", "line 4"]


def test_the_long_list_comes_back(tmp_path: Path) -> None:
    path = local(written(tmp_path / "store", ROWS).file("decisions.csv"))
    check(read(fill_csv(path, tmp_path / "all.csv", ",", "plant_id")), len(ROWS) - 2, "", "line")


def test_a_workbook_comes_back(tmp_path: Path) -> None:
    path = exported(tmp_path / "store")["decisions.xlsx"]
    check(read(fill_workbook(path, tmp_path / "sheet.xlsx")), len(PLANTS) - 2, WHEN, "row")


def test_a_geopackage_comes_back(tmp_path: Path) -> None:
    entries = read(fill_geopackage(tmp_path / "store", tmp_path / "map.gpkg"))
    check(entries, len(ROWS) - 2, WHEN, "feature")


def form(found: str, **changes: str) -> dict[str, str]:
    """Return a row as the form of the page saves it."""
    row = {"campaign": "field2", "date": "2021-08-23", "plant_id": "a", "decision": "check", "checked_ready": found}
    return {**row, "checked_by": "Ada", "checked_at": "2021-09-03T14:30:00+02:00", "remark": "", **changes}


def test_a_form_of_the_page_comes_back(tmp_path: Path) -> None:
    (entry,) = read(write_csv(tmp_path / "form.csv", [form("yes")])).rows
    assert (entry.plant_id, entry.found, entry.checked_by) == ("a", "yes", "Ada")
    assert entry.checked_at == "2021-09-03T14:30:00+02:00"


def test_rows_that_say_nothing_are_counted(tmp_path: Path) -> None:
    rows = [form("yes"), form(""), form(" ", remark="gone"), form("no", plant_id="b")]
    found = read(write_csv(tmp_path / "form.csv", rows))
    assert (len(found.rows), found.n_blank, found.n_remarks) == (2, 2, 1)


@pytest.mark.parametrize("day", ["2021-08-23", "2021-08-23 00:00:00", "23.08.2021", "23/08/2021", "8/23/2021", ""])
def test_the_date_may_be_written_as_spreadsheets_do(tmp_path: Path, day: str) -> None:
    assert len(read(write_csv(tmp_path / "form.csv", [form("yes", date=day)])).rows) == 1


def test_an_apostrophe_that_no_spreadsheet_needs_belongs_to_the_text(tmp_path: Path) -> None:
    rows = [form("yes", plant_id=plant) for plant in ("'a", "'007", "''b", ODD)]
    ids = [entry.plant_id for entry in read(write_csv(tmp_path / "form.csv", rows)).rows]
    assert ids == ["'a", "007", "'b", ODD]


def saved(content: bytes, name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "another campaign": (
        lambda at: write_csv(at / "f.csv", [form("yes"), form("no", campaign="x")]),
        "line 3, is of x",
    ),
    "another date": (lambda at: write_csv(at / "f.csv", [form("yes", date="2021-08-24")]), "the date 2021-08-24"),
    "no date": (lambda at: write_csv(at / "f.csv", [form("yes", date="soon")]), "the date soon"),
    "no entry": (lambda at: write_csv(at / "f.csv", [form(""), form("")]), "2 rows, and none with an entry"),
    "no plant": (lambda at: write_csv(at / "f.csv", [{"checked_ready": "yes", "x": "1"}]), "columns checked_ready, x"),
    "nothing found": (
        lambda at: write_csv(at / "f.csv", [{"plant": "a", "checked_class": "yes"}]),
        "plant, checked_class",
    ),
    "no rows": (saved(b"plant,checked_ready\n", "f.csv"), "has the columns none"),
    "empty": (saved(b"", "f.csv"), "begins with the cells none"),
    "another kind": (saved(b"{}", "f.geojson"), r"a file of the kind \.geojson"),
    "no suffix": (saved(b"{}", "f"), "a file of the kind none"),
    "old workbook": (saved(b"", "f.xls"), r"is a \.xls spreadsheet|kind \.xls"),
    "damaged workbook": (saved(b"PK", "f.xlsx"), "cannot be read as a workbook"),
    "damaged map": (saved(b"SQLite format 3\0", "f.gpkg"), "cannot be read as a GeoPackage"),
    "another layer": (lambda at: fill_geopackage(at / "s", at / "f.gpkg", "places"), "has the layers places"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_what_people_found_is_refused(tmp_path: Path, case: str) -> None:
    write, said = REFUSED[case]
    with pytest.raises(InputError, match=said):
        read(write(tmp_path))
