"""Rated images of a planted season: cluster scores, cross-fitted scores, and the probability of being ready."""

import json
import tracemalloc
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.special import softmax as softmax_of_scipy

from storage.arrays.specs import LOGITS, MAP_DISTANCE, MODEL_INPUTS
from storage.arrays.zarr_files import read_array
from storage.artifacts import ArtifactRef, Store
from storage.tables import ADJUSTED, ASSIGNMENTS, CLUSTER_SCORES, CROSSFIT, DECIDED, RELIABILITIES, parquet
from storage.tables.parquet import Rows, read_table
from tasks.adjust.adjust import adjust_predictions
from tasks.cluster import assign as module
from tasks.decide.params import DecideParams
from tasks.score.rate import rate_images
from tasks.score.rating import COUNTS, INHERITED, JUDGED
from tests.support.planted_campaign import (
    DAYS,
    Judged,
    Planted,
    Shown,
    assign,
    by_plant,
    judge,
    of_three_classes,
    plant,
    plant_season,
    plants_of,
    season,
)

LATER = "2021-09-10"


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    store = Store(tmp_path_factory.mktemp("store"))
    return judge(store, plant_season(store, season()))


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """Return the season with a quarter of the plants ready on the first date, and three quarters on the second."""
    dates = [
        [
            image if image.label is None else replace(image, label=to, predicted=to ^ (image.label != image.predicted))
            for i, image in enumerate(images)
            for to in [int(i % 4 < 1 + 2 * day)]
        ]
        for day, images in enumerate(season())
    ]
    store = Store(tmp_path_factory.mktemp("store"))
    return judge(store, plant_season(store, dates))


def rate(fit: Judged, one: Planted, assigned: ArtifactRef | None = None) -> ArtifactRef:
    """Rate a date that the season was not fitted to."""
    assigned = assigned or assign(fit.store, one, fit.clusters, fit.crossfit)
    named = (str(fit.store.root), date.fromisoformat(one.day), "gradcam")
    return rate_images.fn(*named, fit.scores, fit.crossfit, assigned, one.predictions)


def share_of(fit: Judged, rated: ArtifactRef) -> dict[str, Any] | None:
    """Read the date's share of ready plants as stored."""
    return json.loads(fit.store.open(rated).read_bytes("share.json"))


# Scores


@pytest.mark.parametrize("day", [0, 1])
def test_images_inherit_their_clusters_scores(planted: Judged, day: int) -> None:
    rated, scores, assigned = (
        planted.read(RELIABILITIES, day),
        planted.read(CLUSTER_SCORES),
        planted.read(ASSIGNMENTS, day),
    )
    assert rated["cluster"] == assigned["cluster"] and rated["plant_id"] == assigned["plant_id"]
    for name, theirs in INHERITED.items():
        assert rated[name] == [scores[theirs][c - 1] for c in rated["cluster"]]
    assert [sum(four) for four in zip(*(rated[name] for name in COUNTS), strict=True)] == rated["n_validation"]


@pytest.mark.parametrize("day", [0, 1])
def test_what_else_validation_images_are_told_is_cross_fitted(planted: Judged, day: int) -> None:
    rated, others = by_plant(planted.read(RELIABILITIES, day)), by_plant(planted.read(CROSSFIT))
    told = ("novelty", "nearest_map_reliability", *(name for name in JUDGED if name != "error_share"))
    own = {plant: row for (_, plant), row in rated.items() if row["split"] == "val"}
    assert len(own) == 20 and "combined_reliability" in told
    for plant_id, row in own.items():
        judged = others[date.fromisoformat(DAYS[day]), plant_id]
        assert {name: row[name] for name in told} == {name: judged[name] for name in told}
        right = judged["combined_reliability"]
        assert row["ready_probability"] == (right if row["predicted"] == 1 else 1 - right)


def unseen(rated: Rows) -> list[int]:
    return [i for i, split in enumerate(rated["split"]) if split in ("test", "new")]


@pytest.mark.parametrize("day", [0, 1])
def test_unseen_images_are_told_their_own_softmax_and_novelty(planted: Judged, day: int) -> None:
    rated, store = planted.read(RELIABILITIES, day), planted.store
    logits = read_array(store.open(planted.dates[day].predictions), LOGITS)
    distances = read_array(store.open(planted.crossfit), MAP_DISTANCE)
    here = unseen(rated)
    assert len(here) == 10
    expected = softmax_of_scipy(logits[[rated["row"][i] for i in here]].astype(np.float64), axis=1).max(axis=1)
    np.testing.assert_allclose([rated["softmax"][i] for i in here], expected, rtol=1e-9)
    possible = [k / (len(distances) + 1) for k in range(1, len(distances) + 2)]
    assert all(min(abs(rated["novelty"][i] - p) for p in possible) < 1e-12 for i in here)


def test_all_scores_rank_the_planted_failure_of_unseen_plants_last(planted: Judged) -> None:
    for day in range(2):
        rated = planted.read(RELIABILITIES, day)
        for name in ("reliability", "combined_reliability", "nearest_map_reliability"):
            fails = [rated[name][i] for i in unseen(rated) if planted.dates[day].pattern[rated["row"][i]] == 2]
            others = [rated[name][i] for i in unseen(rated) if planted.dates[day].pattern[rated["row"][i]] != 2]
            assert fails and np.mean(fails) < np.mean(others) - 0.1


# The probability of being ready


@pytest.mark.parametrize("day", [0, 1])
def test_a_plant_is_ready_as_surely_as_the_answer_ready_is_right(planted: Judged, day: int) -> None:
    rated = planted.read(RELIABILITIES, day)
    assert set(rated["predicted"]) == {0, 1} and len(rated["predicted"]) == 30
    for predicted, right, ready in zip(
        *(rated[name] for name in ("predicted", "combined_reliability", "ready_probability")), strict=True
    ):
        assert ready == (right if predicted == 1 else 1 - right) and 0 < ready < 1


@pytest.mark.parametrize("day", [0, 1])
def test_the_probability_of_an_unseen_plant_by_hand(growing: Judged, day: int) -> None:
    """A logistic regression on standardised inputs, of which one is the answer's sign times the date's shift."""
    rated, store = growing.read(RELIABILITIES, day), growing.store
    stored = store.open(growing.crossfit).read_json("ready_model.json")
    model, shares = (stored[name] for name in ("combination", "shares"))
    inputs = read_array(store.open(growing.reliability[day]), MODEL_INPUTS).astype(np.float64)
    sign = np.where(np.asarray(rated["predicted"]) == 1, 1, -1)
    assert np.array_equal(inputs[:, model["inputs"].index("answer")], sign)
    assert not inputs[:, model["inputs"].index("answer_share")].any()  # left out of what is stored
    inputs[:, -1] = sign * (logit(shares["of_dates"][DAYS[day]]) - logit(shares["overall"]))
    standard = (inputs - model["mean"]) / np.asarray(model["scale"])
    expected = expit(standard @ model["weights"] + model["intercept"])
    for i in unseen(rated):
        assert rated["combined_reliability"][i] == pytest.approx(expected[i], abs=1e-5)


def test_with_more_than_two_classes_no_plant_is_ready(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = judge(store, plant_season(store, list(map(of_three_classes, season())), n_classes=3))
    for day, rated in enumerate(found.reliability):
        table = found.read(RELIABILITIES, day)
        assert set(table["ready_probability"]) == {None} and share_of(found, rated) is None
        assert all(0 < p < 1 for p in table["combined_reliability"])


@pytest.mark.parametrize("day", [0, 1])
def test_a_fitted_date_has_the_share_of_its_validation_plants(growing: Judged, day: int) -> None:
    table = by_plant(growing.read(CROSSFIT))
    labels = {on: [row["label"] for (one, _), row in table.items() if str(one) == on] for on in DAYS}
    overall, share = np.mean([*labels[DAYS[0]], *labels[DAYS[1]]]), share_of(growing, growing.reliability[day])
    assert share is not None and (share["source"], share["distance"]) == ("validation", 0)
    assert share["share"] == pytest.approx((sum(labels[DAYS[day]]) + 10 * overall) / (20 + 10))
    assert share["shift"] == pytest.approx(logit(share["share"]) - logit(overall))
    assert len(share["resampled"]) == 100 and sum(labels[DAYS[day]]) == (5, 15)[day]


def other_field() -> list[Shown]:
    """Images of another field on a fitted day, with the plant ids and rows of the first; nine in ten are ready."""
    return [Shown(f"p{i:02}", "val", None, int(i % 10 > 0), i % 2) for i in range(30)]


def test_a_date_of_another_field_on_the_same_day_is_not_the_fitted_one(planted: Judged) -> None:
    other = plant(planted.store, DAYS[0], other_field())
    rated = rate(planted, other)
    table, judged = read_table(planted.store.open(rated), RELIABILITIES), by_plant(planted.read(CROSSFIT))
    logits = read_array(planted.store.open(other.predictions), LOGITS).astype(np.float64)
    np.testing.assert_allclose(table["softmax"], softmax_of_scipy(logits, axis=1).max(axis=1)[table["row"]], rtol=1e-9)
    day = date.fromisoformat(DAYS[0])
    same = [
        plant_id
        for plant_id, right in zip(table["plant_id"], table["combined_reliability"], strict=True)
        if (day, plant_id) in judged and right == judged[day, plant_id]["combined_reliability"]
    ]
    share = share_of(planted, rated)
    assert same == [] and share is not None and share["source"] != "validation"


def test_many_ready_answers_raise_the_share_of_an_unlabelled_date(planted: Judged) -> None:
    """Ninety in a hundred plants are answered ready, by maps of the patterns that are mostly right."""
    later = [Shown(f"x{i:02}", "new", None, int(i % 10 > 0), i % 2) for i in range(100)]
    share = share_of(planted, rate(planted, plant(planted.store, LATER, later)))
    assert share is not None and share["source"] == "estimated"
    overall = share_of(planted, planted.reliability[0])
    assert overall is not None and share["share"] > overall["share"] and share["shift"] > 0
    assert share["distance"] >= share["share"] - max(shares_of_dates(planted))


def shares_of_dates(fit: Judged) -> list[float]:
    return list(fit.store.open(fit.crossfit).read_json("ready_model.json")["shares"]["of_dates"].values())


def test_plants_that_the_fit_has_seen_do_not_speak_for_the_share(planted: Judged) -> None:
    """Add plants of the fit, all answered ready, to a date: the share is that without them."""
    new = [Shown(f"x{i:02}", "new", None, i % 2, i % 2) for i in range(40)]
    seen = [Shown(f"p{i:02}", "new", None, 1, i % 2) for i in range(20)]
    alone, both = plant(planted.store, LATER, new), plant(planted.store, LATER, [*new, *seen])
    plants = plants_of(planted.store, season())
    shares = [
        share_of(planted, rate(planted, one, assign(planted.store, one, planted.clusters, planted.crossfit, plants)))
        for one in (alone, both)
    ]
    unknown = share_of(planted, rate(planted, both))
    assert shares[0] == shares[1] != unknown


# Dates that are rated in parts


def test_parts_of_a_date_are_told_what_the_whole_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dates = season(n_val=40, n_test=40, n_new=21)
    found: list[Judged] = []
    for n in (parquet.ROWS_AT_ONCE, 32):
        monkeypatch.setattr(parquet, "ROWS_AT_ONCE", n)
        monkeypatch.setattr(module, "ROWS_AT_ONCE", n)
        store = Store(tmp_path / str(n))
        found.append(judge(store, plant_season(store, dates)))
    for spec in (ASSIGNMENTS, RELIABILITIES, ADJUSTED):
        for day in range(2):
            whole, parts = (one.read(spec, day) for one in found)
            assert len(whole["plant_id"]) == 101 and whole.keys() == parts.keys()
            for name, values in whole.items():
                is_share = isinstance(values[0], float)
                assert parts[name] == (pytest.approx(values, rel=1e-9, abs=1e-12) if is_share else values), name
    for day in range(2):
        whole, parts = (read_array(one.store.open(one.reliability[day]), MODEL_INPUTS) for one in found)
        np.testing.assert_allclose(parts, whole, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_memory_is_that_of_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Score 6,000 images instead of 1,500: read whole they take 4.3 MiB more, in parts 3.1 MiB.

    Ids, labels and answers are held for the whole date, and the inputs of the combined model.
    """
    monkeypatch.setattr(parquet, "ROWS_AT_ONCE", 500)
    monkeypatch.setattr(parquet, "GROUP_ROWS", 500)
    small, store = season(), Store(tmp_path)
    few, many = (
        plant(store, DAYS[1], [Shown(f"x{i:04}", "new", None, i % 2, i % 3) for i in range(n)]) for n in (1500, 6000)
    )
    fitted = judge(store, plant_season(store, small))
    peaks: list[float] = []
    for one in (few, many):
        assigned = assign(store, one, fitted.clusters, fitted.crossfit)
        tracemalloc.start()
        rated = rate(fitted, one, assigned)
        adjust_predictions.fn(str(store.root), date.fromisoformat(one.day), "gradcam", fitted.swaps, rated)
        peaks.append(tracemalloc.get_traced_memory()[1] / 2**20)
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 4.2, peaks


# Maps unlike anything in validation


def test_a_map_of_a_pattern_that_no_validation_image_shows_is_checked(tmp_path: Path) -> None:
    store, (first, second) = Store(tmp_path), season(n_val=26)
    strange = [Shown("strange test", "test", 1, 1, pattern=3), Shown("strange new", "new", None, 0, pattern=3)]
    found = judge(store, plant_season(store, [first, [*second, *strange]]))
    rated, decided = (by_plant(found.read(spec, 1)) for spec in (RELIABILITIES, DECIDED))
    said = {plant: row["check_reason"].split() for (_, plant), row in decided.items()}
    assert "novel" in said["strange test"] and "novel" in said["strange new"]
    assert all(decided[None, plant]["decision"] == "check" for plant in ("strange test", "strange new"))
    assert rated[None, "strange test"]["novelty"] == pytest.approx(1 / 53)
    others = [reasons for (_, plant), row in rated.items() if row["split"] != "val" for reasons in [said[plant]]]
    assert len(others) == 12 and sum("novel" in reasons for reasons in others) == 2


def test_fewer_than_fifty_validation_maps_cannot_tell_a_novel_one_at_the_default(tmp_path: Path) -> None:
    store, (first, second) = Store(tmp_path), season()
    strange = Shown("strange", "test", 1, 1, pattern=3)
    dates = plant_season(store, [first, [*second, strange]])
    for least, is_novel in ((DecideParams().least_novelty, False), (0.025, True)):
        found = judge(store, dates, deciding=DecideParams(least_novelty=least))
        assert by_plant(found.read(RELIABILITIES, 1))[None, "strange"]["novelty"] == pytest.approx(1 / 41)
        reason = by_plant(found.read(DECIDED, 1))[None, "strange"]["check_reason"]
        assert ("novel" in reason.split()) == is_novel


# Dates out of the ordinary


def test_a_date_without_explained_images_is_an_empty_table(tmp_path: Path) -> None:
    store, dates = Store(tmp_path), season()
    planted = [
        plant(store, DAYS[0], dates[0]),
        plant(store, DAYS[1], [one for one in dates[1] if one.split == "train"]),
    ]
    found = judge(store, planted)
    for spec in (RELIABILITIES, DECIDED):
        assert set(map(len, found.read(spec, 1).values())) == {0}
    assert len(found.read(CROSSFIT)["row"]) == 20
