"""Cluster: groups of validation saliency maps, and the group of every other map.

`fit_clusters` reads the validation maps of every date and writes `clusters`: PCA axes, the reference maps'
coordinates and labels, prototypes and diagnostics. `assign_images` gives each map of a date its cluster: table
`assignments`.
"""

from datetime import date
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from prefect import task
from pydantic import Field

from storage.arrays import (
    COORDINATES,
    LABELS,
    PCA_COMPONENTS,
    PCA_MEAN,
    PEAK,
    PROTOTYPES,
    ROWS,
    SALIENCY,
    read_array,
    write_array,
)
from storage.artifacts import Artifact, ArtifactRef, Recipe, Store
from storage.tables import ASSIGNMENTS, PREDICTIONS, Rows, read_table, write_table
from tasks.parameters import Params
from tasks.spectral import (
    Affinity,
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

REVISION = 1
SPLINTER = 5  # members; a cluster smaller than this says nothing about its error share


class ClusterParams(Params):
    """Clusters of saliency maps."""

    n_components: int = Field(default=50, ge=1, le=1000, description="PCA dimensions")
    n_clusters: int = Field(default=8, ge=2, le=100)
    affinity: Affinity = Field(default="sigma", description="reading of the kernel scale")
    scale: float = Field(default=0.2, gt=0, description="kernel scale; its unit depends on `affinity`")
    scaling: Literal["unit", "rms"] = Field(default="unit", description="length of the maps before distances are taken")
    neighbours: int = Field(default=5, ge=1, le=100, description="nearest validation maps that decide for a new map")
    n_seeds: int = Field(default=10, ge=1, le=200, description="k-means runs")
    seed: int = Field(default=0, ge=0)


def diagnose(params: ClusterParams, axes: PrincipalAxes, fit: Clustering, n_zero: int) -> list[str]:
    """What a reader must know before trusting the clusters, one sentence each; empty when nothing stands out."""
    sizes = np.bincount(fit.labels)[1:]
    n, used = len(fit.labels), len(axes.components)
    said = [
        (used < params.n_components, f"PCA has {used} dimensions, not {params.n_components}: the maps have no more"),
        (n_zero > 0, f"{n_zero} of {n} maps are zero everywhere: nothing in the image spoke for the explained class"),
        (
            fit.n_isolated > 0,
            f"{fit.n_isolated} of {n} maps have no neighbour at this kernel scale: raise cluster.scale, or use "
            "cluster.affinity = gamma",
        ),
        (
            fit.n_components > params.n_clusters,
            f"the affinity graph falls into {fit.n_components} parts, more than {params.n_clusters} clusters: raise "
            "cluster.scale",
        ),
        (
            bool(sizes[0] > n / 2 and (sizes[1:] < SPLINTER).any()),
            f"one cluster holds {sizes[0]} of {n} maps and {int((sizes < SPLINTER).sum())} are splinters of fewer than "
            f"{SPLINTER}: try another kernel scale or fewer clusters",
        ),
        (
            fit.stability < 0.6,
            f"k-means seeds agree only to a mean Rand index of {fit.stability:.2f}: cluster borders are arbitrary",
        ),
    ]
    return [text for applies, text in said if applies]


def read_maps(artifact: Artifact) -> NDArray[np.float32]:
    """Saliency maps of a date in the classifier's units, (n, rows, cols)."""
    return read_array(artifact, SALIENCY).astype(np.float32) * read_array(artifact, PEAK)[:, None, None]


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
    """What makes a campaign's clusters."""
    fields = {**params.model_dump(mode="json"), "size": size}
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
    """Cluster the validation maps of a campaign; `size` is the side the maps are compared at, in pixels."""
    recipe, files = clusters_recipe(params, size, saliency, predictions), Store(store)
    if files.holds(recipe.ref):
        return recipe.ref
    maps_of_dates: list[NDArray[np.float32]] = []
    members: dict[str, list[int]] = {}
    for map_ref, prediction_ref in zip(saliency, predictions, strict=True):
        artifact, table = files.open(map_ref), files.open(prediction_ref)
        rows = read_array(artifact, ROWS)
        is_member = validation_members(read_table(table, PREDICTIONS), rows)
        members[table.summary["date"]] = rows[is_member].tolist()
        if is_member.any():
            maps_of_dates.append(read_maps(artifact)[is_member])
    maps = np.concatenate(maps_of_dates)
    vectors = map_vectors(maps, size, params.scaling)
    axes = fit_axes(vectors, params.n_components)
    coordinates = axes.coordinates(vectors)
    fit = spectral_clusters(
        affinity_matrix(coordinates, params.affinity, params.scale), params.n_clusters, params.n_seeds, params.seed
    )
    n_zero = int((~maps.any(axis=(1, 2))).sum())
    with files.create(recipe, versions()) as draft:
        write_array(draft, PCA_MEAN, axes.mean)
        write_array(draft, PCA_COMPONENTS, axes.components)
        write_array(draft, COORDINATES, coordinates)
        write_array(draft, LABELS, fit.labels)
        write_array(draft, PROTOTYPES, prototypes(_to_peak(maps), fit.labels))
        draft.write_json("members.json", list(members.items()))
        draft.summary = _summary(method, params, axes, fit, n_zero)
    return recipe.ref


def _to_peak(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Maps with largest value 1, so that a prototype is not that of its strongest member."""
    peaks = np.abs(maps).max(axis=(1, 2), keepdims=True)
    return np.divide(maps, peaks, out=np.zeros_like(maps), where=peaks > 0)


def _summary(method: str, params: ClusterParams, axes: PrincipalAxes, fit: Clustering, n_zero: int) -> dict[str, Any]:
    return {
        "method": method,
        "sizes": np.bincount(fit.labels)[1:].tolist(),
        "n_dimensions": len(axes.components),
        "variance_share": float(axes.variance_share.sum()),
        "stability": fit.stability,
        "eigengap": fit.eigengap,
        "n_isolated": fit.n_isolated,
        "n_zero": n_zero,
        "warnings": diagnose(params, axes, fit, n_zero),
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
    columns = _assign(fit, read_maps(maps), rows, files.open(predictions).summary["date"])
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


def _assign(fit: Artifact, maps: NDArray[np.float32], rows: NDArray[np.integer], day: str) -> dict[str, Any]:
    """Clusters, agreement and zero flags of a date's maps as columns."""
    params = fit.manifest.params
    reference, labels = read_array(fit, COORDINATES), read_array(fit, LABELS)
    axes = PrincipalAxes(read_array(fit, PCA_MEAN), read_array(fit, PCA_COMPONENTS), np.zeros(0))
    if not len(maps):
        return {"cluster": [], "neighbour_agreement": [], "is_zero_map": []}
    coordinates = axes.coordinates(map_vectors(maps, params["size"], params["scaling"]))
    cluster, agreement = assign_clusters(coordinates, reference, labels, params["neighbours"])
    own = own_agreement(reference, labels, params["neighbours"])
    where = {int(row): here for here, row in enumerate(rows)}
    start = 0
    for other, member_rows in fit.read_json("members.json"):  # reference maps are stored date after date
        if other == day:
            here, there = [where[row] for row in member_rows], slice(start, start + len(member_rows))
            cluster[here], agreement[here] = labels[there], own[there]
        start += len(member_rows)
    zero = (~maps.any(axis=(1, 2))).tolist()
    return {"cluster": cluster.tolist(), "neighbour_agreement": agreement.tolist(), "is_zero_map": zero}
