"""Test a date's answers after adjustment: they are swapped exactly in swapped clusters, in every split."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from storage.artifacts import Store
from storage.tables import ADJUSTED, RELIABILITIES, SWAPS
from storage.tables.parquet import read_table
from tasks.adjust.adjust import KEPT, adjust_predictions
from tests.support.planted_campaign import Judged, artifact_of, judge, plant_season, season

DAY = date(2021, 8, 23)


def adjusted(store: Store, rated: list[dict[str, Any]], swapped: dict[int, bool]) -> dict[str, list[Any]]:
    swaps = artifact_of(store, SWAPS, [{"cluster": c, "is_swapped": s} for c, s in swapped.items()])
    made = store.open(
        adjust_predictions.fn(str(store.root), DAY, "lime", swaps, artifact_of(store, RELIABILITIES, rated))
    )
    table = read_table(made, ADJUSTED)
    assert made.summary == {"n_swapped": sum(table["is_swapped"]), "n_images": len(rated)}
    return table


def test_answers_worked_by_hand(tmp_path: Path) -> None:
    rated = [
        {"plant_id": f"p{i}", "cluster": c, "predicted": answer, "split": split, "label": label}
        for i, (c, answer, split, label) in enumerate(
            [(1, 0, "val", 0), (2, 0, "val", 1), (2, 1, "test", 1), (3, 1, "new", None), (2, 1, "new", None)]
        )
    ]
    table = adjusted(Store(tmp_path), rated, {1: False, 2: True, 3: False})
    assert table["adjusted"] == [0, 1, 0, 1, 0]
    assert table["is_swapped"] == [False, True, True, False, True]
    assert table["predicted"] == [0, 0, 1, 1, 1] and table["label"] == [0, 1, 1, None, None]
    assert table["plant_id"] == ["p0", "p1", "p2", "p3", "p4"]


def test_without_swaps_more_classes_are_left_as_they_are(tmp_path: Path) -> None:
    rated = [{"cluster": c, "predicted": answer} for c, answer in ((1, 2), (2, 0), (1, 1))]
    assert adjusted(Store(tmp_path), rated, {1: False, 2: False})["adjusted"] == [2, 0, 1]


def test_a_date_without_explained_images_is_an_empty_table(tmp_path: Path) -> None:
    table = adjusted(Store(tmp_path), [], {1: True})
    assert set(map(len, table.values())) == {0} and len(table) == len(ADJUSTED.columns)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    store = Store(tmp_path_factory.mktemp("store"))
    return judge(store, plant_season(store, season()))


@pytest.mark.parametrize("day", [0, 1])
def test_a_planted_failure_is_turned_round_in_every_split(planted: Judged, day: int) -> None:
    table = planted.read(ADJUSTED, day)
    pattern = {f"p{i:02}": planted.dates[day].pattern[i] for i in range(len(planted.dates[day].pattern))}
    fails = [pattern[plant] == 2 for plant in table["plant_id"]]
    assert table["is_swapped"] == fails
    assert {split for split, f in zip(table["split"], fails, strict=True) if f} == {"val", "test", "new"}
    for label, predicted, answer, was_swapped in zip(
        *(table[name] for name in ("label", "predicted", "adjusted", "is_swapped")), strict=True
    ):
        assert answer == (1 - predicted if was_swapped else predicted)
        assert not was_swapped or label in (answer, None)


@pytest.mark.parametrize("day", [0, 1])
def test_everything_else_is_passed_on(planted: Judged, day: int) -> None:
    rated, table = planted.read(RELIABILITIES, day), planted.read(ADJUSTED, day)
    assert {name: table[name] for name in KEPT} == {name: rated[name] for name in KEPT}
