"""Compose the rows of exported decisions, and check how they are written. Pure functions."""

from collections.abc import Sequence
from datetime import date
from typing import Any, Literal

import pyproj
from pydantic import Field, field_validator
from pyproj.exceptions import CRSError

from storage.tables.rows import Row
from tasks.export.decisions import decision_rows
from tasks.parameters import Params

FIT = ("method", "explained_class", "classifier", "clusters")  # columns of the table `decided` that name the fit


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


def export_rows(
    campaign: str,
    day: date,
    places: Sequence[Row],
    decided: Sequence[Row],
    classes: Sequence[str],
) -> list[dict[str, Any]]:
    """Return the decisions of a date (see `decision_rows`) with campaign, date, method and fit.

    Parameters
    ----------
    places : `plant_id`, `easting` and `northing` of the date's plants.
    decided : rows of the table of this name.
    """
    named = decision_rows(places, decided, classes)
    mark = {"campaign": campaign, "date": day}
    return [{**mark, **one, **{name: row[name] for name in FIT}} for one, row in zip(named, decided, strict=True)]
