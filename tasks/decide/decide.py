"""Decide what to do about every explained plant of a date, and count the plants that are ready.

Reads `promises` and `crossfit`, the date's `reliability` and `drift`, the plots in the listing of its images, and a
person's review where there is one. Writes the tables `decided` and `ready_counts`.

Memory: 1.5 kB for each image of the date.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task

from storage.arrays.specs import MODEL_INPUTS
from storage.arrays.zarr_files import read_array
from storage.artifacts import Artifact, ArtifactRef, Draft, Recipe, Store
from storage.tables import DECIDED, DRIFT, PROMISES, READY_COUNTS, RELIABILITIES
from storage.tables.names import MADE_BY
from storage.tables.parquet import Rows, is_by_plant, read_columns, rows_to_columns, write_table, writing_table
from storage.tables.rows import Row, rows_of
from tasks.decide.choices import read_choices
from tasks.decide.counts import ready_counts
from tasks.decide.decisions import (
    check_reasons,
    decision_words,
    doubted,
    known_plot,
    more_probable,
    right_where_shifted,
)
from tasks.decide.params import DecideParams
from tasks.decide.promises import thresholds
from tasks.score.combine import answer_sign
from tasks.score.date_share import DateShare
from tasks.score.rating import ready_probability
from tasks.score.uncertainty import ReadyModel
from tasks.stage import cached_by, made_once

REVISION = 4
KEPT = ("plant_id", "split", "label", "cluster", "predicted", *MADE_BY)  # columns copied
OF_SHIFTED = ("calibrated_softmax", "error_share_lower")  # columns that decide where the date's share is outside
READ = (*KEPT, "combined_reliability", *OF_SHIFTED, "novelty")


def decided_recipe(
    params: DecideParams,
    classes: tuple[str, ...],
    promises: ArtifactRef,
    crossfit: ArtifactRef,
    reliability: ArtifactRef,
    drift: ArtifactRef,
    review: ArtifactRef | None = None,
) -> Recipe:
    """Return the recipe of a date's decisions; what is tolerated enters by the promises."""
    fields = {**params.model_dump(mode="json", include={"least_novelty", "max_share_shift"}), "classes": list(classes)}
    inputs = {"promises": promises, "crossfit": crossfit, "reliability": reliability, "drift": drift}
    return Recipe("decided", REVISION, fields, inputs | ({} if review is None else {"review": review}))


@task(task_run_name="decide {campaign} {date} {method}", **cached_by(decided_recipe))
@made_once(decided_recipe)
def decide_images(
    draft: Draft,
    store: Store,
    date: date,
    method: str,
    params: DecideParams,
    classes: tuple[str, ...],
    promises: ArtifactRef,
    crossfit: ArtifactRef,
    reliability: ArtifactRef,
    drift: ArtifactRef,
    review: ArtifactRef | None = None,
) -> None:
    """Give every explained image of a date its answer and decision, and count the ready plants by plot."""
    rated = store.open(reliability)
    rows, share = read_columns(rated, RELIABILITIES, READ), read_share(rated)
    fitted = store.open(crossfit)
    is_shifted = share is not None and share.distance > params.max_share_shift
    is_outside = find_outside(rows["split"], rows_of(store.open(drift), DRIFT), is_of_fit(rated, fitted)) | is_shifted
    predicted, right = np.asarray(rows["predicted"]), np.asarray(rows["combined_reliability"], np.float64)
    if is_shifted:
        right = right_where_shifted(right, *(np.asarray(rows[name], np.float64) for name in OF_SHIFTED))
    answered = more_probable(predicted, right, len(classes))
    ready = ready_probability(right, answer_sign(predicted), len(classes))
    reasons = check_reasons(
        answered,
        thresholds(rows_of(store.open(promises), PROMISES), classes),
        np.asarray(rows["novelty"], np.float64),
        params.least_novelty,
        doubted(np.asarray(rows["cluster"]), answered.is_corrected, read_choices(store, review)),
        is_outside,
    )
    columns: Rows = {
        **{name: rows[name] for name in KEPT},
        "ready_probability": ready,
        "answer": answered.answer.tolist(),
        "is_corrected": answered.is_corrected.tolist(),
        "answer_reliability": answered.reliability.tolist(),
        "decision": decision_words(answered.answer, reasons, classes),
        "check_reason": reasons,
        "is_outside": is_outside.tolist(),
    }
    with writing_table(draft, DECIDED, is_by_plant(rows["plant_id"])) as write:
        write(columns)
    # Beyond the limit nobody knows how far probabilities move, so their sum is no number of plants.
    counted = [] if is_shifted else count_rows(store, ready, rows, share, rated, fitted)
    write_table(draft, READY_COUNTS, rows_to_columns(READY_COUNTS, counted))
    draft.summary = {
        "date": date.isoformat(),
        "n_images": len(reasons),
        "n_check": sum(bool(reason) for reason in reasons),
        "is_share_outside": is_shifted,
    }


def is_of_fit(rated: Artifact, crossfit: Artifact) -> bool:
    """Return whether the fit was made from the images of a date."""
    return rated.manifest.inputs["predictions"] in crossfit.manifest.inputs["predictions"]


def find_outside(splits: Sequence[str], drift: Sequence[Row], is_own: bool) -> NDArray[np.bool_]:
    """Return whether each of n images lies outside what was validated, (n,).

    On another date than the fit's own, plants that the fit has seen are as far from validation as the unseen ones. So
    if a split of such a date is outside, the whole date is.

    Parameters
    ----------
    splits : (n,) split of each image.
    drift : rows of the table of this name.
    is_own : whether the fit was made from the images of this date.
    """
    outside = {row["split"] for row in drift if row["is_outside"]}
    return np.asarray([split in outside or (bool(outside) and not is_own) for split in splits], np.bool_)


def read_share(reliability: Artifact) -> DateShare | None:
    """Read a date's share of ready plants; None with more than two classes."""
    values = reliability.read_json("share.json")
    return None if values is None else DateShare(**values)


def read_plots(store: Store, rated: Artifact, plant_ids: Sequence[str]) -> list[str | None]:
    """Return the plot of each of n plants (n,): the one that the source states, else the one that its id names.

    Places are in the listing of the images that the reliabilities were made from.
    """
    images = find_images(store, rated)
    listed = [] if images is None else images.read_json("listing.json", "images")["images"]
    stated = {entry["plant_id"]: known_plot(entry, entry["plant_id"]) for entry in listed}
    return [stated[plant] if plant in stated else known_plot({}, plant) for plant in plant_ids]


def find_images(store: Store, made: Artifact) -> Artifact | None:
    """Find the images from which predictions were made, and from these an artefact; None if it was made of none."""
    for role in ("images", "predictions"):
        if role in made.manifest.inputs:
            found = store.open(ArtifactRef.of(made.manifest.inputs[role]))
            return found if role == "images" else find_images(store, found)
    return None


def count_rows(
    store: Store,
    ready: Sequence[float | None],
    rows: Rows,
    share: DateShare | None,
    rated: Artifact,
    crossfit: Artifact,
) -> list[dict[str, Any]]:
    """Return the rows of the table `ready_counts`; none with more than two classes.

    Parameters
    ----------
    ready : (n,) probability that each plant is ready.
    """
    if share is None or not rows["plant_id"]:
        return []
    counted = ready_counts(
        np.asarray(ready, np.float64),
        read_array(rated, MODEL_INPUTS).astype(np.float64),
        answer_sign(np.asarray(rows["predicted"])),
        read_plots(store, rated, rows["plant_id"]),
        share,
        [ReadyModel.of(one) for one in crossfit.read_json("resampled_models.json")],
    )
    marks = {name: rows[name][0] for name in MADE_BY}
    of_date = {"ready_share": share.share, "share_source": share.source, "share_shift": share.distance}
    return [{**marks, **row, **of_date} for row in counted]
