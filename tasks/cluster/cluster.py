"""Cluster: groups of validation saliency maps, and the group of every other map.

`fit_clusters` reads the validation maps of every date and writes `clusters`: PCA axes, the reference maps'
coordinates and labels, prototypes and diagnostics. `assign_images` gives each map of a date its cluster: table
`assignments`.

Memory: of a date to assign `ROWS_AT_ONCE` maps' coordinates, and the ids of all.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task

from storage.arrays.specs import COORDINATES, LABELS, PCA_COMPONENTS, PCA_MEAN, PROTOTYPES, RESIDUALS, WRONG
from storage.arrays.zarr_files import write_array
from storage.artifacts import ArtifactRef, Draft, Recipe, Store
from tasks.cluster.axes import isometric
from tasks.cluster.checks import check_exact, diagnose
from tasks.cluster.evidence import MapEvidence, cluster_evidence
from tasks.cluster.folds import choose_kernel
from tasks.cluster.members import MemberVectors, column, plants_of, read_members
from tasks.cluster.params import ClusterParams
from tasks.cluster.spectral import Clustering
from tasks.explain.methods import flat_maps
from tasks.stage import cached_by, made_once

REVISION = 4


def clusters_recipe(
    params: ClusterParams, size: int, saliency: list[ArtifactRef], predictions: list[ArtifactRef]
) -> Recipe:
    """What makes a campaign's clusters; a permission changes no number and is no part of their name."""
    return Recipe("clusters", REVISION, params.numbers(size), {"saliency": saliency, "predictions": predictions})


@task(task_run_name="cluster {method}", **cached_by(clusters_recipe))
@made_once(clusters_recipe)
def fit_clusters(
    draft: Draft,
    store: Store,
    method: str,
    params: ClusterParams,
    size: int,
    saliency: list[ArtifactRef],
    predictions: list[ArtifactRef],
) -> None:
    """Cluster the validation maps of a campaign; `size` is the side the maps are compared at, in pixels.

    Raises
    ------
    InputError : approximate maps without `allow_preview`; maps that no kernel of this scale groups.
    """
    is_approximate = any(store.open(ref).summary.get("approximate", False) for ref in saliency)
    check_exact(method, is_approximate, params)
    members = read_members(store, saliency, predictions)
    vectors = MemberVectors(members, size, params.scaling)
    is_wrong = np.asarray(column(members, "label")) != np.asarray(column(members, "predicted"))
    kernel = params.kernel or choose_kernel(isometric(vectors), is_wrong, plants_of(members), params)
    evidence, fit = cluster_evidence(vectors, is_wrong, params, kernel)
    means, n_zero, n_flat = _look_at_maps(vectors, fit)
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
