"""Contract of every source of images: one small Protocol and the records that it returns.

A source lists the images of the requested acquisition dates and reads one image at a time. It knows its folder layout,
but not the stages. Input is validated while it is listed, and not checked again afterwards.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Protocol, TypeAlias

from storage.tables.names import Split
from tasks.sources.matching import Matching

if TYPE_CHECKING:  # importing numpy takes a fifth of the time of an early error
    import numpy as np
    from numpy.typing import NDArray

PLOT_WORD = re.compile(r"(?i)^plot(?:[\s_-]+(?=.)|(?=\d))")  # word before a plot's name, as in `Plot 2`
WHOLE = re.compile(r"([0-9]{1,9})(?:\.0*)?$")  # number of a plant in its row


@dataclass(frozen=True, slots=True)
class Harvest:
    """Interval in which a plant was harvested: on one of the days in `(after, by]`.

    - `by = None`: the source states that the plant was never harvested.
    - `by = date.max`: the plant was not harvested by `after`, and not seen later.
    - `after = date.min`: the plant was already harvested at its first visit.

    `watched_until` is the last day on which a harvest of this plant would have been seen, whether it was harvested or
    not. `date.max` means that the source knows the whole season.
    """

    after: date
    by: date | None
    watched_until: date = date.max

    @classmethod
    def on(cls, day: date, watched_until: date = date.max) -> "Harvest":
        """Return the interval of a harvest on exactly this day."""
        return cls(day - timedelta(days=1), day, watched_until)

    @classmethod
    def never(cls) -> "Harvest":
        """Return the record of a plant of which the source states that it was never harvested."""
        return cls(date.max, None)

    @classmethod
    def not_by(cls, day: date) -> "Harvest":
        """Return the record of a plant that was not harvested by this day, and not watched later."""
        return cls(day, date.max, day)


@dataclass(frozen=True, slots=True)
class Place:
    """Place of a plant in its field, as a source states it apart from the plant's id; None where it states nothing.

    Attributes
    ----------
    plot : name of the plot, without the word `plot` before it.
    row : name of the row in the plot.
    number : number of the plant in its row.
    variety : name of the variety.
    """

    plot: str | None = None
    row: str | None = None
    number: int | None = None
    variety: str | None = None

    @classmethod
    def read(cls, plot: str = "", row: str = "", number: str = "", variety: str = "") -> "Place | None":
        """Read the cells of a table, of which any may be empty; None if all are.

        A number that is not whole is no place in a row, and is left out.
        """
        digits = WHOLE.match(number)
        found = cls(PLOT_WORD.sub("", plot) or None, row or None, int(digits[1]) if digits else None, variety or None)
        return None if found == cls() else found


@dataclass(frozen=True, slots=True)
class SourceImage:
    """One plant on one acquisition date, as the source lists it.

    Attributes
    ----------
    plant_id : the release's own id, e.g. `2021_Ref_Plot2_E18`.
    acquired : acquisition date.
    split : `train`, `val`, `test`, or `new` for plants without a split.
    split_source : where the split was read (`utm`, `samples`, `folder`, `manifest`, `plants`, `blocks`, `own`, `none`).
    path : path of the file relative to the source's root, with `/`.
    centre : pixel (x, y) of the plant in an orthophoto; None if the file is a patch.
    label : class index if the source states it; None if `harvest` decides or nothing is known.
    harvest : harvest interval; None if unknown.
    flags : remarks that do not exclude the image (`known_blurry`, `two_plants`, ...).
    easting, northing : metres, in the source's own projection; None if unknown.
    place : place in the field, if the source states one; None if only the plant id may name it.
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
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A plant and date that is left out, and the reason. Every image that is left out has such a record."""

    plant_id: str
    acquired: date
    path: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SourceListing:
    """Everything that a source has for the requested dates, in a stable order (date, plant id).

    Attributes
    ----------
    matching : plants of the harvest table beside those of the images; None without a harvest table.
    assumed_until : day taken for the last one on which plants were watched, because the source does not state it; None
        if it is stated or not needed.
    planted : ids of all plants of the field, if the source lists them apart from its images; else None.
    """

    classes: tuple[str, ...]
    images: tuple[SourceImage, ...]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    matching: Matching | None = None
    assumed_until: date | None = None
    planted: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class FileLook:
    """What the header of an image file says, before the image is decoded.

    Attributes
    ----------
    width, height : size as stored, pixels.
    n_bytes : size of the file, bytes.
    flags : remarks on how the file is read: `turned` by its EXIF orientation, `read_as_raster` by GDAL.
    is_raw : whether the pixels are stored without compression.
    """

    width: int
    height: int
    n_bytes: int
    flags: tuple[str, ...] = ()
    is_raw: bool = False


class Source(Protocol):
    """A place that images and labels come from."""

    def available_dates(self) -> tuple[date, ...]:
        """Return the acquisition dates for which the source has images, ascending."""
        ...

    def list_images(self, dates: Sequence[date]) -> SourceListing:
        """List every image of these dates.

        Raises
        ------
        InputError : unknown harvest words, a plant in two splits, a plant twice on one date, no image for a date.
        """
        ...

    def fingerprint(self, image: SourceImage) -> str:
        """Return the SHA-256 (hex) of the content that `read_image` reads."""
        ...

    def look_at(self, image: SourceImage) -> FileLook | None:
        """Return size and remarks of the image's file by its header.

        None if the image has no file of its own, or one whose header cannot be read.
        """
        ...

    def read_image(self, image: SourceImage) -> "NDArray[np.uint8]":
        """Read the pixels, shape (height, width, 3), RGB, 0..255, upright and in the file's own size.

        Raises
        ------
        UnreadableImage : the file is damaged, truncated, or of a mode that cannot be converted to RGB.
        """
        ...

    def read_images(self, images: Sequence[SourceImage]) -> "Iterator[ReadImage]":
        """Read many images in the order that takes the least reading, each once with its position."""
        ...


class UnreadableImage(Exception):
    """An image file that cannot be decoded; the observation goes to the table `rejected` with this message."""


ReadImage: TypeAlias = "tuple[int, NDArray[np.uint8] | UnreadableImage]"
"""Position of an image among those that were asked for, and its pixels (height, width, 3) or why there are none."""


def read_one_by_one(
    read: "Callable[[SourceImage], NDArray[np.uint8]]",
    images: Sequence[SourceImage],
    order: Iterable[int] | None = None,
) -> Iterator[ReadImage]:
    """Read images in an order of their positions, by default their own."""
    for position in range(len(images)) if order is None else order:
        try:
            found = read(images[position])
        except UnreadableImage as error:
            yield position, error
        else:
            yield position, found
