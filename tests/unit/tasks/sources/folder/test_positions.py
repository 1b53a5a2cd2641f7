"""Test places in a manifest: ids of plot, row and number, positions in metres and in degrees, and what is refused.

The independent oracle of the transformation is the series of Snyder (1987, USGS Professional Paper 1395, eqs. 8-9 to
8-15), good to millimetres within a zone.
"""

from datetime import date
from math import cos, radians, sin, sqrt, tan
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from flows.parameters import CampaignParams, of_source
from storage.errors import InputError
from tasks.export.decisions import KEPT, decision_rows
from tasks.export.params import ExportParams
from tasks.ingest.ingest import plant_rows
from tasks.ingest.params import IngestParams
from tasks.ingest.survey import survey
from tasks.sources.contract import Place, SourceListing
from tasks.sources.folder.source import FolderSource
from tests.support.workbooks import write_workbook

DAY, LATER = date(2021, 8, 23), date(2021, 8, 25)
UTM = "EPSG:32632"  # WGS 84 / UTM zone 32N


def snyder(longitude: float, latitude: float, meridian: float) -> tuple[float, float]:
    """Return easting and northing (m) of UTM on the ellipsoid of WGS 84 by Snyder's series."""
    a, flattening, k0 = 6_378_137.0, 1 / 298.257223563, 0.9996
    e2 = flattening * (2 - flattening)
    second = e2 / (1 - e2)
    phi = radians(latitude)
    n, t, c = a / sqrt(1 - e2 * sin(phi) ** 2), tan(phi) ** 2, second * cos(phi) ** 2
    arc = radians(longitude - meridian) * cos(phi)
    m = a * (
        (1 - e2 / 4 - 3 * e2**2 / 64 - 5 * e2**3 / 256) * phi
        - (3 * e2 / 8 + 3 * e2**2 / 32 + 45 * e2**3 / 1024) * sin(2 * phi)
        + (15 * e2**2 / 256 + 45 * e2**3 / 1024) * sin(4 * phi)
        - 35 * e2**3 / 3072 * sin(6 * phi)
    )
    east = arc + (1 - t + c) * arc**3 / 6 + (5 - 18 * t + t**2 + 72 * c - 58 * second) * arc**5 / 120
    north = arc**2 / 2 + (5 - t + 9 * c + 4 * c**2) * arc**4 / 24
    north += (61 - 58 * t + t**2 + 600 * c - 330 * second) * arc**6 / 720
    return k0 * n * east + 500_000, k0 * (m + n * tan(phi) * north)


def write(root: Path, heading: str, *rows: str) -> None:
    """Write a manifest, and the images that the first cells of its rows name."""
    for seed, row in enumerate(rows):
        pixels = np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / row.split(",")[0])
    (root / "manifest.csv").write_text("\n".join([f"file,split,label,{heading}", *rows]) + "\n")


def read(root: Path, *dates: date, **options: object) -> SourceListing:
    return FolderSource.model_validate({"root": str(root), **options}).list_images(dates or [DAY])


def places(listing: SourceListing) -> dict[str, tuple[float | None, float | None]]:
    return {one.plant_id: (one.easting, one.northing) for one in listing.images}


def test_degrees_become_metres(tmp_path: Path) -> None:
    write(tmp_path, "longitude,latitude", "a.png,train,x,7.1,50.6", "b.png,val,y,7.1001,50.6", "c.png,new,,,")
    found = places(read(tmp_path, crs=UTM))
    assert found["a"] == pytest.approx(snyder(7.1, 50.6, 9), abs=0.002)
    assert found["b"] == pytest.approx(snyder(7.1001, 50.6, 9), abs=0.002)
    assert found["c"] == (None, None)


def test_a_decimal_comma_and_columns_of_other_names(tmp_path: Path) -> None:
    write(tmp_path, "x", "a.png,train,x,")
    (tmp_path / "manifest.csv").write_text("file;split;label;lat;lon\na.png;train;x;50,6;7,1\n")
    options = {"latitude_column": "lat", "longitude_column": "lon", "crs": UTM}
    assert places(read(tmp_path, **options))["a"] == pytest.approx(snyder(7.1, 50.6, 9), abs=0.002)


def test_metres_are_taken_as_they_are_and_before_degrees(tmp_path: Path) -> None:
    write(tmp_path, "easting,northing,latitude,longitude", "a.png,train,x,365539.5,5607068,1,1")
    assert places(read(tmp_path, crs="EPSG:25832")) == {"a": (365539.5, 5607068.0)}


def campaign(source: FolderSource, export: ExportParams | None = None) -> CampaignParams:
    """Make a campaign of a source, with or without a table `export`."""
    if export is None:
        return CampaignParams(campaign="c", dates=(DAY,), source=source)
    return CampaignParams(campaign="c", dates=(DAY,), source=source, export=export)


def test_exports_have_the_system_of_the_source() -> None:
    plain, placed = FolderSource(root="x"), FolderSource(root="x", crs="EPSG:32733")
    assert campaign(plain).export.crs == "EPSG:25832"
    params = campaign(placed)
    assert params.export.crs == "EPSG:32733"
    assert CampaignParams.model_validate(params.model_dump(mode="json")) == params
    with pytest.raises(ValidationError, match=r"export\.crs is EPSG:25832 and source\.crs is EPSG:32733"):
        campaign(placed, ExportParams(crs="EPSG:25832"))
    assert campaign(placed, ExportParams(decimal="comma")).export == ExportParams(crs="EPSG:32733", decimal="comma")
    assert of_source(params.export, None) == params.export and of_source(params.export, plain) == params.export


def test_place_and_plot_reach_tables_and_exports(tmp_path: Path) -> None:
    write(tmp_path, "plot,row,number,longitude,latitude", "a.png,train,x,2,E,18,7.1,50.6", "b.png,val,y,3,A,1,,")
    source = FolderSource(root=str(tmp_path), crs=UTM)
    listing = survey(source, [DAY], IngestParams()).listings[DAY]
    placed, unplaced = plant_rows([listing])
    decided = [dict.fromkeys(KEPT) | {"plant_id": row["plant_id"], "label": None} for row in (placed, unplaced)]
    answers = [row | {"predicted": 0, "answer": 1} for row in decided]
    first, second = decision_rows(listing["images"], answers, listing["classes"])
    assert (placed["easting"], placed["northing"]) == (first["easting"], first["northing"])
    assert (first["easting"], first["northing"]) == pytest.approx(snyder(7.1, 50.6, 9), abs=0.002)
    assert (first["plot"], second["plot"], second["easting"]) == ("2", "3", None)


REFUSED = {
    "no system, degrees": ("longitude,latitude", "7.1,50.6", None, 'set source.crs = "EPSG:32632"'),
    "no system, south": ("longitude,latitude", "18.9,-33.9", None, 'set source.crs = "EPSG:32734"'),
    "no system, pole": ("longitude,latitude", "18.9,-89.9", None, "for example"),
    "no system, metres": ("easting,northing", "365539,5607068", None, "EPSG code of these positions"),
    "latitude over 90": ("longitude,latitude", "7.1,90.1", UTM, "-90..90"),
    "longitude over 180": ("longitude,latitude", "180.5,50.6", UTM, "-180..180"),
    "latitude and longitude swapped, beyond 90": ("longitude,latitude", "-33.9,151.2", "EPSG:32756", "swap the two"),
    "latitude and longitude swapped": ("longitude,latitude", "50.6,7.1", UTM, "swap the two columns"),
    "metres in columns of degrees": ("longitude,latitude", "365539,5607068", UTM, "easting_column"),
    "not a number": ("longitude,latitude", "nan,50.6", UTM, "line 2, has longitude 'nan'"),
    "infinite": ("longitude,latitude", "inf,50.6", UTM, "must be two numbers"),
    "in words": ("longitude,latitude", "7 E,50.6", UTM, "must be two numbers"),
    "one empty": ("longitude,latitude", "7.1,", UTM, "two empty cells"),
    "zeros of a camera without GPS": ("longitude,latitude", "0,0", UTM, "Positions outside the area of EPSG:32632"),
    "another zone": ("longitude,latitude", "18.9,50.6", UTM, 'set source.crs = "EPSG:32634"'),
    "easting and northing swapped": ("easting,northing", "5607068,365539", UTM, "swap the two columns"),
    "zone before the easting": ("easting,northing", "32365539,5607068", UTM, "subtract 32000000"),
    "degrees in columns of metres": ("easting,northing", "7.1,50.6", UTM, "set source.crs to their system"),
    "no northing": ("easting,height", "365539,176", UTM, "has the column easting and no column northing"),
    "no longitude": ("latitude,height", "50.6,176", UTM, "has the column latitude and no column longitude"),
    "no number": ("plot,row,number", "2,E,", None, "has plot 2, row E and no number"),
    "no plot": ("plot,row,number", ",E,3", None, "has row E, number 3 and no plot"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_impossible_places_are_refused(tmp_path: Path, case: str) -> None:
    heading, cells, crs, message = REFUSED[case]
    write(tmp_path, heading, f"a.png,train,x,{cells}")
    with pytest.raises(InputError) as raised:
        read(tmp_path, crs=crs)
    assert message in str(raised.value) and "\n  rule: " in str(raised.value)


@pytest.mark.parametrize(("crs", "message"), [("EPSG:4326", "two axes in metres"), ("EPSG:1", "PROJ knows no such")])
def test_systems_that_are_not_in_metres(crs: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FolderSource(root="x", crs=crs)


def test_one_wrong_position_among_many_is_named(tmp_path: Path) -> None:
    rows = [f"{name}.png,train,x,7.1,50.6" for name in "abc"]
    write(tmp_path, "longitude,latitude", *rows, "d.png,train,x,7.1,5.06")
    (tmp_path / "manifest.csv").write_text((tmp_path / "manifest.csv").read_text().replace("7.1,5.06", "71,50.6"))
    with pytest.raises(InputError, match=r"1 of 4\n +file +longitude +latitude\n +d\.png +71 +50\.6\n  rule"):
        read(tmp_path, crs=UTM)


@pytest.mark.parametrize(
    ("heading", "cells", "plant"),
    [
        ("plot,row,number", "2,E,18", "Plot2_E18"),
        ("plot,row,number", "Plot 2,3,18", "Plot2_3_18"),
        ("plot,number", "2,18", "Plot2_18"),
        ("row,number", "E,18", "E18"),
        ("plot,row,number,plant_id", "2,E,18,own", "own"),
        ("plot,row,number", ",,", "a"),
        ("number", "18", "a"),
        ("plot", "2", "a"),
    ],
)
def test_ids_of_plot_row_and_number(tmp_path: Path, heading: str, cells: str, plant: str) -> None:
    write(tmp_path, heading, f"a.png,train,x,{cells}")
    assert [one.plant_id for one in read(tmp_path).images] == [plant]


def test_places_are_stated_apart_from_ids(tmp_path: Path) -> None:
    heading = "plant_id,plot,row,number,variety"
    rows = ("a.png,train,x,p1,Plot 2,E,1,Clapton", "b.png,train,x,p2,North,,,", "c.png,val,x,p3,,,,")
    write(tmp_path, heading, *rows, "d.png,val,x,,3,E,7,")
    listing = read(tmp_path)
    assert {one.plant_id: one.place for one in listing.images} == {
        "p1": Place("2", "E", 1, "Clapton"), "p2": Place("North"), "p3": None, "Plot3_E7": Place("3", "E", 7)
    }  # fmt: skip
    assert listing.notes == ("plants by variety: Clapton 1 train",)


def test_a_manifest_may_be_a_sheet_of_a_workbook(tmp_path: Path) -> None:
    rows = ("a.png,train,x,7,2021-08-23,2,E,1", "b.png,val,x,8,2021-08-25,2,E,2")
    write(tmp_path, "plant_id,date,plot,row,number", *rows)
    plain = read(tmp_path, DAY, LATER)
    cells = [["a.png", "train", "x", 7.0, DAY, 2.0, "E", 1], ["b.png", "val", "x", 8.0, LATER, 2.0, "E", 2]]
    header = ["file", "split", "label", "plant_id", "date", "plot", "row", "number"]
    write_workbook(tmp_path / "m.xlsx", {"Images": [header, *cells], "Notes": [["by hand"]]})
    (tmp_path / "manifest.csv").unlink()
    found = read(tmp_path, DAY, LATER, manifest="m.xlsx", manifest_sheet="Images", date_format="%d.%m.%Y")
    assert found == plain and [one.place for one in found.images] == [Place("2", "E", 1), Place("2", "E", 2)]


def test_numbers_that_are_not_whole_and_plants_in_several_plots_are_told(tmp_path: Path) -> None:
    rows = ("a.png,train,x,p1,2021-08-23,1,7.0", "b.png,train,x,p1,2021-08-25,2,7", "c.png,val,x,p2,2021-08-23,1,7b")
    write(tmp_path, "plant_id,date,plot,number", *rows)
    listing = read(tmp_path)
    assert [one.place for one in listing.images] == [Place("1", number=7), Place("1")]
    (number, several) = listing.notes
    assert number.startswith("1 plants have a number in their row that is no whole number, such as '7b'; lists")
    assert several == "1 plants have several plots, rows, numbers or varieties: p1"


def test_plants_that_move_are_told(tmp_path: Path) -> None:
    rows = ("a.png,train,x,p,2021-08-23,365539,5607068", "b.png,train,x,p,2021-08-25,365539.5,5607068")
    write(tmp_path, "plant_id,date,easting,northing", *rows)
    assert read(tmp_path, DAY, LATER, crs=UTM).notes == ()
    write(tmp_path, "plant_id,date,easting,northing", rows[0], rows[1].replace("539.5", "540.5"))
    assert read(tmp_path, DAY, LATER, crs=UTM).notes == ("1 plants have positions over 1 m apart: p",)


class TestHarvestTable:
    def write(self, root: Path) -> None:
        """Write two dates of three plants whose manifest has no column of the class."""
        rows = [
            f"{plant}{day.day}.png,{split},,{plant},{day}"
            for plant, split in (("p1", "train"), ("p2", "val"), ("p3", "new"))
            for day in (DAY, LATER)
        ]
        write(root, "plant_id,date", *rows)
        manifest = root / "manifest.csv"
        manifest.write_text(manifest.read_text().replace("label,", "").replace(",,", ","))
        (root / "harvest.csv").write_text("plant_id,harvest_date\np1,2021-08-24\np2,2021-09-20\np9,never\n")

    def test_labels(self, tmp_path: Path) -> None:
        self.write(tmp_path)
        listing = read(tmp_path, DAY, LATER, harvest_table={"observed_until": date(2021, 9, 30)})
        assert listing.classes == ("not ready", "ready") and listing.matching is not None
        harvests = {one.plant_id: one.harvest for one in listing.images}
        assert harvests["p1"] and harvests["p1"].by == DAY.replace(day=24) and harvests["p3"] is None
        assert (listing.matching.without_image, listing.matching.without_row) == (["p9"], ["p3"])
        assert listing.notes == ("2 of 6 images have neither a harvest record nor a label",)
        assert listing.assumed_until is None
        assert read(tmp_path, DAY, harvest_table={}).assumed_until == date(2021, 9, 20)

    def test_stated_labels_stand_beside_it(self, tmp_path: Path) -> None:
        write(tmp_path, "plant_id", "a.png,train,Not_Ready,p1", "b.png,train,,p2", "c.png,val,ready,p3")
        (tmp_path / "harvest.csv").write_text("plant_id,harvest_date\np2,2021-08-24\n")
        assert [one.label for one in read(tmp_path, harvest_table={}).images] == [0, None, 1]

    def test_folders_of_splits_need_no_class(self, tmp_path: Path) -> None:
        for seed, split in enumerate(("train", "val")):
            (tmp_path / split).mkdir()
            Image.fromarray(np.full((16, 16, 3), seed, np.uint8)).save(tmp_path / split / "p.png")
        (tmp_path / "harvest.csv").write_text("plant_id,harvest_date\ntrain/p,2021-08-24\n")
        listing = read(tmp_path, harvest_table={})
        assert [(one.plant_id, one.harvest is None) for one in listing.images] == [("train/p", False), ("val/p", True)]
        assert not listing.left_out and listing.notes == ("1 of 2 images have neither a harvest record nor a label",)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"classes": ("ready", "not ready")}, "in this order"),
            ({"classes": ("a", "b")}, "classes a, b"),
            ({"harvest_table": {"path": "gone.csv"}}, "gone.csv cannot be read"),
            ({"harvest_table": {"harvest_column": "cut"}}, "has no column cut"),
            ({"harvest_table": {"observed_until": date(2021, 9, 1)}}, "after observed_until"),
        ],
    )
    def test_refused(self, tmp_path: Path, options: dict[str, object], message: str) -> None:
        self.write(tmp_path)
        with pytest.raises(InputError, match=message):
            read(tmp_path, DAY, LATER, **{"harvest_table": {}, **options})

    def test_other_classes(self, tmp_path: Path) -> None:
        write(tmp_path, "plant_id", "a.png,train,green,p1")
        (tmp_path / "harvest.csv").write_text("plant_id,harvest_date\np1,2021-08-24\n")
        with pytest.raises(InputError, match="and the classes green"):
            read(tmp_path, harvest_table={})
