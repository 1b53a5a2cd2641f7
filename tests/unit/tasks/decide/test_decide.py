"""The stages that promise and decide, on a planted campaign in a real store."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.arrays.specs import LABELS, MODEL_INPUTS
from storage.arrays.zarr_files import read_array
from storage.artifacts import ArtifactRef, Recipe, Store
from storage.tables import CROSSFIT, DECIDED, DRIFT, PROMISES, READY_COUNTS, RELIABILITIES, REVIEWS
from storage.tables.rows import rows_of
from tasks.decide.decide import decide_images, read_plots
from tasks.decide.params import DecideParams
from tasks.decide.promise import make_promises
from tasks.score.rate import rate_images
from tests.support.planted_campaign import (
    DAYS,
    Judged,
    Shown,
    artifact_of,
    assign,
    judge,
    of_three_classes,
    plant,
    plant_season,
    season,
)

CLASSES = ("not_ready", "ready")
LENIENT = DecideParams(tolerated_error=0.45, confidence=0.5)  # so that a few plants certify something


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    store = Store(tmp_path_factory.mktemp("store"))
    return judge(store, plant_season(store, season()), deciding=LENIENT)


def decided(
    planted: Judged, params: DecideParams = LENIENT, review: ArtifactRef | None = None, drift: ArtifactRef | None = None
) -> list[dict[str, Any]]:
    """Decide on the first date again."""
    named = (str(planted.store.root), date.fromisoformat(DAYS[0]), "gradcam")
    promises = make_promises.fn(named[0], "gradcam", params, CLASSES, planted.clusters, planted.crossfit, review)
    made = decide_images.fn(
        *named, params, CLASSES, promises, planted.crossfit, planted.reliability[0], drift or planted.drift[0], review
    )
    return rows_of(planted.store.open(made), DECIDED)


def used(planted: Judged) -> dict[str, Any]:
    (row,) = [row for row in rows_of(planted.store.open(planted.promises), PROMISES) if row["is_used"]]
    return row


def test_answers_and_decisions_follow_the_probability(planted: Judged) -> None:
    threshold = used(planted)["threshold"]
    assert threshold is not None
    for day in range(2):
        rated = rows_of(planted.store.open(planted.reliability[day]), RELIABILITIES)
        for row, source in zip(rows_of(planted.store.open(planted.decided[day]), DECIDED), rated, strict=True):
            assert row["ready_probability"] == source["ready_probability"]
            assert row["answer"] == (row["ready_probability"] > 0.5 if row["is_corrected"] else source["predicted"])
            assert row["answer_reliability"] == pytest.approx(
                max(row["ready_probability"], 1 - row["ready_probability"])
            )
            assert (row["decision"] == "check") == bool(row["check_reason"])
            assert ("unsure" in row["check_reason"]) == (row["answer_reliability"] < threshold)
            if row["decision"] != "check":
                assert row["decision"] == ("harvest" if row["ready_probability"] >= 0.5 else "leave")


def test_validation_rows_keep_their_cross_fitted_probability(planted: Judged) -> None:
    known = {(r["acquired"], r["row"]): r for r in rows_of(planted.store.open(planted.crossfit), CROSSFIT)}
    rated = rows_of(planted.store.open(planted.reliability[0]), RELIABILITIES)
    own = [row for row in rated if (date.fromisoformat(DAYS[0]), row["row"]) in known]
    assert len(own) == 20
    for row in own:
        of_crossfit = known[date.fromisoformat(DAYS[0]), row["row"]]
        assert row["combined_reliability"] == of_crossfit["combined_reliability"]


def test_promises_count_no_vetoed_answer(planted: Judged) -> None:
    """A review that abstains from a cluster takes its validation images out of the promise."""
    labels = read_array(planted.store.open(planted.clusters), LABELS)
    everything = used(planted)["n_validation"]
    review = artifact_of(
        planted.store, REVIEWS, [{"cluster": 1, "decision": "abstain", "reviewer": "Ada", "reason": "x"}]
    )
    made = make_promises.fn(
        str(planted.store.root), "gradcam", LENIENT, CLASSES, planted.clusters, planted.crossfit, review
    )
    (row,) = [row for row in rows_of(planted.store.open(made), PROMISES) if row["is_used"]]
    assert row["n_validation"] == everything - (labels == 1).sum()


def test_a_review_checks_the_answers_that_it_speaks_against(planted: Judged) -> None:
    rows = rows_of(planted.store.open(planted.decided[0]), DECIDED)
    for choice in ("abstain", "swap", "keep"):
        said = [{"cluster": 1, "decision": choice, "reviewer": "Ada", "reason": "x"}]
        for before, after in zip(rows, decided(planted, review=artifact_of(planted.store, REVIEWS, said)), strict=True):
            doubted = before["cluster"] == 1 and (choice == "abstain" or (choice == "swap") != before["is_corrected"])
            assert ("reviewed" in after["check_reason"]) == doubted
            assert (after["answer"], after["ready_probability"]) == (before["answer"], before["ready_probability"])


def test_rows_of_the_rule_are_no_review(planted: Judged) -> None:
    timeout = artifact_of(planted.store, REVIEWS, [{"cluster": 1, "decision": "keep", "reviewer": None, "reason": "y"}])
    assert decided(planted, review=timeout) == rows_of(planted.store.open(planted.decided[0]), DECIDED)


def test_a_split_outside_is_checked(planted: Judged) -> None:
    outside = artifact_of(
        planted.store,
        DRIFT,
        [
            {"split": "test", "is_outside": True, "reason": "novelty"},
            {"split": "new", "is_outside": False, "reason": ""},
        ],
    )
    for row in decided(planted, drift=outside):
        assert row["is_outside"] == (row["split"] == "test") == ("outside" in row["check_reason"])


def test_nothing_is_acted_on_without_a_promise(planted: Judged) -> None:
    rows = decided(planted, DecideParams(tolerated_error=0.001, confidence=0.99))
    assert {row["decision"] for row in rows} == {"check"} and all("unpromised" in row["check_reason"] for row in rows)


def test_counts_sum_the_probabilities_of_a_date(planted: Judged) -> None:
    rows = rows_of(planted.store.open(planted.decided[0]), DECIDED)
    (field,) = rows_of(planted.store.open(planted.decided[0]), READY_COUNTS)  # ids name no plot
    assert field["n"] == len(rows) and field["plot"] is None
    assert field["n_ready"] == pytest.approx(sum(row["ready_probability"] for row in rows))
    assert field["n_ready_lower"] <= field["n_ready"] <= field["n_ready_upper"]
    assert field["share_source"] == "validation" and field["share_shift"] == 0
    stored = read_array(planted.store.open(planted.reliability[0]), MODEL_INPUTS)
    assert stored.shape == (len(rows), 9) and np.isfinite(stored).all()


@pytest.mark.parametrize("is_labelled_only", [False, True])
def test_plots_are_those_that_the_source_states_or_else_the_ids_name(tmp_path: Path, is_labelled_only: bool) -> None:
    store = Store(tmp_path)

    def make(kind: str, **inputs: ArtifactRef) -> ArtifactRef:
        recipe = Recipe(kind, 1, {}, inputs)
        with store.create(recipe, {}) as draft:
            draft.write_json("listing.json", {"images": entries if kind == "images" else []})
        return recipe.ref

    place: dict[str, Any] = {"row": "E", "number": 18, "variety": None}
    entries = [
        {"plant_id": "Plot2_E18", "place": {"plot": "North", **place}},
        {"plant_id": "Plot3_E18", "place": {"plot": None, **place}},
        {"plant_id": "Plot4_E18"},
        {"plant_id": "x"},
    ]
    predictions = make("predictions", images=make("images"))
    predictions = make("predictions", predictions=predictions) if is_labelled_only else predictions
    rated = store.open(make("reliability", predictions=predictions))
    plants = ["Plot2_E18", "Plot3_E18", "Plot4_E18", "x"]
    assert read_plots(store, rated, plants) == ["North", "3", "4", None]


@pytest.mark.parametrize("limit", [0.0, 1.0])
def test_a_date_with_too_many_ready_plants_is_checked_and_not_counted(planted: Judged, limit: float) -> None:
    """Ninety in a hundred plants of a scored date are answered ready; half of validation's are."""
    store, day = planted.store, "2021-09-10"
    later = plant(store, day, [Shown(f"x{i:02}", "new", None, int(i % 10 > 0), i % 2) for i in range(100)])
    assigned = assign(store, later, planted.clusters, planted.crossfit)
    named = (str(store.root), date.fromisoformat(day), "gradcam")
    rated = rate_images.fn(*named, planted.scores, planted.crossfit, assigned, later.predictions)
    drift = artifact_of(store, DRIFT, [{"split": "new", "is_outside": False, "reason": ""}])
    params = LENIENT.model_copy(update={"max_share_shift": limit})
    made = store.open(decide_images.fn(*named, params, CLASSES, planted.promises, planted.crossfit, rated, drift))
    rows, counts = rows_of(made, DECIDED), rows_of(made, READY_COUNTS)
    assert {row["is_outside"] for row in rows} == {limit == 0}
    assert made.summary["is_share_outside"] == (limit == 0) == (not counts)
    sources = rows_of(store.open(rated), RELIABILITIES)
    for row, source in zip(rows, sources, strict=True):
        is_combined = limit == 1 or source["error_share_lower"] > 0.5
        right = source["combined_reliability" if is_combined else "calibrated_softmax"]
        assert row["ready_probability"] == (right if row["predicted"] == 1 else 1 - right)
        assert is_combined or row["answer"] == row["predicted"]


def test_with_three_classes_there_is_no_probability_of_being_ready(tmp_path: Any) -> None:
    store = Store(tmp_path)
    dates = [of_three_classes(images) for images in season()]
    judged = judge(store, plant_season(store, dates, n_classes=3), deciding=LENIENT)
    rows = rows_of(store.open(judged.decided[0]), DECIDED)
    assert {row["ready_probability"] for row in rows} == {None}
    assert all(row["answer"] == row["predicted"] and not row["is_corrected"] for row in rows)
    assert rows_of(store.open(judged.decided[0]), READY_COUNTS) == []
