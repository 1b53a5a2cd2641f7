"""Check, transform and compare coordinate reference systems (CRS) with PROJ, always in the order x, y."""

from functools import lru_cache
from typing import TYPE_CHECKING

from storage.errors import InputError

if TYPE_CHECKING:  # importing numpy and PROJ takes longer than reading a campaign's file
    import numpy as np
    from numpy.typing import NDArray
    from pyproj import CRS

SCALE_TOLERANCE = 0.01  # share by which a metre of a projected system may differ from a metre on the ground
STEP = {True: 10.0, False: 1e-4}  # step for measuring a projected system (units) and a geographic one (degrees)


def check_crs(name: str) -> str:
    """Return the name of a coordinate reference system, or refuse one without easting and northing in metres.

    Raises
    ------
    ValueError : PROJ does not know the name, or the system is not projected with two axes in metres.
    """
    import pyproj
    from pyproj.exceptions import CRSError

    try:
        crs = pyproj.CRS.from_user_input(name)
    except CRSError:
        raise ValueError(
            f"PROJ knows no such coordinate reference system as {name}; it must be one of PROJ's database; "
            "correct the EPSG code"
        ) from None
    if not crs.is_projected or [axis.unit_name for axis in crs.axis_info] != ["metre", "metre"]:
        raise ValueError(
            f"{crs.name} does not have two axes in metres; positions must be easting and northing in metres; "
            "use a projected system"
        )
    return name


@lru_cache(maxsize=64)
def read_crs(text: str) -> "CRS":
    """Read a coordinate reference system from an EPSG code or WKT.

    Raises
    ------
    InputError : PROJ does not understand the text.
    """
    import pyproj
    from pyproj.exceptions import CRSError

    try:
        return pyproj.CRS.from_user_input(text)
    except CRSError:
        raise InputError(
            f"PROJ knows no such coordinate reference system as {text}",
            "A coordinate reference system must be one that PROJ knows",
            "give its EPSG code, such as EPSG:32632",
        ) from None


def transform(
    x: "NDArray[np.float64]", y: "NDArray[np.float64]", source: str, target: str
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Transform positions from one coordinate reference system to another, x (east) first; inf where PROJ cannot."""
    import pyproj

    made = pyproj.Transformer.from_crs(read_crs(source), read_crs(target), always_xy=True)
    east, north = made.transform(x, y)
    return east, north


@lru_cache(maxsize=256)
def local_steps(source: str, target: str, x: float, y: float, step: float) -> "NDArray[np.float64]":
    """Return how a target system's positions change with those of a source system near a place, shape (2, 2).

    Column 0 is the change (x, y) for a unit of the source's x, column 1 that for a unit of its y. NaN or infinite where
    PROJ cannot transform.

    Parameters
    ----------
    step : distance to both sides of the place over which the change is measured, units of the source.
    """
    import numpy as np

    around = np.array([x - step, x + step, x, x]), np.array([y, y, y - step, y + step])
    east, north = transform(*around, source, target)
    with np.errstate(invalid="ignore"):
        return np.array([np.diff(east)[::2], np.diff(north)[::2]]) / (2 * step)


def metres_on_ground(crs: "CRS", x: float, y: float) -> tuple[float, float]:
    """Return the metres on the ellipsoid that a unit of x and of y stands for near a place; NaN where PROJ fails."""
    import numpy as np
    import pyproj

    step = STEP[crs.is_projected]
    made = pyproj.Transformer.from_crs(crs, crs.geodetic_crs or crs, always_xy=True)
    lon, lat = made.transform(np.array([x - step, x + step, x, x]), np.array([y, y, y - step, y + step]))
    geod = crs.get_geod()
    if geod is None or not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        return np.nan, np.nan
    _, _, metres = geod.inv(lon[[0, 2]], lat[[0, 2]], lon[[1, 3]], lat[[1, 3]])
    return float(metres[0] / (2 * step)), float(metres[1] / (2 * step))


def utm_of(longitude: float, latitude: float) -> str:
    """Return the EPSG code of the UTM zone (WGS 84) of a place in degrees."""
    zone = min(max(int((longitude + 180) // 6) + 1, 1), 60)
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"
