"""Convert plants to visit to GPX for navigation devices and KML for Google Earth and phones.

The files hold no timestamps, so equal stops give equal bytes. Their points have the order in which they are visited.
"""

import io
import re
from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

import geopandas
import pandas as pd

from storage.published.geodata import DECIMALS, WGS84
from storage.published.origin import PROGRAM

# Characters that XML 1.0 forbids, also escaped.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Stop(NamedTuple):
    """A plant to visit.

    Attributes
    ----------
    name, kind, text : id of the plant, the decision about it, and the reason.
    longitude, latitude : degrees (WGS 84).
    """

    name: str
    kind: str
    text: str
    longitude: float
    latitude: float


def without_forbidden(text: str) -> str:
    """Return a text without the characters that XML forbids."""
    return _FORBIDDEN.sub("", text)


def to_gpx(stops: Sequence[Stop], title: str, description: str, day: date, keywords: str) -> bytes:
    """Return stops as waypoints of a GPX 1.1 file: name, description (`desc`) and decision (`type`).

    Parameters
    ----------
    day : acquisition date, the time of the file's metadata.
    keywords : words of the file's metadata, separated by commas.
    """
    frame = _frame(stops, text="desc", kind="type")
    options = {
        "CREATOR": PROGRAM,
        "METADATA_NAME": title,
        "METADATA_DESCRIPTION": description,
        "METADATA_TIME": f"{day.isoformat()}T00:00:00Z",
        "METADATA_KEYWORDS": keywords,
    }
    sink = io.BytesIO()
    frame.to_file(sink, driver="GPX", layer="waypoints", engine="pyogrio", dataset_options=options)
    return sink.getvalue()


def to_kml(stops: Sequence[Stop], layer: str, title: str, description: str) -> bytes:
    """Return stops as places of a KML 2.2 file: name, description, and the decision as a data column.

    Parameters
    ----------
    layer : name of the folder of places: letters, digits, hyphens and underscores.
    """
    frame = _frame(stops, text="description", kind="decision")
    # GDAL writes such texts as CDATA, which these characters would end.
    frame["name"] = frame["name"].str.replace("]]>", "]] >")
    options = {"NAME": title, "DESCRIPTION": description}
    sink = io.BytesIO()
    frame.to_file(sink, driver="LIBKML", layer=layer, engine="pyogrio", dataset_options=options)
    return sink.getvalue()


def in_words(longitude: float, latitude: float) -> str:
    """Return a position as text that maps on phones find, and that no spreadsheet takes for a number or a formula."""
    north, east = "N" if latitude >= 0 else "S", "E" if longitude >= 0 else "W"
    return f"{abs(latitude):.{DECIMALS}f} {north}, {abs(longitude):.{DECIMALS}f} {east}"


def _frame(stops: Sequence[Stop], text: str, kind: str) -> geopandas.GeoDataFrame:
    columns: Any = pd.DataFrame(stops, columns=list(Stop._fields))
    points = geopandas.points_from_xy(columns["longitude"], columns["latitude"])
    named = columns[["name", "text", "kind"]].map(without_forbidden)
    return geopandas.GeoDataFrame(named.rename(columns={"text": text, "kind": kind}), geometry=points, crs=WGS84)
