"""Define the parameters of exported decisions."""

from typing import Literal

from pydantic import Field

from tasks.parameters import Params
from tasks.sources.crs import Crs


class ExportParams(Params):
    """Parameters of exported decisions. They change only the exported files."""

    crs: Crs = Field(
        default="EPSG:25832",
        description="EPSG code of the source's positions: a projected coordinate reference system in metres. The key "
        "`crs` of a source `folder` sets it too",
    )
    decimal: Literal["point", "comma"] = Field(
        default="point", description="Decimal sign of the CSV; with comma, its columns are separated by semicolons"
    )
    licence: str = Field(
        default="",
        max_length=200,
        pattern=r"^[^\x00-\x1f]*$",
        description="Licence of the images and whom to name, such as `CC BY 4.0, A. Grower`. Exported files say it; "
        "without it they say nothing about a licence",
    )
