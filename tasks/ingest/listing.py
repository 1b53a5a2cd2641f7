"""Name, read and write the listings of dates, and refuse listings with too many bad image files.

The listing of a date is as long as the date has plants. It is read and written entry by entry, never held as JSON.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from storage.artifacts import Artifact, Draft, Recipe, Streamed, content_digest
from storage.errors import InputError
from storage.tables import OBSERVATIONS, REJECTED
from storage.tables.parquet import is_by_plant, read_table, write_rows
from tasks.ingest.survey import source_image
from tasks.sources.contract import SourceImage

LISTING_REVISION = 1  # revision of listings, raised when an equal listing would mean something else
N_NAMED = 10  # bad files that an error message names at most
BAD_FILE_REASONS = (
    "unreadable",
    "blank",
    "too_small",
    "too_large",
    "duplicate",
    "missing_file",
    "missing_raster",
    "unreadable_raster",
    "outside_raster",
)


def read_listing(artifact: Artifact) -> dict[str, Any]:
    """Read the listing of a date; its `images` and `left_out` are read anew at every pass, one after another."""
    return artifact.read_json("listing.json", "images", "left_out")


class KeptImage(NamedTuple):
    """A listed image that was read: its position in the listing, and the size of its file's image in pixels."""

    position: int
    height: int
    width: int


def read_entries(entries: Iterable[dict[str, Any]]) -> tuple[list[SourceImage], list[str]]:
    """Return the images of a listing and the SHA-256 (hex) of each, from entries that are read one after another."""
    digests: list[str] = []
    listed: list[SourceImage] = []
    for entry in entries:
        listed.append(source_image(entry))
        digests.append(entry["sha256"])
    return listed, digests


def write_listing(
    draft: Draft,
    listing: Mapping[str, Any],
    kept: Sequence[KeptImage],
    rejected: Sequence[dict[str, str]],
    by_plant: bool,
) -> None:
    """Write the listing of the images that were read, and the tables `observations` and `rejected`.

    Parameters
    ----------
    kept : images that were read, in the order of the listing.
    rejected : rows about the images that were not.
    by_plant : whether the images that were read are in the order of the plants' ids (see `is_by_plant`).
    """
    rows = Streamed(lambda: accepted_rows(listing["images"], kept))
    write_rows(draft, OBSERVATIONS, rows, by_plant)
    gone = Streamed(lambda: chain(listing["left_out"], rejected))
    write_rows(draft, REJECTED, gone, is_by_plant(row["plant_id"] for row in gone))
    draft.write_json("listing.json", {**listing, "images": rows})
    draft.summary = {
        "date": listing["date"],
        "classes": listing["classes"],
        "n_images": len(kept),
        "rejected": dict(Counter(entry["reason"] for entry in gone)),
    }


def accepted_rows(entries: Iterable[dict[str, Any]], kept: Iterable[KeptImage]) -> Iterator[dict[str, Any]]:
    """Yield the entry of every image that was read, with its row in the array, its size, and its flags as one text."""
    numbered = enumerate(entries)
    for row, (position, height, width) in enumerate(kept):
        entry = next(entry for number, entry in numbered if number == position)
        flags = [*entry["flags"], *(["not_square"] if height != width else [])]
        yield {**entry, "height": height, "width": width, "flags": " ".join(flags), "row": row}


def listing_recipe(content: dict[str, Any]) -> Recipe:
    """Return the recipe of a date's listing, which is its content."""
    return Recipe("listing", LISTING_REVISION, {"date": content["date"], "content": content_digest(content)})


def check_rejected(images: Sequence[Artifact], n_images: int, max_bad_share: float) -> dict[str, int]:
    """Count by reason the images that were left out of some dates, and refuse too many bad files.

    Raises
    ------
    InputError : the share of bad files is above `max_bad_share`.
    """
    left_out = [read_table(artifact, REJECTED) for artifact in images]
    rejected = dict(Counter(reason for table in left_out for reason in table["reason"]))
    bad_files = [
        path
        for table in left_out
        for path, reason in zip(table["path"], table["reason"], strict=True)
        if reason in BAD_FILE_REASONS
    ]
    check_bad_share(rejected, n_images, max_bad_share, bad_files)
    return rejected


def check_bad_share(
    rejected: dict[str, int], n_images: int, max_bad_share: float, bad_files: Sequence[str] = ()
) -> None:
    """Refuse too many bad image files.

    Parameters
    ----------
    rejected : number of images left out by reason, whether the file was bad or not.
    n_images : number of images that were kept.
    max_bad_share : largest allowed share of bad files among all files, in [0, 1].
    bad_files : paths of the bad files, of which the message names the first.

    Raises
    ------
    InputError : the share of bad files is above `max_bad_share`; the message gives the counts by reason.
    """
    bad = {reason: n for reason, n in rejected.items() if reason in BAD_FILE_REASONS}
    n_bad = sum(bad.values())
    if n_bad > max_bad_share * (n_images + n_bad):
        raise InputError(
            f"{n_bad} of {n_images + n_bad} image files are bad: "
            + ", ".join(f"{n} {reason}" for reason, n in sorted(bad.items()))
            + "".join(f"\n    {path}" for path in bad_files[:N_NAMED]),
            f"At most {max_bad_share:.0%} of the image files may be bad (ingest.max_bad_share)",
            "copy the files again, or raise ingest.max_bad_share",
        )
