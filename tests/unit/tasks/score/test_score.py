"""Error shares of clusters, counted by hand, with intervals and p-values of scipy and by plants."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix
from statsmodels.stats.proportion import proportion_confint

from storage.artifacts import Store
from storage.tables import CLUSTER_SCORES, RELIABILITIES
from tasks.score.score import score_cluster, validation_rows
from tests.support.planted_campaign import Judged, judge, of_three_classes, plant_season, season


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


def test_three_classes_are_scored_without_a_positive_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = judge(store, plant_season(store, list(map(of_three_classes, season())), n_classes=3))
    assert found.read(CLUSTER_SCORES)["tp"] == [None] * 3
    assert found.read(CLUSTER_SCORES)["error_share"] == pytest.approx([2 / 16, 2 / 12, 1])
