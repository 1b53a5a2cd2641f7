"""Review: record a person's decisions on the clusters of a campaign, and let them replace the rule's decisions.

Reads the rule's decisions (table `swaps`) and the review. Writes the table `reviews` and the table `swaps` by which
answers are adjusted. The cross-fitted adjusted validation answers remain the rule's. A person has seen all images and
cannot decide again without those of one fold.
"""

from prefect import task

from storage.arrays.specs import ADJUSTED_WITHOUT_FOLD
from storage.arrays.zarr_files import read_array, write_array
from storage.artifacts import ArtifactRef, Draft, Recipe, Store
from storage.records.reviews import Review
from storage.tables import REVIEWS, SWAPS
from storage.tables.parquet import rows_to_columns, write_table
from storage.tables.rows import rows_of
from tasks.adjust.review_choices import honoured, review_rows
from tasks.adjust.rules import swap_warnings
from tasks.stage import cached_by, made_once

REVISION = 1


def review_recipe(proposal: ArtifactRef, review: Review | None, patience_hours: float) -> Recipe:
    """Return the recipe of a review: who decided what, when and why, or without a review how long the run waited."""
    said = {"patience_hours": patience_hours} if review is None else review.model_dump(mode="json")
    return Recipe("review", REVISION, said, {"swaps": proposal})


def reviewed_swaps_recipe(proposal: ArtifactRef, review: ArtifactRef) -> Recipe:
    """Return the recipe of the decisions by which answers are adjusted after a review."""
    return Recipe("swaps", REVISION, {}, {"proposal": proposal, "review": review})


@task(task_run_name="review {campaign} {method}", **cached_by(review_recipe))
@made_once(review_recipe)
def write_decisions(
    draft: Draft, store: Store, method: str, proposal: ArtifactRef, review: Review | None, patience_hours: float
) -> None:
    """Write the table `reviews`: a person's decisions on the clusters, or that nobody decided in time."""
    rows = review_rows(rows_of(store.open(proposal), SWAPS), review, patience_hours)
    write_table(draft, REVIEWS, rows_to_columns(REVIEWS, rows))
    draft.summary = {"is_by_person": review is not None}


@task(task_run_name="honour {campaign} {method}", **cached_by(reviewed_swaps_recipe))
@made_once(reviewed_swaps_recipe)
def honour_review(draft: Draft, store: Store, method: str, proposal: ArtifactRef, review: ArtifactRef) -> None:
    """Replace the rule's decisions by those of a review."""
    by_rule = store.open(proposal)
    rows = honoured(rows_of(by_rule, SWAPS), rows_of(store.open(review), REVIEWS))
    write_table(draft, SWAPS, rows_to_columns(SWAPS, rows))
    write_array(draft, ADJUSTED_WITHOUT_FOLD, read_array(by_rule, ADJUSTED_WITHOUT_FOLD))
    draft.summary = {"n_swapped": sum(row["is_swapped"] for row in rows), "warnings": swap_warnings(rows)}
