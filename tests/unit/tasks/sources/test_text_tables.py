"""Test the one reader of text tables, alone and in every table that a source reads."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import InputError
from tasks.sources.growliflower.coordinates import (
    PixelCoordinate,
    SplitPlant,
    read_pixel_coordinates,
    read_split_files,
)
from tasks.sources.harvest_table import HarvestTable, read_harvest_table
from tasks.sources.text_tables import find_delimiter, read_table, to_number

DAYS = (date(2021, 8, 23), date(2021, 9, 3))
PLANT, OTHER = "2021_Ref_Plot1_A1", "2021_Ref_Plot1_A2"


def write(folder: Path, text: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rows(folder: Path, text: str | bytes) -> list[dict[str, str]]:
    return [row for _, row in read_table(write(folder, text)).rows]


WRITINGS = {
    "comma": "plant_id,harvest_date\nA,1\nB,\n",
    "semicolon": "plant_id;harvest_date\nA;1\nB;\n",
    "tab": "plant_id\tharvest_date\nA\t1\nB\t\n",
    "bar": "plant_id|harvest_date\nA|1\nB|\n",
    "spaces around cells": " plant_id , harvest_date \n A , 1 \n B ,  \n",
    "quotes": '"plant_id","harvest_date"\n"A","1"\n"B",""\n',
    "quotes with semicolons": '"plant_id";"harvest_date"\n"A";"1"\n"B";""\n',
    "two trailing columns": "plant_id;harvest_date;;\nA;1;;\nB;;;\n",
    "trailing columns in the header alone": "plant_id,harvest_date,,\nA,1\nB,\n",
    "trailing columns in rows alone": "plant_id,harvest_date\nA,1,,\nB,,,\n",
    "empty column between": "plant_id,,harvest_date\nA,,1\nB,,\n",
    "numbering without a name": ",plant_id,harvest_date\n0,A,1\n1,B,\n",
    "empty rows": "\n\nplant_id,harvest_date\n\nA,1\n,\n,,,\nB,\n\n",
    "byte order mark": b"\xef\xbb\xbfplant_id,harvest_date\nA,1\nB,\n",
    "line ends of Windows": "plant_id,harvest_date\r\nA,1\r\nB,\r\n",
    "line ends of old Macs": "plant_id,harvest_date\rA,1\rB,\r",
    "no line end": "plant_id,harvest_date\nA,1\nB,",
    "separator line of Excel": "sep=;\nplant_id;harvest_date\nA;1\nB;\n",
    "separator in a quoted name": '"plant_id",harvest_date,"a;b;c;d"\nA,1,\nB,,\n',
}


class TestReadTable:
    @pytest.mark.parametrize("writing", WRITINGS)
    def test_one_table_in_many_writings(self, tmp_path: Path, writing: str) -> None:
        found = rows(tmp_path, WRITINGS[writing])
        kept = [{name: row[name] for name in ("plant_id", "harvest_date")} for row in found]
        assert kept == [{"plant_id": "A", "harvest_date": "1"}, {"plant_id": "B", "harvest_date": ""}]

    @pytest.mark.parametrize(
        "plant", ["0x10", "1e5", "007", "1.0", "1_000", "TRUE", "NaN", "null", "+5", "1-2", "é", "="]
    )
    def test_ids_stay_text(self, tmp_path: Path, plant: str) -> None:
        assert rows(tmp_path, f"plant_id,x\n{plant},1\n")[0]["plant_id"] == plant

    def test_cells_hold_separators_quotes_and_line_ends(self, tmp_path: Path) -> None:
        text = 'plant_id,note\nA,"5 "" thick, soft"\nB,"two\nlines"\nC,6" wide\n'
        found = read_table(write(tmp_path, text)).rows
        assert [row["note"] for _, row in found] == ['5 " thick, soft', "two\nlines", '6" wide']
        assert [line for line, _ in found] == [2, 4, 5]

    @pytest.mark.parametrize("between", ["\u2028", "\x85", "\x0b", "\x1c"])
    def test_only_line_ends_end_lines(self, tmp_path: Path, between: str) -> None:
        assert rows(tmp_path, f"plant_id,note\nA,one{between}two\n")[0]["note"] == f"one{between}two"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "begins with the cells none"),
            ("\n\n", "begins with the cells none"),
            (";;\n", "begins with the cells none"),
            ("a,a\n1,2\n", "each once"),
            ("a,b\n1\n", "line 2, has 1 cells for 2 columns"),
            ("a,b\n1,2,3\n", "line 2, has 3 cells for 2 columns"),
            ("a;b\n1;2;;3\n", "line 2, has 4 cells for 2 columns"),
            ('a,b\n"1,2\n3,4\n', "quotation mark"),
            ('a,b\n"1"x,2\n', "line 2.*quotation mark"),
            (b"a,b\n\xe4,1\n", "save the file as UTF-8"),
            ("a,b\n1,2\n".encode("utf-16"), "UTF-8"),
            ("a,b\n1,2\n".encode("utf-16-le"), "zero bytes.*as a CSV file in UTF-8"),
            (b"PK\x03\x04\0\0", "zero bytes.*as a CSV file in UTF-8"),
            ("a,b\n1," + "x" * 200_000 + "\n", "field larger than field limit"),
        ],
    )
    def test_what_is_no_table_stops(self, tmp_path: Path, text: str | bytes, message: str) -> None:
        with pytest.raises(InputError, match=f"(?s){message}"):
            read_table(write(tmp_path, text))

    def test_a_missing_or_unreadable_table_stops(self, tmp_path: Path) -> None:
        for path in (tmp_path / "gone.csv", tmp_path):
            with pytest.raises(InputError, match="cannot be read"):
                read_table(path)

    @given(st.lists(st.lists(st.text("ab 1;,\"'|\t", max_size=5), min_size=3, max_size=3), max_size=5))
    def test_what_a_spreadsheet_writes_is_read_back(self, cells: Sequence[Sequence[str]]) -> None:
        """Every cell in quotation marks, which are doubled within it (RFC 4180)."""
        quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in [["a", "b", "c"], *cells]]
        with TemporaryDirectory() as folder:
            found = read_table(write(Path(folder), "\n".join(quoted))).rows
        expected = [[cell.strip() for cell in row] for row in cells]
        assert [list(row.values()) for _, row in found] == [row for row in expected if any(row)]


@pytest.mark.parametrize(
    ("line", "delimiter"),
    [("a;b", ";"), ("a,b", ","), ("a\tb", "\t"), ("a|b", "|"), ("a;1,5;2,5", ";"), ('"a,b,c";d', ";"), ("a", ";")],
)
def test_delimiters(line: str, delimiter: str) -> None:
    assert find_delimiter(line) == delimiter


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.5", 1.5),
        ("1,5", 1.5),
        ("-3", -3.0),
        ("1,234.5", None),
        ("x", None),
        ("", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_numbers_have_a_point_or_a_comma(text: str, number: float | None) -> None:
    assert to_number(text) == number


UTM = {
    "as released": f"{PLANT},1.5,2.0,3.0,train\n{OTHER},4.5,5.5,6.0,val,extra\n",
    "header": f"plant_id,easting,northing,height,split\n{PLANT},1.5,2,3,train\n{OTHER},4.5,5.5,6,val\n",
    "header in another order": "Split;Northing [m];Easting [m];Plant;Height\n"
    f"train;2;1.5;{PLANT};3\nval;5.5;4.5;{OTHER};6\n",
    "semicolons and decimal commas": f"{PLANT};1,5;2,0;3,0;train\n{OTHER};4,5;5,5;6,0;val\n",
    "quotes": f'"{PLANT}","1.5","2.0","3.0","train"\n"{OTHER}","4.5","5.5","6.0","val"\n',
    "trailing columns": f"{PLANT},1.5,2.0,3.0,train,,\n{OTHER},4.5,5.5,6.0,val,,\n",
    "tabs and empty rows": f"\n{PLANT}\t1.5\t2.0\t3.0\tTrain\n\n{OTHER}\t4.5\t5.5\t6.0\tVALIDATION\n\n",
}


@pytest.mark.parametrize("writing", UTM)
def test_utm_files_in_many_writings(tmp_path: Path, writing: str) -> None:
    assert read_split_files([write(tmp_path, UTM[writing])]) == {
        PLANT: SplitPlant("train", "utm", 1.5, 2.0),
        OTHER: SplitPlant("val", "utm", 4.5, 5.5),
    }


def test_a_utm_header_that_names_other_columns_stops(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"line 1, is `id, E, N, h, set`.*(?s:.*)header must name the columns plant, easting"
    ):
        read_split_files([write(tmp_path, f"id,E,N,h,set\n{PLANT},1,2,3,train\n")])


PIXELS = {
    "spaces": "A1 20 12.5 69\nA2 1.5 3 69\n",
    "tabs": "A1\t20\t12.5\t69\nA2\t1.5\t3\t69\n",
    "commas": "A1,20,12.5,69\nA2,1.5,3,69\n",
    "header": "image_name,X,Y,DAP\nA1,20,12.5,69\nA2,1.5,3,69\n",
    "header in another order": "Y;X;image_name\n12.5;20;A1\n3;1.5;A2\n",
    "semicolons and decimal commas": "A1;20;12,5;69\nA2;1,5;3;69\n",
    "quotes": '"A1","20","12.5"\n"A2","1.5","3"\n',
    "quotes and spaces": '"A1" 20 12.5\n"A2" 1.5 3\n',
    "trailing columns": "image_name;X;Y;;\nA1;20;12.5;;\nA2;1.5;3;;\n",
    "folders of Windows": "C:\\fotos\\A1,20,12.5\nC:\\fotos\\A2,1.5,3\n",
}


@pytest.mark.parametrize("writing", PIXELS)
def test_pixel_coordinates_in_many_writings(tmp_path: Path, writing: str) -> None:
    found = read_pixel_coordinates(write(tmp_path, PIXELS[writing]))
    assert [(one.name, one.x, one.y) for one in found] == [("A1", 20.0, 12.5), ("A2", 1.5, 3.0)]
    assert isinstance(found[0], PixelCoordinate)


HARVESTS = "plant_id,harvest_date\n{plant},{day}\n"


class TestSeason:
    @pytest.mark.parametrize("day", ["2021-09-01", "2021-03-01", "2022-02-20", ""])
    def test_days_of_the_season_pass(self, tmp_path: Path, day: str) -> None:
        write(tmp_path, HARVESTS.format(plant=PLANT, day=day), "harvest.csv")
        assert read_harvest_table(tmp_path, HarvestTable(), DAYS).plants == {PLANT}

    @pytest.mark.parametrize("day", ["2012-09-01", "2020-09-01", "2022-09-01", "2201-09-01", "1990-01-01"])
    def test_a_slip_of_the_year_stops(self, tmp_path: Path, day: str) -> None:
        write(tmp_path, HARVESTS.format(plant=PLANT, day=day), "harvest.csv")
        with pytest.raises(InputError, match=r"Dates in harvest\.csv outside the season: 1") as refused:
            read_harvest_table(tmp_path, HarvestTable(), DAYS)
        assert [PLANT, day] in [line.split() for line in str(refused.value).splitlines()]
        assert "from 2021-08-23 to 2021-09-03" in refused.value.rule

    def test_plants_of_another_season_pass(self, tmp_path: Path) -> None:
        write(tmp_path, HARVESTS.format(plant="2020_Ref_Plot1_A1", day="2020-09-01"), "harvest.csv")
        assert read_harvest_table(tmp_path, HarvestTable(), DAYS).plants == {"2020_Ref_Plot1_A1"}

    @pytest.mark.parametrize("cut", ["yes", "no"])
    def test_visits_in_a_wrong_year_stop(self, tmp_path: Path, cut: str) -> None:
        write(tmp_path, f"plant_id,visit_date,cut\n{PLANT},2021-08-25,no\n{PLANT},2201-08-30,{cut}\n", "harvest.csv")
        with pytest.raises(InputError, match="outside the season: 1"):
            read_harvest_table(tmp_path, HarvestTable(flag_column="cut"), DAYS)

    @pytest.mark.parametrize(
        ("day", "is_right"), [("2021-12-31", True), ("2022-06-30", True), ("2012-09-30", False), ("2201-09-30", False)]
    )
    def test_the_last_observed_day(self, tmp_path: Path, day: str, is_right: bool) -> None:
        write(tmp_path, HARVESTS.format(plant=PLANT, day=""), "harvest.csv")
        options = HarvestTable(observed_until=date.fromisoformat(day))
        if is_right:
            assert read_harvest_table(tmp_path, options, DAYS).harvests[PLANT].watched_until == options.observed_until
        else:
            with pytest.raises(InputError, match=f"observed_until is {day}, and the acquisition dates lie in 2021"):
                read_harvest_table(tmp_path, options, DAYS)
