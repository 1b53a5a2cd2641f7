"""Assign a cluster to every explained image of a date, with signals from its nearest validation maps.

Reads `clusters`, `crossfit`, `saliency` and `predictions`, and the fit's table `plants`. Writes the table
`assignments`. A new map gets the cluster that most of its nearest validation maps have (paper, section 2.5).

A plant of the validation split stands in the same place on a later date, and its new map is much like its earlier ones.
They say nothing about plants that were never labelled. So validation maps of a map's own plant are left out.

Memory: coordinates of `ROWS_AT_ONCE` maps, and the ids of all images of the date.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray
from prefect import task

from storage.arrays.specs import (
    COORDINATES,
    LABELS,
    MAP_DISTANCE,
    RESIDUALS,
    ROWS,
    WRONG,
)
from storage.arrays.zarr_files import read_array
from storage.artifacts import Artifact, ArtifactRef, Draft, Recipe, Store
from storage.tables import ASSIGNMENTS, CROSSFIT, PLANTS, PREDICTIONS
from storage.tables.parquet import ROWS_AT_ONCE, Rows, is_by_plant, iter_table, read_columns, read_table, writing_table
from tasks.batches import batches
from tasks.cluster.axes import PrincipalAxes, map_vectors
from tasks.cluster.evidence import MapEvidence, Signals, place, vote_signals
from tasks.cluster.members import fitted_axes, iter_maps
from tasks.cluster.nearest import Floats, Plants, own_agreement, with_residuals
from tasks.cluster.novelty import cross_conformal_p, distances_without_folds
from tasks.explain.methods import flat_maps
from tasks.stage import cached_by, made_once

REVISION = 5
OF_OTHERS = ("neighbour_agreement", "nearest_map_reliability", "novelty")  # columns that rest on other images' maps
NONE = -1  # number of a plant without validation maps


def assignments_recipe(
    clusters: ArtifactRef,
    crossfit: ArtifactRef,
    saliency: ArtifactRef,
    predictions: ArtifactRef,
    plants: ArtifactRef | None = None,
) -> Recipe:
    """Return the recipe of a date's assignments."""
    inputs = {"clusters": clusters, "crossfit": crossfit, "saliency": saliency, "predictions": predictions}
    return Recipe("assignments", REVISION, {}, inputs if plants is None else {**inputs, "plants": plants})


@task(task_run_name="assign {campaign} {date} {method}", **cached_by(assignments_recipe))
@made_once(assignments_recipe)
def assign_images(
    draft: Draft,
    store: Store,
    date: date,
    method: str,
    clusters: ArtifactRef,
    crossfit: ArtifactRef,
    saliency: ArtifactRef,
    predictions: ArtifactRef,
    plants: ArtifactRef | None = None,
) -> None:
    """Assign a cluster to every explained image of a date.

    Labelled validation images keep the cluster they were fitted into. All others get that of their nearest neighbours.

    Parameters
    ----------
    plants : plants of the campaign that was fitted. None on a date of another field, where the same id is another
        plant: there, no plant counts as seen by the fit.
    """
    maps, answers = store.open(saliency), store.open(predictions)
    table = read_columns(answers, PREDICTIONS, ("row", "plant_id", "split", "classifier"))
    where = {row: i for i, row in enumerate(table["row"])}
    rows = read_array(maps, ROWS).tolist()
    ids = [table["plant_id"][where[row]] for row in rows]
    explained_class = maps.manifest.params["explained_class"]
    same = {"method": method, "explained_class": explained_class, "clusters": clusters.digest}
    fit, judged = store.open(clusters), store.open(crossfit)
    known = read_reference(fit, judged, has_plants=plants is not None)
    trained = set[str]() if plants is None else training_plants(store.open(plants), set(ids))
    with (
        writing_table(draft, ASSIGNMENTS, is_by_plant(ids)) as write,
    ):
        for part, found in signals_in_parts(fit, judged, known, maps, rows, ids):
            some = rows[part]
            found |= {name: [table[name][where[row]] for row in some] for name in ("plant_id", "split", "classifier")}
            found["seen"] = seen_as(ids[part], set(known.number), trained)
            write({**found, "row": some, **{name: [value] * len(some) for name, value in same.items()}})


@dataclass(frozen=True)
class Reference:
    """Validation maps to which the maps of a date are compared.

    Attributes
    ----------
    evidence : their places, clusters and answers.
    folds, distances : (n,) fold of each, and its mean distance to its nearest maps in other folds.
    plants : (n,) number of each map's plant.
    number : that number by the plant's id; empty on a date of another field.
    """

    evidence: MapEvidence
    folds: NDArray[np.int64]
    distances: Floats
    plants: NDArray[np.int64]
    number: dict[str, int]

    def own(self, ids: Sequence[str]) -> Plants | None:
        """Return which validation maps are of the plants of some maps themselves; None on a date of another field."""
        here = np.asarray([self.number.get(plant, NONE) for plant in ids], np.int64)
        return (here, self.plants) if self.number else None


def read_reference(fit: Artifact, crossfit: Artifact, has_plants: bool) -> Reference:
    """Read the validation maps; `has_plants` says whether plants of the date can be the same plants."""
    table = read_columns(crossfit, CROSSFIT, ("plant_id", "fold"))
    number = {plant: i for i, plant in enumerate(dict.fromkeys(table["plant_id"]))}
    return Reference(
        read_evidence(fit),
        np.asarray(table["fold"], np.int64),
        read_array(crossfit, MAP_DISTANCE),
        np.asarray([number[plant] for plant in table["plant_id"]], np.int64),
        number if has_plants else {},
    )


def training_plants(plants: Artifact, wanted: set[str]) -> set[str]:
    """Return which of some plants are in the training split of the table `plants`."""
    return {
        plant
        for part in iter_table(plants, PLANTS, ("plant_id", "split"))
        for plant, split in zip(part["plant_id"], part["split"], strict=True)
        if split == "train" and plant in wanted
    }


def seen_as(ids: Sequence[str], validated: set[str], trained: set[str]) -> list[str | None]:
    """Return as what the fit has seen each plant: `val`, `train` or None."""
    return ["val" if plant in validated else "train" if plant in trained else None for plant in ids]


def signals_in_parts(
    fit: Artifact, crossfit: Artifact, known: Reference, maps: Artifact, rows: Sequence[int], ids: Sequence[str]
) -> Generator[tuple[slice, Rows]]:
    """Yield parts of a date's maps, with their cluster and signals from validation maps of other plants.

    An image that is a validation map itself is judged without its own map.

    Parameters
    ----------
    rows, ids : (n,) row of each map's image among the date's images, and its plant.
    """
    k, own = fit.manifest.params["neighbours"], read_own(fit, crossfit, known.evidence, maps)
    for part in batches(len(rows), ROWS_AT_ONCE):
        coordinates, residuals, is_flat = _place(fit, known.evidence.axes, maps, part)
        found = new_signals(known, coordinates, residuals, k, known.own(ids[part]))
        for here, row in enumerate(rows[part]):
            for name, value in own.get(row, {}).items():
                found[name][here] = value
        cluster = found["cluster"].astype(np.int64).tolist()
        others = {name: found[name].tolist() for name in OF_OTHERS}
        yield part, {"cluster": cluster, **others, "is_flat_map": is_flat.tolist()}


def new_signals(known: Reference, coordinates: Floats, residuals: Floats, k: int, plants: Plants | None) -> Signals:
    """Return the signals of `vote_signals` and the `novelty` of n maps that are no validation maps."""
    here = with_residuals(coordinates, residuals)
    there = with_residuals(known.evidence.coordinates, known.evidence.residuals)
    distances = distances_without_folds(here, there, known.folds, k, plants)
    novelty = cross_conformal_p(distances, known.distances, known.folds, plants)
    return {**vote_signals(known.evidence, coordinates, k, plants), "novelty": novelty}


def read_own(fit: Artifact, crossfit: Artifact, evidence: MapEvidence, maps: Artifact) -> dict[int, dict[str, float]]:
    """Return cluster and cross-fitted signals, by row, of those maps of a date that the clusters were fitted to."""
    others, k = read_table(crossfit, CROSSFIT), fit.manifest.params["neighbours"]
    members: list[tuple[str, list[int]]] = fit.read_json("members.json")
    own: dict[int, dict[str, float]] = {}
    start = 0
    # Reference maps are stored date after date. Another field may have been flown on the same date.
    for reference, (_, member_rows) in zip(fit.manifest.inputs["saliency"], members, strict=True):
        if reference == str(maps.ref):
            agreement = own_agreement(evidence.coordinates, evidence.labels, k)
            for at, row in enumerate(member_rows, start):
                own[row] = {"cluster": evidence.labels[at], "neighbour_agreement": agreement[at]}
                own[row] |= {name: others[name][at] for name in OF_OTHERS[1:]}
        start += len(member_rows)
    return own


def read_evidence(fit: Artifact) -> MapEvidence:
    """Read the evidence of the validation maps from fitted clusters."""
    axes = fitted_axes(fit)
    labels = read_array(fit, LABELS).astype(np.int64)
    return MapEvidence(axes, read_array(fit, COORDINATES), read_array(fit, RESIDUALS), labels, read_array(fit, WRONG))


def _place(
    fit: Artifact, axes: PrincipalAxes, saliency: Artifact, part: slice
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return coordinates (n, components), residuals (n,) and flatness (n,) of a part of a date's maps."""
    params, n, start = fit.manifest.params, part.stop - part.start, 0
    coordinates, residuals, is_flat = np.empty((n, len(axes.components))), np.empty(n), np.empty(n, np.bool_)
    for maps in iter_maps(saliency, np.arange(part.start, part.stop)):
        some = slice(start, start := start + len(maps))
        coordinates[some], residuals[some] = place(axes, map_vectors(maps, params["size"], params["scaling"]))
        is_flat[some] = flat_maps(maps)
    return coordinates, residuals, is_flat
