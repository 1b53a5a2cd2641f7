"""Cluster the validation saliency maps of a campaign (paper, section 2.5).

Reads `saliency` and `predictions` of every date. Writes `clusters`: PCA axes, coordinates and labels of the validation
maps, prototypes and diagnostics. `tasks.cluster.assign` assigns the maps of a date to these clusters.
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
    """Return the recipe of a campaign's clusters; `allow_preview` changes no number and is not part of it."""
    return Recipe("clusters", REVISION, params.numbers(size), {"saliency": saliency, "predictions": predictions})


@task(task_run_name="cluster {campaign} {method}", **cached_by(clusters_recipe))
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
    """Cluster the validation maps of a campaign; maps are compared at `size` x `size` pixels.

    Raises
    ------
    InputError : approximate maps without `allow_preview`; no two maps are near each other at this kernel scale; fewer
        different maps than clusters; eigenvalues of the affinity that are too close.
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
    """Return prototypes (q, rows, cols), the number of zero maps and the number of flat maps.

    A prototype is the mean of its members, each divided by its largest magnitude. Otherwise the strongest member would
    dominate.
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
    assert total is not None  # there are at least as many maps as clusters
    return total / sizes[:, None, None], n_zero, n_flat
