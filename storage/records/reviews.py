"""Keep reviews: what a person decided on a campaign's clusters, until the clusters change.

A review belongs to the scores that it was made on. Other clusters have other scores, and so no review. Its file is
replaced atomically, and everything made from a review is named by the review's content. So a run that is killed or
resumed neither loses nor duplicates a decision.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from storage.artifacts import ArtifactRef, Store
from storage.errors import ArtifactError
from storage.places.files import Place, read_model, write_atomically
from storage.places.names import PartName

FOLDER = "reviews"  # folder of the store for reviews
Choice = Literal["swap", "keep", "abstain"]


class Review(BaseModel):
    """Decisions of a person on the clusters of one saliency method.

    Attributes
    ----------
    scores : reference of the scores that the person saw; they are made from the clusters.
    choices : decision by cluster; the campaign's rule decides on clusters without one.
    reviewer, reason, decided : who decided, why, and when (UTC).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    campaign: PartName
    method: str
    scores: ArtifactRef
    choices: dict[int, Choice]
    reviewer: str
    reason: str
    decided: datetime


def keep_review(store: Store, review: Review) -> Review:
    """Keep a review unless the store has a later one of the same scores; return the valid one."""
    standing = find_review(store, review.campaign, review.scores)
    if standing is not None and standing.decided >= review.decided:
        return standing
    write_atomically(_path(store, review.campaign, review.scores), review.model_dump_json(indent=1).encode())
    return review


def find_review(store: Store, campaign: str, scores: ArtifactRef) -> Review | None:
    """Return the review of these scores; None where there is none and the rule decides.

    Raises
    ------
    ArtifactError : the review is damaged, or belongs to another campaign or other scores.
    """
    path = _path(store, campaign, scores)
    return read_review(path) if path.is_file() else None


def forget_review(store: Store, campaign: str, scores: ArtifactRef) -> bool:
    """Delete the review of these scores, so that the rule decides; return whether there was one."""
    path = _path(store, campaign, scores)
    was_there = path.is_file()
    path.unlink(missing_ok=True)
    return was_there


def list_reviews(store: Store) -> Iterator[Place]:
    """Yield the file of every review, sorted by path."""
    yield from sorted((store.root / FOLDER).glob("*/*.json"))


def read_review(path: Place) -> Review:
    """Read one review and check that it belongs to its path.

    Raises
    ------
    ArtifactError : the review cannot be read, or names another campaign or other scores than its path.
    """
    review = read_model(path, Review, "a review")
    if (review.campaign, review.scores.digest) != (path.parent.name, path.stem):
        raise ArtifactError(f"{path} is the review of {review.scores} of {review.campaign}")
    return review


def _path(store: Store, campaign: str, scores: ArtifactRef) -> Place:
    return store.own(store.root / FOLDER / campaign) / f"{scores.digest}.json"
