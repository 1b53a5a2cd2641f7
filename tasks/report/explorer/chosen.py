"""Find every explained image of a campaign, and choose which of them the plant explorer shows.

Reads the tables `assignments` and the rows of the saliency maps. Images are ordered by novelty, the most novel first:
that is the order in which a person looks at them, so the pictures seen first lie on the first sheets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from storage.arrays.specs import ROWS
from storage.arrays.zarr_files import read_array
from storage.artifacts import Artifact
from storage.tables import ASSIGNMENTS
from storage.tables.parquet import read_columns
from storage.tables.rows import days_of

MOST_IMAGES = 10_000  # images of a page; a browser still filters and draws so many without delay


@dataclass(frozen=True)
class Day:
    """Artefacts by role of a date whose explained images have pictures, maps and answers."""

    date: str
    artifacts: Mapping[str, Artifact]


@dataclass(frozen=True)
class Explained:
    """Explained images (n).

    Attributes
    ----------
    day : (n,) index of the date.
    row : (n,) position in the date's array of images.
    plants, splits : plant and split of each.
    novelty : (n,) by the campaign's first saliency method, 0..1.
    """

    day: NDArray[np.int64]
    row: NDArray[np.int64]
    plants: list[str]
    splits: list[str]
    novelty: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.plants)

    def __getitem__(self, some: NDArray[np.integer]) -> "Explained":
        return replace(
            self,
            day=self.day[some],
            row=self.row[some],
            plants=[self.plants[i] for i in some],
            splits=[self.splits[i] for i in some],
            novelty=self.novelty[some],
        )


def explained_days(own: dict[str, Artifact], scored: dict[str, Artifact], methods: Sequence[str]) -> list[Day]:
    """List the dates of a campaign, and those scored since, that have images, maps and answers by every method."""
    found: list[Day] = []
    for artifacts in (own, scored):
        for day in days_of(artifacts, f"assignments {methods[0]}"):
            kinds = [f"{kind} {method}" for kind in ("assignments", "saliency", "decided") for method in methods]
            if all(f"{kind} {day}" in artifacts for kind in ("images", *kinds)):
                found.append(Day(day, artifacts))
    return sorted(found, key=lambda day: day.date)


def read_explained(days: Sequence[Day], method: str) -> Explained:
    """Read the explained images of every date, the most novel first; equally novel ones by date and position."""
    tables = [
        read_columns(day.artifacts[f"assignments {method} {day.date}"], ASSIGNMENTS, _READ) for day in days
    ]  # fmt: skip
    counts = [len(table["row"]) for table in tables]
    joined = {name: [value for table in tables for value in table[name]] for name in _READ}
    images = Explained(
        np.repeat(np.arange(len(days)), counts),
        np.asarray(joined["row"], np.int64),
        joined["plant_id"],
        joined["split"],
        np.asarray(joined["novelty"], np.float64),
    )
    return images[np.lexsort((images.row, images.day, images.novelty))]


_READ = ("row", "plant_id", "split", "novelty")  # columns that are read of the assignments


def evenly(n: int, limit: int) -> NDArray[np.int64]:
    """Return at most `limit` of the positions 0..n-1, at equal distances, ascending."""
    if n <= limit:
        return np.arange(n)
    return np.arange(limit) * n // limit


def places_of(saliency: Artifact, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where the maps of some rows (n,) of a date's images are among its saliency maps, (n,)."""
    where = {int(row): place for place, row in enumerate(read_array(saliency, ROWS))}
    return np.asarray([where[row] for row in rows.tolist()], np.int64)
