"""Acquire: list the images of a date that a campaign's fit is to score, and refuse what is no such date.

Nothing is trained on a scored date and no counts of splits are needed. What can go wrong is that a wrong folder was
copied, so images that the campaign already has, and other classes than the classifier's, are found here.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from prefect import task

from storage.artifacts import ArtifactRef, Store
from storage.errors import InputError
from tasks.ingest.listing import check_rejected, listing_recipe
from tasks.ingest.survey import LEFT_OUT_JSON, IngestParams, survey
from tasks.sources import AnySource
from tasks.sources.contract import LeftOut
from tasks.stage import always_run, write_json

Listing = dict[str, Any]


@dataclass(frozen=True)
class KnownImage:
    """An image that the campaign was fitted on."""

    plant_id: str
    acquired: str


def known_images(store: Store, images: list[ArtifactRef]) -> dict[str, KnownImage]:
    """Images of a campaign's own dates by their SHA-256."""
    listings: list[Listing] = [store.open(ref).read_json("listing.json") for ref in images]
    return {
        entry["sha256"]: KnownImage(entry["plant_id"], listing["date"])
        for listing in listings
        for entry in listing["images"]
    }


def take_classes(listing: Listing, classes: tuple[str, ...]) -> Listing:
    """Refuse classes that the classifier does not know; a source without any labels takes the classifier's.

    Raises
    ------
    InputError : other classes, or another order.
    """
    found = tuple(listing["classes"])
    if found not in {classes, ()}:
        raise InputError(
            f"the source of {listing['date']} has {', '.join(found)}; the classifier has {', '.join(classes)}",
            "A date's classes are those of the classifier that scores it, in the same order",
            "correct the source, or score with the fit of another campaign; a folder source can name its `classes`",
        )
    return {**listing, "classes": list(classes)}


def leave_out_known(listing: Listing, known: Mapping[str, KnownImage]) -> Listing:
    """Leave out files that are byte-identical to images of the campaign's own dates: a wrong folder was copied."""
    kept = [entry for entry in listing["images"] if entry["sha256"] not in known]
    gone: list[dict[str, Any]] = []
    for entry in listing["images"]:
        if (original := known.get(entry["sha256"])) is not None:
            detail = f"byte-identical to the image of {original.plant_id} on {original.acquired}"
            left_out = LeftOut(
                entry["plant_id"], date.fromisoformat(listing["date"]), entry["path"], "duplicate", detail
            )
            gone.append(LEFT_OUT_JSON.dump_python(left_out, mode="json"))
    return {**listing, "images": kept, "left_out": [*listing["left_out"], *gone]}


def without_training(listing: Listing) -> Listing:
    """Give plants of the split `train` the split `new`.

    The images of a scored date trained nothing. As `train` they would not be explained, and a grower would get no
    reliability for just the plants that the classifier knows from other dates.
    """
    images = [{**entry, "split": "new"} if entry["split"] == "train" else entry for entry in listing["images"]]
    return {**listing, "images": images}


def refuse_empty(listing: Listing) -> None:
    """Raise InputError where a date has no image to score."""
    if listing["images"]:
        return
    reasons = Counter(entry["reason"] for entry in listing["left_out"])
    first = [f"{entry['path']}: {entry['reason']} {entry['detail']}" for entry in listing["left_out"][:1]]
    raise InputError(
        f"none on {listing['date']}; left out: "
        + (", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items())) or "nothing")
        + "".join(f"\n    {line}" for line in first),
        "A date that is scored has images",
        "check that the right folder was copied, and the harvest dates of its plants",
    )


@task(task_run_name="survey {date}", **always_run())
def survey_acquisition(
    store: str, date: date, source: AnySource, params: IngestParams, classes: tuple[str, ...], known: list[ArtifactRef]
) -> ArtifactRef:
    """List the images of a date that is scored with a campaign's fit.

    Plants of the split `train` are listed as `new`: nothing was trained on this date, and images of that split are not
    explained, so that a grower would get no reliability for them. Counts of splits are not checked.

    Parameters
    ----------
    classes : of the classifier that scores.
    known : the artefacts `images <date>` of the dates that the campaign was fitted on; files byte-identical to one of
        their images are left out as `duplicate`, naming the date.

    Raises
    ------
    InputError : whatever the source refuses; other classes than the classifier's; no image to score.
    """
    opened = Store(store)
    listing = take_classes(survey(source, [date], params).listings[date], classes)
    listing = without_training(leave_out_known(listing, known_images(opened, known)))
    refuse_empty(listing)
    return write_json(opened, listing_recipe(listing), listing)


@task(task_run_name="check {date}", **always_run())
def check_acquisition(store: str, date: date, params: IngestParams, images: ArtifactRef) -> None:
    """Refuse a date with too many bad image files, or without a good one, before it is scored.

    Raises
    ------
    InputError : with the counts by reason.
    """
    artifact = Store(store).open(images)
    n_images = artifact.summary["n_images"]
    rejected = check_rejected([artifact], n_images, params.max_bad_share)
    if n_images == 0:
        found = ", ".join(f"{n} {reason}" for reason, n in sorted(rejected.items()))
        raise InputError(found, "A date that is scored has images that can be read", "copy the files again")
