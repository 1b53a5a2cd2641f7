"""Open the list and the tours of a walk with a spreadsheet's rules, GDAL and an XML parser."""

import csv
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pandas as pd
import pyogrio
import pytest
from rasterio.warp import transform

from storage.artifacts import Artifact, Recipe, Store
from storage.published.tours import in_words
from storage.published.walks import WALK, write_walk
from tests.support.local_stores import local
from tests.unit.storage.published.test_geodata import BLANK, CRS, FORM, decision, origin

GPX, KML = "{http://www.topografix.com/GPX/1/1}", "{http://www.opengis.net/kml/2.2}"
ORDER_OF_WPT = ["name", "cmt", "desc", "src", "link", "sym", "type"]  # of the schema's `wptType`
ODD = 'Röschen <2> & "a"'


def plant(name: str, easting: float | None, **changes: Any) -> dict[str, Any]:
    northing = None if easting is None else 5_609_000.0
    return decision(name, easting, northing, **{"row": None, "number": None, **changes})


PLANTS = [
    plant("2021_Ref_Plot2_E18", 365_000.0, plot="2", row="E", number=18, ready_probability=0.9876),
    plant(ODD, 365_001.0, decision="check", check_reason="unsure novel", ready_probability=0.5),
    plant("=1+1", 365_002.0, decision="check", check_reason="outside", ready_probability=None),
    plant("nowhere", None, decision="check", check_reason="unsure"),
    plant("kept", 365_003.0, decision="leave", ready_probability=0.004),
]


def written(folder: Path, plants: list[dict[str, Any]], decimal: Any = "point") -> Artifact:
    store, recipe = Store(folder), Recipe("decisions", 1, {})
    tours = {word: [row for row in plants if row["decision"] == word] for word in ("harvest", "check")}
    with store.create(recipe) as draft:
        write_walk(draft, plants, tours, origin(), decimal, FORM)
    return store.open(recipe.ref)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return written(tmp_path_factory.mktemp("store"), PLANTS)


def degrees(eastings: list[float]) -> list[tuple[float, float]]:
    """Transform positions with the GDAL of rasterio."""
    places: Any = transform(CRS, "OGC:CRS84", eastings, [5_609_000.0] * len(eastings))
    return [(round(x, 7), round(y, 7)) for x, y in zip(*places, strict=True)]


def test_pandas_reads_the_list_in_its_order(artifact: Artifact) -> None:
    found: Any = pd.read_csv(local(artifact.file("walk.csv")), dtype={"number": "Int64"})
    assert list(found.columns) == [column.name for column in FORM.added_to(WALK).columns]
    assert found["plant"].tolist() == ["2021_Ref_Plot2_E18", ODD, "'=1+1", "nowhere", "kept"]
    assert found["probability"].round(2).tolist() == [0.99, 0.5, 0.33, 0.33, 0.0]  # the answer's where none is ready
    assert found["why"].fillna("").tolist() == ["", "unsure, novel", "outside", "unsure", ""]
    assert set(found["campaign"]) == {"field2"} and set(found["date"]) == {"2021-08-23"}
    assert found[list(BLANK)].isna().all().all()
    assert found.iloc[0][["plot", "row", "number"]].tolist() == [2, "E", 18]
    ((x, y),) = degrees([365_000.0])
    assert found["position"][0] == f"{y:.7f} N, {x:.7f} E" and pd.isna(found["position"][3])


def test_no_cell_of_the_list_is_longer_than_a_person_reads(artifact: Artifact) -> None:
    lines = local(artifact.file("walk.csv")).read_text("utf-8-sig").splitlines()
    for row in list(csv.reader(lines))[1:]:
        assert len(row[5]) <= len("0.99") and len(row[7]) <= len("50.6172445 N, 7.0916804 E")


def test_plants_drawn_for_a_look_say_so(tmp_path: Path) -> None:
    drawn = [plant("a", 365_000.0, is_audit=True), plant("b", 365_001.0, check_reason="unsure", decision="check")]
    artifact = written(tmp_path, drawn)
    rows = csv.DictReader(artifact.read_bytes("walk.csv").decode("utf-8-sig").splitlines())
    assert [(row["plant"], row["decision"], row["why"]) for row in rows] == [
        ("a", "harvest", "random"),
        ("b", "check", "unsure"),
    ]
    stop = Xml.fromstring(artifact.read_bytes("harvest.gpx")).find(f"{GPX}wpt")
    assert stop is not None and stop.findtext(f"{GPX}desc") == "harvest: random"


def test_a_decimal_comma_separates_columns_by_semicolons(tmp_path: Path) -> None:
    path = written(tmp_path, PLANTS, "comma").file("walk.csv")
    rows = list(csv.DictReader(local(path).read_text("utf-8-sig").splitlines(), delimiter=";"))
    assert [row["probability"] for row in rows] == ["0,99", "0,5", "0,33", "0,33", "0,0"]
    assert rows[1]["why"] == "unsure, novel"


@pytest.mark.parametrize(
    ("longitude", "latitude", "text"),
    [
        (7.5, 50.25, "50.2500000 N, 7.5000000 E"),
        (-70.5, -33.25, "33.2500000 S, 70.5000000 W"),
        (0.0, 0.0, "0.0000000 N, 0.0000000 E"),
    ],
)
def test_positions_in_words(longitude: float, latitude: float, text: str) -> None:
    assert in_words(longitude, latitude) == text


@pytest.mark.parametrize(
    ("tour", "names", "eastings"),
    [("harvest", ["2021_Ref_Plot2_E18"], [365_000.0]), ("check", [ODD, "=1+1"], [365_001.0, 365_002.0])],
)
class TestTours:
    def test_a_gpx_follows_its_schema(
        self, artifact: Artifact, tour: str, names: list[str], eastings: list[float]
    ) -> None:
        """Check root, version, creator, order of elements and bounds of GPX 1.1; waypoints have the tour's order."""
        root = Xml.fromstring(artifact.read_bytes(f"{tour}.gpx"))
        assert root.tag == f"{GPX}gpx" and root.get("version") == "1.1" and root.get("creator")
        assert [one.tag for one in root] == [f"{GPX}metadata", *[f"{GPX}wpt"] * len(names)]
        points = root.findall(f"{GPX}wpt")
        for point, place in zip(points, degrees(eastings), strict=True):
            assert set(point.keys()) == {"lat", "lon"}
            assert (float(point.get("lon", "")), float(point.get("lat", ""))) == place
            tags = [one.tag.removeprefix(GPX) for one in point]
            assert tags == [tag for tag in ORDER_OF_WPT if tag in tags] == ["name", "desc", "type"]
        assert [point.findtext(f"{GPX}name") for point in points] == names
        assert {point.findtext(f"{GPX}type") for point in points} == {tour}
        said = {one.tag.removeprefix(GPX): one.text or "" for one in root.iterfind(f"{GPX}metadata/*")}
        assert list(said) == ["name", "desc", "time", "keywords", "bounds"]  # in the order of `metadataType`
        assert said["name"] == f"field2 2021-08-23 a method {tour}"
        assert said["desc"].startswith(f"Plants to {tour}, in walking order. Positions are WGS 84. At least 85 of 100")
        assert said["desc"].endswith("Licence of the images: CC BY 4.0, Röschen & Co.")
        assert (said["time"], said["keywords"]) == ("2021-08-23T00:00:00Z", f"field2, 2021-08-23, a method, {tour}")
        bounds = root.find(f"{GPX}metadata/{GPX}bounds")
        assert bounds is not None and list(bounds.keys()) == ["minlat", "minlon", "maxlat", "maxlon"]

    def test_a_kml_has_the_places_in_order(
        self, artifact: Artifact, tour: str, names: list[str], eastings: list[float]
    ) -> None:
        root = Xml.fromstring(artifact.read_bytes(f"{tour}.kml"))
        assert root.tag == f"{KML}kml" and [one.tag for one in root] == [f"{KML}Document"]
        assert root.findtext(f"{KML}Document/{KML}name") == f"field2 2021-08-23 a method {tour}"
        description = root.findtext(f"{KML}Document/{KML}description", "")
        assert "At least 85 of 100" in description and "Licence of the images: CC BY 4.0" in description
        marks = list(root.iter(f"{KML}Placemark"))
        assert [mark.findtext(f"{KML}name") for mark in marks] == names
        for mark, place in zip(marks, degrees(eastings), strict=True):
            longitude, latitude, _ = mark.findtext(f"{KML}Point/{KML}coordinates", "").split(",")
            assert (float(longitude), float(latitude)) == place

    @pytest.mark.parametrize(("kind", "layer"), [("gpx", "waypoints"), ("kml", None)])
    def test_gdal_opens_it(
        self, artifact: Artifact, tour: str, names: list[str], eastings: list[float], kind: str, layer: str | None
    ) -> None:
        found: Any = pyogrio.read_dataframe(artifact.file(f"{tour}.{kind}"), layer=layer or tour)
        assert found.crs == "EPSG:4326" and len(found) == len(names)
        assert [(x, y) for x, y in zip(found.geometry.x, found.geometry.y, strict=True)] == degrees(eastings)


def test_reasons_stand_beside_the_plants(artifact: Artifact) -> None:
    for kind, tag in (("gpx", f"{GPX}desc"), ("kml", f"{KML}description")):
        root = Xml.fromstring(artifact.read_bytes(f"check.{kind}"))
        texts = [one.text for one in root.iter(tag)]
        assert texts[-2:] == ["check: unsure, novel", "check: outside"], kind


def test_a_tour_to_no_plant_has_no_files(tmp_path: Path) -> None:
    assert list(written(tmp_path, PLANTS[3:]).manifest.files) == ["walk.csv"]


def test_without_plants_the_list_is_a_header(tmp_path: Path) -> None:
    artifact = written(tmp_path, [])
    assert list(artifact.manifest.files) == ["walk.csv"]
    assert len(artifact.read_bytes("walk.csv").splitlines()) == 1


@pytest.mark.parametrize("character", ["\x00", "\x01", "\x0b", "\x1f", "\ufffe", "]]>", "\u2028"])
def test_no_character_of_an_id_breaks_the_xml(tmp_path: Path, character: str) -> None:
    """A plant's name may hold what XML forbids: it is left out there, and the file still opens."""
    artifact = written(tmp_path, [plant(f"a{character}b", 365_000.0)])
    for kind, tag in (("gpx", f"{GPX}wpt/{GPX}name"), ("kml", f".//{KML}Placemark/{KML}name")):
        (name,) = [one.text or "" for one in Xml.fromstring(artifact.read_bytes(f"harvest.{kind}")).findall(tag)]
        assert name.startswith("a") and name.endswith("b"), kind


def test_equal_plants_are_equal_bytes(artifact: Artifact, tmp_path: Path) -> None:
    assert written(tmp_path, PLANTS).manifest.files == artifact.manifest.files
    assert set(artifact.manifest.files) == {"walk.csv", "harvest.gpx", "harvest.kml", "check.gpx", "check.kml"}
