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
