"""Error shares of clusters, counted by hand, with intervals and p-values of scipy and by plants."""

import tracemalloc
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.special import softmax as softmax_of_scipy
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix
from statsmodels.stats.proportion import proportion_confint

from storage.arrays.specs import LOGITS, MAP_DISTANCE
from storage.arrays.zarr_files import read_array
from storage.artifacts import Store
from storage.tables import ADJUSTED, ASSIGNMENTS, CLUSTER_SCORES, CROSSFIT, RELIABILITIES, parquet
from storage.tables.parquet import Rows
from tasks.adjust.adjust import adjust_predictions
from tasks.cluster import assign as module
from tasks.score.rating import COUNTS, INHERITED, JUDGED, ScoreParams, abstain_reasons
from tasks.score.score import rate_images, score_cluster, validation_rows
from tests.support.planted_campaign import DAYS, Judged, Shown, assign, by_plant, judge, plant, plant_season, season


def own(n: int) -> NDArray[np.str_]:
    """Return a plant for every image."""
    return np.asarray([f"p{i}" for i in range(n)])


def test_a_cluster_worked_by_hand() -> None:
    labels = np.asarray([1, 1, 1, 0, 0, 0, 0, 1, 0, 1])
    predicted = np.asarray([1, 0, 0, 1, 1, 1, 0, 0, 0, 1])
    found = score_cluster(labels, predicted, own(len(labels)), 2, 0.4, 0.95)
    assert {name: found[name] for name in ("n", "n_wrong", "tp", "tn", "fp", "fn")} == {
        "n": 10,
        "n_wrong": 6,
        "tp": 2,
        "tn": 2,
        "fp": 3,
        "fn": 3,
    }
    assert found["error_share"] == 0.6 and found["reliability"] == 0.4
    assert (found["n_plants"], found["n_effective"]) == (10, 10)
    test = binomtest(6, 10, alternative="greater")
    interval = binomtest(6, 10).proportion_ci(0.95, method="wilson")
    assert (found["error_share_lower"], found["error_share_upper"]) == pytest.approx((interval.low, interval.high))
    assert found["p_value"] == pytest.approx(test.pvalue)


def test_repeated_plants_widen_the_interval_and_raise_the_p_value() -> None:
    """Six plants of two images each, five plants always wrong and one right: design effect 1 + (2 - 1) rho."""
    labels, predicted, plants = np.zeros(12, int), np.asarray([1] * 10 + [0] * 2), np.repeat(own(6), 2)
    found = score_cluster(labels, predicted, plants, 2, 0.5, 0.9)
    assert (found["n"], found["n_plants"], found["n_wrong"]) == (12, 6, 10)
    assert found["n_effective"] == pytest.approx(12 / 1.5)
    ends: Any = proportion_confint(10 / 12 * 8, 8, 0.1, method="wilson")
    assert (found["error_share_lower"], found["error_share_upper"]) == pytest.approx(ends)
    assert found["p_value"] == pytest.approx(7 / 64)  # all six positive, or one negative


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=30))
def test_counts_are_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = np.asarray(pairs).T
    found = score_cluster(labels, predicted, own(len(labels)), 2, 0.4, 0.95)
    (tn, fp), (fn, tp) = confusion_matrix(labels, predicted, labels=[0, 1]).tolist()
    assert (found["tn"], found["fp"], found["fn"], found["tp"]) == (tn, fp, fn, tp)
    assert found["n_wrong"] == fp + fn and found["n"] == tn + fp + fn + tp
    assert found["error_share"] + found["reliability"] == pytest.approx(1, abs=1e-15)


def test_with_more_than_two_classes_there_is_no_positive_one() -> None:
    found = score_cluster(np.asarray([0, 1, 2, 2]), np.asarray([0, 2, 2, 1]), own(4), 3, 0, 0.95)
    assert [found[name] for name in ("tp", "tn", "fp", "fn")] == [None] * 4
    assert (found["n"], found["n_wrong"], found["error_share"]) == (4, 2, 0.5)


def test_only_labelled_validation_images_are_scored() -> None:
    assignments: dict[str, list[Any]] = {
        "row": [4, 0, 2, 3, 1],
        "cluster": [1, 2, 1, 3, 3],
        "split": ["val", "test", "val", "new", "val"],
        "plant_id": ["e", "a", "c", "d", "b"],
    }
    predictions: dict[str, list[Any]] = {
        "row": [0, 1, 2, 3, 4, 5],
        "label": [1, 1, None, 0, 0, 1],
        "predicted": [0, 0, 1, 1, 1, 1],
    }
    assert validation_rows(assignments, predictions) == [(1, "e", 0, 1), (3, "b", 1, 0)]


def test_a_date_without_validation_images_gives_nothing() -> None:
    assignments: dict[str, list[Any]] = {"row": [0], "cluster": [1], "split": ["test"], "plant_id": ["a"]}
    predictions: dict[str, list[Any]] = {"row": [0], "label": [1], "predicted": [1]}
    assert validation_rows(assignments, predictions) == []


# When to abstain


@pytest.mark.parametrize(
    ("lower", "upper", "reliability", "novelty", "said"),
    [
        pytest.param(0.0, 0.375, 0.9, 0.5, [], id="nothing"),
        pytest.param(0.5, 0.9375, 0.7, 0.5, ["wide"], id="wide"),
        pytest.param(0.0, 0.3, 0.9, 0.019, ["novel"], id="novel"),
        pytest.param(0.0, 0.3, 0.9, 0.02, [], id="just not novel"),
        pytest.param(0.3, 0.6, 0.5, 0.5, ["undecided"], id="undecided"),
        pytest.param(0.3, 0.6, 0.6, 0.5, [], id="upper end of the band"),
        pytest.param(0.6, 0.9, 0.25, 0.5, ["failing"], id="lower end of the band"),
        pytest.param(0.1, 0.9, 0.5, 0.0, ["wide", "novel", "undecided"], id="all"),
    ],
)
def test_reasons_to_abstain(lower: float, upper: float, reliability: float, novelty: float, said: list[str]) -> None:
    assert abstain_reasons(lower, upper, reliability, novelty, False, ScoreParams()) == said


@given(st.integers(0, 60), st.integers(1, 60), st.booleans())
def test_what_is_acted_on_was_mostly_right_in_validation(n_wrong: int, n: int, is_swapped: bool) -> None:
    n_wrong, params = min(n_wrong, n), ScoreParams(widest=1)
    said = abstain_reasons(0, 1, 1 - n_wrong / n, 1, is_swapped, params)
    low, high = params.undecided
    n_right = n_wrong if is_swapped else n - n_wrong  # of the answers as they are given
    least = 1 - low if is_swapped else high
    assert (not said) == (n_right / n >= least - 1e-12)
    assert said in ([], ["undecided"], ["failing"])


@pytest.mark.parametrize("band", [(0.6, 0.25), (-0.1, 0.5), (0.5, 1.1)])
def test_a_band_that_is_none_is_refused(band: tuple[float, float]) -> None:
    with pytest.raises(ValidationError, match="two shares, the lower first"):
        ScoreParams(undecided=band)


# The stages on a planted season


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    store = Store(tmp_path_factory.mktemp("store"))
    return judge(store, plant_season(store, season()))


def test_clusters_are_scored_on_validation_images_of_all_dates(planted: Judged) -> None:
    scores = planted.read(CLUSTER_SCORES)
    counts: dict[int, list[bool]] = {}
    for day in range(2):
        rated = planted.read(RELIABILITIES, day)
        for cluster, split, label, predicted in zip(
            *(rated[name] for name in ("cluster", "split", "label", "predicted")), strict=True
        ):
            if split == "val":
                counts.setdefault(cluster, []).append(label != predicted)
    assert scores["cluster"] == sorted(counts) == [1, 2, 3]
    assert scores["n"] == [len(counts[c]) for c in (1, 2, 3)]
    assert scores["n_wrong"] == [sum(counts[c]) for c in (1, 2, 3)]


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
    told = ("novelty", "nearest_map_reliability", *JUDGED)
    own = {plant: row for (_, plant), row in rated.items() if row["split"] == "val"}
    assert len(own) == 20
    for plant_id, row in own.items():
        assert {name: row[name] for name in told} == {
            name: others[date.fromisoformat(DAYS[day]), plant_id][name] for name in told
        }


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


def test_memory_is_that_of_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Score 6,000 images instead of 1,500: read whole they take 8 MiB more, in parts 2 MiB (labels and answers)."""
    monkeypatch.setattr(parquet, "ROWS_AT_ONCE", 500)
    monkeypatch.setattr(parquet, "GROUP_ROWS", 500)
    small, store = season(), Store(tmp_path)
    few, many = (
        plant(store, DAYS[1], [Shown(f"x{i:04}", "new", None, i % 2, i % 3) for i in range(n)]) for n in (1500, 6000)
    )
    fitted = judge(store, plant_season(store, small))
    peaks: list[float] = []
    for one in (few, many):
        named = (str(store.root), date.fromisoformat(one.day), "gradcam")
        assigned = assign(store, one, fitted.clusters, fitted.crossfit)
        tracemalloc.start()
        rated = rate_images.fn(
            *named, ScoreParams(), fitted.scores, fitted.swaps, fitted.crossfit, assigned, one.predictions
        )
        adjust_predictions.fn(*named, fitted.swaps, rated)
        peaks.append(tracemalloc.get_traced_memory()[1] / 2**20)
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 3, peaks


# Maps unlike anything in validation


def test_a_map_of_a_pattern_that_no_validation_image_shows_is_novel(tmp_path: Path) -> None:
    store, (first, second) = Store(tmp_path), season(n_val=26)
    strange = [Shown("strange test", "test", 1, 1, pattern=3), Shown("strange new", "new", None, 0, pattern=3)]
    found = judge(store, plant_season(store, [first, [*second, *strange]]))
    rated = by_plant(found.read(RELIABILITIES, 1))
    said = {plant: row["abstain_reason"].split() for (_, plant), row in rated.items()}
    assert "novel" in said["strange test"] and "novel" in said["strange new"]
    assert all(rated[None, plant]["abstain"] for plant in ("strange test", "strange new"))
    assert rated[None, "strange test"]["novelty"] == pytest.approx(1 / 53)
    others = [reasons for (_, plant), row in rated.items() if row["split"] != "val" for reasons in [said[plant]]]
    assert len(others) == 12 and sum("novel" in reasons for reasons in others) == 2


def test_fewer_than_fifty_validation_maps_cannot_tell_a_novel_one_at_the_default(tmp_path: Path) -> None:
    store, (first, second) = Store(tmp_path), season()
    strange = Shown("strange", "test", 1, 1, pattern=3)
    dates = plant_season(store, [first, [*second, strange]])
    for least, is_novel in ((ScoreParams().least_novelty, False), (0.025, True)):
        found = judge(store, dates, scoring=ScoreParams(least_novelty=least))
        row = by_plant(found.read(RELIABILITIES, 1))[None, "strange"]
        assert row["novelty"] == pytest.approx(1 / 41)
        assert ("novel" in row["abstain_reason"].split()) == is_novel


# Dates and classes out of the ordinary


def test_a_date_without_explained_images_is_an_empty_table(tmp_path: Path) -> None:
    store, dates = Store(tmp_path), season()
    planted = [
        plant(store, DAYS[0], dates[0]),
        plant(store, DAYS[1], [one for one in dates[1] if one.split == "train"]),
    ]
    found = judge(store, planted)
    assert set(map(len, found.read(RELIABILITIES, 1).values())) == {0}
    assert len(found.read(CROSSFIT)["row"]) == 20


def of_three_classes(images: list[Shown]) -> list[Shown]:
    """Images with labels and answers moved on together, so that what is right stays right."""
    return [
        replace(
            image, label=None if image.label is None else (image.label + i) % 3, predicted=(image.predicted + i) % 3
        )
        for i, image in enumerate(images)
    ]


def test_more_than_two_classes_are_rated_too(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = judge(store, plant_season(store, list(map(of_three_classes, season())), n_classes=3))
    assert found.read(CLUSTER_SCORES)["tp"] == [None] * 3
    assert found.read(CLUSTER_SCORES)["error_share"] == pytest.approx([2 / 16, 2 / 12, 1])
    assert all(0 < p < 1 for p in found.read(RELIABILITIES, 0)["combined_reliability"])
