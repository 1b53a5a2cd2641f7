"""Sensitivity: what other kernels, numbers of clusters, neighbours and thresholds would give.

Reads the validation maps and predictions of every date, writes the table `sensitivity`. Its figures are cross-fitted on
validation images; test images have no say, so that nobody is led to choose by them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task

from storage.artifacts import ArtifactRef, Recipe, Store
from storage.errors import InputError
from storage.parquet import rows_to_columns, write_table
from storage.tables import SENSITIVITY
from tasks.axes import isometric
from tasks.cluster_checks import SPLINTER, ClusterParams, Kernel
from tasks.crossfitting import KERNELS, cross_fit_maps
from tasks.detection import detect
from tasks.signals import Floats, cluster_evidence
from tasks.stage import cached_by, versions
from tasks.validation import MemberVectors, column, joined_answers, made_by, plants_of, read_members

REVISION = 1
CLUSTERS, NEIGHBOURS, THRESHOLDS = (4, 6, 8, 10, 12), (1, 5, 15), (0.6, 0.75, 0.9)


def sensitivity_recipe(
    params: ClusterParams,
    threshold: float,
    size: int,
    clusters: ArtifactRef,
    saliency: list[ArtifactRef],
    predictions: list[ArtifactRef],
) -> Recipe:
    """What makes a campaign's sensitivity sheet."""
    fields = {**params.numbers(size), "threshold": threshold}
    return Recipe(
        "sensitivity", REVISION, fields, {"clusters": clusters, "saliency": saliency, "predictions": predictions}
    )


def variants(params: ClusterParams, kernel: Kernel, threshold: float) -> list[tuple[ClusterParams, Kernel, float]]:
    """The campaign's own choice first, then others that differ in one thing."""
    others = [
        *((params, other, threshold) for other in (Kernel("matlab", 0.2), *KERNELS)),
        *((params.model_copy(update={"n_clusters": q}), kernel, threshold) for q in CLUSTERS),
        *((params.model_copy(update={"neighbours": k}), kernel, threshold) for k in NEIGHBOURS),
        *((params, kernel, t) for t in THRESHOLDS),
    ]
    return [(params, kernel, threshold), *(one for one in others if one != (params, kernel, threshold))]


def sensitivity_row(
    vectors: Floats,
    is_wrong: NDArray[np.bool_],
    plants: Sequence[str],
    params: ClusterParams,
    kernel: Kernel,
    threshold: float,
    n_classes: int,
) -> dict[str, Any]:
    """One choice: clusters of all maps, and cross-fitted what their error shares would do."""
    row: dict[str, Any] = {
        "affinity": kernel.affinity,
        "scale": kernel.scale,
        "n_clusters": params.n_clusters,
        "neighbours": params.neighbours,
        "threshold": threshold,
    }
    try:
        evidence, fit = cluster_evidence(vectors, is_wrong, params, kernel)
    except InputError as error:
        unknown = dict.fromkeys(("largest", "n_splinters", "stability", "n_swapped", "accuracy", "auroc"))
        return {**row, **unknown, "problem": error.found}
    sizes = np.bincount(fit.labels)[1:]
    share = cross_fit_maps(vectors, is_wrong, plants, params, kernel).signals["error_share"]
    can_swap = n_classes == 2
    return {
        **row,
        "largest": int(sizes.max()),
        "n_splinters": int((sizes < SPLINTER).sum()),
        "stability": fit.stability,
        "n_swapped": int((evidence.error_shares > threshold).sum()) if can_swap else 0,
        "accuracy": float(np.mean(is_wrong == (can_swap & (share > threshold)))),
        "auroc": detect(1 - share, is_wrong).auroc,
        "problem": "",
    }


@task(task_run_name="sensitivity {campaign} {method}", **cached_by(sensitivity_recipe))
def measure_sensitivity(
    campaign: str,
    store: str,
    method: str,
    params: ClusterParams,
    threshold: float,
    size: int,
    clusters: ArtifactRef,
    saliency: list[ArtifactRef],
    predictions: list[ArtifactRef],
) -> ArtifactRef:
    """Try other parameters of the clusters on validation images."""
    recipe, files = sensitivity_recipe(params, threshold, size, clusters, saliency, predictions), Store(store)
    if files.holds(recipe.ref):
        return recipe.ref
    members = read_members(files, saliency, predictions)
    vectors, answers = isometric(MemberVectors(members, size, params.scaling)), joined_answers(members)
    is_wrong = answers.predicted != np.asarray(column(members, "label"), np.int64)
    plants = plants_of(members)
    kernel, n_classes = Kernel(*files.open(clusters).summary["kernel"]), answers.logits.shape[1]
    rows = [
        {
            **sensitivity_row(vectors, is_wrong, plants, *choice, n_classes),
            "is_used": i == 0,
            **made_by(members, method, clusters),
        }
        for i, choice in enumerate(variants(params, kernel, threshold))
    ]
    with files.create(recipe, versions()) as draft:
        write_table(draft, SENSITIVITY, rows_to_columns(SENSITIVITY, rows))
    return recipe.ref
