"""A table as files that other tools open: GeoParquet and GeoJSON for maps, CSV for spreadsheets.

The files hold no clock, so equal tables give equal bytes.
"""

import io
import re
from typing import Any, Literal

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa

Decimal = Literal["point", "comma"]

# A spreadsheet takes what begins like this for a formula and runs it. The apostrophe is there so that whoever takes one
# away gets every text back. See OWASP, CSV injection.
_FORMULA = re.compile(r"['=+\-@\t\r\n＝＋－＠]")


def to_geoparquet(table: pa.Table, crs: str) -> bytes:
    """A table with the columns `easting` and `northing` (m) as GeoParquet 1.0 with points; no position, no geometry.

    Parameters
    ----------
    crs : what the positions are in, as in EPSG:25832.
    """
    sink = io.BytesIO()
    _points(table, crs).to_parquet(sink, index=False, compression="zstd", schema_version="1.0.0")
    return sink.getvalue()


def to_geojson(table: pa.Table, crs: str) -> bytes:
    """The same as GeoJSON, with the CRS named in the member `crs` (GeoJSON 2008, as GDAL and QGIS read it)."""
    sink = io.BytesIO()
    # The layer would else be named after a temporary file.
    _points(table, crs).to_file(sink, driver="GeoJSON", layer="decisions", engine="pyogrio")
    return sink.getvalue()


def _points(table: pa.Table, crs: str) -> geopandas.GeoDataFrame:
    # Arrow's own types: pandas would make floats of whole numbers beside nulls, and nothing at all of empty columns.
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    x, y = (table.column(name).to_numpy() for name in ("easting", "northing"))
    is_known = np.isfinite(x) & np.isfinite(y)
    points = np.full(len(x), None, object)
    points[is_known] = np.asarray(geopandas.points_from_xy(x[is_known], y[is_known]))
    return geopandas.GeoDataFrame(frame, geometry=points, crs=crs)


def to_csv(table: pa.Table, decimal: Decimal) -> bytes:
    """A table as CSV for spreadsheets: UTF-8 with a byte order mark, one header line, lines that end with CR LF.

    Parameters
    ----------
    decimal : `point` separates columns by commas; `comma` by semicolons, as a spreadsheet expects in the countries that
        write a decimal comma.

    Notes
    -----
    Texts that a spreadsheet could take for a formula get an apostrophe before them. Without the mark Excel reads UTF-8
    as the code page of the country.
    """
    frame: Any = table.to_pandas(types_mapper=pd.ArrowDtype)
    for field in table.schema:
        if pa.types.is_string(field.type):
            frame[field.name] = [None if pd.isna(text) else harmless(text) for text in frame[field.name]]
    signs = {"point": {"sep": ",", "decimal": "."}, "comma": {"sep": ";", "decimal": ","}}[decimal]
    return frame.to_csv(index=False, lineterminator="\r\n", **signs).encode("utf-8-sig")


def harmless(text: str) -> str:
    """A text with an apostrophe before it where a spreadsheet could take it for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text
