"""Read a person's choices on clusters."""

from storage.artifacts import ArtifactRef, Store
from storage.records.reviews import Choice
from storage.tables import REVIEWS
from storage.tables.rows import rows_of
from tasks.adjust.review_choices import person_choices


def read_choices(store: Store, review: ArtifactRef | None) -> dict[int, Choice]:
    """Read a person's choices by cluster; empty without a review."""
    return {} if review is None else person_choices(rows_of(store.open(review), REVIEWS))
