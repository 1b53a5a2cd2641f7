"""What a source has for some acquisition dates: every image with its label and checksum, as JSON values.

Memory: one record an image of all dates, 0.6 kB each, and the JSON of one date.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from pydantic import Field, TypeAdapter

from tasks.ingest.labels import label_observations
from tasks.parameters import Params
from tasks.sources.contract import LeftOut, Source, SourceImage

IMAGE_JSON, LEFT_OUT_JSON = TypeAdapter(SourceImage), TypeAdapter(LeftOut)
PRINTED_AT_ONCE = 1024  # files
IMAGE_FIELDS = {field.name for field in dataclasses.fields(SourceImage)}


class IngestParams(Params):
    """Labels and images."""

    image_size: int = Field(default=256, ge=32, le=1024, description="side of the square images, pixel")
    window_days: int = Field(default=3, ge=0, le=60, description="Ready means harvested within this many days")
    same_day: Literal["ready", "excluded"] = Field(
        default="ready", description="images taken on the day of the harvest"
    )
    max_bad_share: float = Field(
        default=0.05, ge=0, le=1, description="the run stops when more image files than this share are bad"
    )


@dataclass(frozen=True)
class Listings(Mapping[date, dict[str, Any]]):
    """Images with label and checksum, and what is left out, as JSON values per date.

    The JSON of a date is made whenever it is asked for, and takes 2 kB an image: no more than one date's is held.

    Attributes
    ----------
    images, left_out : by date; images with the SHA-256 (hex) of their content.
    """

    classes: tuple[str, ...]
    images: dict[date, list[tuple[SourceImage, str]]]
    left_out: dict[date, list[LeftOut]]

    def __getitem__(self, day: date) -> dict[str, Any]:
        return {
            "date": day.isoformat(),
            "classes": list(self.classes),
            "images": [
                {**IMAGE_JSON.dump_python(image, mode="json"), "sha256": digest} for image, digest in self.images[day]
            ],
            "left_out": [LEFT_OUT_JSON.dump_python(one, mode="json") for one in self.left_out[day]],
        }

    def __iter__(self) -> Iterator[date]:
        return iter(self.images)

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Survey:
    """What a source has.

    Attributes
    ----------
    listings : of every date.
    notes : remarks on the source as a whole. No date's listing holds them, because a date's artefacts must not change
        with what lies beside it.
    """

    listings: Listings
    notes: tuple[str, ...]


def survey(source: Source, dates: Sequence[date], params: IngestParams) -> Survey:
    """List a source's images of some dates with labels and checksums.

    Byte-identical files of different plants or dates are left out, all of them: which one is right cannot be known.

    Raises
    ------
    InputError : whatever the source refuses.
    """
    listing = source.list_images(dates)
    labelled, left_out = label_observations(listing, params.window_days, params.same_day)
    digests = fingerprints(source, labelled)
    times = Counter(digests)
    listings = Listings(listing.classes, {day: [] for day in dates}, {day: [] for day in dates})
    duplicates: list[LeftOut] = []
    for image, digest in zip(labelled, digests, strict=True):
        if times[digest] == 1:
            listings.images[image.acquired].append((image, digest))
        else:
            found = f"{times[digest]} files with SHA-256 {digest}"
            duplicates.append(LeftOut(image.plant_id, image.acquired, image.path, "duplicate", found))
    for one in (*listing.left_out, *left_out, *duplicates):
        if one.acquired in listings.left_out:
            listings.left_out[one.acquired].append(one)
    return Survey(listings, listing.notes)


def preview(
    source: Source, dates: Sequence[date], params: IngestParams
) -> tuple[tuple[str, ...], dict[date, list[SourceImage]]]:
    """Classes, and the images of each date with labels as `survey` lists them, but without opening a file of theirs.

    Files that turn out to be equal, or cannot be read, are still among them.

    Raises
    ------
    InputError : whatever the source refuses.
    """
    listing = source.list_images(dates)
    labelled, _ = label_observations(listing, params.window_days, params.same_day)
    return listing.classes, {day: [image for image in labelled if image.acquired == day] for day in dates}


def fingerprints(source: Source, images: Sequence[SourceImage]) -> list[str]:
    """SHA-256 (hex) of every image's content, `PRINTED_AT_ONCE` at a time: what waits for a thread takes 2 kB."""
    found: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        for start in range(0, len(images), PRINTED_AT_ONCE):
            found += pool.map(source.fingerprint, images[start : start + PRINTED_AT_ONCE])
    return found


def source_image(entry: dict[str, Any]) -> SourceImage:
    """A source image from its entry in a listing."""
    return IMAGE_JSON.validate_python({name: value for name, value in entry.items() if name in IMAGE_FIELDS})
