"""Name the listings of campaigns and single dates, and refuse listings with too many bad image files."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from storage.artifacts import Artifact, Recipe, content_digest
from storage.errors import InputError
from storage.tables import REJECTED
from storage.tables.parquet import read_table

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
