"""Test the decision on every cluster, from scores and cross-fitted judgements in a real store."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from storage.arrays.specs import ADJUSTED_WITHOUT_FOLD
from storage.arrays.zarr_files import read_array
from storage.artifacts import ArtifactRef, Recipe, Store
from storage.tables import CLUSTER_SCORES, CROSSFIT, SWAPS
from storage.tables.parquet import read_table
from tasks.adjust.decide import decide_swaps
from tasks.adjust.rules import AdjustParams
from tests.support.planted_campaign import Judged, artifact_of, judge, plant_season, season, write_rows

PAPER, CONFIDENT = AdjustParams(rule="paper"), AdjustParams(rule="confident")
Counts = list[tuple[int, int]]


def coin(n: int, n_wrong: int) -> float:
    """Return the p-value of one image a plant."""
    return float(binomtest(n_wrong, n, alternative="greater").pvalue)


def scores(store: Store, counts: Counts, n_classes: int = 2) -> ArtifactRef:
    pairs = dict.fromkeys(("tp", "tn", "fp", "fn"), 0 if n_classes == 2 else None)
    rows = [
        {"cluster": c, "n": n, "n_wrong": w, "error_share": w / n, "p_value": coin(n, w), **pairs}
        for c, (n, w) in enumerate(counts, 1)
    ]
    return artifact_of(store, CLUSTER_SCORES, rows)


def judged(store: Store, rows: list[dict[str, Any]], folds: dict[str, Counts]) -> ArtifactRef:
    """Return cross-fitted rows, and (n, n_wrong) of the clusters outside each fold."""
    recipe = Recipe("crossfit", 1, {"rows": rows, "folds": {fold: [list(c) for c in q] for fold, q in folds.items()}})
    with store.create(recipe) as draft:
        write_rows(draft, CROSSFIT, rows)
        counts = {
            fold: {"n": [n for n, _ in q], "n_wrong": [w for _, w in q], "p_value": [coin(*one) for one in q]}
            for fold, q in folds.items()
        }
        draft.write_json("folds.json", counts)
    return recipe.ref


def answers(fold: int, cluster: int, n_right: int, n_wrong: int) -> list[dict[str, Any]]:
    one = {"fold": fold, "cluster": cluster, "predicted": 1}
    return [{**one, "label": 1}] * n_right + [{**one, "label": 0}] * n_wrong


def decided(
    store: Store, params: AdjustParams, scored: ArtifactRef, judged: ArtifactRef
) -> tuple[dict[str, list[Any]], list[int], int]:
    ref = decide_swaps.fn(str(store.root), "gradcam", params, scored, judged)
    made = store.open(ref)
    return read_table(made, SWAPS), read_array(made, ADJUSTED_WITHOUT_FOLD).tolist(), made.summary["n_swapped"]


CLUSTERS: Counts = [(40, 4), (16, 14)]
HELPS = [*answers(1, 1, 10, 1), *answers(1, 2, 1, 6), *answers(2, 1, 10, 1), *answers(2, 2, 1, 8)]
# The failing cluster here is no cluster of the other folds, so their clusters swap right answers.
HARMS = [*answers(1, 1, 10, 7), *answers(1, 2, 6, 1), *answers(2, 1, 10, 1), *answers(2, 2, 1, 5)]
FOLDS = {"1": [(20, 2), (12, 12)], "2": [(20, 2), (12, 11)]}


@pytest.mark.parametrize("params", [PAPER, CONFIDENT], ids=["paper", "confident"])
def test_a_failing_cluster_is_swapped_by_either_rule(tmp_path: Path, params: AdjustParams) -> None:
    store = Store(tmp_path)
    table, adjusted, n_swapped = decided(store, params, scores(store, CLUSTERS), judged(store, HELPS, FOLDS))
    assert (table["is_swapped"], n_swapped) == ([False, True], 1)
    assert table["rule"] == [params.rule] * 2 and table["n_wrong"] == [4, 14]
    assert table["p_value"][1] == pytest.approx((1 + 16 + 120) / 2**16)
    assert table["p_holm"][1] == pytest.approx(2 * table["p_value"][1])
    assert adjusted == [0 if row["cluster"] == 2 else 1 for row in HELPS]


def test_every_cluster_is_decided_by_itself(tmp_path: Path) -> None:
    """That folds swap right answers, because they lack the failing cluster, is no reason to keep wrong ones."""
    store = Store(tmp_path)
    table, adjusted, n_swapped = decided(store, CONFIDENT, scores(store, CLUSTERS), judged(store, HARMS, FOLDS))
    assert (table["is_swapped"], n_swapped) == ([False, True], 1)
    assert table["reason"][1] == "wrong in more than half beyond chance"
    assert adjusted == [0 if row["cluster"] == 2 else 1 for row in HARMS]


@pytest.mark.parametrize(("params", "is_swapped"), [(PAPER, True), (CONFIDENT, False)], ids=["paper", "confident"])
def test_a_small_cluster_is_swapped_by_the_papers_rule_with_a_warning(
    tmp_path: Path, params: AdjustParams, is_swapped: bool
) -> None:
    store = Store(tmp_path)
    ref = decide_swaps.fn(
        str(store.root), "gradcam", params, scores(store, [(40, 4), (4, 4)]), judged(store, HELPS, FOLDS)
    )
    made = store.open(ref)
    assert read_table(made, SWAPS)["is_swapped"] == [False, is_swapped]
    assert len(made.summary["warnings"]) == is_swapped and all("2 (n = 4)" in one for one in made.summary["warnings"])
    assert "fewer than 10 validation images" in read_table(made, SWAPS)["reason"][1]


def test_folds_may_swap_what_the_whole_does_not(tmp_path: Path) -> None:
    store = Store(tmp_path)
    table, adjusted, _ = decided(store, PAPER, scores(store, [(40, 4), (16, 12)]), judged(store, HELPS, FOLDS))
    assert table["is_swapped"] == [False, False]
    assert adjusted == [0 if row["cluster"] == 2 else 1 for row in HELPS]


@pytest.mark.parametrize("params", [PAPER, CONFIDENT], ids=["paper", "confident"])
def test_three_classes_are_never_swapped(tmp_path: Path, params: AdjustParams) -> None:
    store = Store(tmp_path)
    rows = [{**row, "predicted": 2} for row in HELPS]
    table, adjusted, n_swapped = decided(store, params, scores(store, CLUSTERS, 3), judged(store, rows, FOLDS))
    assert (table["is_swapped"], n_swapped, adjusted) == ([False, False], 0, [2] * len(rows))
    assert table["reason"] == ["no swap exists with more than two classes"] * 2


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    store = Store(tmp_path_factory.mktemp("store"))
    return judge(store, plant_season(store, season()), rules=PAPER)


def test_a_planted_failure_is_found(planted: Judged) -> None:
    table, rows = planted.read(SWAPS), planted.read(CROSSFIT)
    assert table["is_swapped"] == [False, False, True] and (table["n"][2], table["n_wrong"][2]) == (12, 12)
    adjusted = read_array(planted.store.open(planted.swaps), ADJUSTED_WITHOUT_FOLD)
    label, predicted = np.asarray(rows["label"]), np.asarray(rows["predicted"])
    assert ((label != predicted).sum(), (label != adjusted).sum()) == (16, 4)  # the errors of other patterns stay


def test_other_parameters_make_another_artefact(planted: Judged) -> None:
    inputs = str(planted.store.root), "gradcam"
    again = decide_swaps.fn(*inputs, PAPER, planted.scores, planted.crossfit)
    other = decide_swaps.fn(*inputs, AdjustParams(rule="paper", threshold=0.9), planted.scores, planted.crossfit)
    assert again == planted.swaps != other
    assert replace(planted, swaps=other).read(SWAPS)["is_swapped"] == [False, False, True]
