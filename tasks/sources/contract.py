"""What every source of images promises: one small Protocol and the records it yields.

A source lists what it has for the acquisition dates asked for, and reads one image at a time. It knows its
folder layout and nothing of the stages. Listing validates; afterwards nothing is checked again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from storage.tables.names import Split


@dataclass(frozen=True, slots=True)
class Harvest:
    """When a plant was harvested, as far as is known: on one of the days in `(after, by]`.

    `by = None` says that the plant was watched to the end and never harvested; `by = date.max` that it was
    lost from sight after `after`; `after = date.min` that it was already harvested at its first visit.
    """

    after: date
    by: date | None

    @classmethod
    def on(cls, day: date) -> "Harvest":
        """Harvested on exactly this day."""
        return cls(day - timedelta(days=1), day)

    @classmethod
    def never(cls) -> "Harvest":
        """Watched to the end of the season and never harvested."""
        return cls(date.max, None)


@dataclass(frozen=True, slots=True)
class SourceImage:
    """One plant on one acquisition date, as the source lists it.

    Attributes
    ----------
    plant_id : the release's own id, e.g. `2021_Ref_Plot2_E18`.
    acquired : acquisition date.
    split : `train`, `val`, `test`, or `new` for plants that no split knows.
    split_source : where the split was read (`utm`, `samples`, `folder`, `manifest`, `own`, `none`).
    path : file relative to the source's root, with `/`.
    centre : pixel (x, y) of the plant in an orthophoto; None when the file is the patch itself.
    label : class index where the source states it; None where `harvest` decides or nothing is known.
    harvest : what is known of the harvest; None where nothing is.
    flags : remarks that do not exclude the image (`known_blurry`, `two_plants`, ...).
    easting, northing : metres, in the source's own projection; None where unknown.
    """

    plant_id: str
    acquired: date
    split: Split
    split_source: str
    path: str
    centre: tuple[float, float] | None = None
    label: int | None = None
    harvest: Harvest | None = None
    flags: tuple[str, ...] = ()
    easting: float | None = None
    northing: float | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A plant-date that does not go on, and why. Nothing is dropped without one of these."""

    plant_id: str
    acquired: date
    path: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SourceListing:
    """All that a source has for the dates asked for, in a stable order (date, plant id)."""

    classes: tuple[str, ...]
    images: tuple[SourceImage, ...]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()


class Source(Protocol):
    """A place that images and labels come from."""

    def available_dates(self) -> tuple[date, ...]:
        """Acquisition dates for which the source has images, ascending."""
        ...

    def list_images(self, dates: Sequence[date]) -> SourceListing:
        """List every image of these dates.

        Raises
        ------
        InputError : unknown harvest words, a plant in two splits, a plant twice on one date, no image for a date.
        """
        ...

    def fingerprint(self, image: SourceImage) -> str:
        """SHA-256 (hex) of the content that `read_image` reads."""
        ...

    def read_image(self, image: SourceImage) -> NDArray[np.uint8]:
        """Pixels, shape (height, width, 3), RGB, 0..255, in the file's own size.

        Raises
        ------
        UnreadableImage : damaged, truncated, or a mode that has no RGB reading.
        """
        ...


class UnreadableImage(Exception):
    """An image file that cannot be decoded; the observation goes to `rejected` with this reason."""
