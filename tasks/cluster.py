"""Cluster: groups of validation saliency maps, and the group of every other map.

`fit_clusters` reads the validation maps of every date and writes `clusters`: PCA axes, the reference maps'
coordinates and labels, prototypes and diagnostics. `assign_images` gives each map of a date its cluster: table
`assignments`.
"""

from collections.abc import Sequence
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
    open_array,
    read_array,
    write_array,
)
from storage.artifacts import Artifact, ArtifactRef, Recipe, Store
from storage.errors import InputError
from storage.tables import ASSIGNMENTS, PREDICTIONS, Rows, read_table, write_table
from tasks.classifier import batches
from tasks.parameters import Params
from tasks.saliency.maps import APPROXIMATE
from tasks.spectral import (
    MAPS_AT_ONCE,
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

REVISION = 2
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
    allow_preview: bool = Field(
        default=False, description="cluster approximate maps (occlusion_preview), whose background ranks are wrong"
    )


def check_methods(methods: Sequence[str], params: ClusterParams) -> None:
    """Refuse saliency methods whose maps may not be clustered, before any map is made.

    Raises
    ------
    InputError : a method with approximate maps, which `cluster.allow_preview` does not allow.
    """
    for method in methods:
        check_exact(method, method in APPROXIMATE, params)


def check_exact(method: str, is_approximate: bool, params: ClusterParams) -> None:
    """Refuse approximate maps where they are not allowed (see `check_methods`)."""
    if is_approximate and not params.allow_preview:
        raise InputError(
            "Clusters rest on exact saliency maps, unless cluster.allow_preview says otherwise",
            f"the maps of {method} are approximate: their background ranks are wrong",
            "use the method occlusion, or set cluster.allow_preview = true and take no reliability as final",
        )


def flat_maps(maps: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which of some maps (n, rows, cols) are the same everywhere, (n,): they say nothing about where."""
    return (maps == maps[:, :1, :1]).all(axis=(1, 2))


def diagnose(
    params: ClusterParams, axes: PrincipalAxes, fit: Clustering, n_zero: int, n_constant: int, is_approximate: bool
) -> list[str]:
    """What a reader must know before trusting the clusters, one sentence each; empty when nothing stands out."""
    sizes = np.bincount(fit.labels)[1:]
    n, used = len(fit.labels), len(axes.components)
    said = [
        (
            is_approximate,
            "the clusters rest on approximate maps, whose background ranks are wrong: take no reliability as final",
        ),
        (used < params.n_components, f"PCA has {used} dimensions, not {params.n_components}: the maps have no more"),
        (n_zero > 0, f"{n_zero} of {n} maps are zero everywhere: nothing in the image spoke for the explained class"),
        (
            n_constant > 0,
            f"{n_constant} of {n} maps hold one value everywhere, not zero: they say nothing about where the evidence "
            "lies",
        ),
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
