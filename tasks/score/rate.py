"""Rate the answer of every explained image of a date.

Reads `assignments`, `predictions`, `scores` and `crossfit`. Writes the table `reliability`, and for the decisions the
inputs of the combined model and the date's share of ready plants.

Memory: `ROWS_AT_ONCE` images of a date, about 10 kB each with features, and 0.8 kB for each of the others. Also the
clusters and answers of the validation images of all dates.
"""

from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task

from storage.arrays.specs import FEATURES, LOGITS, MODEL_INPUTS, TRUTH
from storage.arrays.zarr_files import read_array, write_array
from storage.artifacts import Artifact, ArtifactRef, Draft, Recipe, Store
from storage.tables import ASSIGNMENTS, CLUSTER_SCORES, CROSSFIT, PREDICTIONS, RELIABILITIES
from storage.tables.parquet import Rows, is_by_plant, iter_table, read_columns, read_table, writing_table
from storage.tables.rows import rows_of
from tasks.classify.answers import Answers, read_answers
from tasks.score.date_share import DateShare, estimated_share, validated_share
from tasks.score.rating import JUDGED, Grounds, Judged, joined, judge, rate, right_probability
from tasks.score.signals import answer_evidence
from tasks.score.uncertainty import ReadyModel
from tasks.stage import cached_by, made_once

REVISION = 6


def reliability_recipe(
    scores: ArtifactRef, crossfit: ArtifactRef, assignments: ArtifactRef, predictions: ArtifactRef
) -> Recipe:
    """Return the recipe of a date's reliabilities."""
    inputs = {"scores": scores, "crossfit": crossfit, "assignments": assignments, "predictions": predictions}
    return Recipe("reliability", REVISION, {}, inputs)


@task(task_run_name="reliability {campaign} {date} {method}", **cached_by(reliability_recipe))
@made_once(reliability_recipe)
def rate_images(
    draft: Draft,
    store: Store,
    date: date,
    method: str,
    scores: ArtifactRef,
    crossfit: ArtifactRef,
    assignments: ArtifactRef,
    predictions: ArtifactRef,
) -> None:
    """Rate every explained image of a date: scores of its cluster, other scores, and the probability of being ready."""
    assigned, answers, fitted = (store.open(ref) for ref in (assignments, predictions, crossfit))
    known = read_columns(answers, PREDICTIONS, ("row", "label", "predicted"))
    place = {row: i for i, row in enumerate(known["row"])}
    by = read_grounds(fitted, store.open(scores))
    # Another field may have been flown on the same date.
    is_own = str(predictions) in fitted.manifest.inputs["predictions"]
    own = read_own(fitted, date) if is_own else {}
    names = read_columns(assigned, ASSIGNMENTS, ("plant_id", "row", "seen"))
    is_unseen = np.asarray(
        [seen is None and row not in own for row, seen in zip(names["row"], names["seen"], strict=True)], np.bool_
    )
    judged = joined(
        [judge(by, part, _answers(answers, place, part), own) for part in iter_table(assigned, ASSIGNMENTS)]
    )
    share = find_share(by, fitted, judged, is_unseen, str(date), is_own)
    right = right_probability(judged, by.model, share)
    with writing_table(draft, RELIABILITIES, is_by_plant(names["plant_id"])) as write:
        start = 0
        for part in iter_table(assigned, ASSIGNMENTS):
            here, start = slice(start, start + len(part["row"])), start + len(part["row"])
            chosen = [place[row] for row in part["row"]]
            part |= {name: [known[name][i] for i in chosen] for name in ("label", "predicted")}
            write(rate(part, judged, right, by, own, here))
    write_array(draft, MODEL_INPUTS, judged.inputs)
    draft.write_json("share.json", None if share is None else share.as_json())
    draft.summary = {"n_images": len(right)}


def _answers(predictions: Artifact, place: dict[int, int], part: Rows) -> Answers:
    return read_answers(predictions, np.asarray([place[row] for row in part["row"]], np.int64))


def read_grounds(fitted: Artifact, scores: Artifact) -> Grounds:
    """Read the evidence by which a campaign's images are rated; `fitted` is its artefact `crossfit`."""
    known = Answers(*(read_array(fitted, spec).astype(np.float64) for spec in (LOGITS, FEATURES)))
    return Grounds(
        clusters=read_table(scores, CLUSTER_SCORES),
        evidence=answer_evidence(known, read_array(fitted, TRUTH).astype(np.int64)),
        model=ReadyModel.of(fitted.read_json("ready_model.json")),
    )


def find_share(
    by: Grounds, fitted: Artifact, judged: Judged, is_unseen: NDArray[np.bool_], day: str, is_own: bool
) -> DateShare | None:
    """Find the share of ready plants on a date; None with more than two classes.

    Parameters
    ----------
    is_unseen : (n,) whether the plant of each image is new to the fit. The share is estimated from these images, or
        from all if there are none.
    is_own : whether the fit was made from the images of this date.
    """
    if by.evidence.answers.logits.shape[1] != 2:
        return None
    resampled = [ReadyModel.of(one) for one in fitted.read_json("resampled_models.json")]
    if is_own and day in by.model.shares.of_dates:
        return validated_share(by.model, resampled, day)
    used = is_unseen if is_unseen.any() else ~is_unseen
    return estimated_share(by.model, resampled, judged.inputs[used], judged.answer[used])


def read_own(crossfit: Artifact, day: date) -> dict[int, dict[str, Any]]:
    """Read the cross-fitted scores of a date's validation images, by row."""
    rows = rows_of(crossfit, CROSSFIT, ("acquired", "row", *JUDGED))
    return {row["row"]: {name: row[name] for name in JUDGED} for row in rows if row["acquired"] == day}
