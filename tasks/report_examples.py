"""Images that are typical of their cluster, read from a campaign's artefacts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.arrays import IMAGES, ROWS, SALIENCY, open_array, read_array
from storage.artifacts import Artifact
from storage.tables import ASSIGNMENTS, PREDICTIONS
from tasks.axes import MAPS_AT_ONCE
from tasks.classifier import batches
from tasks.report_tables import days_of, rows_of

N_EXAMPLES = 3


@dataclass(frozen=True)
class Example:
    """A validation image that is typical of its cluster.

    Attributes
    ----------
    label, predicted : class indices.
    image : (h, w, 3) uint8.
    saliency : (rows, cols), its largest magnitude is 1 unless it is zero everywhere.
    is_flat : the map is the same everywhere.
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
    """An explained image, and how like its cluster's prototype its map is (cosine).

    Attributes
    ----------
    is_validation : it has a label and is in the validation split: the clusters were made from it.
    row : position in the date's images array; place : of its map in the date's saliency.
    """

    likeness: float
    cluster: int
    date: str
    plant_id: str
    split: str
    is_validation: bool
    row: int
    place: int
    is_flat: bool


def find_examples(
    artifacts: dict[str, Artifact], method: str, prototypes: NDArray[np.float32], n: int = N_EXAMPLES
) -> list[Example]:
    """Up to `n` labelled validation images a cluster: those whose maps are most like the prototype, best first."""
    found: dict[int, list[Member]] = {}
    for day in days_of(artifacts, f"assignments {method}"):
        for member in date_members(artifacts, method, day, prototypes):
            if member.is_validation:
                found.setdefault(member.cluster, []).append(member)
    return [
        _example(artifacts, method, member)
        for cluster in sorted(found)
        for member in sorted(found[cluster], key=lambda one: (-one.likeness, one.date, one.row))[:n]
    ]


def date_members(
    artifacts: dict[str, Artifact], method: str, day: str, prototypes: NDArray[np.float32]
) -> list[Member]:
    """The explained images of a date, their maps read some at a time for memory's sake."""
    labels = {row["row"]: row["label"] for row in rows_of(artifacts[f"predictions {day}"], PREDICTIONS)}
    saliency = artifacts[f"saliency {method} {day}"]
    place = {int(row): i for i, row in enumerate(read_array(saliency, ROWS))}
    chosen = {place[one["row"]]: one for one in rows_of(artifacts[f"assignments {method} {day}"], ASSIGNMENTS)}
    found: list[Member] = []
    for part in batches(len(place), MAPS_AT_ONCE):
        maps = np.asarray(open_array(saliency, SALIENCY)[part], np.float32)
        for here in [here for here in range(part.start, part.stop) if here in chosen]:
            one = chosen[here]
            found.append(
                Member(
                    likeness=cosine(maps[here - part.start], prototypes[one["cluster"] - 1]),
                    cluster=one["cluster"],
                    date=day,
                    plant_id=one["plant_id"],
                    split=one["split"],
                    is_validation=one["split"] == "val" and labels[one["row"]] is not None,
                    row=one["row"],
                    place=here,
                    is_flat=one["is_flat_map"],
                )
            )
    return found


def cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Cosine between two maps of one shape; 0 where one of them is zero everywhere."""
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    # Rounded, so that equal maps are told apart by date and row and not by the last bit of a sum.
    return round(float((one * other).sum()) / length, 6) if length > 0 else 0.0


def _example(artifacts: dict[str, Artifact], method: str, member: Member) -> Example:
    answers = rows_of(artifacts[f"predictions {member.date}"], PREDICTIONS)
    answer = next(one for one in answers if one["row"] == member.row)
    saliency = artifacts[f"saliency {method} {member.date}"]
    return Example(
        cluster=member.cluster,
        date=member.date,
        plant_id=answer["plant_id"],
        label=answer["label"],
        predicted=answer["predicted"],
        image=np.asarray(open_array(artifacts[f"images {member.date}"], IMAGES)[member.row]),
        saliency=np.asarray(open_array(saliency, SALIENCY)[member.place], np.float32),
        is_flat=member.is_flat,
    )
