"""Write layers with positions as a GeoPackage that QGIS opens styled, with meanings inside, and read it back.

A GeoPackage holds the times at which it was written. The day of the images stands in their place, so that equal layers
give equal bytes.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any, Literal, NamedTuple

import geopandas
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError

from storage.errors import InputError
from storage.tables.parquet import Column

VERSION = "1.3"  # of GeoPackage: GDAL before 3.7, as in Debian 12 and QGIS 3.22, warns of 1.4
STYLES = "layer_styles"  # table from which QGIS reads the style of a layer


class Layer(NamedTuple):
    """A layer of a GeoPackage.

    Attributes
    ----------
    frame : geometries with the columns of `columns`.
    columns : meaning and unit of every column.
    style : style as QML, and `style_meaning`, what it shows.
    values : by column that has only some values, the meaning of each of them.
    """

    name: str
    geometry: Literal["Point", "Polygon"]
    frame: geopandas.GeoDataFrame
    columns: Sequence[Column]
    style: str
    style_meaning: str
    values: Mapping[str, Mapping[str, str]]


# The tables of the extension Schema (GeoPackage 1.3, annex F.9), which QGIS and GDAL read as aliases and value lists.
_SCHEMA_EXTENSION = """
CREATE TABLE gpkg_data_columns (
    table_name TEXT NOT NULL, column_name TEXT NOT NULL, name TEXT, title TEXT, description TEXT, mime_type TEXT,
    constraint_name TEXT, CONSTRAINT pk_gdc PRIMARY KEY (table_name, column_name),
    CONSTRAINT gdc_tn UNIQUE (table_name, name));
CREATE TABLE gpkg_data_column_constraints (
    constraint_name TEXT NOT NULL, constraint_type TEXT NOT NULL, value TEXT, min NUMERIC, min_is_inclusive BOOLEAN,
    max NUMERIC, max_is_inclusive BOOLEAN, description TEXT,
    CONSTRAINT gdcc_ntv UNIQUE (constraint_name, constraint_type, value));
"""
# As QGIS creates it.
_STYLE_TABLE = f"""
CREATE TABLE {STYLES} (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
    f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
    useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), update_time DATETIME);
"""


def write_geopackage(path: Path, layers: Sequence[Layer], notes: Mapping[str, str], day: date) -> None:
    """Write layers as a GeoPackage, each with its style; QGIS lists them in this order.

    Parameters
    ----------
    notes : metadata of the layers, by name; `title` and `description` are also those in GDAL's and QGIS's lists. From
        the second layer on, its name follows the title.
    day : acquisition date.
    """
    _write_layers(path, layers, notes)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = OFF")  # the file is a draft
        with database:
            database.executescript(_SCHEMA_EXTENSION + _STYLE_TABLE)
            _register_extension(database)
            for layer in layers:
                _describe_columns(database, layer)
                _add_style(database, layer)
            _set_times(database, f"{day.isoformat()}T00:00:00.000Z")
        database.execute("VACUUM")  # removes the traces of the times that were replaced


def _write_layers(path: Path, layers: Sequence[Layer], notes: Mapping[str, str]) -> None:
    for i, layer in enumerate(layers):
        title = f"{notes['title']} {layer.name}" if i else notes["title"]
        layer.frame.to_file(
            path,
            driver="GPKG",
            layer=layer.name,
            engine="pyogrio",
            use_arrow=True,  # keeps days as days; without it they are written as texts
            geometry_type=layer.geometry,
            dataset_options={"VERSION": VERSION},
            layer_metadata={**notes, "title": title},
            layer_options={"IDENTIFIER": title, "DESCRIPTION": notes["description"]},
        )


def read_layer(path: Path, layer: str) -> list[tuple[int, dict[str, str]]]:
    """Read a layer that came back from QField, QGIS or GDAL: the number of every feature, and its columns as text.

    Empty cells are empty texts. Times are ISO 8601, with their distance from UTC where the file states it.

    Raises
    ------
    InputError : the file is damaged, or has no such layer.
    """
    try:
        layers = [str(name) for name, _ in pyogrio.list_layers(path)]
        if layer not in layers:
            raise InputError(
                f"{path.name} has the layers {', '.join(layers) or 'none'}",
                f"A GeoPackage that comes back must have the layer {layer}, as it was exported",
                "give the file that was exported and then edited",
            )
        found: Any = pyogrio.read_dataframe(
            path, layer=layer, read_geometry=False, fid_as_index=True, datetime_as_string=True
        )
    except (DataSourceError, DataLayerError) as error:
        raise InputError(
            f"{path.name} cannot be read as a GeoPackage: {error}",
            "A GeoPackage that comes back must be undamaged, and closed in other programs",
            "save it again in QGIS, or copy it again from the device",
        ) from None
    texts = found.astype(object).where(found.notna(), "").astype(str)
    return [(int(fid), cells) for fid, cells in texts.to_dict("index").items()]


def alias(column: Column) -> str:
    """Return the heading of a column for people: its name as words, with the unit."""
    words = column.name.removeprefix("n_").replace("_", " ")
    return f"{words} ({column.unit})" if column.unit else words


def _register_extension(database: sqlite3.Connection) -> None:
    definition = "http://www.geopackage.org/spec121/#extension_schema"
    for name in ("gpkg_data_columns", "gpkg_data_column_constraints"):
        row = (name, None, "gpkg_schema", definition, "read-write")
        database.execute("INSERT INTO gpkg_extensions VALUES (?, ?, ?, ?, ?)", row)
    database.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) VALUES (?, 'attributes', ?, 0)",
        (STYLES, STYLES),
    )


def _describe_columns(database: sqlite3.Connection, layer: Layer) -> None:
    database.executemany(
        "INSERT INTO gpkg_data_columns VALUES (?, ?, ?, ?, ?, NULL, ?)",
        [
            (layer.name, one.name, one.name, alias(one), one.meaning, one.name if one.name in layer.values else None)
            for one in layer.columns
        ],
    )
    database.executemany(
        "INSERT INTO gpkg_data_column_constraints VALUES (?, 'enum', ?, NULL, NULL, NULL, NULL, ?)",
        [(name, value, meaning) for name, values in layer.values.items() for value, meaning in values.items()],
    )


def _add_style(database: sqlite3.Connection, layer: Layer) -> None:
    ((geometry,),) = database.execute(
        "SELECT column_name FROM gpkg_geometry_columns WHERE table_name = ?", (layer.name,)
    ).fetchall()
    database.execute(
        f"INSERT INTO {STYLES} (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, styleQML, "
        "styleSLD, useAsDefault, description, owner) VALUES ('', '', ?, ?, ?, ?, '', 1, ?, '')",
        (layer.name, geometry, layer.name, layer.style, layer.style_meaning),
    )


def _set_times(database: sqlite3.Connection, time: str) -> None:
    for table, column in (("gpkg_contents", "last_change"), ("gpkg_metadata_reference", "timestamp")):
        database.execute(f"UPDATE {table} SET {column} = ?", (time,))
    database.execute(f"UPDATE {STYLES} SET update_time = ?", (time,))
