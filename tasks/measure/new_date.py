"""Sum up a scored date, with one row per saliency method.

Reads `images`, `reliability`, `adjusted` and `drift` of the date, writes the table `acquisitions`.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

from prefect import task

from storage.artifacts import ArtifactRef, Draft, Recipe, Store
from storage.tables import ACQUISITIONS, ADJUSTED, DRIFT, RELIABILITIES
from storage.tables.names import MADE_BY
from storage.tables.parquet import rows_to_columns, write_table
from storage.tables.rows import Row, rows_of
from tasks.stage import cached_by, made_once

REVISION = 1


def acquisition_recipe(
    images: ArtifactRef, reliability: list[ArtifactRef], adjusted: list[ArtifactRef], drift: list[ArtifactRef]
) -> Recipe:
    """Return the recipe of the sums of a scored date."""
    inputs = {"images": images, "reliability": reliability, "adjusted": adjusted, "drift": drift}
    return Recipe("acquisition", REVISION, {}, inputs)


def acquisition_row(reliability: Sequence[Row], adjusted: Sequence[Row], drift: Sequence[Row]) -> Row:
    """Sum up one saliency method's rows of a date; shares of nothing are None.

    Parameters
    ----------
    reliability, adjusted : one row per explained image, at least one.
    drift : one row per split of unseen plants.
    """
    labelled = [row for row in adjusted if row["label"] is not None]
    outside = [row for row in drift if row["is_outside"]]
    reasons = " ".join(dict.fromkeys(reason for row in outside for reason in row["reason"].split()))
    return {
        **{name: reliability[0][name] for name in MADE_BY},
        "n_explained": len(reliability),
        "n_abstain": sum(row["abstain"] for row in reliability),
        "n_swapped": sum(row["is_swapped"] for row in adjusted),
        "mean_reliability": sum(row["reliability"] for row in reliability) / len(reliability),
        "n_labelled": len(labelled),
        "accuracy_before": share(row["predicted"] == row["label"] for row in labelled),
        "accuracy_after": share(row["adjusted"] == row["label"] for row in labelled),
        "is_outside": bool(outside),
        "outside_reason": reasons,
    }


def share(found: Any) -> float | None:
    """Return the share of true values; None without values."""
    values = list(found)
    return sum(values) / len(values) if values else None


@task(task_run_name="sum up {campaign} {date}", **cached_by(acquisition_recipe))
@made_once(acquisition_recipe)
def sum_up_acquisition(
    draft: Draft,
    store: Store,
    date: date,
    images: ArtifactRef,
    reliability: list[ArtifactRef],
    adjusted: list[ArtifactRef],
    drift: list[ArtifactRef],
) -> None:
    """Sum up a scored date by every saliency method: images, answers, swaps, abstentions and drift."""
    seen = store.open(images).summary
    counts = {"n_images": seen["n_images"], "n_rejected": sum(seen["rejected"].values())}
    rows = [
        {**counts, **acquisition_row(*(rows_of(store.open(ref), spec) for ref, spec in zip(refs, SPECS, strict=True)))}
        for refs in zip(reliability, adjusted, drift, strict=True)
    ]
    write_table(draft, ACQUISITIONS, rows_to_columns(ACQUISITIONS, rows))
    draft.summary = {"date": date.isoformat(), **counts}


SPECS = (RELIABILITIES, ADJUSTED, DRIFT)
