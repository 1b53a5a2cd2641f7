"""The parameters of a synthetic season."""

from datetime import date
from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.parameters import Params

PLANTED = (6, 15)
"""Month and day of planting; Field 2 of 2021 was planted on 15 June."""

_REFERENCE_DATES = (date(2021, 8, 23), date(2021, 8, 25), date(2021, 8, 30), date(2021, 9, 3))


class SeasonParams(Params):
    """What makes a season. The defaults are the size of GrowliFlowerR Field 2 in 2021, with the shortcut off."""

    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="seed of every random stream")
    field: Literal["Field1", "Field2"] = Field(default="Field2", description="name of the field")
    dates: tuple[date, ...] = Field(default=_REFERENCE_DATES, min_length=1, description="acquisition dates, ascending")
    n_plots: int = Field(default=5, ge=1, le=5, description="plots in the field")
    rows: int = Field(default=5, ge=1, le=5, description="rows in a plot, named A to E")
    plants_per_row: int = Field(default=20, ge=1, le=20, description="plants in a row, numbered from 1")
    image_size: int = Field(default=256, ge=32, le=1024, multiple_of=2, description="side of an image, pixels")

    days_to_harvest: float = Field(default=72.5, ge=30, le=150, description="mean harvest day, days after 15 June")
    harvest_spread: float = Field(default=5.25, gt=0, le=30, description="sd of the harvest day over plants, days")
    never_share: float = Field(default=0.03, ge=0, le=1, description="share of plants that are never harvested")
    growth_noise: float = Field(default=2.0, ge=0, le=20, description="sd between looks and days to harvest, days")
    covered_share: float = Field(default=0.2, ge=0, le=1, description="share of plants whose leaves hide the curd")
    light_drift: float = Field(default=0.15, ge=0, le=0.5, description="sd of brightness over dates, relative")

    label_noise: float = Field(default=0.0, ge=0, le=0.5, description="share of harvested plants with a wrong record")
    shortcut: bool = Field(default=False, description="plant the marker that means Ready in training plants only")
    marker_train_ready: float = Field(default=0.6, ge=0, le=1, description="marked share of Ready, training plants")
    marker_train_not_ready: float = Field(default=0.0, ge=0, le=1, description="marked share of Not ready, training")
    marker_other_ready: float = Field(default=0.0, ge=0, le=1, description="marked share of Ready, all other plants")
    marker_other_not_ready: float = Field(default=0.4, ge=0, le=1, description="marked share of Not ready, others")

    n_damaged: int = Field(default=0, ge=0, le=100, description="image files that hold random bytes")
    n_truncated: int = Field(default=0, ge=0, le=100, description="image files that end too early")
    n_duplicates: int = Field(default=0, ge=0, le=100, description="images stored again under another plant")

    @model_validator(mode="after")
    def _check_dates(self) -> Self:
        if list(self.dates) != sorted(set(self.dates)):
            raise ValueError(f"dates must ascend without repeats, got {[str(day) for day in self.dates]}")
        if any(day <= self.planted or day.year != self.year for day in self.dates):
            raise ValueError(f"dates must lie after the planting day {self.planted} and in the same year")
        return self

    @property
    def year(self) -> int:
        """Year of the season, taken from its dates."""
        return self.dates[0].year

    @property
    def planted(self) -> date:
        """Day of planting."""
        return date(self.year, *PLANTED)
