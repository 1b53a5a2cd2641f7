"""Open decisions as GeoParquet, GeoJSON and CSV with the tools that they are made for."""

import csv
import io
import json
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import geopandas
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
from geojson_pydantic import Feature, FeatureCollection, Point
from hypothesis import given
from hypothesis import strategies as st
from rasterio.warp import transform

from storage.artifacts import Artifact, Recipe, Store
from storage.published.decisions import DECISIONS, write_decisions
from storage.published.forms import Form
from storage.published.geodata import csv_parts, harmless
from storage.published.origin import Origin
from storage.published.styles import Look
from storage.tables.rows import ColumnRows
from tests.support.local_stores import local

CRS = "EPSG:25832"
LOOKS = {
    "harvest": Look("circle", "#00805E", "harvest: ready"),
    "leave": Look("square", "#0072B2", "leave: not ready"),
    "check": Look("triangle-up", "#D55E00", "check: look at the plant"),
}
FORM = Form("checked_ready", {"yes": "ready", "no": "not ready"})
COLUMNS = FORM.added_to(DECISIONS).columns  # of every file
BLANK = dict.fromkeys(column.name for column in FORM.columns)
TEXTS = ("method", "explained_class", "classifier", "clusters")


def decision(plant_id: str, easting: float | None, northing: float | None, **changes: Any) -> dict[str, Any]:
    row = {
        "campaign": "field2",
        "date": date(2021, 8, 23),
        "plant_id": plant_id,
        "plot": None,
        "variety": None,
        "decision": "harvest",
        "answer": "ready",
        "answer_reliability": 1 / 3,
        "ready_probability": 1 / 3,
        "check_reason": "",
        "is_outside": False,
        "is_audit": False,
        "predicted": "not ready",
        "is_corrected": True,
        "cluster": 3,
        "label": None,
        "split": "new",
        "easting": easting,
        "northing": northing,
        **{name: f"a {name}" for name in TEXTS},
    }
    return {**row, **changes}


ROWS = [
    decision("2021_Ref_Plot2_E18", 365_000.123, 5_609_000.1 + 1 / 3, plot="2", label="ready", variety="Clapton"),
    decision('Röschen, 2; "a"', 365_001.0, 5_609_001.0, is_corrected=False, check_reason="unsure novel"),
    decision("=1+1", None, None, decision="check", ready_probability=None, is_outside=True),
    decision("-7", 365_002.0, None),
]
AS_TEXT = ["2021_Ref_Plot2_E18", 'Röschen, 2; "a"', "'=1+1", "'-7"]  # the texts in the CSV


def origin(crs: str = CRS) -> Origin:
    promises = ("At least 85 of 100 answers acted on are right.",)
    return Origin("field2", date(2021, 8, 23), "a method", crs, "CC BY 4.0, Röschen & Co", promises)


def written(
    folder: Path,
    rows: list[dict[str, Any]],
    crs: str = CRS,
    decimal: Any = "point",
    plots: Sequence[dict[str, Any]] = (),
) -> Artifact:
    store, recipe = Store(folder), Recipe("decisions", 1, {"crs": crs, "n": len(rows), "decimal": decimal})
    with store.create(recipe) as draft:
        write_decisions(draft, ColumnRows.of(rows), plots, origin(crs), decimal, LOOKS, FORM)
    return store.open(recipe.ref)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return written(tmp_path_factory.mktemp("store"), ROWS)


def expected(name: str) -> list[Any]:
    return [{**row, **BLANK}[name] for row in ROWS]


def plain(values: Any) -> list[Any]:
    return [None if pd.isna(value) else value for value in values]


def test_geopandas_reads_the_geoparquet(artifact: Artifact) -> None:
    found = geopandas.read_parquet(local(artifact.file("decisions.parquet")))
    assert list(found.columns) == [*(column.name for column in COLUMNS), "geometry"]
    for column in COLUMNS:
        assert plain(found[column.name]) == expected(column.name), column.name
    check_points(found)


def test_pyogrio_reads_the_geojson(artifact: Artifact) -> None:
    found = pyogrio.read_dataframe(artifact.file("decisions.geojson"))
    assert list(found.columns) == [*(column.name for column in COLUMNS), "geometry"]
    for column in COLUMNS:
        values = plain(found[column.name])
        if column.name == "date":
            values = [value.date() for value in values]
        assert values == expected(column.name), column.name


def check_points(found: geopandas.GeoDataFrame) -> None:
    """Compare positions in the CRS; plants that lack a coordinate must have no geometry."""
    assert found.crs == CRS
    points = [None if point is None else (point.x, point.y) for point in found.geometry]
    assert points == [(365_000.123, 5_609_000.1 + 1 / 3), (365_001.0, 5_609_001.0), None, None]


def test_duckdb_reads_the_parquet_with_the_types_of_the_table(artifact: Artifact) -> None:
    names = ", ".join(column.name for column in COLUMNS)
    table = duckdb.read_parquet(str(artifact.file("decisions.parquet"))).project(names).to_arrow_table()
    assert [field.type for field in table.schema] == [column.type for column in COLUMNS]
    assert table.to_pylist() == [{column.name: {**row, **BLANK}[column.name] for column in COLUMNS} for row in ROWS]


def test_a_geojson_follows_rfc_7946(artifact: Artifact) -> None:
    """Check the rules of its sections 3, 4 and 11.2 for points, and positions against GDAL's own transformation."""
    found = artifact.read_json("decisions.geojson")
    assert found["type"] == "FeatureCollection" and "crs" not in found and "bbox" not in found
    assert {"coordinates", "geometries", "geometry", "properties"}.isdisjoint(found)
    for feature in found["features"]:
        assert set(feature) == {"type", "properties", "geometry"} and feature["type"] == "Feature"
        assert not {"crs", "coordinates", "features", "geometries"} & set(feature["properties"])
    points = [feature["geometry"] for feature in found["features"]]
    assert points[2:] == [None, None]
    assert [set(point) for point in points[:2]] == [{"type", "coordinates"}] * 2
    assert {point["type"] for point in points[:2]} == {"Point"}
    places: Any = transform(CRS, "OGC:CRS84", expected("easting")[:2], expected("northing")[:2])
    for point, longitude, latitude in zip(points[:2], *places, strict=True):
        assert point["coordinates"] == [round(longitude, 7), round(latitude, 7)]
        assert -180 <= longitude <= 180 and -90 <= latitude <= 90
    text = artifact.read_bytes("decisions.geojson").decode()
    digits = [number for pair in re.findall(r'"coordinates": \[(.*?)\]', text) for number in pair.split(",")]
    assert len(digits) == 4 and all(len(number.partition(".")[2].strip()) <= 7 for number in digits)
    assert found["description"].startswith("field2 2021-08-23 a method. ")
    assert found["metadata"] == {**origin().notes, "columns": {one.name: one.meaning for one in COLUMNS}}


def test_a_model_of_rfc_7946_accepts_the_geojson(artifact: Artifact) -> None:
    text = artifact.read_bytes("decisions.geojson")
    found = FeatureCollection[Feature[Point, dict[str, Any]]].model_validate_json(text)
    assert [one.geometry is not None for one in found.features] == [True, True, False, False]


def test_a_position_on_the_middle_meridian_is_known_without_a_library(tmp_path: Path) -> None:
    """UTM zone 32 counts 500 km at 9 degrees east, and 0 m at the equator."""
    content = written(tmp_path, [decision("a", 500_000.0, 0.0)]).read_json("decisions.geojson")
    assert content["features"][0]["geometry"]["coordinates"] == [9.0, 0.0]


def test_positions_that_the_projection_cannot_have_are_no_points_of_the_geojson(tmp_path: Path) -> None:
    content = written(tmp_path, [decision("far", 1e12, 1e12), *ROWS[:1]]).read_json("decisions.geojson")
    assert [one["geometry"] is None for one in content["features"]] == [True, False]


def test_a_geoparquet_says_what_it_holds(artifact: Artifact) -> None:
    found = geopandas.read_parquet(local(artifact.file("decisions.parquet"))).attrs
    assert (found["campaign"], found["date"], found["crs"]) == ("field2", "2021-08-23", CRS)
    assert (found["licence"], found["promise"]) == (origin().licence, origin().promises[0])
    assert found["columns"] == {column.name: column.meaning for column in COLUMNS}


def test_the_metadata_of_a_geoparquet_follow_version_1(artifact: Artifact) -> None:
    """Read what programs without geopandas read: the key `geo` of GeoParquet 1.0, and the notes of pandas."""
    kept = pq.read_schema(artifact.file("decisions.parquet")).metadata
    said = json.loads(kept[b"geo"])
    assert (said["version"], said["primary_column"], list(said["columns"])) == ("1.0.0", "geometry", ["geometry"])
    column = said["columns"]["geometry"]
    assert (column["encoding"], column["geometry_types"]) == ("WKB", ["Point"])
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 25832}
    assert column["bbox"] == [365_000.123, 5_609_000.1 + 1 / 3, 365_001.0, 5_609_001.0]
    assert json.loads(kept[b"PANDAS_ATTRS"])["campaign"] == "field2"


@pytest.mark.parametrize(("decimal", "sep", "sign"), [("point", ",", "."), ("comma", ";", ",")])
def test_a_csv_has_the_same_values(tmp_path: Path, decimal: str, sep: str, sign: str) -> None:
    """Read the CSV as Excel does in English and German: UTF-8 by its mark, with the separators of the language."""
    path = written(tmp_path, ROWS, decimal=decimal).file("decisions.csv")
    assert path.read_bytes().startswith(b"\xef\xbb\xbfcampaign" + sep.encode() + b"date")
    rows = list(csv.DictReader(local(path).read_text("utf-8-sig").splitlines(), delimiter=sep))
    assert [row["plant_id"] for row in rows] == AS_TEXT
    assert [row["plot"] for row in rows] == ["2", "", "", ""]
    assert {row["date"] for row in rows} == {"2021-08-23"}
    for name in ("answer_reliability", "ready_probability", "easting", "northing"):
        cells = [row[name] for row in rows]
        assert not any({".", ","} - {sign} & set(cell) for cell in cells), name
        assert [float(cell.replace(sign, ".")) if cell else None for cell in cells] == expected(name), name
    query = f"select is_corrected, cluster, northing from read_csv('{path}', decimal_separator='{sign}')"
    assert duckdb.execute(query).fetchall() == list(
        zip(*map(expected, ("is_corrected", "cluster", "northing")), strict=True)
    )


def test_lines_of_a_csv_end_as_spreadsheets_expect(artifact: Artifact) -> None:
    content = artifact.read_bytes("decisions.csv")
    assert content.count(b"\r\n") == content.count(b"\n") == 1 + len(ROWS)


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "＝", "'"])
def test_no_text_is_run_as_a_formula(first: str) -> None:
    table = pa.table({"plant_id": [f'{first}HYPERLINK("http://x")'], "n": [-1]})
    _, _, rest = b"".join(csv_parts([table], "point")).decode().partition("\r\n")
    ((plant, number),) = csv.reader([rest])
    assert plant.startswith("'") and number == "-1"


@pytest.mark.parametrize(
    "text", ["007", "1e5", "0x10", "1E+5", "1.0", ".5", "3/4", "1-2", "12:30", "5%", "1" * 16, "1,000"]
)
def test_ids_that_look_like_numbers_stay_text(text: str) -> None:
    assert harmless(text) == f"'{text}"
    assert pd.read_csv(io.BytesIO(b"".join(csv_parts([pa.table({"plant_id": [text]})], "point"))))[
        "plant_id"
    ].tolist() == [f"'{text}"]


@pytest.mark.parametrize(
    "text", ["17", "0", "123456789012345", "2021_Ref_Plot1_A1", "train/ready/7", "e5", "0x", "1e", ""]
)
def test_ids_that_no_program_rewrites_stay_as_they_are(text: str) -> None:
    assert harmless(text) == text


@given(st.text("=+-@'\t\r\n＝a1e.0"))
def test_a_text_comes_back_without_its_apostrophe(text: str) -> None:
    cell = harmless(text)
    assert cell.removeprefix("'") == text
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


def test_positions_are_counted(artifact: Artifact) -> None:
    assert artifact.summary == {"n_plants": 4, "n_without_position": 2}


@pytest.mark.parametrize("rows", [[], ROWS[2:]])
def test_without_any_position_there_is_csv_alone(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    artifact = written(tmp_path, rows)
    assert list(artifact.manifest.files) == ["decisions.csv"]
    assert len(artifact.read_bytes("decisions.csv").splitlines()) == 1 + len(rows)


def test_equal_rows_are_equal_bytes(artifact: Artifact, tmp_path: Path) -> None:
    assert written(tmp_path, ROWS).manifest.files == artifact.manifest.files
    assert set(artifact.manifest.files) == {f"decisions.{kind}" for kind in ("csv", "geojson", "gpkg", "parquet")}


def test_a_crs_whose_northing_comes_first_has_easting_as_x(tmp_path: Path) -> None:
    """Write Gauss-Krüger positions, a CRS in the order y, x: files must have x, y all the same."""
    rows = [{**row, "easting": row["easting"] + 2_200_000} for row in ROWS[:2]]  # zone 2 counts from 2,500 km
    artifact = written(tmp_path, rows, crs="EPSG:31466")
    for found in (
        geopandas.read_parquet(local(artifact.file("decisions.parquet"))),
        geopandas.read_file(local(artifact.file("decisions.gpkg")), layer="decisions"),
    ):
        assert found.crs == "EPSG:31466" and found.geometry.x.tolist() == [2_565_000.123, 2_565_001.0]
    degrees = geopandas.read_file(local(artifact.file("decisions.geojson")))
    assert degrees.crs == "EPSG:4326" and degrees.geometry.x.round(1).tolist() == [6.9, 6.9]
    assert degrees.geometry.y.round(1).tolist() == [50.6, 50.6]


def test_rows_of_another_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"decisions\.answer got \d+ nulls, but may hold none"):
        written(tmp_path, [decision("a", 1.0, 2.0, answer=None)])
    assert not list(tmp_path.rglob("*.csv"))
