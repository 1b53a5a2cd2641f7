"""Look at a campaign before it is trained: survey its source, measure some images, and gather what is suspicious.

The survey is that of `harvest run`, so its counts are the run's. Nothing is written.

Memory: the survey (see `tasks.ingest.survey`), one small record per image that is read, and a few MB of each
orthophoto.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from storage.errors import InputError
from tasks.export.params import ExportParams
from tasks.ingest.checks import Counts, check_counts
from tasks.ingest.listing import check_bad_share
from tasks.ingest.params import IngestParams
from tasks.ingest.survey import Survey, survey
from tasks.look.findings import (
    Finding,
    find_bad_files,
    find_flags,
    find_formats,
    find_in_pixels,
    find_misregistered,
    find_plants_of_one_date,
    find_shared_places,
    find_sizes,
    find_unmatched,
    merge,
    name_left_out,
)
from tasks.look.images import Measured, measure_dates
from tasks.look.map import Place, draw_map, places_of
from tasks.look.orthophotos import Flight, compare_flights, read_flights, spacing_of
from tasks.look.registration import Step
from tasks.sources.contract import LeftOut, Source, SourceImage
from tasks.sources.field.source import FieldSource
from tasks.sources.views import Photographed, frame_of


@dataclass(frozen=True)
class DayLook:
    """What there is on one acquisition date.

    Attributes
    ----------
    counts : images by split and class.
    left_out : images that are left out.
    shown : images of the contact sheet, in the order of their plants.
    n_placed : number of images with a position.
    map : PNG of the plants by split, or WebP over the orthophoto; empty if no plant has a position.
    detail : WebP of the plants in the middle of the field, over the orthophoto; empty if there is none.
    fault : why the orthophoto cannot be shown; empty if it can, or if there is none.
    """

    day: date
    counts: Counts
    left_out: list[LeftOut]
    shown: list[Measured]
    n_placed: int
    map: bytes
    detail: bytes = b""
    fault: str = ""

    def reasons(self) -> dict[str, list[str]]:
        """Return the images that are left out by reason, the most frequent reason first."""
        times = Counter(one.reason for one in self.left_out)
        order = sorted(times, key=lambda reason: (-times[reason], reason))
        return {reason: [name_left_out(one) for one in self.left_out if one.reason == reason] for reason in order}


@dataclass(frozen=True)
class CampaignLook:
    """What a look at a campaign found.

    Attributes
    ----------
    counts : images by split and class of all dates.
    findings : everything suspicious.
    notes : remarks of the source.
    n_read : number of images that were decoded and measured.
    steps : how far the orthophotos of neighbouring dates lie apart; empty without orthophotos.
    """

    counts: Counts
    days: list[DayLook]
    findings: list[Finding]
    notes: tuple[str, ...]
    n_read: int
    steps: list[Step]


def look_at_campaign(
    source: Source,
    dates: Sequence[date],
    params: IngestParams,
    n_needed: int,
    is_trained: bool,
    crs: str = ExportParams().crs,
) -> CampaignLook:
    """Survey a campaign's source, read some images of each date, and gather what is suspicious.

    Parameters
    ----------
    n_needed : number of labelled validation images that clusters and neighbours need.
    is_trained : whether a classifier is trained rather than given.
    crs : EPSG code of the system of the plants' positions, if the source names none.

    Raises
    ------
    InputError : the source refuses its files, or the harvest table does not fit the images.
    """
    found = survey(source, dates, params)
    by_date = {day: [image for image, _ in of_date] for day, of_date in found.listings.images.items()}
    measured = measure_dates(source, by_date)
    counts = Counts.of(found.listings.values())
    everywhere = places_of([image for of_date in by_date.values() for image in of_date])
    flights, steps = look_at_flights(source, by_date, everywhere, crs)
    days = [look_at_day(found, day, measured[day], everywhere, flights.get(day)) for day in by_date]
    read = [one for of_date in measured.values() for one in of_date]
    findings = [
        *find_refusals(lambda: check_counts(counts, n_needed, is_trained)),
        *find_refusals(lambda: check_bad_files(found, read, counts.n_images, params.max_bad_share)),
        *(find_misregistered(steps, source.crop_side(), source.shift) if isinstance(source, FieldSource) else []),
        *find_suspicious(found, read),
    ]
    return CampaignLook(counts, days, merge(findings), found.notes, len(read), steps)


def look_at_flights(
    source: Source, by_date: Mapping[date, Sequence[SourceImage]], everywhere: Mapping[str, Place], crs: str
) -> tuple[dict[date, Flight], list[Step]]:
    """Read the orthophotos of all dates that have some, and compare those of neighbouring dates of a field.

    Parameters
    ----------
    crs : EPSG code of the system of the plants' positions, if the source names none.
    """
    days = [day for day, images in by_date.items() if any(image.centre is not None for image in images)]
    if not isinstance(source, Photographed) or not everywhere or not days:
        return {}, []
    if not isinstance(source, FieldSource):
        return read_flights(source, days, everywhere, crs, spacing_of(everywhere)), []
    side = source.crop_side()
    flights = read_flights(source, list(by_date), everywhere, source.crs, side)
    return flights, compare_flights(flights, side)


def look_at_day(
    found: Survey, day: date, measured: list[Measured], everywhere: Mapping[str, Place], flight: Flight | None
) -> DayLook:
    """Gather what a survey, the images that were read and the orthophoto tell of one date."""
    images = [image for image, _ in found.listings.images[day]]
    photo, detail = flight.photos if flight and flight.photos else (None, None)
    return DayLook(
        day,
        Counts.of([found.listings[day]]),
        found.listings.left_out[day],
        [one for one in measured if one.is_shown],
        len(places_of(images)),
        draw_map(images, everywhere, frame_of(everywhere.values()), photo) if everywhere else b"",
        b"" if flight is None or detail is None else draw_map(images, everywhere, flight.middle, detail),
        flight.fault if flight else "",
    )


def find_suspicious(found: Survey, read: Sequence[Measured]) -> list[Finding]:
    """Find everything suspicious in a survey, and in the images that were read."""
    images = [image for of_date in found.listings.images.values() for image, _ in of_date]
    left_out = [one for of_date in found.listings.left_out.values() for one in of_date]
    return [
        *find_unmatched(found.matching),
        *find_bad_files(left_out),
        *find_in_pixels(read),
        *find_sizes(read),
        *find_formats(images),
        *find_flags(images),
        *find_shared_places(images),
        *find_plants_of_one_date([*images, *left_out], list(found.listings)),
    ]


def check_bad_files(found: Survey, read: Sequence[Measured], n_images: int, max_bad_share: float) -> None:
    """Refuse too many bad files: those that the survey left out, and those that turned out bad when they were read.

    Raises
    ------
    InputError : their share is above `max_bad_share`.
    """
    left_out = Counter(one.reason for of_date in found.listings.left_out.values() for one in of_date)
    n_bad = sum(bool(one.fault or one.blank) for one in read)
    check_bad_share(dict(left_out + Counter(unreadable=n_bad)), n_images - n_bad, max_bad_share)


def find_refusals(check: Callable[[], None]) -> list[Finding]:
    """Find why a run would stop, by a check that it makes."""
    try:
        check()
    except InputError as error:
        return [Finding("refused", "reasons for which a run would stop", (str(error),))]
    return []
