"""Acquire: list the images of a new date that a campaign's fit scores, and refuse wrong images.

Nothing is trained on a scored date, so counts by split are not checked. A wrong folder may have been copied. So images
that the campaign already has are left out, and classes other than the classifier's are refused.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import Any

from prefect import task

from storage.artifacts import ArtifactRef, Store, Streamed
from storage.errors import InputError
from storage.records.acquisitions import DateFiles
from storage.tables import PLANTS
from storage.tables.rows import rows_of
from tasks.ingest.completeness import Completeness, count_plants, standing_plants
from tasks.ingest.date_files import own_files
from tasks.ingest.listing import check_rejected, listing_recipe, read_listing
from tasks.ingest.params import IngestParams
from tasks.ingest.survey import LEFT_OUT_JSON, Survey, survey
from tasks.sources import AnySource
from tasks.sources.contract import LeftOut
from tasks.sources.matching import describe_matching
from tasks.stage import always_run, write_json

Listing = dict[str, Any]
LOG = logging.getLogger(__name__)  # its warnings are shown on the terminal by flows/cli/options.py


@dataclass(frozen=True)
class KnownImage:
    """Plant and date of an image that the campaign was fitted on."""

    plant_id: str
    acquired: str


@dataclass(frozen=True)
class Acquired:
    """Date whose images were listed.

    Attributes
    ----------
    files : the date's own files just before they were listed; None if they are unknown (see `own_files`).
    """

    listing: ArtifactRef
    completeness: Completeness
    files: DateFiles | None


def known_images(store: Store, images: list[ArtifactRef]) -> dict[str, KnownImage]:
    """Return the images of a campaign's own dates by their SHA-256 (hex)."""
    return {
        entry["sha256"]: KnownImage(entry["plant_id"], listing["date"])
        for listing in (read_listing(store.open(ref)) for ref in images)
        for entry in listing["images"]
    }


def take_classes(listing: Listing, classes: tuple[str, ...]) -> Listing:
    """Refuse classes that differ from the classifier's; a source without labels gets the classifier's classes.

    Raises
    ------
    InputError : the source has other classes, or another order of them.
    """
    found = tuple(listing["classes"])
    if found not in {classes, ()}:
        raise InputError(
            f"The source of {listing['date']} has the classes {', '.join(found)}, the classifier {', '.join(classes)}",
            "A date must have the classes of the classifier that scores it, in the same order",
            "correct the source, or score with the fit of another campaign; a folder source can name its `classes`",
        )
    return {**listing, "classes": list(classes)}


def leave_out_known(listing: Listing, known: Mapping[str, KnownImage]) -> Listing:
    """Leave out files that are byte-identical to images of the campaign's own dates, as a wrong folder was copied."""
    kept = Streamed(lambda: (entry for entry in listing["images"] if entry["sha256"] not in known))
    gone: list[dict[str, Any]] = []
    for entry in listing["images"]:
        if (original := known.get(entry["sha256"])) is not None:
            detail = f"byte-identical to the image of {original.plant_id} on {original.acquired}"
            left_out = LeftOut(
                entry["plant_id"], date.fromisoformat(listing["date"]), entry["path"], "duplicate", detail
            )
            gone.append(LEFT_OUT_JSON.dump_python(left_out, mode="json"))
    return {**listing, "images": kept, "left_out": Streamed(lambda: chain(listing["left_out"], gone))}


def without_training(listing: Listing) -> Listing:
    """Give plants of the split `train` the split `new`.

    No classifier was trained on the images of a scored date. Images of the split `train` are not explained, so a
    grower would get no reliability for these plants. The table `assignments` marks them by the campaign's own splits
    (`seen` = `train`).
    """
    listed = listing["images"]
    images = Streamed(lambda: ({**one, "split": "new"} if one["split"] == "train" else one for one in listed))
    return {**listing, "images": images}


def refuse_empty(listing: Listing) -> None:
    """Raise InputError if a date has no image to score."""
    if any(True for _ in listing["images"]):
        return
    left_out = [*listing["left_out"]]
    reasons = Counter(entry["reason"] for entry in left_out)
    first = [f"{entry['path']}: {entry['reason']} {entry['detail']}" for entry in left_out[:1]]
    raise InputError(
        f"No image to score on {listing['date']}; left out: "
        + (", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items())) or "nothing")
        + "".join(f"\n    {line}" for line in first),
        "A scored date must have images",
        "check that the right folder was copied, and the harvest dates of its plants",
    )


@task(task_run_name="survey {campaign} {date}", **always_run())
def survey_acquisition(
    store: str,
    date: date,
    source: AnySource,
    params: IngestParams,
    classes: tuple[str, ...],
    known: list[ArtifactRef],
    plants: ArtifactRef | None = None,
) -> Acquired:
    """List the images of a date that is scored with a campaign's fit, and count its plants.

    Plants of the split `train` are listed as `new` (see `without_training`). Counts by split are not checked. Plants
    that were not watched long enough for a label are listed without one. A harvest table that does not fit the images
    is told on the terminal.

    Parameters
    ----------
    classes : class names of the classifier that scores.
    known : artefacts `images <date>` of the dates that the campaign was fitted on. Files that are byte-identical to
        one of their images are left out as `duplicate`.
    plants : artefact `plants` of the campaign; None on a date of another campaign or source, with other plants.

    Raises
    ------
    InputError : the source refuses its files, has other classes than the classifier, or has no image to score.
    """
    opened, files = Store(store), own_files(source, date)  # before they are read: a later change is then seen
    found = survey(source, [date], params, is_scored=True)
    for note in describe_matching(found.matching) if found.matching else ():
        LOG.warning("%s: %s", date, note)
    listing = take_classes(found.listings[date], classes)
    listing = without_training(leave_out_known(listing, known_images(opened, known)))
    refuse_empty(listing)
    counts = count_plants(listing, expected_plants(opened, found, plants, date))
    return Acquired(write_json(opened, listing_recipe(listing), listing), counts, files)


def expected_plants(store: Store, found: Survey, plants: ArtifactRef | None, day: date) -> Iterable[str] | None:
    """Return the ids of the plants that should stand on a date: the campaign's, else the source's own; None if unknown.

    Parameters
    ----------
    plants : artefact `plants` of the campaign; None on a date of another campaign or source.
    """
    if plants is not None:
        known = rows_of(store.open(plants), PLANTS, ["plant_id", "harvest_by"])
    elif found.planted is not None:
        known = [{"plant_id": plant, "harvest_by": None} for plant in found.planted]
    else:
        return None
    return standing_plants(known, found.matching, day)


@task(task_run_name="check {campaign} {date}", **always_run())
def check_acquisition(store: str, date: date, params: IngestParams, images: ArtifactRef) -> None:
    """Refuse a date with too many bad image files, or without a readable one, before it is scored.

    Raises
    ------
    InputError : too many files are bad, or none can be read; the message gives the counts by reason.
    """
    artifact = Store(store).open(images)
    n_images = artifact.summary["n_images"]
    rejected = check_rejected([artifact], n_images, params.max_bad_share)
    if n_images == 0:
        found = ", ".join(f"{n} {reason}" for reason, n in sorted(rejected.items()))
        raise InputError(
            f"No image of the date can be read; left out: {found}",
            "A scored date must have readable images",
            "copy the files again",
        )
