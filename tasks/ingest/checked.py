"""Turn what people found at plants into labels of the images of that date. Pure functions.

Doubtful plants are looked at more often than others. So a check never decides *which* plants of validation and test
have a label, or their errors would look more frequent, and the share of ready plants nearer to a half, than in the
field. It gives every training plant its label, and elsewhere replaces a label that a harvest gives anyway.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from storage.records.checks import FoundClasses
from tasks.ingest.labels import LABELS, Readiness, SameDay, decide, decide_by_interval
from tasks.sources.contract import SourceImage, SourceListing

CHECKED = "checked"  # flag of an image whose label a check gives
GONE = (Readiness.harvested, Readiness.same_day)  # states of a plant that was not there to be judged
N_NAMED = 5  # contradictions that a note names at most


class Use(StrEnum):
    """What a check does to the label of an image."""

    new = "new"
    confirms = "confirms"
    replaces = "replaces"
    stated = "stated"
    gone = "gone"
    chosen = "chosen"
    unknown = "unknown"


UNUSED = {
    Use.stated: "the source states the class of these images, and it stands",
    Use.gone: "the plants were harvested before by the harvest table, or on a day that is excluded",
    Use.chosen: "these are no training plants, and doubtful plants are looked at more often than others",
    Use.unknown: "the source does not have the class that was found",
}


def label_checked(
    listing: SourceListing, found: FoundClasses, window_days: int, same_day: SameDay
) -> tuple[SourceListing, list[str]]:
    """Give images the labels that people found at their plants on the same date.

    A class that the source states for an image stands. A check stands against a harvest, because it is about the plant
    on that day. It does not stand against a harvest before that day.

    Parameters
    ----------
    listing : listing of a source, without labels from harvests.
    found : classes that stand, by date and plant.
    window_days, same_day : as in `tasks.ingest.labels.decide`.

    Returns
    -------
    listing : the listing; images with a label from a check have the flag `CHECKED`.
    notes : what the checks did: numbers, and which contradict the harvest table.
    """
    images: list[SourceImage] = []
    uses: Counter[Use] = Counter()
    contradictions: list[str] = []
    for image in listing.images:
        name = found.get(image.acquired, {}).get(image.plant_id)
        if name is None:
            images.append(image)
            continue
        use = use_of(name, image, listing.classes, window_days, same_day)
        uses[use] += 1
        if use not in UNUSED:
            image = replace(image, label=listing.classes.index(name), flags=(*image.flags, CHECKED))
        if use == Use.replaces:
            contradictions.append(f"{image.plant_id} on {image.acquired} ({name})")
        images.append(image)
    n_checks = sum(len(plants) for plants in found.values())
    return replace(listing, images=tuple(images)), describe_checks(uses, n_checks, contradictions)


def use_of(name: str, image: SourceImage, classes: tuple[str, ...], window_days: int, same_day: SameDay) -> Use:
    """Decide what the check that found a class does to the label of its image."""
    if name not in classes:
        return Use.unknown
    if image.label is not None:
        return Use.stated
    if image.harvest is not None:
        if decide_by_interval(image.harvest, image.acquired, window_days, same_day) in GONE:
            return Use.gone
        state = decide(image.harvest, image.acquired, window_days, same_day)
        if state in LABELS:
            return Use.confirms if LABELS[state] == classes.index(name) else Use.replaces
    return Use.new if image.split == "train" else Use.chosen


def describe_checks(uses: Mapping[Use, int], n_checks: int, contradictions: list[str]) -> list[str]:
    """Return notes on the labels that checks give, and on those that give none; empty without a check."""
    if not n_checks:
        return []
    n_labels = sum(uses.get(use, 0) for use in (Use.new, Use.confirms, Use.replaces))
    notes = [
        f"{n_labels} labels come from checks of plants: {uses.get(Use.new, 0)} of training plants without another "
        f"label, {uses.get(Use.confirms, 0)} that agree with the harvest table and {uses.get(Use.replaces, 0)} that "
        "contradict it"
    ]
    if contradictions:
        more = len(contradictions) - N_NAMED
        notes.append(
            f"checks that contradict the harvest table stand: {', '.join(contradictions[:N_NAMED])}"
            + (f" and {more} more" if more > 0 else "")
        )
    unused = [f"{uses[use]} checks give no label: {why}" for use, why in UNUSED.items() if uses.get(use)]
    without = n_checks - sum(uses.values())
    return [*notes, *unused, *([f"{without} checks label no image: their plants have none"] if without else [])]
