"""Reviews: what a person decided on a campaign's clusters, kept until the clusters change.

A review belongs to the scores it was made on: other clusters have other scores, and so no review. Its file is replaced
in one step, and everything that is made of it is named by its content, so that a run that is killed or resumed twice
neither loses a decision nor makes two of it.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from storage.artifacts import ArtifactRef, Store
from storage.errors import ArtifactError
from storage.places.files import Place, write_atomically

FOLDER = "reviews"
Choice = Literal["swap", "keep", "abstain"]


class Review(BaseModel):
    """What a person decided on the clusters of one saliency method.

    Attributes
    ----------
    scores : the scores that the person saw; they are made of the clusters.
    choices : by cluster; the campaign's rule decides on the others.
    reviewer, reason, decided : who, why and when (UTC).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    campaign: str
    method: str
    scores: ArtifactRef
    choices: dict[int, Choice]
    reviewer: str
    reason: str
    decided: datetime


def keep_review(store: Store, review: Review) -> Review:
    """Keep a review unless a later one of the same scores is there; returns the one that stands."""
    standing = find_review(store, review.campaign, review.scores)
    if standing is not None and standing.decided >= review.decided:
        return standing
    write_atomically(_path(store, review.campaign, review.scores), review.model_dump_json(indent=1).encode())
    return review


def find_review(store: Store, campaign: str, scores: ArtifactRef) -> Review | None:
    """The review of these scores; None where the rule decides.

    Raises
    ------
    ArtifactError : it is damaged, or that of another campaign or other scores.
    """
    path = _path(store, campaign, scores)
    return read_review(path) if path.is_file() else None


def forget_review(store: Store, campaign: str, scores: ArtifactRef) -> bool:
    """Go back to the rule; whether there was a review."""
    path = _path(store, campaign, scores)
    was_there = path.is_file()
    path.unlink(missing_ok=True)
    return was_there


def list_reviews(store: Store) -> Iterator[Place]:
    """The file of every review."""
    yield from sorted((store.root / FOLDER).glob("*/*.json"))


def read_review(path: Place) -> Review:
    """Read one review, which must be that of the place it lies in.

    Raises
    ------
    ArtifactError : it cannot be read, or is another's.
    """
    try:
        review = Review.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read as a review: {error}") from None
    if (review.campaign, review.scores.digest) != (path.parent.name, path.stem):
        raise ArtifactError(f"{path} is the review of {review.scores} of {review.campaign}")
    return review


def _path(store: Store, campaign: str, scores: ArtifactRef) -> Place:
    return store.root / FOLDER / campaign / f"{scores.digest}.json"
