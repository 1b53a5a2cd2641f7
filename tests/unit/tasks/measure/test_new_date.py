"""The sums of a scored date, worked by hand."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from storage.artifacts import ArtifactRef, Recipe, Store
from storage.tables import ACQUISITIONS, ADJUSTED, DECIDED, DRIFT
from storage.tables.rows import rows_of
from tasks.measure.new_date import acquisition_row, sum_up_acquisition
from tests.support.planted_campaign import artifact_of

MARKS = {"method": "gradcam", "explained_class": "predicted", "classifier": "c0", "clusters": "k0"}
# Predicted class, adjusted class, answer, probability that the answer is right, label, and reasons to check.
IMAGES = [
    (1, 1, 1, 0.9, 1, ""),
    (1, 0, 0, 0.8, 0, ""),
    (0, 0, 1, 0.6, 1, "unsure"),
    (0, 0, 0, 0.7, None, "novel"),
]
ADJUSTED_ROWS: list[dict[str, Any]] = [
    {**MARKS, "predicted": p, "adjusted": a, "is_swapped": p != a, "label": label} for p, a, _, _, label, _ in IMAGES
]
DECIDED_ROWS: list[dict[str, Any]] = [
    {
        **MARKS,
        "predicted": p,
        "answer": answer,
        "is_corrected": p != answer,
        "answer_reliability": right,
        "label": label,
        "check_reason": reason,
        "is_outside": False,
    }
    for p, _, answer, right, label, reason in IMAGES
]


def drift_row(split: str, reason: str) -> dict[str, Any]:
    return {**MARKS, "split": split, "reason": reason, "is_outside": bool(reason)}


def outside(is_outside: bool) -> list[dict[str, Any]]:
    return [{**row, "is_outside": is_outside} for row in DECIDED_ROWS]


def test_a_date_worked_by_hand() -> None:
    """The mean reliability is that of the answers given, of which two are not those of the classifier."""
    found = acquisition_row(ADJUSTED_ROWS, [drift_row("new", "")], DECIDED_ROWS)
    assert (found["n_explained"], found["n_check"], found["n_swapped"], found["n_corrected"]) == (4, 2, 1, 2)
    assert found["mean_reliability"] == pytest.approx((0.9 + 0.8 + 0.6 + 0.7) / 4)
    shares = [found[name] for name in ("accuracy_before", "accuracy_after", "accuracy_decided")]
    assert (found["n_labelled"], shares) == (3, pytest.approx([1 / 3, 2 / 3, 1]))
    assert (found["is_outside"], found["outside_reason"]) == (False, "")
    assert {name: found[name] for name in MARKS} == MARKS


def test_without_labels_there_is_no_accuracy() -> None:
    adjusted, decided = ([{**row, "label": None} for row in rows] for rows in (ADJUSTED_ROWS, DECIDED_ROWS))
    found = acquisition_row(adjusted, [], decided)
    names = ("accuracy_before", "accuracy_after", "accuracy_decided")
    assert found["n_labelled"] == 0 and [found[name] for name in names] == [None] * 3


@pytest.mark.parametrize(
    ("drift", "is_outside", "reason"),
    [
        ([], False, ""),
        (
            [drift_row("test", "clusters novelty"), drift_row("new", "novelty answers")],
            True,
            "clusters novelty answers",
        ),
        ([drift_row("test", "")], True, "share"),  # by the share of ready plants alone
    ],
)
def test_a_date_is_outside_by_its_maps_and_answers_or_by_its_share(
    drift: list[dict[str, Any]], is_outside: bool, reason: str
) -> None:
    found = acquisition_row(ADJUSTED_ROWS, drift, outside(is_outside))
    assert (found["is_outside"], found["outside_reason"]) == (is_outside, reason)


def test_every_method_has_a_row(tmp_path: Path) -> None:
    store = Store(tmp_path)
    images = Recipe("images", 1)
    with store.create(images) as draft:
        draft.summary = {"n_images": 9, "rejected": {"dark": 2, "blurred": 1}}

    def stored(method: str) -> list[ArtifactRef]:
        """Store the date's tables for a saliency method."""
        tables = ((ADJUSTED, ADJUSTED_ROWS), (DRIFT, [drift_row("new", "")]), (DECIDED, DECIDED_ROWS))
        return [artifact_of(store, spec, [{**row, "method": method} for row in rows]) for spec, rows in tables]

    adjusted, drift, decided = map(list, zip(stored("gradcam"), stored("lime"), strict=True))
    made = sum_up_acquisition.fn(str(store.root), date(2021, 9, 10), images.ref, adjusted, drift, decided)
    rows = rows_of(store.open(made), ACQUISITIONS)
    assert [row["method"] for row in rows] == ["gradcam", "lime"]
    assert {(row["n_images"], row["n_rejected"], row["n_explained"], row["n_check"]) for row in rows} == {(9, 3, 4, 2)}
    assert store.open(made).summary == {"date": "2021-09-10", "n_images": 9, "n_rejected": 3}
    assert {(row["n_plants"], row["n_expected"]) for row in rows} == {(None, None)}


def test_plants_are_counted_where_they_are_known(tmp_path: Path) -> None:
    store, images = Store(tmp_path), Recipe("images", 1)
    with store.create(images) as draft:
        draft.summary = {"n_images": 4, "rejected": {}}
    tables = ((ADJUSTED, ADJUSTED_ROWS), (DRIFT, [drift_row("new", "")]), (DECIDED, DECIDED_ROWS))
    adjusted, drift, decided = ([artifact_of(store, spec, rows)] for spec, rows in tables)
    names: set[str] = set()
    known: tuple[dict[str, int | None], ...] = (
        {},
        {"n_plants": 4, "n_expected": 9},
        {"n_plants": 4, "n_expected": None},
    )
    for counts in known:
        day = date(2021, 9, 10)
        made = sum_up_acquisition.fn(str(store.root), day, images.ref, adjusted, drift, decided, **counts)
        (row,) = rows_of(store.open(made), ACQUISITIONS)
        assert (row["n_plants"], row["n_expected"]) == (counts.get("n_plants"), counts.get("n_expected"))
        assert counts.items() <= store.open(made).summary.items()
        names.add(made.digest)
    assert len(names) == 3
