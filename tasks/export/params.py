"""Define the parameters of exported decisions."""

from typing import Literal

from pydantic import Field, field_validator

from tasks.parameters import Params
from tasks.sources.projections import check_crs


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
