"""The sensitivity sheet: cross-fitted figures of other choices, in which test images have no say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from storage.artifacts import Store
from storage.tables import CROSSFIT, SENSITIVITY
from storage.tables.parquet import Rows, read_table
from tasks.adjust.rules import AdjustParams
from tasks.cluster.params import Kernel
from tasks.score.sensitivity import measure_sensitivity, variants
from tests.support.planted_campaign import PARAMS, SIZE, Judged, Planted, Shown, fit, judge, plant_season, season

CHOICE = ("affinity", "scale", "n_clusters", "neighbours", "threshold")
FOUND = ("largest", "n_splinters", "stability", "n_swapped", "accuracy", "auroc", "problem")
FEW = PARAMS.model_copy(update={"n_seeds": 1})
PAPER, CONFIDENT = AdjustParams(rule="paper"), AdjustParams(least=6)


def sheet(store: Store, dates: list[Planted], adjust: AdjustParams = PAPER) -> Rows:
    refs = [d.saliency for d in dates], [d.predictions for d in dates]
    clusters = fit(store, dates, FEW)
    made = measure_sensitivity.fn(str(store.root), "gradcam", FEW, adjust, SIZE, clusters, *refs)
    return read_table(store.open(made), SENSITIVITY)


def rows_of(table: Rows) -> list[dict[str, Any]]:
    return [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    store = Store(tmp_path_factory.mktemp("store"))
    return judge(store, plant_season(store, season()), FEW)


@pytest.fixture(scope="module")
def rows(planted: Judged) -> list[dict[str, Any]]:
    return rows_of(sheet(planted.store, planted.dates))


def test_each_row_differs_from_the_campaigns_choice_in_one_thing(rows: list[dict[str, Any]]) -> None:
    used, *others = rows
    assert [used[name] for name in CHOICE] == ["sigma", 0.2, 3, 3, 0.75]
    assert used["is_used"] and not any(row["is_used"] for row in others)
    for row in others:
        kernel = (row["affinity"], row["scale"]) != ("sigma", 0.2)
        assert kernel + sum(row[name] != used[name] for name in CHOICE[2:]) == 1
    assert len({tuple(row[name] for name in CHOICE) for row in rows}) == len(rows) == 1 + 9 + 5 + 3 + 2


def test_a_choice_among_the_variants_is_not_repeated() -> None:
    found = variants(FEW, Kernel("sigma", 0.2), PAPER)
    assert found[0] == (FEW, Kernel("sigma", 0.2), PAPER) and found.count(found[0]) == 1


def test_the_used_row_swaps_by_the_campaigns_rule(planted: Judged) -> None:
    """Under `confident`: the planted cluster as a whole, and in every fold what its other images say beyond chance."""
    used, *others = rows_of(sheet(planted.store, planted.dates, CONFIDENT))
    table, counts = planted.read(CROSSFIT), planted.store.open(planted.crossfit).read_json("folds.json")
    correct, names = 0, ("fold", "cluster", "label", "predicted")
    for fold, cluster, label, predicted in zip(*(table[k] for k in names), strict=True):
        n, p = (counts[str(fold)][name] for name in ("n", "p_value"))
        least = round(6 * sum(n) / 40)
        is_swapped = n[cluster - 1] >= least and sum(one >= least for one in n) * p[cluster - 1] <= 0.05
        correct += (label == predicted) != is_swapped
    assert used["n_swapped"] == 1 and used["accuracy"] == pytest.approx(correct / len(table["fold"]))
    assert {row["threshold"] for row in (used, *others)} == {None} and len(others) == 9 + 5 + 3


def test_the_used_row_is_what_cross_fitting_says(planted: Judged, rows: list[dict[str, Any]]) -> None:
    table = planted.read(CROSSFIT)
    is_wrong = np.asarray(table["label"]) != np.asarray(table["predicted"])
    share = np.asarray(table["error_share"])
    assert rows[0]["accuracy"] == pytest.approx((is_wrong == (share > 0.75)).mean())
    assert rows[0]["auroc"] == pytest.approx(roc_auc_score(is_wrong, share))
    assert (rows[0]["largest"], rows[0]["n_splinters"], rows[0]["n_swapped"]) == (16, 0, 1)
    assert rows[0]["problem"] == "" and rows[0]["accuracy"] > (~is_wrong).mean() + 0.2


def test_more_clusters_make_smaller_ones_and_a_high_threshold_swaps_no_more(rows: list[dict[str, Any]]) -> None:
    by_clusters = {row["n_clusters"]: row for row in rows if row["n_clusters"] != 3}
    assert sorted(by_clusters) == [4, 6, 8, 10, 12]
    assert by_clusters[12]["largest"] < by_clusters[4]["largest"] <= 16
    assert by_clusters[12]["n_splinters"] > 0
    swapped = {row["threshold"]: row["n_swapped"] for row in rows if row["n_clusters"] == 3 and row["scale"] == 0.2}
    assert sorted(swapped) == [0.6, 0.75, 0.9] and swapped[0.6] >= swapped[0.75] >= swapped[0.9]


def test_test_images_have_no_say(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    def other(image: Shown) -> Shown:
        moved = {"pattern": 3, "predicted": 1 - image.predicted}
        return image if image.split == "val" else replace(image, **moved)

    store = Store(tmp_path)
    found = rows_of(sheet(store, plant_season(store, [list(map(other, images)) for images in season()])))
    assert [[row[name] for name in (*CHOICE, *FOUND)] for row in found] == [
        [row[name] for name in (*CHOICE, *FOUND)] for row in rows
    ]


def test_choices_without_clusters_say_why(tmp_path: Path) -> None:
    store = Store(tmp_path)
    images = [Shown(f"p{i}", "val", i % 2, 1, pattern=i % 3) for i in range(9)]
    found = rows_of(sheet(store, plant_season(store, [images[:4], images[4:]])))
    too_many = [row for row in found if row["n_clusters"] > 9]
    assert [row["n_clusters"] for row in too_many] == [10, 12]
    for row in too_many:
        assert row["problem"] == f"9 saliency maps show only 9 different patterns, for {row['n_clusters']} clusters"
        assert [row[name] for name in FOUND[:-1]] == [None] * 6
    assert all(row["accuracy"] is not None for row in found if row["n_clusters"] < 9)


def test_without_an_error_there_is_no_auroc(tmp_path: Path) -> None:
    store = Store(tmp_path)
    right = [[replace(o, predicted=o.label or 0) for o in images] for images in season()]
    found = rows_of(sheet(store, plant_season(store, right)))
    assert {row["auroc"] for row in found} == {None} and {row["accuracy"] for row in found} == {1.0}
    assert {row["n_swapped"] for row in found} == {0}


def test_three_classes_are_never_swapped(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = rows_of(
        sheet(store, plant_season(store, season(), n_classes=3), adjust=AdjustParams(rule="paper", threshold=0.6))
    )
    assert {row["n_swapped"] for row in found} == {0} and {row["accuracy"] for row in found} == {24 / 40}
