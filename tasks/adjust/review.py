"""Review: what a person decided on the clusters of a campaign, in place of the rule.

Reads the rule's decisions (table `swaps`) and the review, writes the table `reviews` and the table `swaps` that answers
are adjusted by. What swapping by the other folds' clusters makes of validation answers stays the rule's: a person has
seen all of them, and cannot decide again without one.
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
from tasks.stage import cached_by, made_once

REVISION = 1


def review_recipe(proposal: ArtifactRef, review: Review | None, patience_hours: float) -> Recipe:
    """What makes a decision: the review with who, when and why; without one, how long was waited for it."""
    said = {"patience_hours": patience_hours} if review is None else review.model_dump(mode="json")
    return Recipe("review", REVISION, said, {"swaps": proposal})


def reviewed_swaps_recipe(proposal: ArtifactRef, review: ArtifactRef) -> Recipe:
    """What makes the decisions that answers are adjusted by, after a review."""
    return Recipe("swaps", REVISION, {}, {"proposal": proposal, "review": review})


@task(task_run_name="review {method}", **cached_by(review_recipe))
@made_once(review_recipe)
def write_decisions(
    draft: Draft, store: Store, method: str, proposal: ArtifactRef, review: Review | None, patience_hours: float
) -> None:
    """Write down what a person decided on the clusters, or that nobody did in time."""
    rows = review_rows(rows_of(store.open(proposal), SWAPS), review, patience_hours)
    write_table(draft, REVIEWS, rows_to_columns(REVIEWS, rows))
    draft.summary = {"is_by_person": review is not None}


@task(task_run_name="honour {method}", **cached_by(reviewed_swaps_recipe))
@made_once(reviewed_swaps_recipe)
def honour_review(draft: Draft, store: Store, method: str, proposal: ArtifactRef, review: ArtifactRef) -> None:
    """Put the decisions of a review in place of the rule's."""
    by_rule = store.open(proposal)
    rows = honoured(rows_of(by_rule, SWAPS), rows_of(store.open(review), REVIEWS))
    write_table(draft, SWAPS, rows_to_columns(SWAPS, rows))
    write_array(draft, ADJUSTED_WITHOUT_FOLD, read_array(by_rule, ADJUSTED_WITHOUT_FOLD))
    draft.summary = {"n_swapped": sum(row["is_swapped"] for row in rows)}
