"""Render a grown season in memory as the source `synthetic`, without files."""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from storage.errors import InputError
from tasks.parameters import Params
from tasks.sources.contract import (
    FileLook,
    ReadImage,
    SourceImage,
    SourceListing,
    UnreadableImage,
    read_one_by_one,
)
from tasks.sources.synthetic.params import CLASSES, SeasonParams

if TYPE_CHECKING:  # importing numpy takes a fifth of the time of an early error
    import numpy as np
    from numpy.typing import NDArray

    from tasks.sources.synthetic.season import Observation, Season


class SyntheticSource(Params):
    """A season that is grown from a seed, as a source of images.

    All plants are listed on all dates, including harvested plants. As in the real releases, the harvest record later
    leaves them out.
    """

    kind: Literal["synthetic"] = "synthetic"
    season: SeasonParams = Field(default_factory=SeasonParams, description="Parameters of the season to grow")

    def available_dates(self) -> tuple[date, ...]:
        """Return the acquisition dates of the season, ascending."""
        return self.season.dates

    def list_images(self, dates: Sequence[date]) -> SourceListing:
        """List every plant on these dates, in the order (date, plant id).

        Raises
        ------
        InputError : a date on which the season has no images.
        """
        if unknown := sorted(set(dates) - set(self.season.dates)):
            raise InputError(
                f"The season has no images on {', '.join(map(str, unknown))}; its dates are "
                f"{', '.join(map(str, self.season.dates))}",
                "The source must have images for every acquisition date requested",
                "request dates of the season, or add the dates to `season.dates`",
            )
        wanted = [seen for seen in self._grown().observations if seen.acquired in set(dates)]
        images = sorted(map(_listed, wanted), key=lambda image: (image.acquired, image.plant_id))
        return SourceListing(CLASSES, tuple(images))

    def fingerprint(self, image: SourceImage) -> str:
        """Return the SHA-256 (hex) of the pixels and of the image's fault, if it has one."""
        seen = self._grown().observation(image.plant_id, image.acquired)
        return hashlib.sha256(self._grown().image(seen).tobytes() + (seen.fault or "").encode()).hexdigest()

    def look_at(self, image: SourceImage) -> FileLook | None:
        """Return None, because an image of a season has no file."""
        return None

    def read_image(self, image: SourceImage) -> "NDArray[np.uint8]":
        """Render the pixels, shape (image_size, image_size, 3), RGB, 0..255.

        Raises
        ------
        UnreadableImage : the season makes this file damaged or truncated.
        """
        seen = self._grown().observation(image.plant_id, image.acquired)
        if seen.fault is not None:
            raise UnreadableImage(f"{image.path}: {seen.fault} on purpose")
        return self._grown().image(seen)

    def read_images(self, images: Sequence[SourceImage]) -> Iterator[ReadImage]:
        """Render many images, in their own order."""
        return read_one_by_one(self.read_image, images)

    def _grown(self) -> "Season":
        return _grow(self.season.model_dump_json())


def _listed(seen: "Observation") -> SourceImage:
    plant = seen.plant
    return SourceImage(
        plant_id=plant.plant_id,
        acquired=seen.acquired,
        split=plant.split,
        split_source="own",
        path=f"{seen.acquired:%Y_%m_%d}/{plant.plant_id}.png",
        harvest=plant.known_harvest(),
        easting=plant.easting,
        northing=plant.northing,
    )


@lru_cache(maxsize=8)
def _grow(season: str) -> "Season":
    """Grow a season from its parameters as JSON, cached per process.

    The source does not hold the grown season, so it stays small when it is sent to another process.
    """
    from tasks.sources.synthetic.season import grow_season

    return grow_season(SeasonParams.model_validate_json(season))
