"""Draw a date's background: the part of its orthophoto around the plants, small enough to lie behind the page's map.

Reads `images` for the plants' positions, and the source's orthophoto. Writes `background`: the picture, transparent
where the orthophoto has no pixel, and in the summary where it lies. The page is made from artefacts alone, because the
source may be gone by then.

A picture is an extra: an orthophoto that cannot be read at that moment does not stop a run. The artefact then states
the reason, which the page shows. The next run tries again, because an artefact with a fault has a name of its own.
"""

import io
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import numpy as np
from PIL import Image
from prefect import task

from storage.artifacts import ArtifactRef, Recipe, Store
from storage.errors import InputError
from tasks.ingest.listing import read_listing
from tasks.sources import AnySource
from tasks.sources.contract import UnreadableImage
from tasks.sources.views import Photographed, View, frame_of, part_of
from tasks.stage import always_run, versions

REVISION = 1
PICTURE = "background.webp"  # file of the picture in its artefact
MOST_BYTES = 400_000  # size of a picture, which is compressed until it is no larger
QUALITIES = (80, 65, 50, 35, 20)  # of WebP, tried in this order


def encode_view(view: View, most_bytes: int = MOST_BYTES) -> bytes:
    """Return a view as WebP of at most so many bytes: in the best of `QUALITIES` that has so few.

    Where even the last has more, the picture gets half as wide and half as high until it fits.
    """
    picture = Image.fromarray(np.dstack([view.pixels, view.valid.astype(np.uint8) * np.uint8(255)]))
    while True:
        for quality in QUALITIES:
            buffer = io.BytesIO()
            picture.save(buffer, "WEBP", quality=quality)
            if buffer.tell() <= most_bytes:
                return buffer.getvalue()
        picture = picture.reduce(2)


def places_of(listed: Iterable[dict[str, Any]]) -> list[tuple[float, float]]:
    """Return easting and northing (m) of the plants that were cut out of an orthophoto and have a known position."""
    return [
        (entry["easting"], entry["northing"])
        for entry in listed
        if entry["centre"] is not None and entry["easting"] is not None and entry["northing"] is not None
    ]


def draw_background(
    source: Photographed, day: date, places: Sequence[tuple[float, float]], crs: str, pixels: int
) -> tuple[bytes, dict[str, Any]]:
    """Draw the orthophoto around some plants as WebP, and state where it lies.

    Parameters
    ----------
    places : easting and northing (m) of the plants, at least one.
    crs : EPSG code of their system.
    pixels : longer side of the picture.

    Returns
    -------
    Picture, and a summary: `picture`, the name of its file; `bounds` (west, south, east, north, metres); and `share`,
    how much of it the orthophoto covers, 0..1.

    Raises
    ------
    UnreadableImage : the orthophoto cannot be read, or shows nothing there.
    InputError : the orthophoto cannot be read as stated, or its server does not answer.
    """
    part = part_of(frame_of(places), pixels)
    (view,) = source.read_views(day, [part], crs)
    if not view.valid.any():
        raise UnreadableImage("the orthophoto shows nothing where the plants stand, by its georeference")
    share = round(float(view.valid.mean()), 4)
    return encode_view(view), {"picture": PICTURE, "bounds": list(part.bounds), "share": share}


def background_recipe(crs: str, pixels: int, images: ArtifactRef, fault: str = "") -> Recipe:
    """Return the recipe of a date's background; its images' names stand for the content of the orthophoto.

    Parameters
    ----------
    fault : why there is no picture; empty if there is one.
    """
    told = {"fault": fault} if fault else {}
    return Recipe("background", REVISION, {"crs": crs, "pixels": pixels, **told}, {"images": images})


@task(task_run_name="background {campaign} {date}", **always_run())
def keep_background(
    store: str, date: date, source: AnySource, crs: str, pixels: int, images: ArtifactRef
) -> ArtifactRef:
    """Write the background of a date, unless the store holds it.

    Parameters
    ----------
    crs : EPSG code of the system of the plants' positions.
    pixels : longer side of the picture.
    """
    opened = Store(store)
    if opened.holds(background_recipe(crs, pixels, images).ref):
        return background_recipe(crs, pixels, images).ref
    places = places_of(read_listing(opened.open(images))["images"])
    picture, summary = b"", {}
    fault = ""
    if places and isinstance(source, Photographed):
        try:
            picture, summary = draw_background(source, date, places, crs, pixels)
        except InputError as error:
            fault = error.found
        except (UnreadableImage, OSError) as error:
            fault = str(error)
    made = background_recipe(crs, pixels, images, fault)
    if not opened.holds(made.ref):
        with opened.create(made, versions()) as draft:
            if picture:
                draft.write_bytes(PICTURE, picture)
            draft.summary = {"date": date.isoformat(), "fault": fault, **summary}
    return made.ref
