"""Error shares of clusters: the Wilson interval against its closed form, and counts worked by hand."""

from datetime import date
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from storage.artifacts import Recipe, Store
from storage.tables import (
    ASSIGNMENTS,
    CLUSTER_SCORES,
    RELIABILITIES,
    TableSpec,
    read_table,
    rows_to_columns,
    write_table,
)
from tasks.score import rate_images, score_cluster, validation_rows, wilson_interval


def closed_form(n_wrong: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson 1927, written out."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = n_wrong / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return centre - half, centre + half


@given(n=st.integers(1, 500), data=st.data(), confidence=st.sampled_from([0.6, 0.8, 0.9, 0.95, 0.99]))
def test_the_interval_is_wilsons(n: int, data: st.DataObject, confidence: float) -> None:
    n_wrong = data.draw(st.integers(0, n))
    lower, upper = wilson_interval(n_wrong, n, confidence)
    assert (lower, upper) == pytest.approx(closed_form(n_wrong, n, confidence), abs=1e-9)
    assert 0 <= lower <= n_wrong / n <= upper <= 1


def test_nineteen_of_twenty_wrong() -> None:
    assert wilson_interval(19, 20, 0.95) == pytest.approx((0.764, 0.991), abs=5e-4)


@given(n=st.integers(1, 60), data=st.data())
def test_right_and_wrong_mirror_each_other(n: int, data: st.DataObject) -> None:
    n_wrong = data.draw(st.integers(0, n))
    lower, upper = wilson_interval(n_wrong, n, 0.95)
    assert wilson_interval(n - n_wrong, n, 0.95) == pytest.approx((1 - upper, 1 - lower), abs=1e-9)


def test_a_cluster_worked_by_hand() -> None:
    labels = np.asarray([1, 1, 1, 0, 0, 0, 0, 1, 0, 1])
    predicted = np.asarray([1, 0, 0, 1, 1, 1, 0, 0, 0, 1])
    found = score_cluster(labels, predicted, 2, 0.95)
    assert {name: found[name] for name in ("n", "n_wrong", "tp", "tn", "fp", "fn")} == {
        "n": 10,
        "n_wrong": 6,
        "tp": 2,
        "tn": 2,
        "fp": 3,
        "fn": 3,
    }
    assert found["error_share"] == 0.6 and found["reliability"] == 0.4
    assert (found["error_share_lower"], found["error_share_upper"]) == pytest.approx(closed_form(6, 10, 0.95))


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=30))
def test_counts_are_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = np.asarray(pairs).T
    found = score_cluster(labels, predicted, 2, 0.95)
    (tn, fp), (fn, tp) = confusion_matrix(labels, predicted, labels=[0, 1]).tolist()
    assert (found["tn"], found["fp"], found["fn"], found["tp"]) == (tn, fp, fn, tp)
    assert found["n_wrong"] == fp + fn and found["n"] == tn + fp + fn + tp
    assert found["error_share"] + found["reliability"] == pytest.approx(1, abs=1e-15)


def test_with_more_than_two_classes_there_is_no_positive_one() -> None:
    found = score_cluster(np.asarray([0, 1, 2, 2]), np.asarray([0, 2, 2, 1]), 3, 0.95)
    assert [found[name] for name in ("tp", "tn", "fp", "fn")] == [None] * 4
    assert (found["n"], found["n_wrong"], found["error_share"]) == (4, 2, 0.5)


def test_only_labelled_validation_images_are_scored() -> None:
    assignments: dict[str, list[Any]] = {
        "row": [4, 0, 2, 3, 1],
        "cluster": [1, 2, 1, 3, 3],
        "split": ["val", "test", "val", "new", "val"],
    }
    predictions: dict[str, list[Any]] = {
        "row": [0, 1, 2, 3, 4, 5],
        "label": [1, 1, None, 0, 0, 1],
        "predicted": [0, 0, 1, 1, 1, 1],
    }
    assert validation_rows(assignments, predictions) == ([1, 3], [0, 1], [1, 0])


def test_a_date_without_validation_images_gives_nothing() -> None:
    assignments: dict[str, list[Any]] = {"row": [0], "cluster": [1], "split": ["test"]}
    predictions: dict[str, list[Any]] = {"row": [0], "label": [1], "predicted": [1]}
    assert validation_rows(assignments, predictions) == ([], [], [])


def test_images_inherit_their_clusters_scores(tmp_path: Path) -> None:
    store, marks = Store(tmp_path), {"explained_class": "predicted", "classifier": "c", "clusters": "k"}
    scores = [
        {
            "method": "lime",
            "cluster": c,
            **score_cluster(np.ones(4, np.int64), (np.arange(4) >= c).astype(np.int64), 2, 0.95),
            **marks,
        }
        for c in (1, 3)
    ]
    placed: list[dict[str, Any]] = [
        {
            "plant_id": f"p{row}",
            "split": "test",
            "row": row,
            "method": "lime",
            "cluster": c,
            "neighbour_agreement": 0.6,
            "is_flat_map": row == 1,
            **marks,
        }
        for row, c in enumerate((3, 1, 3))
    ]

    def table(spec: TableSpec, rows: list[dict[str, Any]]) -> Recipe:
        recipe = Recipe(spec.name, 1, {})
        with store.create(recipe) as draft:
            write_table(draft, spec, rows_to_columns(spec, rows))
        return recipe

    made = [table(CLUSTER_SCORES, scores).ref, table(ASSIGNMENTS, placed).ref]
    rated = read_table(store.open(rate_images.fn("x", date(2021, 8, 23), str(tmp_path), "lime", *made)), RELIABILITIES)
    assert rated["error_share"] == [0.75, 0.25, 0.75] and rated["reliability"] == [0.25, 0.75, 0.25]
    assert rated["plant_id"] == ["p0", "p1", "p2"] and rated["neighbour_agreement"] == [0.6] * 3
    assert rated["error_share_upper"][1] == scores[0]["error_share_upper"]
