"""Write a table as files that other tools open: GeoParquet and GeoJSON for maps, CSV for spreadsheets.

The files hold no timestamps, so equal tables give equal bytes.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import pyogrio
import shapely
from numpy.typing import NDArray

from storage.tables.parquet import ROWS_AT_ONCE

Decimal = Literal["point", "comma"]
WGS84 = "EPSG:4326"
DECIMALS = 7  # of degrees: a centimetre

# First characters of texts that a spreadsheet takes for a formula and runs (OWASP, CSV injection). The apostrophe is
# among them, so that removing one leading apostrophe restores every text.
_FORMULA = re.compile(r"['=+\-@\t\r\n＝＋－＠]")
# Texts that a spreadsheet or R takes for a number, date or time, and writes in another way: 007, 1e5, 0x10, 1.0, 3/4.
_REWRITTEN = re.compile(r"(?!(0|[1-9][0-9]{0,14})$)(0[xX][0-9a-fA-F]+|[0-9.,][0-9.,:/\-]*([eE][+\-]?[0-9]+)?%?)$")


def write_geoparquet(path: Path, table: pa.Table, crs: str, notes: Mapping[str, Any]) -> None:
    """Write a table with columns `easting` and `northing` (m) as GeoParquet 1.0; null positions give null points.

    Parameters
    ----------
    crs : coordinate reference system of the positions, such as `EPSG:25832`.
    notes : metadata of the file; geopandas and pandas read them as `attrs`.
    """
    frame = points_of(table, crs)
    frame.attrs = {**notes}
    frame.to_parquet(path, index=False, compression="zstd", schema_version="1.0.0")


def write_geojson(path: Path, table: pa.Table, crs: str, notes: Mapping[str, Any]) -> None:
    """Write a table as GeoJSON by RFC 7946: points in WGS 84, longitude first, seven decimals (1 cm).

    Parameters
    ----------
    crs : coordinate reference system of the columns `easting` and `northing`.
    notes : metadata of the file, in its member `metadata`. The members `name` and `description` have `title` and
        `description`.
    """
    points = pa.array(shapely.to_wkb(_points(degrees(table, crs))), pa.binary())
    options = {
        "RFC7946": "YES",
        "DESCRIPTION": f"{notes['title']}. {notes['description']}",
        # GDAL copies members of its own formats from here. RFC 7946 calls them foreign members.
        "NATIVE_DATA": json.dumps({"type": "FeatureCollection", "metadata": notes}, ensure_ascii=False),
        "NATIVE_MEDIA_TYPE": "application/vnd.geo+json",
    }
    pyogrio.write_arrow(
        table.replace_schema_metadata(None).append_column("geometry", points).to_reader(ROWS_AT_ONCE),
        path,
        driver="GeoJSON",
        layer="decisions",  # else it would have the name of the file
        geometry_name="geometry",
        geometry_type="Point",
        crs=WGS84,
        layer_options=options,
    )


def points_of(table: pa.Table, crs: str) -> geopandas.GeoDataFrame:
    """Return a table as a frame of points, with the types of Arrow."""
    # pandas would turn whole numbers beside nulls into floats, and lose the type of empty columns.
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    metres = np.column_stack([table.column(name).to_numpy() for name in ("easting", "northing")])
    return geopandas.GeoDataFrame(frame, geometry=_points(metres), crs=crs)


def degrees(table: pa.Table, crs: str) -> NDArray[np.float64]:
    """Return longitude and latitude (WGS 84) of the table's n positions to seven decimals, (n, 2); NaN where unknown.

    A position that the projection cannot have is unknown.
    """
    points: Any = points_of(table, crs).to_crs(WGS84).geometry
    found = np.column_stack([points.x, points.y]).round(DECIMALS)
    found[~np.isfinite(found).all(axis=1)] = np.nan
    return found


def _points(positions: NDArray[np.float64]) -> NDArray[np.object_]:
    """Return positions (n, 2) as points; None where a coordinate is unknown."""
    is_known = np.isfinite(positions).all(axis=1)
    points = np.full(len(positions), None, object)
    points[is_known] = np.asarray(geopandas.points_from_xy(*positions[is_known].T))
    return points


def csv_parts(tables: Iterable[pa.Table], decimal: Decimal) -> Iterator[bytes]:
    """Yield tables as one CSV for spreadsheets: UTF-8 with a byte order mark, one header line, CR LF line ends.

    Parameters
    ----------
    tables : at least one table; further ones have the same columns.
    decimal : `point` separates columns by commas. `comma` separates them by semicolons, as spreadsheets expect in
        countries with a decimal comma.

    Notes
    -----
    Texts that a spreadsheet could take for a formula, or write in another way, get a leading apostrophe.
    Without the byte order mark, Excel reads UTF-8 as the local code page.
    """
    signs = {"point": {"sep": ",", "decimal": "."}, "comma": {"sep": ";", "decimal": ","}}[decimal]
    for i, table in enumerate(tables):
        frame: Any = table.to_pandas(types_mapper=pd.ArrowDtype)
        for field in table.schema:
            if pa.types.is_string(field.type):
                texts = table.column(field.name).to_pylist()
                frame[field.name] = [None if text is None else harmless(text) for text in texts]
        text = frame.to_csv(index=False, header=i == 0, lineterminator="\r\n", **signs)
        yield text.encode("utf-8" if i else "utf-8-sig")


def slices(table: pa.Table) -> Iterator[pa.Table]:
    """Yield the rows of a table in parts; an empty table is one part."""
    for start in range(0, max(1, table.num_rows), ROWS_AT_ONCE):
        yield table.slice(start, ROWS_AT_ONCE)


def harmless(text: str) -> str:
    """Return a text, with a leading apostrophe if a spreadsheet could take it for a formula or rewrite it."""
    return f"'{text}" if _FORMULA.match(text) or _REWRITTEN.match(text) else text
