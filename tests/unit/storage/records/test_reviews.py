"""Check that the store keeps one review per scores: the latest, and never half of one."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.artifacts import ArtifactRef, Recipe, Store
from storage.errors import ArtifactError
from storage.records.reviews import Review, find_review, forget_review, keep_review, list_reviews
from storage.verify import verify_store
from tests.support.local_stores import local

SCORES, OTHER = (ArtifactRef(kind="scores", digest=digest) for digest in ("a" * 24, "b" * 24))
WHEN = datetime(2021, 9, 10, 8, 30, tzinfo=UTC)


def review(reviewer: str = "Ada", minutes: int = 0, scores: ArtifactRef = SCORES) -> Review:
    return Review(
        campaign="field",
        method="gradcam",
        scores=scores,
        choices={3: "swap"},
        reviewer=reviewer,
        reason="markers",
        decided=WHEN + timedelta(minutes=minutes),
    )


def test_a_review_is_of_its_scores_and_campaign(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert find_review(store, "field", SCORES) is None
    assert keep_review(store, review()) == find_review(store, "field", SCORES) == review()
    assert find_review(store, "field", OTHER) is None and find_review(store, "other", SCORES) is None
    assert [path.stem for path in list_reviews(store)] == [SCORES.digest]


def test_the_later_decision_stands_whichever_is_written_last(tmp_path: Path) -> None:
    """Check that a restarted run with an older answer does not replace the later decision of another person."""
    store = Store(tmp_path)
    keep_review(store, review("Ada"))
    assert keep_review(store, review("Bo", 5)).reviewer == "Bo"
    assert keep_review(store, review("Ada")).reviewer == "Bo"
    found = find_review(store, "field", SCORES)
    assert found is not None and found.reviewer == "Bo"


def test_forgetting_goes_back_to_the_rule(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep_review(store, review())
    keep_review(store, review(scores=OTHER))
    assert forget_review(store, "field", SCORES) and not forget_review(store, "field", SCORES)
    assert find_review(store, "field", SCORES) is None and find_review(store, "field", OTHER) is not None


def test_damage_is_no_silent_return_to_the_rule(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.create(Recipe("images", 1)) as draft:
        draft.write_bytes("file.bin", b"content")
    keep_review(store, review())
    (path,) = list_reviews(store)
    assert verify_store(store).problems == []
    local(path).write_text(local(path).read_text().replace("swap", "burn"))
    with pytest.raises(ArtifactError, match="cannot be read as a review"):
        find_review(store, "field", SCORES)
    assert len(verify_store(store).problems) == 1
    keep_elsewhere = review(scores=OTHER).model_dump_json()
    local(path).write_text(keep_elsewhere)
    with pytest.raises(ArtifactError, match=f"the review of scores/{OTHER.digest}"):
        find_review(store, "field", SCORES)
