"""Define the parameters of exported decisions."""

from typing import Literal

from pydantic import Field, field_validator

from tasks.parameters import Params


class ExportParams(Params):
    """Parameters of exported decisions. They change only the exported files."""

    crs: str = Field(
        default="EPSG:25832",
        pattern=r"^EPSG:\d+$",
        description="EPSG code of the source's positions: a projected coordinate reference system in metres",
    )
    decimal: Literal["point", "comma"] = Field(
        default="point", description="Decimal sign of the CSV; with comma, its columns are separated by semicolons"
    )

    @field_validator("crs")
    @classmethod
    def _projected_in_metres(cls, crs: str) -> str:
        return check_crs(crs)


def check_crs(name: str) -> str:
    """Return the name of a coordinate reference system, or refuse one without easting and northing in metres.

    Raises
    ------
    ValueError : PROJ does not know the name, or the system is not projected with two axes in metres.
    """
    import pyproj  # here, because importing it takes longer than reading a campaign's file
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
