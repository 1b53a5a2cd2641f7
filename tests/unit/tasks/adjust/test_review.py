"""Test a person's decisions as artefacts of a real store, and the tasks that apply them."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

import numpy as np
import pytest

from storage.arrays.specs import ADJUSTED_WITHOUT_FOLD
from storage.arrays.zarr_files import read_array
from storage.artifacts import ArtifactRef, Store
from storage.records.reviews import Review
from storage.tables import ADJUSTED, CLUSTER_SCORES, DECIDED, PROMISES, REVIEWS, SWAPS
from storage.tables.rows import Row, rows_of
from tasks.adjust.adjust import adjust_predictions
from tasks.adjust.review import honour_review, write_decisions
from tasks.decide.decide import decide_images
from tasks.decide.params import DecideParams
from tasks.decide.promise import make_promises
from tests.support.planted_campaign import CLASSES, DAYS, Judged, judge, plant_season, season


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """Return a store of three clusters, of which the rule swaps one."""
    store = Store(tmp_path_factory.mktemp("store"))
    return judge(store, plant_season(store, season()))


@pytest.fixture(scope="module")
def clusters(planted: Judged) -> dict[str, int]:
    """Return the cluster that the rule swaps, and the two clusters that it keeps."""
    rows = rows_of(planted.store.open(planted.swaps), SWAPS)
    (swapped,) = (row["cluster"] for row in rows if row["is_swapped"])
    kept = [row["cluster"] for row in rows if not row["is_swapped"]]
    return {"swapped": swapped, "kept": kept[0], "other": kept[1]}


def review(planted: Judged, choices: dict[int, str]) -> Review:
    return Review.model_validate(
        {
            "campaign": "field",
            "method": "gradcam",
            "scores": planted.scores,
            "choices": choices,
            "reviewer": "Ada",
            "reason": "markers",
            "decided": datetime(2021, 9, 10, tzinfo=UTC),
        }
    )


def after(planted: Judged, decided: Review | None) -> tuple[ArtifactRef, ArtifactRef]:
    """Return the review's artefact and the decisions after it."""
    named = (str(planted.store.root), "gradcam", planted.swaps)
    made = write_decisions.fn(*named, decided, 72)
    return made, honour_review.fn(*named, made)


def test_a_decision_is_an_artefact_that_says_who_when_and_why(planted: Judged, clusters: dict[str, int]) -> None:
    made, _ = after(planted, review(planted, {clusters["kept"]: "swap"}))
    (row,) = rows_of(planted.store.open(made), REVIEWS)
    assert (row["reviewer"], row["reason"], row["decided"]) == ("Ada", "markers", "2021-09-10T00:00:00+00:00")
    (score,) = [
        one for one in rows_of(planted.store.open(planted.scores), CLUSTER_SCORES) if one["cluster"] == clusters["kept"]
    ]
    assert (row["n"], row["n_wrong"], row["error_share"]) == (score["n"], score["n_wrong"], score["error_share"])
    assert after(planted, review(planted, {clusters["kept"]: "swap"}))[0] == made
    assert after(planted, review(planted, {clusters["kept"]: "abstain"}))[0] != made


def test_crossfitted_answers_stay_the_rules(planted: Judged, clusters: dict[str, int]) -> None:
    _, swaps = after(planted, review(planted, {clusters["kept"]: "swap", clusters["swapped"]: "keep"}))
    ours, rules = (read_array(planted.store.open(ref), ADJUSTED_WITHOUT_FOLD) for ref in (swaps, planted.swaps))
    assert np.array_equal(ours, rules) and len(ours)
    assert planted.store.open(swaps).summary == {"n_swapped": 1, "warnings": []}


@pytest.mark.parametrize("choice", ["swap", "keep", "abstain"])
@pytest.mark.parametrize("which", ["swapped", "kept"])
def test_adjustment_honours_each_decision(planted: Judged, clusters: dict[str, int], which: str, choice: str) -> None:
    _, swaps = after(planted, review(planted, {clusters[which]: choice}))
    named = (str(planted.store.root), date(2021, 8, 23), "gradcam", swaps, planted.reliability[0])
    answers = rows_of(planted.store.open(adjust_predictions.fn(*named)), ADJUSTED)
    swapped = {clusters["swapped"]} - {clusters[which]} | ({clusters[which]} if choice == "swap" else set())
    assert [row["is_swapped"] for row in answers] == [row["cluster"] in swapped for row in answers]
    assert {row["cluster"] for row in answers} == set(clusters.values())


def decide_again(planted: Judged, made: ArtifactRef) -> tuple[Sequence[Row], Sequence[Row]]:
    """Return the rows of the tables `promises` and `decided`, of both dates, with a review."""
    root, params, classes = str(planted.store.root), DecideParams(), CLASSES[:2]
    promises = make_promises.fn(root, "gradcam", params, classes, planted.clusters, planted.crossfit, made)
    rows: list[Row] = []
    for day, rated, drift in zip(DAYS, planted.reliability, planted.drift, strict=True):
        judged = (promises, planted.crossfit, rated, drift, made)
        decided = decide_images.fn(root, date.fromisoformat(day), "gradcam", params, classes, *judged)
        rows += rows_of(planted.store.open(decided), DECIDED)
    return rows_of(planted.store.open(promises), PROMISES), rows


@pytest.mark.parametrize("choice", ["swap", "keep", "abstain"])
@pytest.mark.parametrize("which", ["swapped", "kept"])
def test_what_a_person_doubts_is_checked_and_promises_are_about_the_rest(
    planted: Judged, clusters: dict[str, int], which: str, choice: str
) -> None:
    """A person doubts all answers of a cluster, or those that contradict what they chose for it."""
    made, _ = after(planted, review(planted, {clusters[which]: choice}))
    promises, rows = decide_again(planted, made)
    for row in rows:
        contradicts = {"swap": row["answer"] == row["predicted"], "keep": row["answer"] != row["predicted"]}
        is_doubted = row["cluster"] == clusters[which] and contradicts.get(choice, True)
        assert ("reviewed" in row["check_reason"].split()) == is_doubted
        assert not is_doubted or row["decision"] == "check"
    vetoed = {"reviewed", "novel"}
    n_kept = sum(row["split"] == "val" and not vetoed & set(row["check_reason"].split()) for row in rows)
    (used,) = (row for row in promises if row["is_used"])
    assert used["n_validation"] == n_kept
    by_rule = [row for day in range(2) for row in rows_of(planted.store.open(planted.decided[day]), DECIDED)]
    assert not any("reviewed" in row["check_reason"] for row in by_rule)


def test_a_missed_review_has_one_name_whenever_it_was_missed(planted: Judged) -> None:
    made, swaps = after(planted, None)
    assert {row["reviewer"] for row in rows_of(planted.store.open(made), REVIEWS)} == {None}
    rows, rules = (rows_of(planted.store.open(ref), SWAPS) for ref in (swaps, planted.swaps))
    assert [row["is_swapped"] for row in rows] == [row["is_swapped"] for row in rules]
    assert after(planted, None) == (made, swaps)
