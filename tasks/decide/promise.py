"""Promise: certify on cross-fitted validation answers from which reliability on answers may be acted on.

Reads `crossfit` and `clusters`, and a person's review where there is one. Writes the table `promises`.
"""

from typing import Any

import numpy as np
from prefect import task

from storage.arrays.specs import LABELS, LOGITS
from storage.arrays.zarr_files import open_array, read_array
from storage.artifacts import Artifact, ArtifactRef, Draft, Recipe, Store
from storage.records.reviews import Choice
from storage.tables import CROSSFIT, PROMISES
from storage.tables.names import CLUSTER_SCORE, MADE_BY, SCORES
from storage.tables.parquet import Rows, read_table, rows_to_columns, write_table
from tasks.decide.choices import read_choices
from tasks.decide.decisions import doubted, more_probable
from tasks.decide.params import DecideParams
from tasks.decide.promises import JudgedAnswers, promise_rows
from tasks.stage import cached_by, made_once

REVISION = 1


def promises_recipe(
    params: DecideParams,
    classes: tuple[str, ...],
    clusters: ArtifactRef,
    crossfit: ArtifactRef,
    review: ArtifactRef | None = None,
) -> Recipe:
    """Return the recipe of a campaign's promises; `max_share_shift` changes none."""
    fields = {**params.model_dump(mode="json", exclude={"max_share_shift"}), "classes": list(classes)}
    inputs = {"clusters": clusters, "crossfit": crossfit} | ({} if review is None else {"review": review})
    return Recipe("promises", REVISION, fields, inputs)


@task(task_run_name="promise {campaign} {method}", **cached_by(promises_recipe))
@made_once(promises_recipe)
def make_promises(
    draft: Draft,
    store: Store,
    method: str,
    params: DecideParams,
    classes: tuple[str, ...],
    clusters: ArtifactRef,
    crossfit: ArtifactRef,
    review: ArtifactRef | None = None,
) -> None:
    """Certify thresholds for every score and tolerated share of wrong answers."""
    fitted = store.open(crossfit)
    rows = read_table(fitted, CROSSFIT)
    choices = read_choices(store, review)
    found = promise_rows(judged_answers(rows, fitted, store.open(clusters), choices, params), classes, params)
    marks = {name: rows[name][0] for name in MADE_BY}
    write_table(draft, PROMISES, rows_to_columns(PROMISES, [{**marks, **row} for row in found]))
    used = [row for row in found if row["is_used"]]
    draft.summary = {row["answers"]: {"threshold": row["threshold"], "n": row["n_answered"]} for row in used}


def judged_answers(
    rows: Rows, crossfit: Artifact, clusters: Artifact, choices: dict[int, Choice], params: DecideParams
) -> JudgedAnswers:
    """Return the cross-fitted validation answers without those that a veto speaks against.

    Answers that are never acted on must not count for a promise about answers that are.

    Parameters
    ----------
    rows : columns of the table `crossfit`, whose images are in the order of the clusters' labels.
    """
    arrays: dict[str, Any] = {name: np.asarray(rows[name]) for name in ("label", "predicted", "novelty", *_scores())}
    n_classes = open_array(crossfit, LOGITS).shape[1]
    answered = more_probable(arrays["predicted"], arrays["combined_reliability"], n_classes)
    is_vetoed = doubted(read_array(clusters, LABELS), answered.is_corrected, choices)
    is_vetoed |= arrays["novelty"] < params.least_novelty
    kept = np.flatnonzero(~is_vetoed)
    scores = {name: 1 - arrays["error_share"] if name == CLUSTER_SCORE else arrays[name] for name in SCORES}
    return JudgedAnswers(
        answered=answered[kept],
        truth=arrays["label"][kept].astype(np.int64),
        predicted=arrays["predicted"][kept].astype(np.int64),
        plants=[rows["plant_id"][i] for i in kept],
        scores={name: values[kept] for name, values in scores.items()},
    )


def _scores() -> tuple[str, ...]:
    """Return the columns of the table `crossfit` that hold scores."""
    return ("error_share", *(name for name in SCORES if name != CLUSTER_SCORE))
