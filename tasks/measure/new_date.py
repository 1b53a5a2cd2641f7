"""Sum up a scored date, with one row per saliency method.

Reads `images`, `adjusted`, `drift` and `decided` of the date, writes the table `acquisitions`.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

from prefect import task

from storage.artifacts import ArtifactRef, Draft, Recipe, Store
from storage.tables import ACQUISITIONS, ADJUSTED, DECIDED, DRIFT
from storage.tables.names import MADE_BY
from storage.tables.parquet import rows_to_columns, write_table
from storage.tables.rows import Row, rows_of
from tasks.stage import cached_by, made_once

REVISION = 2


def acquisition_recipe(
    images: ArtifactRef,
    adjusted: list[ArtifactRef],
    drift: list[ArtifactRef],
    decided: list[ArtifactRef],
    n_plants: int | None = None,
    n_expected: int | None = None,
) -> Recipe:
    """Return the recipe of the sums of a scored date."""
    inputs = {"images": images, "adjusted": adjusted, "drift": drift, "decided": decided}
    counts = {} if n_plants is None else {"n_plants": n_plants, "n_expected": n_expected}
    return Recipe("acquisition", REVISION, counts, inputs)


def acquisition_row(adjusted: Sequence[Row], drift: Sequence[Row], decided: Sequence[Row]) -> Row:
    """Sum up one saliency method's rows of a date; shares of nothing are None.

    Parameters
    ----------
    adjusted, decided : one row per explained image, at least one, in the same order.
    drift : one row per split of unseen plants.
    """
    labelled = [row for row in adjusted if row["label"] is not None]
    known = [row for row in decided if row["label"] is not None]
    reasons = list(dict.fromkeys(reason for row in drift if row["is_outside"] for reason in row["reason"].split()))
    is_outside = any(row["is_outside"] for row in decided)
    return {
        **{name: decided[0][name] for name in MADE_BY},
        "n_explained": len(decided),
        "n_check": sum(bool(row["check_reason"]) for row in decided),
        "n_swapped": sum(row["is_swapped"] for row in adjusted),
        "n_corrected": sum(row["is_corrected"] for row in decided),
        "mean_reliability": sum(row["answer_reliability"] for row in decided) / len(decided),
        "n_labelled": len(labelled),
        "accuracy_before": share(row["predicted"] == row["label"] for row in labelled),
        "accuracy_after": share(row["adjusted"] == row["label"] for row in labelled),
        "accuracy_decided": share(row["answer"] == row["label"] for row in known),
        "is_outside": is_outside,
        "outside_reason": " ".join(reasons or ["share"] * is_outside),
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
    adjusted: list[ArtifactRef],
    drift: list[ArtifactRef],
    decided: list[ArtifactRef],
    n_plants: int | None = None,
    n_expected: int | None = None,
) -> None:
    """Sum up a scored date by every saliency method: images, plants, answers, swaps, decisions and drift.

    Parameters
    ----------
    n_plants, n_expected : expected plants with a picture, and plants that should stand; None if unknown.
    """
    seen = store.open(images).summary
    counts = {"n_images": seen["n_images"], "n_rejected": sum(seen["rejected"].values())}
    plants = {"n_plants": n_plants, "n_expected": n_expected}
    rows = [
        {
            **counts,
            **plants,
            **acquisition_row(*(rows_of(store.open(ref), spec) for ref, spec in zip(refs, SPECS, strict=True))),
        }
        for refs in zip(adjusted, drift, decided, strict=True)
    ]
    write_table(draft, ACQUISITIONS, rows_to_columns(ACQUISITIONS, rows))
    draft.summary = {"date": date.isoformat(), **counts, **({} if n_plants is None else plants)}


SPECS = (ADJUSTED, DRIFT, DECIDED)
