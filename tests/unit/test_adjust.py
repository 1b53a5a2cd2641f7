"""Swapped answers and what they change, worked by hand and against scikit-learn."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from tasks.adjust import AdjustParams, accuracies, adjust, metric_rows


def test_only_answers_above_the_threshold_are_swapped() -> None:
    predicted = np.asarray([0, 1, 0, 1, 0, 1])
    error_share = np.asarray([0.0, 0.5, 0.75, 0.75, np.nextafter(0.75, 1), 1.0])
    assert adjust(predicted, error_share, 0.75, 2).tolist() == [0, 1, 0, 1, 1, 0]


@pytest.mark.parametrize(("n_wrong", "n"), [(3, 4), (15, 20), (30, 40), (147, 196)])
def test_a_cluster_exactly_at_the_threshold_is_not_swapped(n_wrong: int, n: int) -> None:
    assert adjust(np.asarray([1]), np.asarray([n_wrong / n]), 0.75, 2).tolist() == [1]
    assert adjust(np.asarray([1]), np.asarray([(n_wrong + 1) / n]), 0.75, 2).tolist() == [0]


Answers = st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), max_size=30)


@given(Answers, st.floats(0.5, 1))
def test_swapping_twice_changes_nothing(answers: list[tuple[int, float]], threshold: float) -> None:
    predicted = np.asarray([answer for answer, _ in answers], np.int64)
    share = np.asarray([s for _, s in answers], np.float64)
    once = adjust(predicted, share, threshold, 2)
    assert np.array_equal(adjust(once, share, threshold, 2), predicted)
    assert np.array_equal(once != predicted, share > threshold)


def test_with_more_than_two_classes_nothing_is_swapped() -> None:
    predicted = np.asarray([0, 1, 2])
    assert adjust(predicted, np.ones(3), 0.5, 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize("threshold", [0.49, 1.01])
def test_a_threshold_that_would_swap_right_answers_is_refused(threshold: float) -> None:
    with pytest.raises(ValidationError, match="threshold"):
        AdjustParams(threshold=threshold)


def answers_of(confusion: list[list[int]]) -> tuple[list[int], list[int]]:
    """Labels and answers with these counts by (true, predicted) class."""
    pairs = [(t, p) for t, row in enumerate(confusion) for p, count in enumerate(row) for _ in range(count)]
    return [t for t, _ in pairs], [p for _, p in pairs]


@pytest.mark.parametrize(
    ("confusion", "n_correct", "n", "percent"),
    [
        ([[95, 9], [10, 82]], 177, 196, 90.31),  # the paper's validation set after adjustment
        ([[90, 12], [11, 81]], 171, 194, 88.14),  # and its test set
    ],
)
def test_the_papers_accuracies(confusion: list[list[int]], n_correct: int, n: int, percent: float) -> None:
    found = accuracies(*answers_of(confusion), 2)
    assert (found["n_correct"], found["n"]) == (n_correct, n)
    assert round(100 * found["overall_accuracy"], 2) == percent
    assert found["confusion"] == [count for row in confusion for count in row]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40))
def test_accuracies_are_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    labels, answers = [t for t, _ in pairs], [p for _, p in pairs]
    found = accuracies(labels, answers, 3)
    assert found["overall_accuracy"] == pytest.approx(accuracy_score(labels, answers))
    with warnings.catch_warnings():
        # scikit-learn's remark that some answers are of a class without labels: it leaves that class out too.
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true", UserWarning)
        warnings.filterwarnings("ignore", "A single label was found", UserWarning)
        expected = balanced_accuracy_score(labels, answers)
    assert found["average_class_accuracy"] == pytest.approx(expected)


def test_average_class_accuracy_by_hand() -> None:
    found = accuracies([0, 0, 0, 0, 1], [0, 0, 0, 1, 0], 2)
    assert found["average_class_accuracy"] == pytest.approx((3 / 4 + 0) / 2)
    assert found["overall_accuracy"] == pytest.approx(3 / 5)


def adjusted_table(rows: list[tuple[str, int | None, int, int]]) -> dict[str, list[Any]]:
    """Columns of the table `adjusted` from split, label, predicted and adjusted class."""
    marks = {"method": "gradcam", "explained_class": "predicted", "classifier": "c0", "clusters": "k0"}
    columns: dict[str, list[Any]] = {name: [mark] * len(rows) for name, mark in marks.items()}
    for k, name in enumerate(("split", "label", "predicted", "adjusted")):
        columns[name] = [row[k] for row in rows]
    return columns


def test_every_split_with_labels_is_measured_before_and_after() -> None:
    table = adjusted_table(
        [
            ("test", 1, 0, 1),
            ("val", 0, 0, 0),
            ("val", 1, 0, 1),
            ("new", None, 0, 1),
            ("test", None, 1, 1),
            ("val", 1, 1, 1),
            ("test", 0, 0, 1),
        ]
    )
    rows = metric_rows(table, 2)
    shown = [(r["split"], r["state"], r["n_correct"], r["n"], r["confusion"], r["is_in_sample"]) for r in rows]
    assert shown == [
        ("val", "before", 2, 3, [1, 0, 1, 1], False),
        ("val", "after", 3, 3, [1, 0, 0, 2], True),
        ("test", "before", 1, 2, [1, 0, 1, 0], False),
        ("test", "after", 1, 2, [0, 1, 0, 1], False),
    ]
    assert all((r["method"], r["explained_class"], r["classifier"]) == ("gradcam", "predicted", "c0") for r in rows)


def test_without_labels_there_is_nothing_to_measure() -> None:
    assert metric_rows(adjusted_table([("new", None, 0, 1), ("test", None, 1, 1)]), 2) == []
    assert metric_rows(adjusted_table([]), 2) == []
