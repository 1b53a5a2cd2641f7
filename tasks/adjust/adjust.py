"""Adjust: swap the answers of a date in the clusters that are decided to be swapped.

Reads `reliability` and the decisions on the clusters, writes the table `adjusted`. Answers of validation and unseen
data are adjusted in the same way (Kierdorf & Roscher 2023, section 2.6).
"""

from datetime import date

import numpy as np
from prefect import task

from storage.artifacts import ArtifactRef, Draft, Recipe, Store
from storage.tables import ADJUSTED, RELIABILITIES, SWAPS
from storage.tables.parquet import is_by_plant, iter_table, read_columns, read_table, writing_table
from tasks.adjust.rules import swap
from tasks.stage import cached_by, made_once

REVISION = 3
# Columns of the table `reliability` that are copied into the table `adjusted`.
KEPT = (
    "plant_id",
    "split",
    "label",
    "method",
    "cluster",
    "predicted",
    "reliability",
    "combined_reliability",
    "explained_class",
    "classifier",
    "clusters",
)


def adjusted_recipe(swaps: ArtifactRef, reliability: ArtifactRef) -> Recipe:
    """Return the recipe of a date's adjusted answers."""
    return Recipe("adjusted", REVISION, {}, {"swaps": swaps, "reliability": reliability})


@task(task_run_name="adjust {campaign} {date} {method}", **cached_by(adjusted_recipe))
@made_once(adjusted_recipe)
def adjust_predictions(
    draft: Draft, store: Store, date: date, method: str, swaps: ArtifactRef, reliability: ArtifactRef
) -> None:
    """Swap the answers of a date in swapped clusters, and write the table `adjusted`."""
    rated, decided = store.open(reliability), read_table(store.open(swaps), SWAPS)
    swapped = {c for c, is_swapped in zip(decided["cluster"], decided["is_swapped"], strict=True) if is_swapped}
    ids = read_columns(rated, RELIABILITIES, ("plant_id",))["plant_id"]
    n_swapped = n_images = 0
    with writing_table(draft, ADJUSTED, is_by_plant(ids)) as write:
        for part in iter_table(rated, RELIABILITIES, KEPT):
            is_swapped = np.asarray([cluster in swapped for cluster in part["cluster"]], np.bool_)
            adjusted = swap(np.asarray(part["predicted"], np.int64), is_swapped)
            write({**part, "adjusted": adjusted.tolist(), "is_swapped": is_swapped.tolist()})
            n_swapped, n_images = n_swapped + int(is_swapped.sum()), n_images + len(is_swapped)
    draft.summary = {"n_swapped": n_swapped, "n_images": n_images}
