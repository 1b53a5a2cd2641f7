"""Open a date's workbook with openpyxl and with an XML parser: its sheets, looks, print set-up and texts."""

import io
from datetime import date, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml
from zipfile import ZipFile

import openpyxl
import pytest

from storage.artifacts import Artifact, Recipe, Store
from storage.published import sheets
from storage.published.decisions import DECISIONS
from storage.published.sheets import write_workbook
from storage.published.walks import WALK
from storage.published.workbooks import Sheet, SheetColumn, to_workbook
from tests.unit.storage.published.test_geodata import BLANK, CRS, FORM, LOOKS, origin
from tests.unit.storage.published.test_walks import ODD, PLANTS, degrees

COLOURS = {name: look.colour for name, look in LOOKS.items()}
MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
REST = ["field2", datetime(2021, 8, 23), *BLANK.values()]  # last cells of every row of the short list
LEAST_CONTRAST = 4.5  # of black text on a ground, for people with weak eyes (WCAG 2.2, 1.4.3)


def written(folder: Path, plants: list[dict[str, Any]]) -> Artifact:
    store, recipe = Store(folder), Recipe("decisions", 1, {})
    with store.create(recipe) as draft:
        write_workbook(draft, plants, origin(), COLOURS, FORM)
    return store.open(recipe.ref)


def opened(content: bytes) -> Any:
    return openpyxl.load_workbook(io.BytesIO(content))


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return written(tmp_path_factory.mktemp("store"), PLANTS)


@pytest.fixture(scope="module")
def book(artifact: Artifact) -> Any:
    return opened(artifact.read_bytes("decisions.xlsx"))


def values(page: Any) -> list[list[Any]]:
    return [[cell.value for cell in row] for row in page.iter_rows()]


def test_the_first_sheet_is_the_short_list(book: Any) -> None:
    assert book.sheetnames == ["Walk", "Details", "About"]
    heading, *rows = values(book["Walk"])
    assert heading == [column.name for column in FORM.added_to(WALK).columns]
    ((x, y),) = degrees([365_000.0])
    assert rows[0] == ["2021_Ref_Plot2_E18", "2", "E", 18, "harvest", 0.99, None, f"{y:.7f} N, {x:.7f} E", *REST]
    assert rows[3] == ["nowhere", None, None, None, "check", 0.33, "unsure", None, *REST]
    assert [row[0] for row in rows] == ["2021_Ref_Plot2_E18", ODD, "=1+1", "nowhere", "kept"]
    assert [cell.number_format for cell in book["Walk"][2]][:6] == ["@", "@", "@", "0", "@", "0.00"]


def test_the_short_list_is_filled_in_from_a_list_of_words(book: Any) -> None:
    """Openpyxl reads the rule of Excel; `harvest checked` reads campaign and date, which are not printed."""
    (offered,) = book["Walk"].data_validations.dataValidation
    assert (offered.type, offered.formula1, offered.allowBlank, offered.showErrorMessage) == (
        "list",
        '"yes,no"',
        True,
        True,
    )
    headings = {cell.value: cell.column_letter for cell in book["Walk"][1]}
    letter = headings["checked_ready"]
    assert str(offered.sqref) == f"{letter}2:{letter}{len(PLANTS) + 1}"
    columns = book["Walk"].column_dimensions
    assert [name for name, one in headings.items() if columns[one].hidden] == ["campaign", "date"]
    assert columns[headings["checked_at"]].number_format == "yyyy-mm-dd hh:mm"
    assert book["Details"].data_validations.dataValidation == []


@pytest.mark.parametrize(
    ("choices", "is_offered"),
    [
        (("scab", "rot"), True),
        (("a, b", "c"), False),
        (('5"', "c"), False),
        (("a" * 200, "b" * 60), False),
    ],
)
def test_words_that_a_list_cannot_hold_are_not_offered(choices: tuple[str, ...], is_offered: bool) -> None:
    """Excel separates choices by commas, ends them by a quotation mark, and reads 255 characters of them."""
    page = Sheet("s", [SheetColumn("h", "@", choices=choices)], [["x"]])
    book = opened(to_workbook([page], origin().notes, date(2021, 8, 23)))
    assert [one.formula1 for one in book["s"].data_validations.dataValidation] == ['"scab,rot"'] * is_offered


def test_the_second_sheet_has_every_column_under_a_heading_with_its_unit(book: Any) -> None:
    heading, *rows = values(book["Details"])
    assert heading[:3] == ["campaign", "date", "method"]
    assert {"ready probability (0..1)", "easting (m)", "is corrected"} <= set(heading)
    for row, plant in zip(rows, PLANTS, strict=True):
        found = dict(zip((column.name for column in DECISIONS.columns), row, strict=True))
        assert found.pop("date") == datetime(2021, 8, 23)
        assert found == {name: plant[name] or None if plant[name] == "" else plant[name] for name in found}
    formats = dict(zip(heading, (cell.number_format for cell in book["Details"][2]), strict=True))
    assert formats["ready probability (0..1)"] == "0.000" and formats["easting (m)"] == "0.00"
    assert formats["date"] == "yyyy-mm-dd"


def test_the_third_sheet_says_whose_it_is_and_what_columns_mean(book: Any) -> None:
    heading, *rows = values(book["About"])
    assert heading == ["part", "name", "unit", "meaning"]
    said = {(part, name): (unit, meaning) for part, name, unit, meaning in rows}
    assert len(said) == len(rows) == 7 + len(WALK.columns) + len(FORM.columns) + len(DECISIONS.columns)
    assert said["File", "campaign"] == (None, "field2") and said["File", "acquisition date"] == (None, "2021-08-23")
    assert said["File", "coordinate reference system of easting and northing"][1] == CRS
    assert said["File", "saliency method"][1] == "a method" and said["File", "explained plants"][1] == "5"
    assert said["File", "what is promised"][1].startswith("At least 85 of 100")
    assert said["File", "licence of the images"][1] == "CC BY 4.0, Röschen & Co"
    assert said["Walk", "probability"] == ("0..1", WALK.columns[5].meaning)
    assert said["Details", "easting (m)"][0] == "m"


def test_headers_stay_in_view_and_can_be_filtered(book: Any) -> None:
    for page in book:
        assert page.freeze_panes == "A2" and page.auto_filter.ref == page.dimensions
        assert all(8 <= one.width <= 60 for one in page.column_dimensions.values())
    assert book["Walk"].column_dimensions["A"].width > len("2021_Ref_Plot2_E18")


def test_it_prints_on_one_page_across_with_the_header_on_every_page(book: Any) -> None:
    for page in book:
        assert page.page_setup.orientation == "landscape" and page.sheet_properties.pageSetUpPr.fitToPage
        assert (page.page_setup.fitToWidth, page.page_setup.fitToHeight) == (1, 0)
        assert page.print_title_rows == "$1:$1" and page.oddHeader.left.text.startswith("field2 2021-08-23")


def test_decisions_have_the_hue_of_the_report_under_readable_text(book: Any) -> None:
    grounds = {cell.value: cell.fill.start_color.rgb[-6:] for cell in book["Walk"]["E"][1:]}
    for word, ground in grounds.items():
        mixed, full = ([int(text[i : i + 2], 16) for i in (0, 2, 4)] for text in (ground, COLOURS[word][1:]))
        lost = [255 - part for part in mixed]
        assert lost == pytest.approx([0.35 * (255 - part) for part in full], abs=1)
        linear = [(part / 255 / 12.92, ((part / 255 + 0.055) / 1.055) ** 2.4)[part > 10] for part in mixed]
        luminance = sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
        assert (luminance + 0.05) / 0.05 > LEAST_CONTRAST
    assert len(set(grounds.values())) == 3
    assert {cell.fill.fill_type for cell in book["Walk"]["A"]} == {None}


@pytest.mark.parametrize("text", ["=1+1", "+49", "-7", "@x", "#N/A", "007", "1e5", "TRUE", "2021-08-23", "'a", "="])
def test_no_text_becomes_a_formula_a_number_or_an_error(text: str) -> None:
    """Look at the XML of the sheet: every cell of the column must be an inline text, with no formula beside it."""
    content = to_workbook([Sheet("s", [SheetColumn(text, "@")], [[text]])], origin().notes, date(2021, 8, 23))
    with ZipFile(io.BytesIO(content)) as parts:
        root = Xml.fromstring(parts.read("xl/worksheets/sheet1.xml"))
    cells = list(root.iter(f"{MAIN}c"))
    assert [cell.get("t") for cell in cells] == ["inlineStr"] * 2 and root.find(f".//{MAIN}f") is None
    assert [cell.findtext(f"{MAIN}is/{MAIN}t") for cell in cells] == [text] * 2
    assert {cell.number_format for (cell,) in opened(content)["s"].iter_rows()} == {"@"}


@pytest.mark.parametrize(
    ("text", "kept"), [("a\x00b\x0b", "ab"), ("a\ufffeb", "ab"), (" a ", " a "), ("a\nb", "a\nb"), ("ü€😀", "ü€😀")]
)
def test_characters_that_xml_forbids_are_left_out(text: str, kept: str) -> None:
    content = to_workbook([Sheet("s", [SheetColumn("h", "@")], [[text]])], origin().notes, date(2021, 8, 23))
    assert opened(content)["s"]["A2"].value == kept


def test_equal_plants_are_equal_bytes_without_the_time_of_writing(artifact: Artifact, tmp_path: Path) -> None:
    content = artifact.read_bytes("decisions.xlsx")
    assert written(tmp_path, PLANTS).read_bytes("decisions.xlsx") == content
    with ZipFile(io.BytesIO(content)) as parts:
        assert {part.date_time for part in parts.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    properties = opened(content).properties
    assert properties.created == properties.modified == datetime(2021, 8, 23)
    assert (properties.title, properties.creator) == ("field2 2021-08-23 a method", "harvest-reliability")


def test_without_plants_the_sheets_are_headers(tmp_path: Path) -> None:
    book = opened(written(tmp_path, []).read_bytes("decisions.xlsx"))
    assert [page.max_row for page in book][:2] == [1, 1]


def test_too_many_plants_get_no_workbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MOST_ROWS", len(PLANTS) - 1)
    made = written(tmp_path, PLANTS)
    assert list(made.manifest.files) == [] and made.summary == {"n_without_workbook": len(PLANTS)}
