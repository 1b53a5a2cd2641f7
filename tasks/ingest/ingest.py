"""Ingest: survey a source, decide labels, and copy the images of each acquisition date into a Zarr array.

- `survey_source` is never cached, because the source may have changed. Its artefacts are named by their content, so
  all later tasks are cached.
- `ingest_images` writes the array `images` and the tables `observations` and `rejected` of a date.
- `check_campaign` writes the table `plants` and refuses campaigns with too few images or plants.

Memory: a shard of images (`IMAGES.shard`, 64), one record per image of a date, and one row per plant. The listing of a
date is read and written entry by entry. Images that are read in another order than that of the listing wait on disk.
For the survey see `tasks.ingest.survey`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from prefect import task

from storage.arrays.specs import IMAGES
from storage.arrays.zarr_files import create_array, write_block, write_group
from storage.artifacts import Artifact, ArtifactRef, Draft, Recipe, Store
from storage.errors import InputError
from storage.records.checks import FoundClasses
from storage.tables import PLANTS
from storage.tables.parquet import is_by_plant, rows_to_columns, write_table
from tasks.ingest.checks import Counts, check_counts, paper_comparison
from tasks.ingest.listing import KeptImage, check_rejected, listing_recipe, read_entries, read_listing, write_listing
from tasks.ingest.looks import describe_blank
from tasks.ingest.ordering import Observation, in_listing_order
from tasks.ingest.params import IngestParams
from tasks.ingest.survey import Survey, take_survey
from tasks.sources import AnySource
from tasks.sources.contract import Source, SourceImage, UnreadableImage
from tasks.stage import always_run, cached_by, made_once, progress, write_json

REVISION = 1


def prepare_image(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize an RGB image (h, w, 3) to (size, size, 3), area-weighted if it shrinks.

    Raises
    ------
    UnreadableImage : all pixels have nearly the same colour, as in the release's placeholder frames.
    """
    if blank := describe_blank(pixels):
        raise UnreadableImage(blank)
    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR), np.uint8)


def read_observations(
    source: Source, listed: Sequence[SourceImage], digests: Sequence[str], size: int
) -> Iterator[Observation]:
    """Read and prepare every listed image, in the order in which the source reads them.

    Parameters
    ----------
    digests : SHA-256 (hex) of the content of each image when it was listed.

    Raises
    ------
    InputError : a file has changed since it was listed.
    """
    for position, found in source.read_images(listed):
        if source.fingerprint(listed[position]) != digests[position]:
            raise InputError(
                f"{listed[position].path} has changed since it was listed",
                "A source's files must not change while a campaign runs",
                "wait until all files are copied, then run again",
            )
        yield prepare_observation(position, found, size)


def prepare_observation(position: int, found: NDArray[np.uint8] | UnreadableImage, size: int) -> Observation:
    """Prepare the pixels (h, w, 3) of a listed image, or state why it cannot be read."""
    if isinstance(found, UnreadableImage):
        return Observation(position, 0, 0, None, str(found))
    try:
        image = prepare_image(found, size)
    except UnreadableImage as error:
        return Observation(position, 0, 0, None, str(error))
    height, width = found.shape[:2]
    return Observation(position, height, width, image, "")


def counted(read: Iterable[Observation], advance: Callable[[int], None]) -> Iterator[Observation]:
    """Yield observations, and count each as soon as it is read."""
    for one in read:
        advance(1)
        yield one


def write_images(
    draft: Draft, source: Source, listing: Mapping[str, Any], size: int, advance: Callable[[int], None]
) -> None:
    """Fill a draft with the images and tables of one date, with one shard of images in memory at a time."""
    listed, digests = read_entries(listing["images"])
    array = create_array(draft, IMAGES, (len(listed), size, size, 3))
    shard, start = np.empty((IMAGES.shard or 1, size, size, 3), np.uint8), 0
    kept: list[KeptImage] = []
    rejected: list[dict[str, str]] = []
    read = counted(read_observations(source, listed, digests, size), advance)
    for position, height, width, image, problem in in_listing_order(read, draft.folder):
        if image is None:
            reason = "blank" if problem.startswith("blank") else "unreadable"
            named = {"plant_id": listed[position].plant_id, "path": listed[position].path}
            rejected.append({**named, "reason": reason, "detail": problem})
            continue
        shard[len(kept) - start] = image
        kept.append(KeptImage(position, height, width))
        if len(kept) - start == len(shard):
            write_block(array, start, shard)
            draft.settle()
            start = len(kept)
    array.resize((len(kept), size, size, 3))
    write_block(array, start, shard[: len(kept) - start])
    plants = [listed[one.position].plant_id for one in kept]
    write_group(draft, plants, {"date": listing["date"]})
    write_listing(draft, listing, kept, rejected, is_by_plant(plants))


def plant_rows(listings: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of the table `plants` from the listings of all dates, which are read one after another."""
    plants: dict[str, dict[str, Any]] = {}
    for listing in listings:
        for entry in listing["images"]:
            if entry["plant_id"] not in plants:
                plants[entry["plant_id"]] = _plant_row(entry)
            plants[entry["plant_id"]]["n_observations"] += 1
    return [plants[name] for name in sorted(plants)]


def _plant_row(entry: dict[str, Any]) -> dict[str, Any]:
    harvest = entry["harvest"] or {"after": None, "by": None}
    return {
        **{name: entry[name] for name in ("plant_id", "split", "split_source", "easting", "northing")},
        "harvest_after": _day_or_none(harvest["after"]),
        "harvest_by": _day_or_none(harvest["by"]),
        "n_observations": 0,
    }


def _day_or_none(text: str | None) -> date | None:
    """Read a date, and return None for the open ends of a harvest interval (`date.min`, `date.max`)."""
    day = None if text is None else date.fromisoformat(text)
    return None if day in (date.min, date.max) else day


def read_listings(images: Sequence[Artifact]) -> Iterator[dict[str, Any]]:
    """Yield the listings of some dates' images, read one after another."""
    return (read_listing(artifact) for artifact in images)


def survey_recipe(surveyed: Survey, listings: list[ArtifactRef]) -> Recipe:
    """Return the recipe of a survey: its notes and the dates' listings."""
    return Recipe("survey", REVISION, {"notes": list(surveyed.notes)}, {"listings": listings})


def images_recipe(params: IngestParams, listing: ArtifactRef) -> Recipe:
    """Return the recipe of a date's images."""
    return Recipe("images", REVISION, {"image_size": params.image_size}, {"listing": listing})


def plants_recipe(params: IngestParams, n_needed: int, is_trained: bool, images: list[ArtifactRef]) -> Recipe:
    """Return the recipe of a campaign's table of plants."""
    checks = {"max_bad_share": params.max_bad_share, "n_needed": n_needed, "is_trained": is_trained}
    return Recipe("plants", REVISION, checks, {"images": images})


@task(task_run_name="survey {campaign}", **always_run())
def survey_source(
    store: str,
    source: AnySource,
    params: IngestParams,
    dates: tuple[date, ...],
    n_needed: int,
    is_trained: bool,
    found: FoundClasses | None = None,
) -> dict[str, ArtifactRef]:
    """List the images of a source, and refuse a campaign with too few of them before any image is decoded.

    Parameters
    ----------
    found : classes that people found at plants, by date and plant.

    Returns
    -------
    Artefacts by role: `survey` and, for every date, `listing <date>`.
    """
    opened, surveyed = Store(store), take_survey(source, dates, params, found)
    check_counts(Counts.of(surveyed.listings.values()), n_needed, is_trained)
    refs = {
        f"listing {day}": write_json(opened, listing_recipe(listing), listing)
        for day, listing in surveyed.listings.items()
    }
    remarks = survey_recipe(surveyed, list(refs.values()))
    return {"survey": write_json(opened, remarks, {"notes": list(surveyed.notes)}), **refs}


@task(task_run_name="ingest {campaign} {date}", **cached_by(images_recipe))
@made_once(images_recipe)
def ingest_images(
    draft: Draft, store: Store, date: date, source: AnySource, params: IngestParams, listing: ArtifactRef
) -> None:
    """Copy a date's images into an array, and list unreadable images in the table `rejected`."""
    content = read_listing(store.open(listing))
    with progress(f"ingest {date}", sum(1 for _ in content["images"]), "image") as advance:
        write_images(draft, source, content, params.image_size, advance)


@task(task_run_name="check {campaign}", **cached_by(plants_recipe))
@made_once(plants_recipe)
def check_campaign(
    draft: Draft, store: Store, params: IngestParams, n_needed: int, is_trained: bool, images: list[ArtifactRef]
) -> None:
    """Write the campaign's plants and counts, and refuse a campaign with too few images before it is trained."""
    artifacts = [store.open(ref) for ref in images]
    counts = Counts.of(read_listings(artifacts))
    rejected = check_rejected(artifacts, counts.n_images, params.max_bad_share)
    check_counts(counts, n_needed, is_trained)
    write_table(draft, PLANTS, rows_to_columns(PLANTS, plant_rows(read_listings(artifacts))))
    draft.summary = {
        "classes": list(counts.classes),
        "dates": list(counts.dates),
        "rejected": rejected,
        "counts": counts.by_split,
        "paper": paper_comparison(counts),
    }
