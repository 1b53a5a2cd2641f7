"""Rows of the decisions that other tools get, and how they are written. Pure functions."""

from collections.abc import Sequence
from datetime import date
from typing import Any, Literal

import pyproj
from pydantic import Field, field_validator
from pyproj.exceptions import CRSError

from storage.tables.rows import Row
from tasks.export.decisions import decision_rows
from tasks.parameters import Params

KEPT = ("method", "reliability", "explained_class", "classifier", "clusters")  # columns of the table `adjusted`


class ExportParams(Params):
    """How decisions are written for other tools: changes these files and nothing else."""

    crs: str = Field(
        default="EPSG:25832",
        pattern=r"^EPSG:\d+$",
        description="what the source's positions are in, by its EPSG code: a projected CRS in metres",
    )
    decimal: Literal["point", "comma"] = Field(
        default="point", description="decimal sign of the CSV; with `comma` its columns are separated by semicolons"
    )

    @field_validator("crs")
    @classmethod
    def _projected_in_metres(cls, crs: str) -> str:
        return check_crs(crs)


def check_crs(name: str) -> str:
    """The name of a CRS that easting and northing in metres can be in.

    Raises
    ------
    ValueError : PROJ does not know it, or it is not one of two axes in metres, as degrees or heights are.
    """
    try:
        crs = pyproj.CRS.from_user_input(name)
    except CRSError:
        raise ValueError("PROJ knows no such coordinate reference system") from None
    if not crs.is_projected or [axis.unit_name for axis in crs.axis_info] != ["metre", "metre"]:
        raise ValueError(f"positions are easting and northing in metres, which {crs.name} has not")
    return name


def export_rows(
    campaign: str,
    day: date,
    places: Sequence[Row],
    reliability: Sequence[Row],
    adjusted: Sequence[Row],
    classes: Sequence[str],
) -> list[dict[str, Any]]:
    """Decisions of a date (see `decision_rows`) with all that tells them from those of other dates, methods and fits.

    Parameters
    ----------
    places : `plant_id`, `easting` and `northing` of the date's plants.
    """
    decided = decision_rows(places, reliability, adjusted, classes)
    mark = {"campaign": campaign, "date": day}
    return [
        {**mark, **decision, **{name: row[name] for name in KEPT}}
        for decision, row in zip(decided, adjusted, strict=True)
    ]
