"""Define the parameters of labels and image files, and of when a date's files are complete."""

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from tasks.parameters import Params


class IngestParams(Params):
    """Parameters of labels and image files."""

    image_size: int = Field(
        default=256, ge=32, le=1024, description="Side of the square images that source images are resized to, pixels"
    )
    window_days: int = Field(
        default=3,
        ge=0,
        le=60,
        description="Readiness window: an image is Ready if the plant is harvested within so many days after it",
    )
    same_day: Literal["ready", "excluded"] = Field(
        default="ready",
        description="How an image taken on the day of the harvest is used: labelled Ready, or excluded",
    )
    max_pixels: int = Field(
        default=50_000_000,
        ge=1024,
        le=2_000_000_000,
        description="Largest number of pixels of an image file; larger images are left out before they are decoded, as "
        "`too_large`. Decoding takes about 10 bytes of memory a pixel. Crops of orthophotos are not limited",
    )
    max_bad_share: float = Field(
        default=0.05, ge=0, le=1, description="Largest allowed share of bad image files; the run stops above it"
    )
    max_unmatched: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Largest allowed share of plants that do not fit between harvest table and images: plants of the "
        "table without an image on the campaign's dates, and plants of the splits train, val and test without a row. "
        "The run stops above it. 1 allows a table or images of a larger field",
    )


class ArrivalParams(Params):
    """Rules by which a date's files count as complete. They change no number and enter no digest."""

    settle_seconds: int = Field(
        default=60,
        ge=0,
        le=43200,  # the default of `patience_minutes`
        description="Time for which number, names, sizes and times of a date's files must not change before the date "
        "counts as complete, seconds",
    )
    marker: str | None = Field(
        default=None,
        pattern=r"^[^/\\]+$",
        description="Name of a marker file that alone decides whether the date is complete. It lies beside the date's "
        "files or has the date in its name, for example `{date}.complete`. null waits for settle_seconds instead",
    )
    patience_minutes: float = Field(
        default=720,
        ge=0,
        allow_inf_nan=False,
        description="Time for which a started scoring waits for a complete date before it fails, minutes; 0 looks once",
    )

    @model_validator(mode="after")
    def _patience_to_settle(self) -> "ArrivalParams":
        patience = round(60 * self.patience_minutes, 6)  # 2.05 minutes are 123 seconds
        if self.marker is None and 0 < patience < self.settle_seconds:
            raise ValueError(
                f"patience_minutes is {self.patience_minutes:g} and settle_seconds is {self.settle_seconds}; "
                "patience_minutes must be 0 or as long as settle_seconds, or no date could settle in time; "
                "raise patience_minutes or lower settle_seconds"
            )
        return self

    def marker_of(self, day: date) -> str | None:
        """Return the name of a date's marker, in which `{date}` is replaced by YYYY-MM-DD."""
        return None if self.marker is None else self.marker.replace("{date}", day.isoformat())


AT_ONCE = ArrivalParams(settle_seconds=0, patience_minutes=0)  # rules of a date whose files are read as they are now
