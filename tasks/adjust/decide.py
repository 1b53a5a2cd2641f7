"""Decide by the campaign's rule in which clusters of validation maps the answers are swapped.

Reads the clusters' scores and, by fold, their cross-fitted counts and p-values. Writes the table `swaps`, and the
cross-fitted adjusted answers: each validation answer as the clusters of the other folds swap it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task

from storage.arrays.specs import ADJUSTED_WITHOUT_FOLD
from storage.arrays.zarr_files import write_array
from storage.artifacts import Artifact, ArtifactRef, Draft, Recipe, Store
from storage.tables import CLUSTER_SCORES, CROSSFIT, SWAPS
from storage.tables.parquet import Rows, read_table, write_table
from tasks.adjust.params import AdjustParams
from tasks.adjust.review_choices import RULE, rule_choice
from tasks.adjust.rules import decide, reasons, swap, swap_warnings, swapped_without_fold
from tasks.stage import cached_by, made_once

REVISION = 3


def swaps_recipe(params: AdjustParams, scores: ArtifactRef, crossfit: ArtifactRef) -> Recipe:
    """Return the recipe of the rule's decisions on a campaign's clusters."""
    return Recipe("swaps", REVISION, params.model_dump(mode="json"), {"scores": scores, "crossfit": crossfit})


@task(task_run_name="decide {campaign} {method}", **cached_by(swaps_recipe))
@made_once(swaps_recipe)
def decide_swaps(
    draft: Draft, store: Store, method: str, params: AdjustParams, scores: ArtifactRef, crossfit: ArtifactRef
) -> None:
    """Decide by the rule which clusters' answers are swapped."""
    clusters, judged = read_table(store.open(scores), CLUSTER_SCORES), store.open(crossfit)
    columns, answers = decide_columns(clusters, judged, params)
    write_table(draft, SWAPS, columns)
    write_array(draft, ADJUSTED_WITHOUT_FOLD, answers)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    draft.summary = {"n_swapped": sum(columns["is_swapped"]), "warnings": swap_warnings(rows)}


def decide_columns(
    clusters: Rows, crossfit: Artifact, params: AdjustParams
) -> tuple[dict[str, Any], NDArray[np.int64]]:
    """Return the columns of the table `swaps`, and the cross-fitted adjusted validation answers (n,)."""
    n, n_wrong, rows = np.asarray(clusters["n"]), np.asarray(clusters["n_wrong"]), read_table(crossfit, CROSSFIT)
    n_classes = 2 if clusters["tp"][0] is not None else 3  # 3 stands for more than two, for which no swap exists
    decision = decide(n, n_wrong, np.asarray(clusters["p_value"], np.float64), params, n_classes)
    said = reasons(decision, n, params, n_classes)
    predicted = np.asarray(rows["predicted"], np.int64)
    left_out = swapped_without_fold(rows["fold"], rows["cluster"], crossfit.read_json("folds.json"), params, n_classes)
    same = ("method", "cluster", "n", "n_wrong", "error_share", "explained_class", "classifier", "clusters")
    return {
        **{name: clusters[name] for name in same},
        "p_value": decision.p_value.tolist(),
        "p_holm": decision.p_holm.tolist(),
        "rule": [params.rule] * len(n),
        "is_proposed": decision.is_swapped.tolist(),
        "decision": [rule_choice(is_swapped) for is_swapped in decision.is_swapped],
        "decided_by": [RULE] * len(n),
        "reviewer": [None] * len(n),
        "is_swapped": decision.is_swapped.tolist(),
        "reason": said,
    }, swap(predicted, left_out)
