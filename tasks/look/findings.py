"""Find what is suspicious in the images and tables of a campaign, and name it. Pure functions, no files."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath

import numpy as np

from tasks.ingest.listing import BAD_FILE_REASONS
from tasks.look.images import Measured
from tasks.look.registration import Misplaced, Step, find_misplaced
from tasks.sources.contract import LeftOut, SourceImage
from tasks.sources.field.shifts import NO_SHIFT, Shift, say_shift
from tasks.sources.matching import Matching

BLURRED_SHARE = 0.1  # sharpness below this share of the campaign's median counts as blurred
SAME_PLACE = 0.01  # metres; two plants no further apart stand in one place
USUAL_SHARE = 0.5  # share of images that must have one size for other sizes to be suspicious
# What files are that a survey left out, by the word of the reason.
BAD_FILES = {
    "duplicate": "images whose files are byte-identical",
    "unreadable": "unreadable images",
    "blank": "blank images",
}
SUSPICIOUS_FLAGS = ("crop_leaves_raster", "mostly_no_data", "known_blurry", "two_plants")
# Reasons for which there is no image of a plant and date, rather than one that is left out.
NO_IMAGE = ("missing_file", "missing_raster", "unreadable_raster", "outside_raster", "not_an_image", "not_in_manifest")


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of suspicious thing.

    Attributes
    ----------
    kind : word of `MEANINGS` in `tasks.look.words`, or of a reason for which images are left out.
    said : what was found, as a phrase.
    named : every plant, file or row of it, with what was found there; empty if it concerns all images.
    """

    kind: str
    said: str
    named: tuple[str, ...]


def some(kind: str, said: str, named: Iterable[str]) -> list[Finding]:
    """Return one finding if it names anything."""
    found = tuple(named)
    return [Finding(kind, said, found)] if found else []


def merge(findings: Iterable[Finding]) -> list[Finding]:
    """Join findings of one kind, in the order of the first of each kind."""
    of_kind: dict[str, Finding] = {}
    for one in findings:
        first = of_kind.get(one.kind)
        of_kind[one.kind] = one if first is None else Finding(one.kind, first.said, first.named + one.named)
    return list(of_kind.values())


def name_image(image: SourceImage | LeftOut) -> str:
    """Return plant, date and path of an image."""
    return f"{image.plant_id} {image.acquired} ({image.path})"


def name_left_out(one: LeftOut) -> str:
    """Return plant, date, path and detail of an image that is left out."""
    return f"{name_image(one)}: {one.detail}" if one.detail else name_image(one)


def find_in_pixels(measured: Sequence[Measured]) -> list[Finding]:
    """Find images that cannot be read, show one colour, or are far less sharp than the campaign's median."""
    sound = [one for one in measured if not one.fault and not one.blank]
    median = float(np.median([one.sharpness for one in sound])) if sound else 0.0
    blurred = [one for one in sound if one.sharpness < BLURRED_SHARE * median]
    faulty = [f"{name_image(one.image)}: {one.fault}" for one in measured if one.fault]
    blank = [f"{name_image(one.image)}: {one.blank}" for one in measured if one.blank]
    unsharp = [f"{name_image(one.image)}: {one.sharpness / median:.1%} of the median sharpness" for one in blurred]
    return [
        *some("unreadable", "unreadable images", faulty),
        *some("blank", "blank images", blank),
        *some("blurred", "blurred images", unsharp),
    ]


def find_sizes(measured: Sequence[Measured]) -> list[Finding]:
    """Find images of another size than most; if no size is usual, tell the range of sizes."""
    sizes = Counter((one.width, one.height) for one in measured if not one.fault)
    if len(sizes) < 2:
        return []
    usual, n = max(sizes.items(), key=lambda item: (item[1], item[0]))
    if n < USUAL_SHARE * sizes.total():
        (w0, h0), (w1, h1) = (tuple(limit(one[i] for one in sizes) for i in (0, 1)) for limit in (min, max))
        return [Finding("size", f"sizes from {w0} x {h0} to {w1} x {h1} pixels", ())]
    others = [one for one in measured if not one.fault and (one.width, one.height) != usual]
    said = f"images of another size than {usual[0]} x {usual[1]} pixels"
    return some("size", said, (f"{name_image(m.image)}: {m.width} x {m.height}" for m in others))


def find_formats(images: Sequence[SourceImage]) -> list[Finding]:
    """Find images of another format than most, by the suffixes of their files."""
    formats = Counter(file_format(one.path) for one in images)
    if len(formats) < 2:
        return []
    usual = max(formats.items(), key=lambda item: (item[1], item[0]))[0]
    others = [one for one in images if file_format(one.path) != usual]
    return some("format", f"images of another format than {usual or 'no suffix'}", map(name_image, others))


def file_format(path: str) -> str:
    """Return the format that a file's suffix names, one word for spellings of the same."""
    suffix = PurePosixPath(path).suffix.lower()
    return {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif"}.get(suffix, suffix)


def find_bad_files(left_out: Iterable[LeftOut]) -> list[Finding]:
    """Find duplicates, and files that the survey left out because they cannot be used."""
    named: dict[str, list[str]] = defaultdict(list)
    for one in left_out:
        named[one.reason].append(name_left_out(one))
    return [
        found
        for reason in BAD_FILE_REASONS
        for found in some(reason, BAD_FILES.get(reason, f"images left out as {reason}"), named[reason])
    ]


def find_flags(images: Iterable[SourceImage]) -> list[Finding]:
    """Find images with a remark of the source that makes them doubtful."""
    named: dict[str, list[str]] = defaultdict(list)
    for one in images:
        for flag in one.flags:
            named[flag].append(name_image(one))
    return [found for flag in SUSPICIOUS_FLAGS for found in some(flag, f"images marked {flag}", named[flag])]


def find_plants_of_one_date(images: Iterable[SourceImage | LeftOut], dates: Sequence[date]) -> list[Finding]:
    """Find plants that have an image on one date only, where there are several dates."""
    seen: dict[str, set[date]] = defaultdict(set)
    for one in images:
        if isinstance(one, SourceImage) or one.reason not in NO_IMAGE:
            seen[one.plant_id].add(one.acquired)
    once = [f"{plant} {min(days)}" for plant, days in sorted(seen.items()) if len(days) == 1]
    return some("one_date", "plants with an image on one date only", once) if len(dates) > 1 else []


def find_shared_places(images: Iterable[SourceImage]) -> list[Finding]:
    """Find different plants that stand in one place."""
    plants: dict[tuple[int, int], set[str]] = defaultdict(set)
    for one in images:
        if one.easting is not None and one.northing is not None:
            plants[round(one.easting / SAME_PLACE), round(one.northing / SAME_PLACE)].add(one.plant_id)
    shared = [", ".join(sorted(found)) for found in plants.values() if len(found) > 1]
    return some("same_place", "places with several plants", sorted(shared))


def find_unmatched(matching: Matching | None) -> list[Finding]:
    """Find rows of the harvest table without a plant, plants without a row, and names that differ in writing."""
    if matching is None:
        return []
    near = [f"{matching.table} {row}, images {plant}" for row, plant in matching.near]
    return [
        *some("row_without_plant", f"rows of {matching.table} without a plant", matching.without_image),
        *some("plant_without_row", f"plants without a row in {matching.table}", matching.without_row),
        *some("near_names", "plants that are written differently", near),
    ]


def find_misregistered(steps: Sequence[Step], crop_metres: float, shifts: Mapping[date, Shift]) -> list[Finding]:
    """Find dates whose orthophoto lies beside those of most dates, with the shift that would correct it.

    Parameters
    ----------
    shifts : shifts that are set already, on top of which the dates were compared.
    """
    found = find_misplaced(steps, crop_metres)
    named = (name_misplaced(one, shifts.get(one.day, NO_SHIFT)) for one in found)
    return some("misregistered", "orthophotos that lie beside those of other dates", named)


def name_misplaced(one: Misplaced, known: Shift) -> str:
    """Return how far a date's orthophoto lies from that of the neighbouring date, and the shift to set."""
    step = one.step
    is_after = one.day == step.after
    other = step.before if is_after else step.after
    lies = say_shift((step.east, step.north) if is_after else (-step.east, -step.north))
    # Adding 0 makes a rounded -0 positive.
    east, north = (round(new + old, 2) + 0.0 for new, old in zip(one.shift, known, strict=True))
    return (
        f"{one.day} lies about {lies} of {other} ({step.n_agree} of {step.n_places} places agree); "
        f"set [source.shift] {one.day} = [{east:.2f}, {north:.2f}]"
    )
