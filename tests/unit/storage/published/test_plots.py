"""Test the outlines of plots by areas worked out by hand, and open their layer with GDAL and SQLite."""

import sqlite3
from contextlib import closing
from datetime import date
from math import pi
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import geopandas
import numpy as np
import pytest
from pyogrio import list_layers, read_info
from shapely import Point

from storage.published.plots import PLOTS, half_spacing, plots_frame
from tests.support.local_stores import local
from tests.unit.storage.published.test_geodata import CRS, decision, plain, written

EAST, NORTH = 365_000.0, 5_609_000.0
NAMES = [column.name for column in PLOTS.columns]


def plot(name: str, **changes: Any) -> dict[str, Any]:
    row = {"campaign": "field2", "date": date(2021, 8, 23), "method": "a method", "plot": name, "n_plants": 4}
    counts = {"n_harvest": 2, "n_leave": 1, "n_check": 1, "n_ready": 2.5, "n_ready_lower": 1.0, "n_ready_upper": 3.5}
    return {**row, **counts, **changes}


def plant(name: str, plot: str | None, x: float | None, y: float | None) -> dict[str, Any]:
    return decision(name, None if x is None else EAST + x, None if y is None else NORTH + y, plot=plot)


# Plot 1 is a rectangle of 3 m by 1 m, its corners planted half a metre apart on the short sides.
PLANTS = [
    *(plant(f"1{i}{j}", "1", 3.0 * i, 0.5 * j) for i in range(2) for j in range(3)),
    plant("row 1", "row", 10.0, 0.0),
    plant("row 2", "row", 10.0, 0.5),
    plant("single", "single", 20.0, 0.0),
    plant("nowhere", "lost", None, None),
    plant("without a plot", None, 500.0, 500.0),
]
ROWS = [
    plot("1"),
    plot("row", n_ready=None, n_ready_lower=None, n_ready_upper=None),
    plot("single", n_harvest=None, n_leave=None),
    plot("lost"),
]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return local(written(tmp_path_factory.mktemp("store"), PLANTS, plots=ROWS).file("decisions.gpkg"))


@pytest.fixture(scope="module")
def layer(file: Path) -> geopandas.GeoDataFrame:
    return geopandas.read_file(file, layer="plots")


def test_an_outline_runs_half_a_spacing_outside_the_outermost_plants(layer: geopandas.GeoDataFrame) -> None:
    """Rectangle, two sides of half the spacing around it, and corners near quarter circles; r = 0.25 m."""
    r = 0.25
    area, length = layer.geometry.area.tolist(), {"rectangle": 3.0 * 1.0, "around": 2 * (3.0 + 1.0) * r}
    assert area[0] == pytest.approx(sum(length.values()) + pi * r**2, abs=0.02)
    assert area[1] == pytest.approx(2 * 0.5 * r + pi * r**2, abs=0.02)
    assert area[2] == pytest.approx(pi * r**2, abs=0.02)
    assert layer.total_bounds.tolist() == pytest.approx([EAST - r, NORTH - r, EAST + 20 + r, NORTH + 1 + r])


def test_every_plant_lies_in_its_plot_alone(layer: geopandas.GeoDataFrame) -> None:
    outlines = dict(zip(layer["plot"], layer.geometry, strict=True))
    for one in PLANTS[:-2]:
        place = Point(one["easting"], one["northing"])
        assert [name for name, outline in outlines.items() if outline and outline.covers(place)] == [one["plot"]]


def test_geopandas_reads_the_counts(layer: geopandas.GeoDataFrame) -> None:
    assert layer.crs == CRS and list(layer.columns) == [*NAMES, "geometry"]
    assert layer.geometry.isna().tolist() == [False, False, False, True]
    for name in set(NAMES) - {"date"}:
        assert plain(layer[name]) == [row[name] for row in ROWS], name
    assert {value.date() for value in layer["date"]} == {date(2021, 8, 23)}


def test_layers_come_in_order_and_have_names_of_their_own(file: Path) -> None:
    assert [tuple(one) for one in list_layers(file)][:2] == [("decisions", "Point"), ("plots", "Polygon")]
    said: Any = [read_info(file, layer=name)["layer_metadata"] for name in ("decisions", "plots")]
    assert [one["IDENTIFIER"] for one in said] == ["field2 2021-08-23 a method", "field2 2021-08-23 a method plots"]
    assert {one["campaign"] for one in said} == {"field2"}


def test_qgis_finds_an_outline_and_a_label(file: Path) -> None:
    with closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        query = "SELECT f_geometry_column, useAsDefault, styleQML FROM layer_styles WHERE f_table_name = 'plots'"
        ((geometry, is_default, text),) = database.execute(query).fetchall()
        query = "SELECT column_name, title FROM gpkg_data_columns WHERE table_name = 'plots' ORDER BY rowid"
        titles = dict(database.execute(query).fetchall())
    style = Xml.fromstring(text)
    assert (geometry, is_default, style.get("labelsEnabled")) == ("geom", 1, "1")
    settings = {one.get("name"): one.get("value") for one in style.iter("Option")}
    assert (settings["style"], settings["outline_style"]) == ("no", "solid")
    (label,) = style.iter("text-style")
    assert label.get("isExpression") == "1" and "to harvest" in label.get("fieldName", "")
    assert {one.get("field"): one.get("name") for one in style.iter("alias")} == titles
    assert titles["n_ready"] == "ready (plants)" and list(titles) == NAMES


def test_equal_plots_are_equal_bytes(file: Path, tmp_path: Path) -> None:
    assert written(tmp_path, PLANTS, plots=ROWS).read_bytes("decisions.gpkg") == file.read_bytes()


def test_half_the_spacing_is_that_of_most_plants() -> None:
    line = np.asarray([(0.6 * i, 0.0) for i in range(10)], np.float64)
    assert half_spacing([line, np.asarray([[50.0, 50.0], [57.0, 50.0]])]) == pytest.approx(0.3)
    assert half_spacing([]) == half_spacing([line[:1]]) == half_spacing([line[[0, 0]]]) == 0.25


def test_no_plots_are_a_frame_without_rows() -> None:
    assert len(plots_frame([], PLANTS, CRS)) == 0
