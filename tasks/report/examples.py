"""Find images that are typical of their cluster in a campaign's artefacts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.arrays.specs import IMAGES, ROWS, SALIENCY
from storage.arrays.zarr_files import open_array, read_array, read_rows
from storage.artifacts import Artifact
from storage.tables import ASSIGNMENTS, PREDICTIONS
from storage.tables.rows import days_of, rows_of
from tasks.batches import batches
from tasks.cluster.axes import MAPS_AT_ONCE

N_EXAMPLES = 3  # typical images shown per cluster
ANSWERED = ("row", "label", "predicted")  # columns that are read of the predictions
ASSIGNED = ("plant_id", "split", "row", "cluster", "is_flat_map")  # columns that are read of the assignments


@dataclass(frozen=True)
class Example:
    """Validation image that is typical of its cluster.

    Attributes
    ----------
    label, predicted : class indices.
    image : (h, w, 3) uint8.
    saliency : (rows, cols); its largest magnitude is 1 unless it is zero everywhere.
    is_flat : whether the map has one value everywhere.
    """

    cluster: int
    date: str
    plant_id: str
    label: int
    predicted: int
    image: NDArray[np.uint8]
    saliency: NDArray[np.float32]
    is_flat: bool


@dataclass(frozen=True)
class Member:
    """Explained image, with the cosine between its map and its cluster's prototype.

    Attributes
    ----------
    likeness : cosine between map and prototype, -1..1.
    label, predicted : class indices; the label is None if it is unknown.
    row : position in the date's array of images.
    place : position of its map among the date's saliency maps.
    """

    likeness: float
    cluster: int
    date: str
    plant_id: str
    split: str
    label: int | None
    predicted: int
    row: int
    place: int
    is_flat: bool

    @property
    def is_validation(self) -> bool:
        """Return whether it is a labelled validation image, from which the clusters were made."""
        return self.split == "val" and self.label is not None


def find_examples(
    artifacts: dict[str, Artifact], method: str, prototypes: NDArray[np.float32], n: int = N_EXAMPLES
) -> list[Example]:
    """Find up to `n` labelled validation images per cluster with the maps most like the prototype, best first."""
    found: dict[int, list[Member]] = {}
    for day in days_of(artifacts, f"assignments {method}"):
        for member in date_members(artifacts, method, day, prototypes, splits=("val",)):
            if member.is_validation:
                found.setdefault(member.cluster, []).append(member)
    return [
        _example(artifacts, method, member)
        for cluster in sorted(found)
        for member in sorted(found[cluster], key=lambda one: (-one.likeness, one.date, one.row))[:n]
    ]


def date_members(
    artifacts: dict[str, Artifact],
    method: str,
    day: str,
    prototypes: NDArray[np.float32],
    splits: Sequence[str] | None = None,
) -> list[Member]:
    """Read the explained images of a date, or of some splits of it; maps are read `MAPS_AT_ONCE` at a time."""
    answers = {row["row"]: row for row in rows_of(artifacts[f"predictions {day}"], PREDICTIONS, ANSWERED)}
    saliency = artifacts[f"saliency {method} {day}"]
    place = {int(row): i for i, row in enumerate(read_array(saliency, ROWS))}
    assigned = rows_of(artifacts[f"assignments {method} {day}"], ASSIGNMENTS, ASSIGNED)
    chosen = [one for one in assigned if splits is None or one["split"] in splits]
    chosen.sort(key=lambda one: place[one["row"]])
    array, found = open_array(saliency, SALIENCY), list[Member]()
    for part in batches(len(chosen), MAPS_AT_ONCE):
        places = [place[one["row"]] for one in chosen[part]]
        maps = read_rows(array, np.asarray(places, np.int64)).astype(np.float32)
        found += [
            Member(
                likeness=cosine(saliency_map, prototypes[one["cluster"] - 1]),
                cluster=one["cluster"],
                date=day,
                plant_id=one["plant_id"],
                split=one["split"],
                label=answers[one["row"]]["label"],
                predicted=answers[one["row"]]["predicted"],
                row=one["row"],
                place=here,
                is_flat=one["is_flat_map"],
            )
            for one, here, saliency_map in zip(chosen[part], places, maps, strict=True)
        ]
    return found


def cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the cosine between two maps of one shape; 0 if one of them is zero everywhere."""
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    # Rounded, so that equal maps are ordered by date and row and not by the last bit of a sum.
    return round(float((one * other).sum()) / length, 6) if length > 0 else 0.0


def _example(artifacts: dict[str, Artifact], method: str, member: Member) -> Example:
    assert member.label is not None  # labelled validation images only
    saliency = artifacts[f"saliency {method} {member.date}"]
    return Example(
        cluster=member.cluster,
        date=member.date,
        plant_id=member.plant_id,
        label=member.label,
        predicted=member.predicted,
        image=np.asarray(open_array(artifacts[f"images {member.date}"], IMAGES)[member.row]),
        saliency=np.asarray(open_array(saliency, SALIENCY)[member.place], np.float32),
        is_flat=member.is_flat,
    )
