"""Cluster: groups of validation saliency maps, and the group of every other map.

`fit_clusters` reads the validation maps of every date and writes `clusters`: PCA axes, the reference maps'
coordinates and labels, prototypes and diagnostics. `assign_images` gives each map of a date its cluster: table
`assignments`.

Memory: of a date to assign `ROWS_AT_ONCE` maps' coordinates, and the ids of all.
"""

from collections.abc import Generator
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task

from storage.arrays import (
    COORDINATES,
    LABELS,
    MAP_DISTANCE,
    PCA_COMPONENTS,
    PCA_MEAN,
    PROTOTYPES,
    RESIDUALS,
    ROWS,
    WRONG,
    read_array,
    write_array,
)
from storage.artifacts import Artifact, ArtifactRef, Draft, Recipe, Store
from storage.parquet import ROWS_AT_ONCE, Rows, is_by_plant, read_columns, read_table, writing_table
from storage.tables import ASSIGNMENTS, CROSSFIT, PREDICTIONS
from tasks.axes import PrincipalAxes, isometric, map_vectors
from tasks.classifier import batches
from tasks.cluster_checks import ClusterParams, check_exact, diagnose, flat_maps
from tasks.crossfitting import choose_kernel
from tasks.nearest import conformal_p, own_agreement
from tasks.signals import MapEvidence, cluster_evidence, map_signals, place
from tasks.spectral import Clustering
from tasks.stage import cached_by, versions
from tasks.validation import MemberVectors, column, iter_maps, plants_of, read_members

REVISION = 4
OF_OTHERS = ("neighbour_agreement", "nearest_map_reliability", "novelty")


def clusters_recipe(
    params: ClusterParams, size: int, saliency: list[ArtifactRef], predictions: list[ArtifactRef]
) -> Recipe:
    """What makes a campaign's clusters; a permission changes no number and is no part of their name."""
    return Recipe("clusters", REVISION, params.numbers(size), {"saliency": saliency, "predictions": predictions})


def assignments_recipe(
    clusters: ArtifactRef, crossfit: ArtifactRef, saliency: ArtifactRef, predictions: ArtifactRef
) -> Recipe:
    """What makes a date's assignments."""
    inputs = {"clusters": clusters, "crossfit": crossfit, "saliency": saliency, "predictions": predictions}
    return Recipe("assignments", REVISION, {}, inputs)


@task(task_run_name="cluster {campaign} {method}", **cached_by(clusters_recipe))
def fit_clusters(
    campaign: str,
    store: str,
    method: str,
    params: ClusterParams,
    size: int,
    saliency: list[ArtifactRef],
    predictions: list[ArtifactRef],
) -> ArtifactRef:
    """Cluster the validation maps of a campaign; `size` is the side the maps are compared at, in pixels.

    Raises
    ------
    InputError : approximate maps without `allow_preview`; maps that no kernel of this scale groups.
    """
    recipe, files = clusters_recipe(params, size, saliency, predictions), Store(store)
    is_approximate = any(files.open(ref).summary.get("approximate", False) for ref in saliency)
    check_exact(method, is_approximate, params)
    if files.holds(recipe.ref):
        return recipe.ref
    members = read_members(files, saliency, predictions)
    vectors = MemberVectors(members, size, params.scaling)
    is_wrong = np.asarray(column(members, "label")) != np.asarray(column(members, "predicted"))
    kernel = params.kernel or choose_kernel(isometric(vectors), is_wrong, plants_of(members), params)
    evidence, fit = cluster_evidence(vectors, is_wrong, params, kernel)
    means, n_zero, n_flat = _look_at_maps(vectors, fit)
    with files.create(recipe, versions()) as draft:
        _write_evidence(draft, evidence)
        write_array(draft, PROTOTYPES, means)
        draft.write_json("members.json", [[one.date, one.rows.tolist()] for one in members])
        draft.summary = {
            "method": method,
            "approximate": is_approximate,
            "kernel": list(kernel),
            **_diagnostics(evidence, fit),
            "n_zero": n_zero,
            "n_constant": n_flat - n_zero,
            "warnings": diagnose(params, evidence.axes, fit, n_zero, n_flat - n_zero, is_approximate),
        }
    return recipe.ref


def _write_evidence(draft: Draft, evidence: MapEvidence) -> None:
    for spec, values in (
        (PCA_MEAN, evidence.axes.mean),
        (PCA_COMPONENTS, evidence.axes.components),
        (COORDINATES, evidence.coordinates),
        (RESIDUALS, evidence.residuals),
        (LABELS, evidence.labels),
        (WRONG, evidence.is_wrong),
    ):
        write_array(draft, spec, values)


def _diagnostics(evidence: MapEvidence, fit: Clustering) -> dict[str, Any]:
    return {
        "sizes": np.bincount(fit.labels)[1:].tolist(),
        "n_dimensions": len(evidence.axes.components),
        "variance_share": float(evidence.axes.variance_share.sum()),
        "stability": fit.stability,
        "eigengap": fit.eigengap,
        "exact": fit.is_exact,
        "n_isolated": fit.n_isolated,
    }


def _look_at_maps(vectors: MemberVectors, fit: Clustering) -> tuple[NDArray[np.float64], int, int]:
    """Prototypes (q, rows, cols), each map taken to largest magnitude 1, and how many maps are zero, and are flat.

    Without that a prototype would be that of its strongest member.
    """
    sizes = np.bincount(fit.labels)[1:]
    total: NDArray[np.float64] | None = None
    n_zero, n_flat, start = 0, 0, 0
    for maps in vectors.maps():
        if total is None:
            total = np.zeros((len(sizes), *maps.shape[1:]))
        peaks = np.abs(maps).max(axis=(1, 2), keepdims=True)
        scaled = np.divide(maps, peaks, out=np.zeros_like(maps), where=peaks > 0)
        np.add.at(total, fit.labels[start : start + len(maps)] - 1, scaled)
        n_zero, n_flat, start = n_zero + int((peaks == 0).sum()), n_flat + int(flat_maps(maps).sum()), start + len(maps)
    assert total is not None  # there are as many maps as clusters, at least
    return total / sizes[:, None, None], n_zero, n_flat


@task(task_run_name="assign {campaign} {date} {method}", **cached_by(assignments_recipe))
def assign_images(
    campaign: str,
    date: date,
    store: str,
    method: str,
    clusters: ArtifactRef,
    crossfit: ArtifactRef,
    saliency: ArtifactRef,
    predictions: ArtifactRef,
) -> ArtifactRef:
    """Give every explained image of a date its cluster: its own for validation images, the neighbours' for others."""
    recipe, files = assignments_recipe(clusters, crossfit, saliency, predictions), Store(store)
    if files.holds(recipe.ref):
        return recipe.ref
    maps, answers = files.open(saliency), files.open(predictions)
    table = read_columns(answers, PREDICTIONS, ("row", "plant_id", "split", "classifier"))
    where = {row: i for i, row in enumerate(table["row"])}
    rows = read_array(maps, ROWS).tolist()
    ids = [table["plant_id"][where[row]] for row in rows]
    explained_class = maps.manifest.params["explained_class"]
    same = {"method": method, "explained_class": explained_class, "clusters": clusters.digest}
    with (
        files.create(recipe, versions()) as draft,
        writing_table(draft, ASSIGNMENTS, is_by_plant(ids)) as write,
    ):
        for some, found in signals_in_parts(files.open(clusters), files.open(crossfit), maps, rows):
            found |= {name: [table[name][where[row]] for row in some] for name in ("plant_id", "split", "classifier")}
            write({**found, "row": some, **{name: [value] * len(some) for name, value in same.items()}})
    return recipe.ref


def signals_in_parts(
    fit: Artifact, crossfit: Artifact, maps: Artifact, rows: list[int]
) -> Generator[tuple[list[int], Rows]]:
    """Rows of some of a date's images after others, and what all validation maps but its own say of each."""
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
    """By row, the cluster of each of a date's maps that is one of the clusters', and what was fitted without it."""
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
    """What the validation maps of fitted clusters say."""
    axes = PrincipalAxes(read_array(fit, PCA_MEAN), read_array(fit, PCA_COMPONENTS), np.zeros(0))
    labels = read_array(fit, LABELS).astype(np.int64)
    return MapEvidence(axes, read_array(fit, COORDINATES), read_array(fit, RESIDUALS), labels, read_array(fit, WRONG))


def _place(
    fit: Artifact, axes: PrincipalAxes, saliency: Artifact, part: slice
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Coordinates (n, components) and residuals of a part of a date's maps and which are flat, some at a time."""
    params, n, start = fit.manifest.params, part.stop - part.start, 0
    coordinates, residuals, is_flat = np.empty((n, len(axes.components))), np.empty(n), np.empty(n, np.bool_)
    for maps in iter_maps(saliency, np.arange(part.start, part.stop)):
        some = slice(start, start := start + len(maps))
        coordinates[some], residuals[some] = place(axes, map_vectors(maps, params["size"], params["scaling"]))
        is_flat[some] = flat_maps(maps)
    return coordinates, residuals, is_flat
