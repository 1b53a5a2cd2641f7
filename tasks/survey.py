"""What a source has for some acquisition dates: every image with its label and checksum, as JSON values."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from pydantic import Field, TypeAdapter

from tasks.labels import label_observations
from tasks.parameters import Params
from tasks.sources.contract import LeftOut, Source, SourceImage

IMAGE_JSON, LEFT_OUT_JSON = TypeAdapter(SourceImage), TypeAdapter(LeftOut)
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
class Survey:
    """What a source has.

    Attributes
    ----------
    listings : images with label and checksum, and what is left out, as JSON values per date.
    notes : remarks on the source as a whole. No date's listing holds them, because a date's artefacts must not change
        with what lies beside it.
    """

    listings: dict[date, dict[str, Any]]
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
    with ThreadPoolExecutor(4) as pool:
        prints = dict(zip(labelled, pool.map(source.fingerprint, labelled), strict=True))
    times = Counter(prints.values())
    kept = [image for image in labelled if times[prints[image]] == 1]
    duplicates = [
        LeftOut(i.plant_id, i.acquired, i.path, "duplicate", f"{times[prints[i]]} files with SHA-256 {prints[i]}")
        for i in labelled
        if times[prints[i]] > 1
    ]
    gone = [*listing.left_out, *left_out, *duplicates]
    listings = {
        day: {
            "date": day.isoformat(),
            "classes": list(listing.classes),
            "images": [
                {**IMAGE_JSON.dump_python(i, mode="json"), "sha256": prints[i]} for i in kept if i.acquired == day
            ],
            "left_out": [LEFT_OUT_JSON.dump_python(one, mode="json") for one in gone if one.acquired == day],
        }
        for day in dates
    }
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


def source_image(entry: dict[str, Any]) -> SourceImage:
    """A source image from its entry in a listing."""
    return IMAGE_JSON.validate_python({name: value for name, value in entry.items() if name in IMAGE_FIELDS})
