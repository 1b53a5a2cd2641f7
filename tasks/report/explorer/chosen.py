"""Find the explained images of a campaign's dates, and choose which of them the plant explorer shows.

Images of a date are ordered by novelty, the most novel first: that is the order in which a person looks at them. They
are chosen by sheets of a hundred, so that what is kept of a date serves every report, however many other dates it has.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.arrays.specs import ROWS
from storage.arrays.zarr_files import read_array
from storage.artifacts import Artifact
from storage.tables import ASSIGNMENTS
from storage.tables.parquet import read_columns
from storage.tables.rows import days_of
from tasks.batches import batches
from tasks.report.sprites import ACROSS

MOST_IMAGES = 10_000  # images of a page; a browser still filters and draws so many without delay
PER_SHEET = ACROSS**2  # images whose pictures are one file
STEPS = 100  # different shares of the dates' sheets that a page may have


@dataclass(frozen=True)
class Day:
    """Artefacts by role of a date whose explained images have pictures, maps and answers."""

    date: str
    artifacts: dict[str, Artifact]


@dataclass(frozen=True)
class Explained:
    """Explained images (m) of a date, the most novel first.

    Attributes
    ----------
    n : number of the date's explained images; more than m if the date alone has too many for a page.
    row : (m,) position in the date's array of images.
    plants, splits : plant and split of each.
    novelty : (m,) by the campaign's first saliency method, 0..1.
    """

    n: int
    row: NDArray[np.int64]
    plants: list[str]
    splits: list[str]
    novelty: list[float]


def explained_days(own: dict[str, Artifact], scored: dict[str, Artifact], methods: Sequence[str]) -> list[Day]:
    """List the dates of a campaign, and those scored since, that have images, maps and answers by every method."""
    found: list[Day] = []
    for artifacts in (own, scored):
        for day in days_of(artifacts, f"assignments {methods[0]}"):
            kinds = [f"{kind} {method}" for kind in ("assignments", "saliency", "decided") for method in methods]
            if all(f"{kind} {day}" in artifacts for kind in ("images", *kinds)):
                found.append(Day(day, artifacts))
    return sorted(found, key=lambda day: day.date)


def read_explained(day: Day, method: str) -> Explained:
    """Read the explained images of a date, equally novel ones by position; of many, whole sheets at equal distances."""
    table = read_columns(day.artifacts[f"assignments {method} {day.date}"], ASSIGNMENTS, _READ)
    n, rows = len(table["row"]), np.asarray(table["row"], np.int64)
    sheets = list(batches(n, PER_SHEET))
    kept = [sheets[i] for i in evenly(len(sheets), MOST_IMAGES // PER_SHEET).tolist()]
    order = np.lexsort((rows, np.asarray(table["novelty"], np.float64)))
    some = np.concatenate([order[sheet] for sheet in kept]) if kept else order
    plants, splits, novelty = ([table[name][i] for i in some.tolist()] for name in _READ[1:])
    return Explained(n, rows[some], plants, splits, novelty)


_READ = ("row", "plant_id", "split", "novelty")  # columns that are read of the assignments


def evenly(n: int, limit: int) -> NDArray[np.int64]:
    """Return at most `limit` of the positions 0..n-1, at equal distances, ascending."""
    if n <= limit:
        return np.arange(n)
    return np.arange(limit) * n // limit


def sheet_sizes(n: int) -> NDArray[np.int64]:
    """Return how many of n images each sheet holds."""
    return np.asarray([sheet.stop - sheet.start for sheet in batches(n, PER_SHEET)], np.int64)


def shown_sheets(
    n_images: Sequence[NDArray[np.int64]], n_bytes: Sequence[NDArray[np.int64]], most_images: int, most_bytes: int
) -> list[NDArray[np.int64]]:
    """Choose the sheets of each date that a page shows: the largest equal share of every date's that fits.

    They are at equal distances, and the first one, with the most novel images, is always there. So a page of very many
    dates has a sheet of each, and may be larger.

    Parameters
    ----------
    n_images, n_bytes : images and bytes of each sheet, by date.
    """
    chosen: list[NDArray[np.int64]] = []
    for step in range(STEPS, -1, -1):
        chosen = [evenly(len(one), max(1, len(one) * step // STEPS)) for one in n_images]
        sums = (sum(int(one[at].sum()) for one, at in zip(of, chosen, strict=True)) for of in (n_images, n_bytes))
        if all(found <= most for found, most in zip(sums, (most_images, most_bytes), strict=True)):
            break
    return chosen


def places_of(saliency: Artifact, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where the maps of some rows (n,) of a date's images are among its saliency maps, (n,)."""
    where = {int(row): place for place, row in enumerate(read_array(saliency, ROWS))}
    return np.asarray([where[row] for row in rows.tolist()], np.int64)
