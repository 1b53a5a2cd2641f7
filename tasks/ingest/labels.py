"""Derive the label of a plant on an acquisition date from its harvest.

A plant is ready on day d when it is harvested within the window of W days after d. Often a harvest is known only as an
interval `(after, by]`. The plant then has a label only if every day of the interval gives the same one.

A label also needs to know what happened until day d + W. Plants that were not watched so long are ambiguous.
"""

from dataclasses import replace
from datetime import date
from enum import StrEnum
from typing import Literal

from storage.errors import InputError
from tasks.sources.contract import Harvest, LeftOut, SourceImage, SourceListing

SameDay = Literal["ready", "excluded"]


class Readiness(StrEnum):
    """State of a plant on an acquisition date, by its harvest."""

    ready = "ready"
    not_ready = "not_ready"
    harvested = "harvested"
    same_day = "same_day"
    ambiguous = "ambiguous"


LABELS = {Readiness.not_ready: 0, Readiness.ready: 1}


def decide(harvest: Harvest, acquired: date, window_days: int = 3, same_day: SameDay = "ready") -> Readiness:
    """Decide the state of a plant on one acquisition date.

    A plant that was not watched to the end of the window is ambiguous, also if it was harvested in the window. If only
    the harvested plants of such a date kept their labels, all labels of the date would be "ready". Labels that are
    selected by their outcome make every reliability false.

    Parameters
    ----------
    harvest : days on which the plant may have been harvested, and the last day on which it was watched.
    acquired : acquisition date d.
    window_days : window W in days, at least 0; a plant is ready if the harvest is in `(d, d + W]`.
    same_day : whether a harvest on d itself counts as ready or excludes the plant.

    Returns
    -------
    The state that every possible harvest day gives; `ambiguous` if they differ, or if the state is a label and the
    plant was not watched until d + W.

    Raises
    ------
    InputError : the window is negative, or the interval holds no day.
    """
    state = decide_by_interval(harvest, acquired, window_days, same_day)
    if state in LABELS and not is_watched(harvest, acquired, window_days):
        return Readiness.ambiguous
    return state


def is_watched(harvest: Harvest, acquired: date, window_days: int) -> bool:
    """Return whether a plant was watched to the end of the window after an acquisition date."""
    # Days are compared as ordinals, because date + timedelta overflows next to date.max.
    return acquired.toordinal() + window_days <= harvest.watched_until.toordinal()


def decide_by_interval(harvest: Harvest, acquired: date, window_days: int, same_day: SameDay) -> Readiness:
    """Decide the state of a plant by the days of its harvest alone, however long it was watched.

    Raises
    ------
    InputError : the window is negative, or the interval holds no day.
    """
    if window_days < 0:
        raise InputError(
            f"window_days is {window_days}", "The readiness window must be 0 days or more", "give window_days >= 0"
        )
    if harvest.by is None:
        return Readiness.not_ready
    if harvest.after >= harvest.by:
        raise InputError(
            f"The harvest interval ({harvest.after}, {harvest.by}] holds no day",
            "A harvest interval (after, by] must hold at least one day",
            "correct the harvest dates or visits of this plant",
        )
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


def is_censored(harvest: Harvest, acquired: date, window_days: int = 3, same_day: SameDay = "ready") -> bool:
    """Return whether a plant has no label on a date only because it was not watched to the end of the window."""
    if is_watched(harvest, acquired, window_days):
        return False
    return harvest.by == date.max or decide_by_interval(harvest, acquired, window_days, same_day) in LABELS


def label_observations(
    listing: SourceListing, window_days: int = 3, same_day: SameDay = "ready", keep_censored: bool = False
) -> tuple[list[SourceImage], list[LeftOut]]:
    """Fill in the label of every listed image from its harvest, and leave out images that the harvest excludes.

    Parameters
    ----------
    listing : listing of a source.
    window_days, same_day : as in `decide`.
    keep_censored : whether images for which `is_censored` is true are kept without a label instead of left out.

    Returns
    -------
    images : images in the listing's order. The label is 0 (not ready), 1 (ready) or the one that the source states;
        None if neither a label nor a harvest is known.
    left_out : images left out here, for the reason `harvested`, `same_day` or `ambiguous`. Images of
        `listing.left_out` are not repeated.

    Raises
    ------
    InputError : the window is negative, or an interval holds no day.
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
        elif keep_censored and is_censored(image.harvest, image.acquired, window_days, same_day):
            labelled.append(image)
        else:
            detail = describe_harvest(image.harvest)
            left_out.append(LeftOut(image.plant_id, image.acquired, image.path, readiness.value, detail))
    return labelled, left_out


def describe_harvest(harvest: Harvest) -> str:
    """Describe in words when a plant was harvested and how long it was watched, for the table `rejected`."""
    if harvest.watched_until in (date.min, date.max):
        return describe_interval(harvest)
    return f"{describe_interval(harvest)}, not watched after {harvest.watched_until}"


def describe_interval(harvest: Harvest) -> str:
    """Describe in words when a plant was harvested."""
    if harvest.by is None:
        return "never harvested"
    if harvest.by == date.max:
        return "harvest unknown" if harvest.after == date.min else f"not harvested by {harvest.after}"
    if harvest.after == date.min:
        return f"harvested by {harvest.by}, not seen before"
    if harvest.by.toordinal() - harvest.after.toordinal() == 1:
        return f"harvested on {harvest.by}"
    return f"harvested after {harvest.after}, by {harvest.by}"
