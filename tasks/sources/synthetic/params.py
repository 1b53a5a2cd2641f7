"""Parameters of a synthetic season."""

from datetime import date
from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.parameters import Params

CLASSES: tuple[str, ...] = ("not ready", "ready")
PLANTED = (6, 15)
"""Month and day of planting; Field 2 of 2021 was planted on 15 June."""

_REFERENCE_DATES = (date(2021, 8, 23), date(2021, 8, 25), date(2021, 8, 30), date(2021, 9, 3))


class SeasonParams(Params):
    """Parameters of a season. The defaults have the size of GrowliFlowerR Field 2 in 2021, with the shortcut off."""

    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Seed of every random stream of the season")
    field: Literal["Field1", "Field2"] = Field(default="Field2", description="Name of the field in paths and samples")
    dates: tuple[date, ...] = Field(
        default=_REFERENCE_DATES, min_length=1, description="Acquisition dates of the season, ascending"
    )
    n_plots: int = Field(default=5, ge=1, le=5, description="Number of plots in the field")
    rows: int = Field(default=5, ge=1, le=5, description="Number of rows in a plot, named A to E")
    plants_per_row: int = Field(default=20, ge=1, le=20, description="Number of plants in a row, counted from 1")
    image_size: int = Field(default=256, ge=32, le=1024, multiple_of=2, description="Side of an image, pixels")

    days_to_harvest: float = Field(
        default=72.5, ge=30, le=150, description="Mean time from planting on 15 June to the harvest, days"
    )
    harvest_spread: float = Field(
        default=5.25, gt=0, le=30, description="Standard deviation of the harvest day over plants, days"
    )
    never_share: float = Field(default=0.03, ge=0, le=1, description="Share of plants that are never harvested")
    growth_noise: float = Field(
        default=2.0,
        ge=0,
        le=20,
        description="Standard deviation between the harvest day and the day a plant looks ripe, days",
    )
    covered_share: float = Field(default=0.2, ge=0, le=1, description="Share of plants whose leaves hide the curd")
    light_drift: float = Field(
        default=0.15, ge=0, le=0.5, description="Standard deviation of the relative brightness over dates"
    )

    label_noise: float = Field(
        default=0.0, ge=0, le=0.5, description="Share of harvested plants whose recorded harvest day is wrong"
    )
    shortcut: bool = Field(
        default=False, description="Whether images show a marker that indicates Ready in training plants only"
    )
    marker_train_ready: float = Field(
        default=0.6, ge=0, le=1, description="Share of Ready images with marker among training plants"
    )
    marker_train_not_ready: float = Field(
        default=0.0, ge=0, le=1, description="Share of Not ready images with marker among training plants"
    )
    marker_other_ready: float = Field(
        default=0.0, ge=0, le=1, description="Share of Ready images with marker among all other plants"
    )
    marker_other_not_ready: float = Field(
        default=0.4, ge=0, le=1, description="Share of Not ready images with marker among all other plants"
    )

    n_damaged: int = Field(default=0, ge=0, le=100, description="Number of image files that hold random bytes")
    n_truncated: int = Field(default=0, ge=0, le=100, description="Number of image files that are cut off")
    n_duplicates: int = Field(
        default=0, ge=0, le=100, description="Number of images that are stored again under another plant"
    )

    @model_validator(mode="after")
    def _check_dates(self) -> Self:
        if list(self.dates) != sorted(set(self.dates)):
            raise ValueError(f"dates are {[str(day) for day in self.dates]}; they must ascend without repeats")
        if any(day <= self.planted or day.year != self.year for day in self.dates):
            raise ValueError(
                f"dates are {[str(day) for day in self.dates]}; they must lie after the planting day {self.planted} "
                "and in the same year"
            )
        return self

    @property
    def year(self) -> int:
        """Return the year of the season, which is that of its dates."""
        return self.dates[0].year

    @property
    def planted(self) -> date:
        """Return the day of planting."""
        return date(self.year, *PLANTED)
