"""Survey a source: list every image of some acquisition dates with its label and checksum, as JSON values.

Memory: one record per image of all dates, 0.6 kB each.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from threading import Thread
from typing import Any

from pydantic import TypeAdapter

from storage.artifacts import Streamed
from storage.records.checks import FoundClasses
from tasks.ingest.censoring import describe_censoring, describe_intervals
from tasks.ingest.checked import label_checked
from tasks.ingest.checks import check_matching
from tasks.ingest.labels import label_observations
from tasks.ingest.looks import judge_looks
from tasks.ingest.params import IngestParams
from tasks.sources.contract import FileLook, LeftOut, Source, SourceImage, SourceListing
from tasks.sources.matching import Matching, describe_matching

IMAGE_JSON, LEFT_OUT_JSON = TypeAdapter(SourceImage), TypeAdapter(LeftOut)
PRINTED_AT_ONCE = 1024  # files that are queued for checksums at a time
IMAGE_FIELDS = {field.name for field in dataclasses.fields(SourceImage)}


@dataclass(frozen=True)
class Listings(Mapping[date, dict[str, Any]]):
    """Images with label and checksum, and images left out, as JSON values per date.

    The JSON of an image takes 2 kB. It is made at every pass over the images of a date, one after another.

    Attributes
    ----------
    images : images by date, each with the SHA-256 (hex) of its content.
    left_out : images left out by date.
    """

    classes: tuple[str, ...]
    images: dict[date, list[tuple[SourceImage, str]]]
    left_out: dict[date, list[LeftOut]]

    def __getitem__(self, day: date) -> dict[str, Any]:
        return {
            "date": day.isoformat(),
            "classes": list(self.classes),
            "images": Streamed(lambda: ({**image_json(image), "sha256": one} for image, one in self.images[day])),
            "left_out": Streamed(lambda: (LEFT_OUT_JSON.dump_python(one, mode="json") for one in self.left_out[day])),
        }

    def __iter__(self) -> Iterator[date]:
        return iter(self.images)

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Survey:
    """Result of a survey of a source.

    Attributes
    ----------
    listings : listings of every date.
    matching : plants of the harvest table beside those of the images; None without a harvest table.
    notes : remarks on the source as a whole. They are not part of a date's listing, because a date's artefacts must not
        depend on other dates.
    planted : ids of all plants of the field, if the source lists them apart from its images; else None.
    """

    listings: Listings
    matching: Matching | None
    notes: tuple[str, ...]
    planted: frozenset[str] | None = None


# Surveys that were begun and not taken yet, with their parameters.
BEGUN: list[tuple[tuple[Source, tuple[date, ...], IngestParams, FoundClasses | None], Future[Survey]]] = []


def survey(
    source: Source,
    dates: Sequence[date],
    params: IngestParams,
    is_scored: bool = False,
    found: FoundClasses | None = None,
) -> Survey:
    """List a source's images of some dates with labels and checksums.

    All byte-identical files of different plants or dates are left out, because it is unknown which one is right. So are
    files that are too small or too large by their headers, and placeholders of one colour.

    Parameters
    ----------
    is_scored : whether the images are only scored, which needs no labels. Plants that were not watched long enough for
        a label are then kept without one, and a harvest table that does not fit the images is not refused.
    found : classes that people found at plants, by date and plant; they become labels.

    Raises
    ------
    InputError : the source refuses its files, or the harvest table does not fit the images.
    """
    listing = source.list_images(dates)
    if not is_scored:
        check_matching(listing.matching, params.max_unmatched)
    listing, checked = label_checked(listing, found or {}, params.window_days, params.same_day)
    labelled, left_out = label_observations(listing, params.window_days, params.same_day, keep_censored=is_scored)
    digests, looks = look_at_files(source, labelled)
    judged = judge_looks(source, zip(labelled, looks, strict=True), params.max_pixels)
    times = Counter(digests)
    listings = Listings(listing.classes, {day: [] for day in dates}, {day: [] for day in dates})
    unfit: list[LeftOut] = []
    for image, digest in zip(judged, digests, strict=True):
        if isinstance(image, LeftOut):
            unfit.append(image)
        elif times[digest] == 1:
            listings.images[image.acquired].append((image, digest))
        else:
            detail = f"{times[digest]} files with SHA-256 {digest}"
            unfit.append(LeftOut(image.plant_id, image.acquired, image.path, "duplicate", detail))
    for one in (*listing.left_out, *left_out, *unfit):
        if one.acquired in listings.left_out:
            listings.left_out[one.acquired].append(one)
    return Survey(listings, listing.matching, (*survey_notes(listing, params), *checked), listing.planted)


def begin_survey(
    source: Source, dates: Sequence[date], params: IngestParams, found: FoundClasses | None = None
) -> None:
    """Survey a source in a thread of its own, for the task that will ask for this survey (see `take_survey`)."""
    begun: Future[Survey] = Future()

    def run() -> None:
        try:
            begun.set_result(survey(source, dates, params, found=found))
        except BaseException as error:  # raised where the survey is taken
            begun.set_exception(error)

    BEGUN.append(((source, tuple(dates), params, found), begun))
    Thread(target=run, daemon=True, name="survey").start()


def take_survey(
    source: Source, dates: Sequence[date], params: IngestParams, found: FoundClasses | None = None
) -> Survey:
    """Return the survey that was begun with these parameters, as soon as it is done; survey now if there is none.

    A begun survey is taken once, since the source may change: the next call surveys again, as a retry does.

    Raises
    ------
    InputError : the source refuses its files, or the harvest table does not fit the images.
    """
    for one in BEGUN:
        asked, begun = one
        if asked == (source, tuple(dates), params, found):
            BEGUN.remove(one)
            return begun.result()
    return survey(source, dates, params, found=found)


def survey_notes(listing: SourceListing, params: IngestParams) -> tuple[str, ...]:
    """Return a source's notes, how its harvest table fits the images, and how many labels dates lose."""
    fit = [] if listing.matching is None else describe_matching(listing.matching)
    rule = (params.window_days, params.same_day)
    return (*listing.notes, *fit, *describe_intervals(listing, *rule), *describe_censoring(listing, *rule))


def preview(
    source: Source, dates: Sequence[date], params: IngestParams
) -> tuple[tuple[str, ...], dict[date, list[SourceImage]]]:
    """Return the classes and the labelled images of each date without opening an image file.

    Unlike `survey`, this includes duplicates and unreadable files.

    Raises
    ------
    InputError : the source refuses its files, or the harvest table does not fit the images.
    """
    listing = source.list_images(dates)
    check_matching(listing.matching, params.max_unmatched)
    labelled, _ = label_observations(listing, params.window_days, params.same_day)
    return listing.classes, {day: [image for image in labelled if image.acquired == day] for day in dates}


def look_at_files(source: Source, images: Sequence[SourceImage]) -> tuple[list[str], list[FileLook | None]]:
    """Return the SHA-256 (hex) of every image's content, and what the header of its file says.

    `PRINTED_AT_ONCE` images are queued at a time, because each queued image takes 2 kB of memory.
    """
    digests: list[str] = []
    looks: list[FileLook | None] = []
    with ThreadPoolExecutor(4) as pool:
        for start in range(0, len(images), PRINTED_AT_ONCE):
            part = images[start : start + PRINTED_AT_ONCE]
            digests += pool.map(source.fingerprint, part)
            looks += pool.map(source.look_at, part)
    return digests, looks


def image_json(image: SourceImage) -> dict[str, Any]:
    """Return an image as JSON values; `place` is left out if it is None, `watched_until` if the whole season is known.

    Artefacts of sources without places, and of dates without censoring, therefore keep their names.
    """
    values: dict[str, Any] = IMAGE_JSON.dump_python(image, mode="json")
    if image.place is None:
        del values["place"]
    if image.harvest is not None and image.harvest.watched_until == date.max:
        del values["harvest"]["watched_until"]
    return values


def source_image(entry: dict[str, Any]) -> SourceImage:
    """Return the source image of an entry of a listing."""
    return IMAGE_JSON.validate_python({name: value for name, value in entry.items() if name in IMAGE_FIELDS})
