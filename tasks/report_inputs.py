"""What the report shows, read from a campaign's artefacts into plain values."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.arrays import IMAGES, PROTOTYPES, ROWS, SALIENCY, open_array, read_array
from storage.artifacts import Artifact, ArtifactRef, Store
from storage.tables import (
    ADJUSTED,
    ASSIGNMENTS,
    CLUSTER_SCORES,
    EPOCHS,
    METRICS,
    OBSERVATIONS,
    PLANTS,
    PREDICTIONS,
    REJECTED,
    TableSpec,
    read_table,
)
from tasks.classifier import batches
from tasks.spectral import MAPS_AT_ONCE

Row = dict[str, Any]
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
class MethodResults:
    """Everything of one saliency method.

    Attributes
    ----------
    clusters, metrics : rows of the tables of these names.
    adjusted : rows of the table `adjusted` of every date, with the date.
    prototypes : (clusters, rows, cols), mean map of each cluster from cluster 1 on.
    summary : diagnostics of the clusters.
    """

    method: str
    clusters: list[Row]
    metrics: list[Row]
    adjusted: list[Row]
    prototypes: NDArray[np.float32]
    examples: list[Example]
    summary: dict[str, Any]

    @property
    def is_signed(self) -> bool:
        """Whether any map that is shown has evidence against the explained class."""
        return any(bool((shown < 0).any()) for shown in (self.prototypes, *(one.saliency for one in self.examples)))


@dataclass(frozen=True)
class CampaignResults:
    """Everything of a campaign.

    Attributes
    ----------
    notes : remarks on the source as a whole.
    observations, rejected : rows of every date, with the date.
    epochs : rows of the table `epochs`; empty where the classifier was given.
    manifests : what each artefact's manifest says, by role.
    """

    campaign: str
    params: dict[str, Any]
    differing: dict[str, Any]
    dates: list[str]
    classes: list[str]
    plants: list[Row]
    plants_summary: dict[str, Any]
    notes: list[str]
    observations: list[Row]
    rejected: list[Row]
    card: dict[str, Any]
    epochs: list[Row]
    methods: list[MethodResults]
    artifacts: dict[str, Artifact] = field(repr=False)

    @property
    def uses_ground_truth(self) -> bool:
        """Whether any map explains the true class."""
        chosen = {row["explained_class"] for method in self.methods for row in (*method.clusters, *method.metrics)}
        return "label" in chosen or self.params.get("explain", {}).get("explained_class") == "label"


def read_campaign(
    store: Store, campaign: str, params: dict[str, Any], differing: dict[str, Any], refs: dict[str, ArtifactRef]
) -> CampaignResults:
    """Read what the report of a campaign shows; `refs` are its artefacts by role."""
    artifacts = {role: store.open(ref) for role, ref in refs.items()}
    plants, classifier = artifacts["plants"], artifacts["classifier"]
    has_epochs = f"{EPOCHS.name}.parquet" in classifier.manifest.files
    asked: list[str] = params["explain"]["methods"]  # in this order, whatever the order of the roles
    return CampaignResults(
        campaign=campaign,
        params=params,
        differing=differing,
        dates=days_of(artifacts, "images"),
        classes=list(plants.summary["classes"]),
        plants=rows_of(plants, PLANTS),
        plants_summary=plants.summary,
        notes=artifacts["survey"].read_json("survey.json")["notes"],
        observations=dated_rows(artifacts, "images", OBSERVATIONS),
        rejected=dated_rows(artifacts, "images", REJECTED),
        card=classifier.read_json("card.json"),
        epochs=rows_of(classifier, EPOCHS) if has_epochs else [],
        methods=[read_method(artifacts, method) for method in asked],
        artifacts=artifacts,
    )


def read_method(artifacts: dict[str, Artifact], method: str) -> MethodResults:
    """Read what the report shows of one saliency method."""
    clusters = artifacts[f"clusters {method}"]
    prototypes = read_array(clusters, PROTOTYPES)
    return MethodResults(
        method=method,
        clusters=rows_of(artifacts[f"scores {method}"], CLUSTER_SCORES),
        metrics=rows_of(artifacts[f"metrics {method}"], METRICS),
        adjusted=dated_rows(artifacts, f"adjusted {method}", ADJUSTED),
        prototypes=prototypes,
        examples=find_examples(artifacts, method, prototypes),
        summary=clusters.summary,
    )


def rows_of(artifact: Artifact, spec: TableSpec) -> list[Row]:
    """A table as one dictionary a row."""
    columns = read_table(artifact, spec)
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def days_of(artifacts: dict[str, Artifact], prefix: str) -> list[str]:
    """Dates of the roles `<prefix> <date>`, ascending."""
    return sorted(role.split()[-1] for role in artifacts if role.rpartition(" ")[0] == prefix)


def dated_rows(artifacts: dict[str, Artifact], prefix: str, spec: TableSpec) -> list[Row]:
    """A table's rows of every date, each with its date."""
    days = days_of(artifacts, prefix)
    return [{**row, "date": day} for day in days for row in rows_of(artifacts[f"{prefix} {day}"], spec)]


@dataclass(frozen=True)
class Member:
    """A labelled validation image, and how like its cluster's prototype its map is (cosine)."""

    likeness: float
    cluster: int
    date: str
    row: int
    place: int
    is_flat: bool


def find_examples(
    artifacts: dict[str, Artifact], method: str, prototypes: NDArray[np.float32], n: int = N_EXAMPLES
) -> list[Example]:
    """Up to `n` labelled validation images a cluster: those whose maps are most like the prototype, best first."""
    found: dict[int, list[Member]] = {}
    for day in days_of(artifacts, f"assignments {method}"):
        for member in _members(artifacts, method, day, prototypes):
            found.setdefault(member.cluster, []).append(member)
    return [
        _example(artifacts, method, member)
        for cluster in sorted(found)
        for member in sorted(found[cluster], key=lambda one: (-one.likeness, one.date, one.row))[:n]
    ]


def _members(artifacts: dict[str, Artifact], method: str, day: str, prototypes: NDArray[np.float32]) -> list[Member]:
    """The labelled validation images of a date, their maps read some at a time for memory's sake."""
    labels = {row["row"]: row["label"] for row in rows_of(artifacts[f"predictions {day}"], PREDICTIONS)}
    saliency = artifacts[f"saliency {method} {day}"]
    place = {int(row): i for i, row in enumerate(read_array(saliency, ROWS))}
    chosen = {
        place[one["row"]]: one
        for one in rows_of(artifacts[f"assignments {method} {day}"], ASSIGNMENTS)
        if one["split"] == "val" and labels[one["row"]] is not None
    }
    found: list[Member] = []
    for part in batches(len(place), MAPS_AT_ONCE):
        maps = np.asarray(open_array(saliency, SALIENCY)[part], np.float32)
        for here in [here for here in range(part.start, part.stop) if here in chosen]:
            one = chosen[here]
            likeness = _cosine(maps[here - part.start], prototypes[one["cluster"] - 1])
            found.append(Member(likeness, one["cluster"], day, one["row"], here, one["is_flat_map"]))
    return found


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
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
