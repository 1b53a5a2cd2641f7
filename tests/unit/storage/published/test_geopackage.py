"""Open a GeoPackage of decisions with GDAL and with SQLite, and read the style and the meanings in it."""

import sqlite3
import struct
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import geopandas
import pyogrio
import pytest

from storage.artifacts import Artifact
from storage.published.styles import Look, points_style
from tasks.export.forms import form_of
from tasks.export.looks import MARKERS, looks_of
from tests.support.local_stores import local
from tests.unit.storage.published.test_geodata import (
    BLANK,
    COLUMNS,
    CRS,
    FORM,
    LOOKS,
    ROWS,
    check_points,
    expected,
    origin,
    plain,
    written,
)

NAMES = [column.name for column in COLUMNS]
ALIASES = {name: name for name in NAMES}
# Names of shapes in the function `decodeShape` of QGIS, of those that Plotly has too.
SHAPES_OF_QGIS = {"circle", "square", "diamond", "pentagon", "hexagon", "triangle", "star", "octagon", "cross"}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return written(tmp_path_factory.mktemp("store"), ROWS)


@pytest.fixture(scope="module")
def file(artifact: Artifact) -> Path:
    return local(artifact.file("decisions.gpkg"))


@pytest.fixture
def database(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as opened:
        yield opened


def test_geopandas_reads_the_layer(file: Path) -> None:
    found = geopandas.read_file(file, layer="decisions")
    assert list(found.columns) == [*NAMES, "geometry"]
    for name in NAMES:
        values = plain(found[name])
        if name == "date":
            values = [value.date() for value in values]
        assert values == expected(name), name
    check_points(found)


def test_sqlite_reads_the_points_as_the_standard_writes_them(database: sqlite3.Connection) -> None:
    """Take a geometry apart by GeoPackage 1.3, clause 2.1.3: magic, flags, CRS, then WKB of a point."""
    rows = database.execute("SELECT plant_id, geom FROM decisions ORDER BY fid").fetchall()
    assert [plant for plant, _ in rows] == expected("plant_id")
    for (_, blob), easting, northing in zip(rows[:2], expected("easting"), expected("northing"), strict=False):
        assert blob[:3] == b"GP\0" and blob[3] & 0b1111 == 1  # little-endian, without an envelope
        assert struct.unpack("<i", blob[4:8]) == (25832,)
        assert struct.unpack("<BIdd", blob[8:]) == (1, 1, easting, northing)
    assert [blob for _, blob in rows[2:]] == [None, None]


def test_the_file_is_whole(database: sqlite3.Connection) -> None:
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    assert database.execute("PRAGMA application_id").fetchall() == [(int.from_bytes(b"GPKG"),)]


def test_its_style_belongs_to_the_layer(database: sqlite3.Connection) -> None:
    """QGIS looks for catalogue and schema as empty texts, and takes the style that is the default."""
    query = "SELECT f_table_catalog, f_table_schema, f_table_name, f_geometry_column, useAsDefault FROM layer_styles"
    ((*_, geometry),) = database.execute("SELECT table_name, column_name FROM gpkg_geometry_columns").fetchall()
    assert database.execute(query).fetchall() == [("", "", "decisions", geometry, 1)]
    tables = dict(database.execute("SELECT table_name, data_type FROM gpkg_contents").fetchall())
    assert tables == {"decisions": "features", "layer_styles": "attributes"}


def test_its_style_colours_by_decision(database: sqlite3.Connection) -> None:
    ((text,),) = database.execute("SELECT styleQML FROM layer_styles").fetchall()
    style = Xml.fromstring(text)
    assert style.tag == "qgis"
    assert drawn(style) == {
        "harvest": ("circle", "0", "0,128,94,255", "harvest: ready"),
        "leave": ("square", "0", "0,114,178,255", "leave: not ready"),
        "check": ("triangle", "0", "213,94,0,255", "check: look at the plant"),
    }
    assert offered(style, "decision") == {decision: look.legend for decision, look in LOOKS.items()}


def offered(style: Xml.Element, column: str) -> dict[str, str]:
    """Return the values of a column of which QGIS lets a person choose, and what it shows for each."""
    widget = style.find(f"fieldConfiguration/field[@name='{column}']/editWidget[@type='ValueMap']")
    assert widget is not None
    options = [one for one in widget.iter("Option") if one.get("type") == "QString"]
    return {str(one.get("value")): str(one.get("name")) for one in options}


def test_its_style_asks_what_a_person_found(database: sqlite3.Connection) -> None:
    """The value of `(not checked)` is the one by which QGIS empties a cell."""
    ((text,),) = database.execute("SELECT styleQML FROM layer_styles").fetchall()
    style = Xml.fromstring(text)
    empty = "{2839923C-8B7D-419E-B84B-CA2FE9B80EC7}"
    assert offered(style, "checked_ready") == {empty: "(not checked)", "yes": "yes", "no": "no"}
    assert style.find("fieldConfiguration/field[@name='checked_at']/editWidget[@type='DateTime']") is not None
    defaults = {one.get("field"): one.get("expression") for one in style.iter("default")}
    assert defaults == {"checked_at": 'coalesce("checked_at", now())'}
    editable = [one.get("name") for one in style.iterfind("editable/field") if one.get("editable") == "1"]
    assert editable == list(BLANK)


def test_its_style_names_plants_drawn_for_a_look(database: sqlite3.Connection) -> None:
    ((text,),) = database.execute("SELECT styleQML FROM layer_styles").fetchall()
    style = Xml.fromstring(text)
    label = style.find("labeling/settings/text-style")
    assert style.get("labelsEnabled") == "1" and label is not None
    assert label.get("fieldName") == """CASE WHEN "is_audit" THEN 'random' END""" and label.get("isExpression") == "1"


def test_other_classes_are_offered_by_name() -> None:
    form = form_of(("healthy", "scab", "rot"))
    assert form.column == "checked_class"
    assert form_of(("not_ready", "ready")).words == {"yes": "ready", "no": "not_ready"}
    aliases = {name: name for name in ("decision", *form.blank(0))}
    style = Xml.fromstring(points_style({}, aliases, "plant_id", form))
    assert list(offered(style, "checked_class").values()) == ["(not checked)", "healthy", "scab", "rot"]


def drawn(style: Xml.Element) -> dict[str, tuple[str, ...]]:
    """Return shape, angle, colour and legend of every value of the column that colours the points."""
    renderer = style.find("renderer-v2")
    assert renderer is not None and renderer.get("type") == "categorizedSymbol"
    assert renderer.get("attr") == "decision"
    symbols = {
        symbol.get("name"): {one.get("name"): str(one.get("value")) for one in symbol.iter("Option")}
        for symbol in renderer.iter("symbol")
    }
    found: dict[str, tuple[str, ...]] = {}
    for one in renderer.iter("category"):
        look = symbols[one.get("symbol")]
        found[str(one.get("value"))] = (look["name"], look["angle"], look["color"], str(one.get("label")))
    return found


def test_columns_have_headings_with_units_and_meanings(database: sqlite3.Connection) -> None:
    ((text,),) = database.execute("SELECT styleQML FROM layer_styles").fetchall()
    headings = {one.get("field"): one.get("name") for one in Xml.fromstring(text).iter("alias")}
    assert list(headings) == NAMES
    assert headings["ready_probability"] == "ready probability (0..1)" and headings["easting"] == "easting (m)"
    said = database.execute("SELECT column_name, title, description FROM gpkg_data_columns").fetchall()
    assert said == [(column.name, headings[column.name], column.meaning) for column in COLUMNS]
    query = "SELECT constraint_name, constraint_type, value FROM gpkg_data_column_constraints ORDER BY rowid"
    values = [("decision", "enum", decision) for decision in LOOKS]
    assert database.execute(query).fetchall() == values + [("checked_ready", "enum", word) for word in FORM.words]


def test_the_layer_says_whose_it_is(file: Path) -> None:
    notes: Any = pyogrio.read_info(file, layer="decisions")["layer_metadata"]
    named = {name: notes[name] for name in ("campaign", "date", "method", "crs")}
    assert named == {"campaign": "field2", "date": "2021-08-23", "method": "a method", "crs": CRS}
    assert notes["IDENTIFIER"] == "field2 2021-08-23 a method"
    assert (notes["licence"], notes["promise"]) == (origin().licence, origin().promises[0])


def test_no_time_of_writing_is_left_in_the_file(artifact: Artifact, tmp_path: Path) -> None:
    content = artifact.read_bytes("decisions.gpkg")
    assert datetime.now(UTC).strftime("%Y-%m-%dT").encode() not in content
    time.sleep(0.01)
    assert written(tmp_path, ROWS).read_bytes("decisions.gpkg") == content


@pytest.mark.parametrize("n_classes", [2, 3, 6])
def test_shapes_and_colours_are_those_of_the_report(n_classes: int) -> None:
    classes = [f'class <{i}> & "more"' for i in range(n_classes)]
    looks = looks_of(classes)
    found = drawn(Xml.fromstring(points_style(looks, ALIASES, "plant_id", FORM)))
    assert list(found) == [*classes, "check"]
    assert {shape for shape, *_ in found.values()} <= SHAPES_OF_QGIS
    assert len({(shape, angle) for shape, angle, *_ in found.values()}) == n_classes + 1
    for (_, _, colour, _), marker in zip(found.values(), MARKERS[:n_classes], strict=False):
        assert "#{:02X}{:02X}{:02X}".format(*map(int, colour.split(",")[:3])) == marker.light


def test_a_shape_that_points_down_is_turned() -> None:
    look = Look("triangle-down", "#7A6A00", "rot")
    found = drawn(Xml.fromstring(points_style({"rot": look}, ALIASES, "plant_id", FORM)))
    assert found == {"rot": ("triangle", "180", "122,106,0,255", "rot")}
