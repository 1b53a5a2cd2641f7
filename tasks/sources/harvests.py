"""Turn harvest dates and flags at visits into harvest intervals, and give them to the images of their plants.

What a person observed, ready or not ready, is no harvest: it labels the image of its own date.

A flag at a visit only says that the plant was harvested between the previous visit and this one. Every interval states
the last day on which the plant was watched, because later harvests would not have been seen.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Literal

from storage.errors import InputError
from tasks.sources.checks import text_table
from tasks.sources.contract import Harvest, LeftOut, SourceImage
from tasks.sources.matching import Matching
from tasks.sources.text_tables import parse_date

SEASON_DAYS = 183  # days around the acquisition dates in which plants are visited and harvested; a year off is outside
YEAR = re.compile(r"20\d\d_")  # start of a plant id that names the year of its season

Visits = Mapping[str, Mapping[date, bool]]
"""Plant id to visit date to whether the plant was flagged as harvested."""

Observations = Mapping[str, Mapping[date, frozenset[bool]]]
"""Plant id to date to what persons observed there: ready, not ready, or both."""

HarvestDay = date | Literal["never"]
"""Harvest that a table states: its day, or the statement that the plant was never harvested."""

HarvestRow = tuple[str, HarvestDay | None]
"""Plant id and harvest, which is None where a table leaves it open."""


@dataclass(frozen=True, slots=True)
class HarvestRecords:
    """Harvest records of the plants of a source.

    Attributes
    ----------
    harvests : harvest interval by plant id; plants without a record are absent.
    faults : reason and detail by plant id, for plants whose records contradict each other.
    table : file name of the harvest table; None if there is none.
    plants : ids of all plants that the table names.
    assumed_until : day taken for the last one on which plants were watched, because the source does not state it; None
        if it was stated or is not needed.
    observed : what persons observed, by plant id and date, if the table holds observations.
    """

    harvests: dict[str, Harvest] = field(default_factory=dict[str, Harvest])
    faults: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    table: str | None = None
    plants: frozenset[str] = frozenset()
    assumed_until: date | None = None
    observed: Observations = field(default_factory=dict[str, dict[date, frozenset[bool]]])


def parse_harvest(text: str, date_format: str | None = None) -> HarvestDay | None:
    """Read a harvest date or the word `never`, ignoring case; return None if the text is neither."""
    return "never" if text.lower() == "never" else parse_date(text, date_format)


def last_harvest(rows: Iterable[HarvestRow]) -> date:
    """Return the last harvest date of the rows of a table, or `date.min` if there is none."""
    return max((day for _, day in rows if isinstance(day, date)), default=date.min)


def refuse_late_harvests(rows: Iterable[HarvestRow], observed_until: date | None, where: str) -> None:
    """Refuse harvests after the last day on which plants were watched.

    Raises
    ------
    InputError : a harvest date is after `observed_until`; the message lists plants and dates.
    """
    if observed_until is None:
        return
    late = [(plant_id, day) for plant_id, day in rows if isinstance(day, date) and day > observed_until]
    if late:
        raise InputError(
            f"Harvest dates in {where} after observed_until, {observed_until}: {len(late)}"
            + text_table(("plant", "harvested"), late),
            "Plants must have been watched on the day of their harvest",
            "correct the dates, or set observed_until to the last day on which harvests were recorded",
        )


def refuse_wrong_harvests(
    rows: Sequence[HarvestRow], acquired: Sequence[date], observed_until: date | None, where: str
) -> None:
    """Refuse harvests outside the season or after `observed_until`, and an `observed_until` outside the season.

    Parameters
    ----------
    acquired : all acquisition dates of the source.

    Raises
    ------
    InputError : one of these days is wrong; the message lists plants and days.
    """
    years = sorted({day.year for day in acquired})
    if observed_until is not None and years and not {observed_until.year, observed_until.year - 1}.intersection(years):
        raise InputError(
            f"observed_until is {observed_until}, and the acquisition dates lie in {', '.join(map(str, years))}",
            "Harvests must have been recorded in the year of the acquisition dates, at most until the end of the next",
            "correct the year of observed_until",
        )
    refuse_other_seasons([(plant, day) for plant, day in rows if isinstance(day, date)], acquired, where)
    refuse_late_harvests(rows, observed_until, where)


def refuse_other_seasons(rows: Iterable[tuple[str, date]], acquired: Sequence[date], where: str) -> None:
    """Refuse harvests or visits that are more than `SEASON_DAYS` before or after all acquisition dates.

    Such a date is a slip of the year, and would make labels that are all wrong. Plants whose id begins with another
    year than the acquisition dates' are passed by, because a table may hold several seasons.

    Parameters
    ----------
    rows : plants and the days of their harvests or visits.
    acquired : all acquisition dates of the source.

    Raises
    ------
    InputError : a day lies outside the season; the message lists plants and days.
    """
    if not acquired:
        return
    first, last = min(acquired) - timedelta(SEASON_DAYS), max(acquired) + timedelta(SEASON_DAYS)
    years = {day.year for day in acquired}
    outside = [
        (plant_id, day)
        for plant_id, day in rows
        if not first <= day <= last and not (YEAR.match(plant_id) and int(plant_id[:4]) not in years)
    ]
    if outside:
        raise InputError(
            f"Dates in {where} outside the season: {len(outside)}" + text_table(("plant", "date"), outside),
            f"Harvests and visits must lie within {SEASON_DAYS} days of the acquisition dates, which are from "
            f"{min(acquired)} to {max(acquired)}",
            "correct the year of these dates",
        )


def harvests_from_dates(rows: Iterable[HarvestRow], watched_until: date) -> HarvestRecords:
    """Make harvest records from the rows of a table of harvest dates.

    Parameters
    ----------
    rows : plants and their harvests; None means not harvested by `watched_until`.
    watched_until : last day on which the plants were watched.
    """
    of_plant: dict[str, set[HarvestDay | None]] = defaultdict(set)
    for plant_id, day in rows:
        of_plant[plant_id].add(day)
    records = HarvestRecords()
    for plant_id, days in of_plant.items():
        if len(days) > 1:
            found = ", ".join(sorted(str(day or "no date") for day in days))
            records.faults[plant_id] = ("two_harvest_dates", found)
        else:
            (day,) = days
            records.harvests[plant_id] = date_interval(day, watched_until)
    return records


def date_interval(day: HarvestDay | None, watched_until: date) -> Harvest:
    """Return the harvest interval of one cell of a table of harvest dates."""
    if day == "never":
        return Harvest.never()
    return Harvest.not_by(watched_until) if day is None else Harvest.on(day, watched_until)


def harvests_from_visits(visits: Visits, last_visit: date) -> HarvestRecords:
    """Turn flags at visits into harvest intervals.

    A flagged plant counts as watched until the source's last visit, because nobody visits a plant that is gone. A plant
    that was never flagged counts as watched until its own last visit. What happened later is unknown.

    Parameters
    ----------
    visits : flags of every plant at its visits.
    last_visit : last visit of the source.
    """
    records = HarvestRecords()
    for plant_id, flags in visits.items():
        flagged = [day for day, flag in flags.items() if flag]
        unflagged = [day for day, flag in flags.items() if not flag]
        first_flagged = min(flagged, default=None)
        last_unflagged = max(unflagged, default=date.min)
        if first_flagged is not None and last_unflagged > first_flagged:
            detail = f"flagged on {first_flagged}, not flagged on {last_unflagged}"
            records.faults[plant_id] = ("flag_turns_off", detail)
        elif first_flagged is not None:
            records.harvests[plant_id] = Harvest(last_unflagged, first_flagged, last_visit)
        elif unflagged:
            records.harvests[plant_id] = Harvest.not_by(last_unflagged)
    return records


def attach_harvests(
    images: Iterable[SourceImage], records: HarvestRecords
) -> tuple[list[SourceImage], list[LeftOut], list[str]]:
    """Give each image the harvest of its plant, or the label that a person observed on its date.

    A label that the source states otherwise stands.

    Returns
    -------
    images : images of the other plants, with `harvest` or `label` if it is known.
    left_out : images of plants whose records contradict each other, and images of which observations do.
    notes : number of images that have neither a harvest record nor a label, and remarks on observations.
    """
    known: list[SourceImage] = []
    left_out: list[LeftOut] = []
    n_other = 0
    for image in images:
        observed = records.observed.get(image.plant_id, {}).get(image.acquired, frozenset())
        if fault := find_contradiction(image, records, observed):
            left_out.append(LeftOut(image.plant_id, image.acquired, image.path, *fault))
            continue
        label = int(*observed) if observed and image.label is None else image.label
        n_other += bool(observed) and {label} != set(map(int, observed))
        known.append(replace(image, label=label, harvest=records.harvests.get(image.plant_id)))
    unknown = sum(image.harvest is None and image.label is None for image in known)
    notes = [f"{unknown} of {len(known)} images have neither a harvest record nor a label"] if unknown else []
    return known, left_out, [*notes, *describe_observations(records, [*known, *left_out], n_other)]


def find_contradiction(
    image: SourceImage, records: HarvestRecords, observed: frozenset[bool]
) -> tuple[str, str] | None:
    """Return the reason and detail for which records about an image contradict each other; None if they do not."""
    if image.plant_id in records.faults:
        return records.faults[image.plant_id]
    both = len(observed) > 1 and image.label is None
    return ("two_observations", f"ready and not ready on {image.acquired}") if both else None


def describe_observations(records: HarvestRecords, images: Iterable[SourceImage | LeftOut], n_other: int) -> list[str]:
    """Return notes on observations that label no image.

    Parameters
    ----------
    images : all images of the requested dates.
    n_other : number of images whose stated class differs from what was observed.
    """
    observed = {(plant_id, day) for plant_id, days in records.observed.items() for day in days}
    n_unused = len(observed - {(image.plant_id, image.acquired) for image in images})
    unused = (
        f"{n_unused} of {len(observed)} observations in {records.table} label no image, because an observation counts "
        "for the image of its plant on its own date only"
    )
    other = f"{n_other} images have another class than {records.table} observes; the class that is stated stands"
    return [*([unused] if n_unused else []), *([other] if n_other else [])]


def match_images(
    records: HarvestRecords, images: Iterable[SourceImage], left_out: Iterable[LeftOut]
) -> Matching | None:
    """Match the plants of a harvest table with those of listed images; return None if there is no table."""
    if records.table is None:
        return None
    listed = list(images)
    seen = {image.plant_id for image in listed} | {one.plant_id for one in left_out}
    in_need = {image.plant_id for image in listed if image.split != "new" and image.label is None}
    harvested = {plant: one.by for plant, one in records.harvests.items() if one.by not in (None, date.max)}
    return Matching(records.table, records.plants, frozenset(seen), frozenset(in_need), harvested)
