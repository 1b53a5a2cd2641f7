"""Transform positions to a projected system in metres, and tell positions that cannot be in it.

PROJ is imported inside the functions, because importing it takes longer than reading a campaign's file.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from tasks.sources.projections import transform

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WGS_84 = "EPSG:4326"
MARGIN = 1.0  # degrees beyond the area of use in which a system is still used, at borders of zones and countries


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


Crs = Annotated[str, Field(pattern=r"^EPSG:\d+$"), AfterValidator(check_crs)]
"""EPSG code of a projected coordinate reference system in metres."""


def utm_zone(longitude: float, latitude: float) -> str | None:
    """Return the EPSG code of the UTM zone (WGS 84) of a place in degrees; None near the poles, which have none."""
    from pyproj.aoi import AreaOfInterest
    from pyproj.database import query_utm_crs_info

    place = AreaOfInterest(longitude, latitude, longitude, latitude)
    found = query_utm_crs_info(datum_name="WGS 84", area_of_interest=place)
    return f"EPSG:{found[0].code}" if found else None


def to_metres(degrees: "NDArray[np.float64]", crs: str) -> "NDArray[np.float64]":
    """Transform longitudes and latitudes (n, 2), WGS 84, to easting and northing (n, 2) of a projected system."""
    return _transform(degrees, WGS_84, crs)


def to_degrees(metres: "NDArray[np.float64]", crs: str) -> "NDArray[np.float64]":
    """Transform easting and northing (n, 2) to longitudes and latitudes (n, 2), WGS 84; infinite where impossible."""
    return _transform(metres, crs, WGS_84)


def _transform(positions: "NDArray[np.float64]", here: str, there: str) -> "NDArray[np.float64]":
    import numpy as np

    return np.column_stack(transform(positions[:, 0], positions[:, 1], here, there))


def is_in_area(degrees: "NDArray[np.float64]", crs: str) -> "NDArray[np.bool_]":
    """Return which longitudes and latitudes (n, 2) lie in a system's area of use, or within `MARGIN` of it."""
    import numpy as np
    import pyproj

    area = pyproj.CRS.from_user_input(crs).area_of_use
    if area is None:
        return np.isfinite(degrees[:, 0]) & np.isfinite(degrees[:, 1])
    width = area.east - area.west + (360 if area.east < area.west else 0)  # an area may cross the 180th meridian
    longitude, latitude = degrees[:, 0], degrees[:, 1]
    with np.errstate(invalid="ignore"):
        is_between = (longitude - area.west + MARGIN) % 360 <= width + 2 * MARGIN
    return is_between & (latitude >= area.south - MARGIN) & (latitude <= area.north + MARGIN)
