"""Assign a cluster to every explained image of a date, with signals from its nearest validation maps.

Reads `clusters`, `crossfit`, `saliency` and `predictions`, writes the table `assignments`. A new map gets the cluster
that most of its nearest validation maps have (paper, section 2.5).

Memory: coordinates of `ROWS_AT_ONCE` maps, and the ids of all images of the date.
"""

from collections.abc import Generator
from datetime import date

import numpy as np
from numpy.typing import NDArray
from prefect import task

from storage.arrays.specs import (
    COORDINATES,
    LABELS,
    MAP_DISTANCE,
    PCA_COMPONENTS,
    PCA_MEAN,
    RESIDUALS,
    ROWS,
    WRONG,
)
from storage.arrays.zarr_files import read_array
from storage.artifacts import Artifact, ArtifactRef, Draft, Recipe, Store
from storage.tables import ASSIGNMENTS, CROSSFIT, PREDICTIONS
from storage.tables.parquet import ROWS_AT_ONCE, Rows, is_by_plant, read_columns, read_table, writing_table
from tasks.batches import batches
from tasks.cluster.axes import PrincipalAxes, map_vectors
from tasks.cluster.evidence import MapEvidence, map_signals, place
from tasks.cluster.members import iter_maps
from tasks.cluster.nearest import conformal_p, own_agreement
from tasks.explain.methods import flat_maps
from tasks.stage import cached_by, made_once

REVISION = 4
OF_OTHERS = ("neighbour_agreement", "nearest_map_reliability", "novelty")  # columns that rest on other images' maps


def assignments_recipe(
    clusters: ArtifactRef, crossfit: ArtifactRef, saliency: ArtifactRef, predictions: ArtifactRef
) -> Recipe:
    """Return the recipe of a date's assignments."""
    inputs = {"clusters": clusters, "crossfit": crossfit, "saliency": saliency, "predictions": predictions}
    return Recipe("assignments", REVISION, {}, inputs)


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
) -> None:
    """Assign a cluster to every explained image of a date.

    Labelled validation images keep the cluster they were fitted into. All others get that of their nearest neighbours.
    """
    maps, answers = store.open(saliency), store.open(predictions)
    table = read_columns(answers, PREDICTIONS, ("row", "plant_id", "split", "classifier"))
    where = {row: i for i, row in enumerate(table["row"])}
    rows = read_array(maps, ROWS).tolist()
    ids = [table["plant_id"][where[row]] for row in rows]
    explained_class = maps.manifest.params["explained_class"]
    same = {"method": method, "explained_class": explained_class, "clusters": clusters.digest}
    with (
        writing_table(draft, ASSIGNMENTS, is_by_plant(ids)) as write,
    ):
        for some, found in signals_in_parts(store.open(clusters), store.open(crossfit), maps, rows):
            found |= {name: [table[name][where[row]] for row in some] for name in ("plant_id", "split", "classifier")}
            write({**found, "row": some, **{name: [value] * len(some) for name, value in same.items()}})


def signals_in_parts(
    fit: Artifact, crossfit: Artifact, maps: Artifact, rows: list[int]
) -> Generator[tuple[list[int], Rows]]:
    """Yield the rows of a date's images in batches, with their cluster and signals from validation maps.

    An image that is a validation map itself is judged without its own map.
    """
    evidence, k = read_evidence(fit), fit.manifest.params["neighbours"]
    of_validation, own = read_array(crossfit, MAP_DISTANCE), read_own(fit, crossfit, evidence, maps)
    for part in batches(len(rows), ROWS_AT_ONCE):
        coordinates, residuals, is_flat = _place(fit, evidence.axes, maps, part)
        found = map_signals(evidence, coordinates, residuals, k)
        found["novelty"] = conformal_p(found["map_distance"], of_validation)
        for here, row in enumerate(rows[part]):
            for name, value in own.get(row, {}).items():
                found[name][here] = value
        cluster = found["cluster"].astype(np.int64).tolist()
        others = {name: found[name].tolist() for name in OF_OTHERS}
        yield rows[part], {"cluster": cluster, **others, "is_flat_map": is_flat.tolist()}


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
    axes = PrincipalAxes(read_array(fit, PCA_MEAN), read_array(fit, PCA_COMPONENTS), np.zeros(0))
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
