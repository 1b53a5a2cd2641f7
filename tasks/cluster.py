"""Cluster: groups of validation saliency maps, and the group of every other map.

`fit_clusters` reads the validation maps of every date and writes `clusters`: PCA axes, the reference maps'
coordinates and labels, prototypes and diagnostics. `assign_images` gives each map of a date its cluster: table
`assignments`.
"""

from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task

from storage.arrays import (
    COORDINATES,
    LABELS,
    PCA_COMPONENTS,
    PCA_MEAN,
    PEAK,
    PROTOTYPES,
    ROWS,
    SALIENCY,
    open_array,
    read_array,
    write_array,
)
from storage.artifacts import Artifact, ArtifactRef, Recipe, Store
from storage.tables import ASSIGNMENTS, PREDICTIONS, Rows, read_table, write_table
from tasks.classifier import batches
from tasks.cluster_checks import ClusterParams, check_exact, diagnose, flat_maps
from tasks.spectral import (
    MAPS_AT_ONCE,
    Clustering,
    PrincipalAxes,
    affinity_matrix,
    assign_clusters,
    fit_axes,
    map_vectors,
    own_agreement,
    prototypes,
    spectral_clusters,
)
from tasks.stage import cached_by, versions

REVISION = 2


def read_maps(artifact: Artifact, part: slice = slice(None)) -> NDArray[np.float32]:
    """Saliency maps of a date, or some in a row, in the method's own unit, (n, rows, cols)."""
    maps = np.asarray(open_array(artifact, SALIENCY)[part], np.float32)
    maps *= read_array(artifact, PEAK)[part][:, None, None]
    return maps


def validation_members(predictions: Rows, rows: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which of some rows are labelled validation images, (n,)."""
    where = {row: i for i, row in enumerate(predictions["row"])}
    chosen = [where[int(row)] for row in rows]
    return np.asarray(
        [predictions["split"][i] == "val" and predictions["label"][i] is not None for i in chosen], np.bool_
    )


def clusters_recipe(
    params: ClusterParams, size: int, saliency: list[ArtifactRef], predictions: list[ArtifactRef]
) -> Recipe:
    """What makes a campaign's clusters; a permission changes no number and is no part of their name."""
    fields = {**params.model_dump(mode="json", exclude={"allow_preview"}), "size": size}
    return Recipe("clusters", REVISION, fields, {"saliency": saliency, "predictions": predictions})


def assignments_recipe(clusters: ArtifactRef, saliency: ArtifactRef, predictions: ArtifactRef) -> Recipe:
    """What makes a date's assignments."""
    return Recipe("assignments", REVISION, {}, {"clusters": clusters, "saliency": saliency, "predictions": predictions})


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
    members, maps = _read_members(files, saliency, predictions)
    vectors = map_vectors(maps, size, params.scaling)
    axes = fit_axes(vectors, params.n_components)
    coordinates = axes.coordinates(vectors)
    fit = spectral_clusters(
        affinity_matrix(coordinates, params.affinity, params.scale), params.n_clusters, params.n_seeds, params.seed
    )
    with files.create(recipe, versions()) as draft:
        write_array(draft, PCA_MEAN, axes.mean)
        write_array(draft, PCA_COMPONENTS, axes.components)
        write_array(draft, COORDINATES, coordinates)
        write_array(draft, LABELS, fit.labels)
        write_array(draft, PROTOTYPES, prototypes(_to_peak(maps), fit.labels))
        draft.write_json("members.json", list(members.items()))
        draft.summary = _summary(method, params, axes, fit, maps, is_approximate)
    return recipe.ref


def _read_members(
    files: Store, saliency: list[ArtifactRef], predictions: list[ArtifactRef]
) -> tuple[dict[str, list[int]], NDArray[np.float32]]:
    """Array rows of the labelled validation images by date, and their maps (n, rows, cols) in this order."""
    found: list[NDArray[np.float32]] = []
    members: dict[str, list[int]] = {}
    for map_ref, prediction_ref in zip(saliency, predictions, strict=True):
        artifact, table = files.open(map_ref), files.open(prediction_ref)
        rows = read_array(artifact, ROWS)
        is_member = validation_members(read_table(table, PREDICTIONS), rows)
        members[table.summary["date"]] = rows[is_member].tolist()
        # By parts, as Zarr's indexing by a list takes some forty times the memory of what it gives.
        parts = [part for part in batches(len(rows), MAPS_AT_ONCE) if is_member[part].any()]
        found += [read_maps(artifact, part)[is_member[part]] for part in parts]
    return members, np.concatenate(found)


def _to_peak(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Maps with largest magnitude 1, so that a prototype is not that of its strongest member."""
    peaks = np.abs(maps).max(axis=(1, 2), keepdims=True)
    return np.divide(maps, peaks, out=np.zeros_like(maps), where=peaks > 0)


def _summary(
    method: str,
    params: ClusterParams,
    axes: PrincipalAxes,
    fit: Clustering,
    maps: NDArray[np.float32],
    is_approximate: bool,
) -> dict[str, Any]:
    n_zero = int((~maps.any(axis=(1, 2))).sum())
    n_constant = int(flat_maps(maps).sum()) - n_zero
    return {
        "method": method,
        "approximate": is_approximate,
        "sizes": np.bincount(fit.labels)[1:].tolist(),
        "n_dimensions": len(axes.components),
        "variance_share": float(axes.variance_share.sum()),
        "stability": fit.stability,
        "eigengap": fit.eigengap,
        "n_isolated": fit.n_isolated,
        "n_zero": n_zero,
        "n_constant": n_constant,
        "warnings": diagnose(params, axes, fit, n_zero, n_constant, is_approximate),
    }


@task(task_run_name="assign {campaign} {date} {method}", **cached_by(assignments_recipe))
def assign_images(
    campaign: str,
    date: date,
    store: str,
    method: str,
    clusters: ArtifactRef,
    saliency: ArtifactRef,
    predictions: ArtifactRef,
) -> ArtifactRef:
    """Give every explained image of a date its cluster: its own for validation images, the neighbours' for others."""
    recipe, files = assignments_recipe(clusters, saliency, predictions), Store(store)
    if files.holds(recipe.ref):
        return recipe.ref
    fit, maps = files.open(clusters), files.open(saliency)
    table = read_table(files.open(predictions), PREDICTIONS)
    rows = read_array(maps, ROWS)
    columns = _assign(fit, maps, rows, files.open(predictions).summary["date"])
    where = {row: i for i, row in enumerate(table["row"])}
    chosen = [where[int(row)] for row in rows]
    columns |= {name: [table[name][i] for i in chosen] for name in ("plant_id", "split", "row")}
    columns |= {
        "method": [method] * len(rows),
        "explained_class": [maps.manifest.params["explained_class"]] * len(rows),
        "classifier": [table["classifier"][i] for i in chosen],
        "clusters": [clusters.digest] * len(rows),
    }
    with files.create(recipe, versions()) as draft:
        write_table(draft, ASSIGNMENTS, columns)
    return recipe.ref


def _assign(fit: Artifact, maps: Artifact, rows: NDArray[np.integer], day: str) -> dict[str, Any]:
    """Clusters, agreement and flags of flat maps of a date as columns."""
    neighbours = fit.manifest.params["neighbours"]
    reference, labels = read_array(fit, COORDINATES), read_array(fit, LABELS)
    if not len(rows):
        return {"cluster": [], "neighbour_agreement": [], "is_flat_map": []}
    coordinates, is_flat = _place(fit, maps, len(rows))
    cluster, agreement = assign_clusters(coordinates, reference, labels, neighbours)
    own = own_agreement(reference, labels, neighbours)
    where = {int(row): here for here, row in enumerate(rows)}
    start = 0
    for other, member_rows in fit.read_json("members.json"):  # reference maps are stored date after date
        if other == day:
            here, there = [where[row] for row in member_rows], slice(start, start + len(member_rows))
            cluster[here], agreement[here] = labels[there], own[there]
        start += len(member_rows)
    return {"cluster": cluster.tolist(), "neighbour_agreement": agreement.tolist(), "is_flat_map": is_flat.tolist()}


def _place(fit: Artifact, saliency: Artifact, n: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Coordinates (n, components) of a date's n maps and which of them are flat, some at a time for memory's sake."""
    params = fit.manifest.params
    axes = PrincipalAxes(read_array(fit, PCA_MEAN), read_array(fit, PCA_COMPONENTS), np.zeros(0))
    coordinates, is_flat = np.empty((n, len(axes.components))), np.empty(n, np.bool_)
    for part in batches(n, MAPS_AT_ONCE):
        maps = read_maps(saliency, part)
        coordinates[part] = axes.coordinates(map_vectors(maps, params["size"], params["scaling"]))
        is_flat[part] = flat_maps(maps)
    return coordinates, is_flat
