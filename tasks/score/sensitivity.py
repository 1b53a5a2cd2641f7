"""Measure the sensitivity to other kernels, numbers of clusters, numbers of neighbours and thresholds.

Reads the validation maps and predictions of every date, writes the table `sensitivity`. Its figures are cross-fitted on
validation images. Test images are not used, so that nobody chooses parameters by them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task

from storage.artifacts import ArtifactRef, Draft, Recipe, Store
from storage.errors import InputError
from storage.tables import SENSITIVITY
from storage.tables.parquet import rows_to_columns, write_table
from tasks.adjust.params import AdjustParams
from tasks.adjust.rules import swapped_without_fold, which_swapped
from tasks.classify.answers import Floats
from tasks.cluster.axes import isometric
from tasks.cluster.checks import SPLINTER
from tasks.cluster.evidence import cluster_evidence
from tasks.cluster.folds import KERNELS, cross_fit_maps
from tasks.cluster.members import MemberVectors, column, joined_answers, made_by, plants_of, read_members
from tasks.cluster.params import ClusterParams, Kernel
from tasks.stage import cached_by, made_once
from tasks.statistics.by_plant import failing_p_values
from tasks.statistics.detection import detect

REVISION = 3
CLUSTERS, NEIGHBOURS, THRESHOLDS = (4, 6, 8, 10, 12), (1, 5, 15), (0.6, 0.75, 0.9)  # values that are tried


def sensitivity_recipe(
    params: ClusterParams,
    adjust: AdjustParams,
    size: int,
    clusters: ArtifactRef,
    saliency: list[ArtifactRef],
    predictions: list[ArtifactRef],
) -> Recipe:
    """Return the recipe of a campaign's table `sensitivity`."""
    fields = {**params.numbers(size), "adjust": adjust.model_dump(mode="json")}
    return Recipe(
        "sensitivity", REVISION, fields, {"clusters": clusters, "saliency": saliency, "predictions": predictions}
    )


def variants(
    params: ClusterParams, kernel: Kernel, adjust: AdjustParams
) -> list[tuple[ClusterParams, Kernel, AdjustParams]]:
    """List the choices to try: the campaign's own first, then others that differ from it in one parameter."""
    thresholds = THRESHOLDS if adjust.rule == "paper" else ()  # the rule `confident` has no threshold
    others = [
        *((params, other, adjust) for other in (Kernel("matlab", 0.2), *KERNELS)),
        *((params.model_copy(update={"n_clusters": q}), kernel, adjust) for q in CLUSTERS),
        *((params.model_copy(update={"neighbours": k}), kernel, adjust) for k in NEIGHBOURS),
        *((params, kernel, adjust.model_copy(update={"threshold": t})) for t in thresholds),
    ]
    return [(params, kernel, adjust), *(one for one in others if one != (params, kernel, adjust))]


def sensitivity_row(
    vectors: Floats,
    is_wrong: NDArray[np.bool_],
    plants: Sequence[str],
    params: ClusterParams,
    kernel: Kernel,
    adjust: AdjustParams,
    n_classes: int,
    left_out_kernel: Kernel | None,
) -> dict[str, Any]:
    """Return the row of one choice: diagnostics of the clusters of all maps, and cross-fitted accuracy and AUROC.

    Parameters
    ----------
    vectors : (n, f) vectors of validation maps; is_wrong, plants : (n,) of the same images.
    adjust : when to swap.
    left_out_kernel : kernel of the clusters made without a fold; None chooses it from the other folds.
    """
    row: dict[str, Any] = {
        "affinity": kernel.affinity,
        "scale": kernel.scale,
        "n_clusters": params.n_clusters,
        "neighbours": params.neighbours,
        "threshold": adjust.threshold if adjust.rule == "paper" else None,
    }
    try:
        evidence, fit = cluster_evidence(vectors, is_wrong, params, kernel)
    except InputError as error:
        unknown = dict.fromkeys(("largest", "n_splinters", "stability", "n_swapped", "accuracy", "auroc"))
        return {**row, **unknown, "problem": error.found}
    sizes = np.bincount(fit.labels)[1:]
    n_wrong = np.bincount(evidence.labels, evidence.is_wrong)[1:].astype(np.int64)
    p_value = failing_p_values(is_wrong, plants, evidence.labels, len(sizes))
    crossed = cross_fit_maps(vectors, is_wrong, plants, params, left_out_kernel)
    places = crossed.fold.tolist(), crossed.signals["cluster"].astype(int).tolist()
    counts = {str(fold): vars(one) for fold, one in crossed.clusters.items()}
    return {
        **row,
        "largest": int(sizes.max()),
        "n_splinters": int((sizes < SPLINTER).sum()),
        "stability": fit.stability,
        "n_swapped": int(which_swapped(sizes, n_wrong, p_value, adjust, n_classes).sum()),
        "accuracy": float(np.mean(is_wrong == swapped_without_fold(*places, counts, adjust, n_classes))),
        "auroc": detect(1 - crossed.signals["error_share"], is_wrong).auroc,
        "problem": "",
    }


@task(task_run_name="sensitivity {campaign} {method}", **cached_by(sensitivity_recipe))
@made_once(sensitivity_recipe)
def measure_sensitivity(
    draft: Draft,
    store: Store,
    method: str,
    params: ClusterParams,
    adjust: AdjustParams,
    size: int,
    clusters: ArtifactRef,
    saliency: list[ArtifactRef],
    predictions: list[ArtifactRef],
) -> None:
    """Try other parameters of the clusters and of the swaps on validation images."""
    members = read_members(store, saliency, predictions)
    vectors, answers = isometric(MemberVectors(members, size, params.scaling)), joined_answers(members)
    is_wrong = answers.predicted != np.asarray(column(members, "label"), np.int64)
    plants = plants_of(members)
    kernel, n_classes = Kernel(*store.open(clusters).summary["kernel"]), answers.logits.shape[1]
    rows = [
        {
            **sensitivity_row(vectors, is_wrong, plants, *choice, n_classes, params.kernel if i == 0 else choice[1]),
            "is_used": i == 0,
            **made_by(members, method, clusters),
        }
        for i, choice in enumerate(variants(params, kernel, adjust))
    ]
    write_table(draft, SENSITIVITY, rows_to_columns(SENSITIVITY, rows))
