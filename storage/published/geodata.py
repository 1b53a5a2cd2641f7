"""Convert a table to files that other tools open: GeoParquet and GeoJSON for maps, CSV for spreadsheets.

The files hold no timestamps, so equal tables give equal bytes.
"""

import io
import re
from typing import Any, Literal

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa

Decimal = Literal["point", "comma"]

# First characters of texts that a spreadsheet takes for a formula and runs (OWASP, CSV injection). The apostrophe is
# among them, so that removing one leading apostrophe restores every text.
_FORMULA = re.compile(r"['=+\-@\t\r\n＝＋－＠]")
# Texts that a spreadsheet or R takes for a number, date or time, and writes in another way: 007, 1e5, 0x10, 1.0, 3/4.
_REWRITTEN = re.compile(r"(?!(0|[1-9][0-9]{0,14})$)(0[xX][0-9a-fA-F]+|[0-9.,][0-9.,:/\-]*([eE][+\-]?[0-9]+)?%?)$")


def to_geoparquet(table: pa.Table, crs: str) -> bytes:
    """Return a table with columns `easting` and `northing` (m) as GeoParquet 1.0; null positions give null points.

    Parameters
    ----------
    crs : coordinate reference system of the positions, such as `EPSG:25832`.
    """
    sink = io.BytesIO()
    _points(table, crs).to_parquet(sink, index=False, compression="zstd", schema_version="1.0.0")
    return sink.getvalue()


def to_geojson(table: pa.Table, crs: str) -> bytes:
    """Return a table as GeoJSON with the CRS in the member `crs` (GeoJSON 2008, which GDAL and QGIS read)."""
    sink = io.BytesIO()
    # Without a name, the layer would get that of a temporary file.
    _points(table, crs).to_file(sink, driver="GeoJSON", layer="decisions", engine="pyogrio")
    return sink.getvalue()


def _points(table: pa.Table, crs: str) -> geopandas.GeoDataFrame:
    # Arrow types, because pandas would turn whole numbers beside nulls into floats, and lose the type of empty columns.
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    x, y = (table.column(name).to_numpy() for name in ("easting", "northing"))
    is_known = np.isfinite(x) & np.isfinite(y)
    points = np.full(len(x), None, object)
    points[is_known] = np.asarray(geopandas.points_from_xy(x[is_known], y[is_known]))
    return geopandas.GeoDataFrame(frame, geometry=points, crs=crs)


def to_csv(table: pa.Table, decimal: Decimal) -> bytes:
    """Return a table as CSV for spreadsheets: UTF-8 with a byte order mark, one header line, CR LF line ends.

    Parameters
    ----------
    decimal : `point` separates columns by commas. `comma` separates them by semicolons, as spreadsheets expect in
        countries with a decimal comma.

    Notes
    -----
    Texts that a spreadsheet could take for a formula, or write in another way, get a leading apostrophe.
    Without the byte order mark, Excel reads UTF-8 as the local code page.
    """
    frame: Any = table.to_pandas(types_mapper=pd.ArrowDtype)
    for field in table.schema:
        if pa.types.is_string(field.type):
            frame[field.name] = [None if pd.isna(text) else harmless(text) for text in frame[field.name]]
    signs = {"point": {"sep": ",", "decimal": "."}, "comma": {"sep": ";", "decimal": ","}}[decimal]
    return frame.to_csv(index=False, lineterminator="\r\n", **signs).encode("utf-8-sig")


def harmless(text: str) -> str:
    """Return a text, with a leading apostrophe if a spreadsheet could take it for a formula or rewrite it."""
    return f"'{text}" if _FORMULA.match(text) or _REWRITTEN.match(text) else text
