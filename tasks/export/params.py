"""Define the parameters of exported decisions, and of what people do in the field."""

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


class FieldParams(Params):
    """Parameters of the work in the field. They change no probability and no decision."""

    audit_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of the plants of each decision to act on that are drawn at random for a look, rounded up to "
        "whole plants. Only such looks test what is promised: plants to check are chosen because they are doubtful. 0 "
        "draws none",
    )
    background_pixels: int = Field(
        default=1400,
        ge=0,
        le=8000,
        description="Longer side of the picture that the orthophoto of a date becomes behind the map of the page, "
        "pixels. A picture has at most 400 kB, so more pixels make a larger field sharper only while it stays below; "
        "0 shows no orthophoto. Sources without orthophotos have no such picture",
    )
