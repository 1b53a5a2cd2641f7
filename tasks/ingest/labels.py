"""The label of a plant on an acquisition date, from what is known of its harvest.

A plant is ready on day d when it is harvested within the window of W days after d. Harvests are often known
only to an interval `(after, by]`; then the label is what every day of the interval gives, or none at all.
"""

from dataclasses import replace
from datetime import date
from enum import StrEnum
from typing import Literal

from storage.errors import InputError
from tasks.sources.contract import Harvest, LeftOut, SourceImage, SourceListing

SameDay = Literal["ready", "excluded"]


class Readiness(StrEnum):
    """What the harvest says of a plant on an acquisition date."""

    ready = "ready"
    not_ready = "not_ready"
    harvested = "harvested"
    same_day = "same_day"
    ambiguous = "ambiguous"


LABELS = {Readiness.not_ready: 0, Readiness.ready: 1}


def decide(harvest: Harvest, acquired: date, window_days: int = 3, same_day: SameDay = "ready") -> Readiness:
    """Say what a harvest makes of the plant on one acquisition date.

    Parameters
    ----------
    harvest : the days on which the plant may have been harvested.
    acquired : acquisition date d.
    window_days : window W in days, at least 0; ready when the harvest is in `(d, d + W]`.
    same_day : whether a harvest on d itself counts as ready or excludes the plant.

    Returns
    -------
    The outcome that every possible harvest day gives; `ambiguous` where they differ.

    Raises
    ------
    InputError : a negative window, or an interval without a day.
    """
    if window_days < 0:
        raise InputError(f"{window_days} days", "The readiness window is 0 days or more", "give window_days >= 0")
    if harvest.by is None:
        return Readiness.not_ready
    if harvest.after >= harvest.by:
        raise InputError(
            f"({harvest.after}, {harvest.by}]",
            "A harvest interval (after, by] holds at least one day",
            "correct the harvest dates or visits of this plant",
        )
    # Ordinals, because date + timedelta overflows next to date.max.
    today, after, by = acquired.toordinal(), harvest.after.toordinal(), harvest.by.toordinal()
    window_end = today + window_days
    first_ready_day = today if same_day == "ready" else today + 1
    if by < today:
        return Readiness.harvested
    if after >= window_end:
        return Readiness.not_ready
    if after + 1 >= first_ready_day and by <= window_end:
        return Readiness.ready
    if after + 1 == by == today:
        return Readiness.same_day
    return Readiness.ambiguous


def label_observations(
    listing: SourceListing, window_days: int = 3, same_day: SameDay = "ready"
) -> tuple[list[SourceImage], list[LeftOut]]:
    """Fill in the label of every listed image that has one, and leave out those the harvest excludes.

    Parameters
    ----------
    listing : what the source listed.
    window_days, same_day : as in `decide`.

    Returns
    -------
    images : in the listing's order; label 0 (not ready), 1 (ready), the one the source states, or None where neither
        a label nor a harvest is known.
    left_out : images left out here, reason `harvested`, `same_day` or `ambiguous`. `listing.left_out` is not repeated.

    Raises
    ------
    InputError : as `decide`.
    """
    labelled: list[SourceImage] = []
    left_out: list[LeftOut] = []
    for image in listing.images:
        if image.label is not None or image.harvest is None:
            labelled.append(image)
            continue
        readiness = decide(image.harvest, image.acquired, window_days, same_day)
        if readiness in LABELS:
            labelled.append(replace(image, label=LABELS[readiness]))
        else:
            detail = describe_harvest(image.harvest)
            left_out.append(LeftOut(image.plant_id, image.acquired, image.path, readiness.value, detail))
    return labelled, left_out


def describe_harvest(harvest: Harvest) -> str:
    """Say in words when a plant was harvested, for the table of what was left out."""
    if harvest.by is None:
        return "never harvested"
    if harvest.by == date.max:
        return f"not harvested by {harvest.after}, not seen later"
    if harvest.after == date.min:
        return f"harvested by {harvest.by}, not seen before"
    if harvest.by.toordinal() - harvest.after.toordinal() == 1:
        return f"harvested on {harvest.by}"
    return f"harvested after {harvest.after}, by {harvest.by}"
