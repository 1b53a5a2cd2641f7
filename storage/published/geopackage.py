"""Convert a table with positions to a GeoPackage that QGIS opens coloured, with the meaning of its columns inside.

A GeoPackage holds the times at which it was written. The day of the images stands in their place, so that equal tables
give equal bytes.
"""

import io
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import date

import pyarrow as pa

from storage.published.geodata import points_of
from storage.published.styles import COLOURED_BY, Look, qgis_style
from storage.tables.parquet import Column

LAYER = "decisions"  # name of the layer of points
STYLES = "layer_styles"  # table from which QGIS reads the style of a layer

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


def to_geopackage(
    table: pa.Table, crs: str, columns: Sequence[Column], looks: Mapping[str, Look], notes: Mapping[str, str], day: date
) -> bytes:
    """Return a table with columns `easting` and `northing` (m) as a GeoPackage with one layer of points, and its style.

    Parameters
    ----------
    crs : coordinate reference system of the positions, such as `EPSG:25832`.
    columns : meaning and unit of the table's columns.
    looks : look of every value of the column `decision`.
    notes : metadata of the layer, by name; `title` and `description` are also those in GDAL's and QGIS's lists.
    day : acquisition date.
    """
    sink = io.BytesIO()
    points_of(table, crs).to_file(
        sink,
        driver="GPKG",
        layer=LAYER,
        engine="pyogrio",
        use_arrow=True,  # keeps days as days; without it they are written as texts
        geometry_type="Point",
        layer_metadata=dict(notes),
        layer_options={"IDENTIFIER": notes["title"], "DESCRIPTION": notes["description"]},
    )
    with closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(sink.getvalue())
        with database:
            _describe_columns(database, columns, looks)
            _add_style(database, qgis_style(looks, {one.name: alias(one) for one in columns}, "plant_id"))
            _set_times(database, f"{day.isoformat()}T00:00:00.000Z")
        database.execute("VACUUM")  # removes the traces of the times that were replaced
        return database.serialize()


def alias(column: Column) -> str:
    """Return the heading of a column for people: its name as words, with the unit."""
    words = column.name.replace("_", " ")
    return f"{words} ({column.unit})" if column.unit else words


def _describe_columns(database: sqlite3.Connection, columns: Sequence[Column], looks: Mapping[str, Look]) -> None:
    database.executescript(_SCHEMA_EXTENSION)
    definition = "http://www.geopackage.org/spec121/#extension_schema"
    for name in ("gpkg_data_columns", "gpkg_data_column_constraints"):
        row = (name, None, "gpkg_schema", definition, "read-write")
        database.execute("INSERT INTO gpkg_extensions VALUES (?, ?, ?, ?, ?)", row)
    database.executemany(
        "INSERT INTO gpkg_data_columns VALUES (?, ?, ?, ?, ?, NULL, ?)",
        [
            (LAYER, one.name, one.name, alias(one), one.meaning, COLOURED_BY if one.name == COLOURED_BY else None)
            for one in columns
        ],
    )
    database.executemany(
        "INSERT INTO gpkg_data_column_constraints VALUES (?, 'enum', ?, NULL, NULL, NULL, NULL, ?)",
        [(COLOURED_BY, decision, look.legend) for decision, look in looks.items()],
    )


def _add_style(database: sqlite3.Connection, style: str) -> None:
    database.executescript(_STYLE_TABLE)
    ((geometry,),) = database.execute(
        "SELECT column_name FROM gpkg_geometry_columns WHERE table_name = ?", (LAYER,)
    ).fetchall()
    database.execute(
        f"INSERT INTO {STYLES} (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, styleQML, "
        "styleSLD, useAsDefault, description, owner) VALUES ('', '', ?, ?, ?, ?, '', 1, ?, '')",
        (LAYER, geometry, COLOURED_BY, style, "points by decision, as in the report"),
    )
    database.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) VALUES (?, 'attributes', ?, 0)",
        (STYLES, STYLES),
    )


def _set_times(database: sqlite3.Connection, time: str) -> None:
    for table, column in (("gpkg_contents", "last_change"), ("gpkg_metadata_reference", "timestamp")):
        database.execute(f"UPDATE {table} SET {column} = ?", (time,))
    database.execute(f"UPDATE {STYLES} SET update_time = ?", (time,))
