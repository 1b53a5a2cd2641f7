"""State where the map of the field page lies on the earth, and the orthophotos behind it; no files but artefacts.

The page has metres from the field's south-west corner. Latitude and longitude become such metres by an affine map that
is exact in the middle of the field. Within a kilometre it is some centimetres off, less than any phone knows its place.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.artifacts import Artifact
from storage.tables.rows import Row
from tasks.report.field.summary import is_placed
from tasks.report.field.texts import text
from tasks.sources.crs import WGS_84, to_degrees
from tasks.sources.projections import local_steps, read_crs

STEP = 0.001  # degrees to both sides of the field's middle over which the affine map is measured
MOST_BYTES = 1_200_000  # size of all orthophotos of a page, of which the latest are kept; bytes before base64


def place_of(
    plants: Sequence[Row], crs: str, artifacts: Mapping[str, Artifact], dates: Sequence[str]
) -> dict[str, Any]:
    """Return where the map lies: `frame` (see `frame_of`) and `photos` by date (see `photos_of`).

    Parameters
    ----------
    plants : plants of the page, of which those with a position span the map.
    """
    places = np.asarray([(row["easting"], row["northing"]) for row in plants if is_placed(row)], np.float64)
    if not len(places):
        return {"frame": None, "photos": {}}
    return {"frame": frame_of(places, crs), "photos": photos_of(artifacts, dates, places.min(axis=0))}


def frame_of(places: NDArray[np.float64], crs: str) -> dict[str, Any] | None:
    """Return the affine map from latitude and longitude to metres from the south-west corner of places (n, 2).

    Parameters
    ----------
    places : easting and northing, metres, at least one.
    crs : EPSG code of their system.

    Returns
    -------
    `latitude` and `longitude` of the middle, degrees (WGS 84); `local`, its metres from the corner; `per_degree`
    (2, 2), metres to the map's right and top for a degree of longitude and of latitude; `ground` (2, 2), metres to true
    east and north for a metre to the map's right and top. None if PROJ cannot transform the place.
    """
    low, high = places.min(axis=0), places.max(axis=0)
    longitude, latitude = to_degrees(((low + high) / 2)[None], crs)[0].tolist()
    if not np.isfinite([longitude, latitude]).all():
        return None
    per_degree = local_steps(WGS_84, crs, longitude, latitude, STEP)
    ground = np.diag(metres_a_degree(longitude, latitude)) @ np.linalg.inv(per_degree)
    return {
        "latitude": round(latitude, 9),
        "longitude": round(longitude, 9),
        "local": ((high - low) / 2).round(3).tolist(),
        "per_degree": per_degree.round(3).tolist(),
        "ground": ground.round(8).tolist(),
    }


def metres_a_degree(longitude: float, latitude: float) -> tuple[float, float]:
    """Return the metres on the ellipsoid of a degree of longitude and of latitude at a place."""
    geod = read_crs(WGS_84).get_geod()
    assert geod is not None, "WGS 84 has an ellipsoid"
    west, east = (longitude - STEP, latitude), (longitude + STEP, latitude)
    south, north = (longitude, latitude - STEP), (longitude, latitude + STEP)
    return geod.inv(*west, *east)[2] / (2 * STEP), geod.inv(*south, *north)[2] / (2 * STEP)


def photos_of(
    artifacts: Mapping[str, Artifact], dates: Sequence[str], corner: NDArray[np.float64], most_bytes: int = MOST_BYTES
) -> dict[str, dict[str, Any]]:
    """Return the orthophoto of each date that has one: `picture` as a data URI, and `bounds` in metres of the map.

    Dates whose orthophoto could not be read, or has no room on the page, have a sentence `missing` instead.

    Parameters
    ----------
    artifacts : artefacts by role, of which `background <date>` are read.
    corner : easting and northing (m) of the map's origin.
    """
    found: dict[str, dict[str, Any]] = {}
    room = most_bytes
    for day in sorted(dates, reverse=True):
        artifact = artifacts.get(f"background {day}")
        if artifact is None:
            continue
        summary = artifact.summary
        if summary["fault"]:
            found[day] = {"missing": text("map.photo.fault", fault=summary["fault"])}
        elif summary.get("picture"):
            picture = artifact.read_bytes(summary["picture"])
            room -= len(picture)
            bounds = (np.array(summary["bounds"]) - np.tile(corner, 2)).round(3).tolist()
            found[day] = {"missing": text("map.photo.no-room")} if room < 0 else _placed(picture, bounds)
    return found


def _placed(picture: bytes, bounds: list[float]) -> dict[str, Any]:
    return {"bounds": bounds, "picture": f"data:image/webp;base64,{base64.b64encode(picture).decode()}"}
