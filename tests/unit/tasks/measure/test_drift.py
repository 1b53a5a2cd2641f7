"""Test drift against slow formulas: all sets of clusters, all permutations, all orders of distances."""

from datetime import date
from fractions import Fraction
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from storage.arrays.specs import LABELS
from storage.arrays.zarr_files import write_array
from storage.artifacts import ArtifactRef, Recipe, Store
from storage.tables import ASSIGNMENTS, DRIFT
from storage.tables.parquet import read_table, rows_to_columns, write_table
from tasks.cluster.nearest import conformal_p
from tasks.measure.drift import (
    DriftParams,
    cluster_counts,
    compare,
    drift_recipe,
    drift_rows,
    judge_drift,
    measure_drift,
    natural_shift,
    novel_share,
    shift_p_value,
    total_variation,
)

PARAMS = DriftParams()
Lot = st.lists(st.integers(1, 5), min_size=1, max_size=20)
SmallLot = st.lists(st.integers(1, 3), min_size=1, max_size=5)


def distance(first: list[int], second: list[int]) -> float:
    return float(total_variation(cluster_counts(first, 5), cluster_counts(second, 5)))


def largest_difference(first: list[int], second: list[int]) -> Fraction:
    """Return the total variation distance by its definition: the largest difference in share of any set of clusters."""
    sets = [set(some) for size in range(6) for some in combinations(range(1, 6), size)]
    shares = [[Fraction(sum(c in some for c in lot), len(lot)) for lot in (first, second)] for some in sets]
    return max(abs(a - b) for a, b in shares)


def exact_p_value(first: list[int], second: list[int]) -> float:
    """Return the share of all choices of the first set's images that are at least as far from the rest."""
    together, observed = first + second, largest_difference(first, second)
    found = [
        largest_difference([together[i] for i in chosen], [c for i, c in enumerate(together) if i not in chosen])
        >= observed
        for chosen in combinations(range(len(together)), len(first))
    ]
    return sum(found) / len(found)


def test_shares_by_hand() -> None:
    """5 and 5 of 10 against 1 and 3 of 4: half of |.5 - .25| twice."""
    assert distance([1] * 5 + [2] * 5, [1, 2, 2, 2]) == 0.25
    assert distance([1, 1], [3, 4, 4]) == 1
    assert distance([1, 2, 2], [1, 2, 2] * 7) == 0


@given(Lot, Lot)
def test_the_distance_is_the_largest_difference_of_any_set(first: list[int], second: list[int]) -> None:
    assert distance(first, second) == pytest.approx(float(largest_difference(first, second)), abs=1e-12)


@given(Lot, Lot, Lot)
def test_the_distance_is_one(first: list[int], second: list[int], third: list[int]) -> None:
    assert 0 <= distance(first, second) <= 1
    assert distance(first, second) == distance(second, first)
    assert distance(first, third) <= distance(first, second) + distance(second, third) + 1e-12


@given(Lot, Lot, st.permutations(range(1, 6)), st.integers(1, 4))
def test_names_and_number_of_images_do_not_matter(
    first: list[int], second: list[int], names: list[int], times: int
) -> None:
    renamed, other = ([names[c - 1] for c in lot] for lot in (first * times, second))
    assert distance(renamed, other) == pytest.approx(distance(first, second), abs=1e-12)


def test_empty_lots_and_clusters_are_no_shift() -> None:
    some, none = cluster_counts([1, 3], 3), cluster_counts([], 3)
    for pair in ((some, none), (none, some), (none, none)):
        assert float(total_variation(*pair)) == 0 and shift_p_value(*pair) == 1
    assert cluster_counts([], 0).tolist() == [] and some.tolist() == [1, 0, 1]
    assert float(total_variation(cluster_counts([], 0), cluster_counts([], 0))) == 0


@settings(deadline=None)  # 10,000 permutations each
@given(SmallLot, SmallLot)
def test_the_p_value_is_that_of_all_permutations(first: list[int], second: list[int]) -> None:
    found = shift_p_value(cluster_counts(first, 3), cluster_counts(second, 3))
    assert found == pytest.approx(exact_p_value(first, second), abs=0.025)  # five standard errors
    assert 0 < found <= 1


def test_the_p_value_is_the_same_every_time() -> None:
    counts, others = np.asarray([30, 3, 0, 1]), np.asarray([90, 60, 40, 10])
    assert shift_p_value(counts, others) == shift_p_value(counts, others) == 1e-4


def test_without_drift_few_shifts_look_significant() -> None:
    """With draws from the same clusters, p-values are under 0.05 as often as chance allows (4 standard errors)."""
    random, shares = np.random.default_rng(3), [0.6, 0.25, 0.1, 0.05]
    draws = [(random.multinomial(40, shares), random.multinomial(150, shares)) for _ in range(200)]
    n_significant = sum(shift_p_value(*draw) < 0.05 for draw in draws)
    assert n_significant <= 200 * 0.05 + 4 * (200 * 0.05 * 0.95) ** 0.5


def slow_natural_shift(pairs: list[tuple[int, str]]) -> float:
    shifts = [Fraction(0)]
    for day in {day for _, day in pairs}:
        own, rest = [c for c, d in pairs if d == day], [c for c, d in pairs if d != day]
        if min(len(own), len(rest)) >= 20:
            shifts.append(largest_difference(own, rest))
    return float(max(shifts))


@given(st.lists(st.lists(st.integers(1, 5), min_size=18, max_size=22), max_size=3))
def test_the_natural_shift_is_the_largest_of_one_date_from_the_others(lots: list[list[int]]) -> None:
    pairs = [(cluster, day) for day, lot in zip("abc", lots, strict=False) for cluster in lot]
    found = natural_shift([c for c, _ in pairs], [d for _, d in pairs])
    assert found == pytest.approx(slow_natural_shift(pairs), abs=1e-12)


def test_a_date_of_few_images_does_not_tell_how_dates_differ() -> None:
    assert natural_shift([1] * 20 + [2] * 19, ["a"] * 20 + ["b"] * 19) == 0
    assert natural_shift([1] * 20 + [2] * 20, ["a"] * 20 + ["b"] * 20) == 1
    assert natural_shift([1] * 20, ["a"] * 20) == natural_shift([], []) == 0


def chance_of_orders(n: int, m: int, n_novel: int) -> Fraction:
    """Return the share of orders of n validation distances and m new ones in which at least so many maps are novel.

    All C(n + m, m) ways to choose the ranks of the new ones are equally likely.
    """
    found = Fraction(0)
    for ranks in combinations(range(n + m), m):  # from the largest down
        is_new = [rank in ranks for rank in range(n + m)]
        above = [sum(not other for other in is_new[:rank]) for rank in ranks]
        found += sum(Fraction(1 + larger, n + 1) < Fraction(1, 20) for larger in above) >= n_novel
    return found / comb(n + m, m)


@pytest.mark.parametrize(("n", "m"), [(20, 3), (25, 3), (38, 2), (39, 2), (40, 2), (59, 2), (60, 2)])
def test_the_chance_of_novel_maps_is_that_of_all_orders(n: int, m: int) -> None:
    for n_novel in range(m + 1):
        share, chance = novel_share([1 / (n + 1)] * n_novel + [0.05] * (m - n_novel), n)
        assert share == n_novel / m
        assert chance == pytest.approx(float(chance_of_orders(n, m, n_novel)), rel=1e-9)


def slow_chance(n: int, m: int, n_novel: int) -> float:
    """Sum one exact term for each number of novel maps: C(m, j) B(k + j, n + 1 - k + m - j) / B(k, n + 1 - k)."""
    k = next(k for k in range(n, -1, -1) if Fraction(k, n + 1) < Fraction(1, 20))
    terms = (comb(k + j - 1, j) * comb(n - k + m - j, m - j) for j in range(n_novel, m + 1))
    return float(Fraction(sum(terms), comb(n + m, m)))


@settings(deadline=None)
@given(st.integers(20, 300), st.integers(1, 200), st.integers(0, 200))
def test_the_chance_of_novel_maps_is_a_sum_of_fractions(n: int, m: int, n_novel: int) -> None:
    n_novel = min(n_novel, m)
    chance = novel_share([0.0] * n_novel + [1.0] * (m - n_novel), n)[1]
    assert chance == pytest.approx(slow_chance(n, m, n_novel), rel=1e-6, abs=1e-12)


def test_many_novel_maps_at_once_are_not_many_surprises() -> None:
    share, chance = novel_share([0.01] * 61 + [0.5] * 339, 40)
    assert share == 61 / 400 and chance == pytest.approx(0.014, abs=5e-4)  # binomial: 1e-14
    assert novel_share([], 40) == novel_share([0.5], 0) == novel_share([1 / 20] * 9, 19) == (0, 1)


@pytest.mark.parametrize("n", [20, 39, 40, 110])
def test_without_drift_the_chance_is_right(n: int) -> None:
    """With distances from one distribution, the p-value is uniform within 4 standard errors."""
    random, m, n_draws = np.random.default_rng(2), 90, 4000
    known, new = random.normal(size=(n_draws, n)), random.normal(size=(n_draws, m))
    found = [novel_share(conformal_p(a, b), n)[1] for a, b in zip(new, known, strict=True)]
    for level in (0.01, 0.05, 0.2):
        reached = max((p for p in set(found) if p <= level), default=0.0)  # p-values of counts have steps
        share, error = np.mean(np.asarray(found) <= level), (level * (1 - level) / n_draws) ** 0.5
        assert share <= level + 4 * error
        assert share == pytest.approx(reached, abs=4 * error)


@pytest.mark.parametrize(
    ("measured", "natural", "reason"),
    [
        ((0.31, 0.001, 0.05, 0.5), 0.0, "clusters"),
        ((0.30, 0.001, 0.15, 0.001), 0.0, ""),  # a limit is not yet outside
        ((0.31, 0.01, 0.16, 0.01), 0.0, ""),  # may be chance
        ((0.31, 0.001, 0.05, 0.5), 0.35, ""),  # validation dates differ as much
        ((0.36, 0.001, 0.16, 0.001), 0.35, "clusters novelty"),
        ((0.10, 0.001, 0.16, 0.001), 0.0, "novelty"),
        ((0.0, 1.0, 0.0, 1.0), 0.0, ""),
    ],
)
def test_the_rule(measured: tuple[float, float, float, float], natural: float, reason: str) -> None:
    names = ("share_shift", "share_shift_p", "novel_share", "novel_share_p")
    assert judge_drift(dict(zip(names, measured, strict=True)), natural, PARAMS) == reason


def test_one_image_is_judged_by_what_its_kind_is_worth() -> None:
    """One image is in a cluster with a fifth of validation: 21 of 101 images are as far from the others."""
    found = compare([2], [0.0], [1] * 80 + [2] * 20, 0.0, PARAMS)
    assert (found["n"], found["share_shift"], found["novel_share"], found["is_outside"]) == (1, 0.8, 1, False)
    assert found["share_shift_p"] == pytest.approx(21 / 101, abs=0.02)
    assert found["novel_share_p"] == pytest.approx(5 / 101)  # novel if fewer than 5 of 100 are at least as far


def assignments(*lots: tuple[str, list[int], float]) -> dict[str, list[Any]]:
    """Make columns of the table `assignments` from split, clusters and novelty of some sets of images."""
    images = [(split, cluster, novelty) for split, clusters, novelty in lots for cluster in clusters]
    rows = [
        {
            "plant_id": f"p{i}",
            "split": split,
            "row": i,
            "method": "gradcam",
            "cluster": cluster,
            "neighbour_agreement": 1.0,
            "nearest_map_reliability": 0.5,
            "novelty": novelty,
            "is_flat_map": False,
            "explained_class": "predicted",
            "classifier": "c0",
            "clusters": "k0",
        }
        for i, (split, cluster, novelty) in enumerate(images)
    ]
    return rows_to_columns(ASSIGNMENTS, rows)


def test_only_unseen_splits_are_compared_each_with_all_of_validation() -> None:
    labels = [1] * 60 + [2] * 30 + [3] * 10
    table = assignments(("new", [3] * 40, 0.5), ("val", [2] * 20, 0.01), ("test", [1] * 24 + [2] * 12 + [3] * 4, 0.01))
    test, new = drift_rows(table, np.asarray(labels), 0.1, PARAMS)
    assert (test["split"], test["n"], test["share_shift"], test["reason"]) == ("test", 40, 0, "novelty")
    assert (new["split"], new["n"], new["reason"]) == ("new", 40, "clusters")
    assert new["share_shift"] == pytest.approx(0.9) and new["novel_share"] == 0 and new["novel_share_p"] == 1
    marks = ("method", "explained_class", "classifier", "clusters")
    assert [new[name] for name in marks] == ["gradcam", "predicted", "c0", "k0"]
    shuffled = np.random.default_rng(0).permutation(len(table["row"]))
    assert drift_rows({k: [v[i] for i in shuffled] for k, v in table.items()}, labels, 0.1, PARAMS) == [test, new]


def test_a_cluster_that_validation_never_had_counts() -> None:
    assert compare([4, 4, 4], [0.5] * 3, [1, 2, 1], 0.0, PARAMS)["share_shift"] == 1


@pytest.mark.parametrize(
    "field", [{"max_shift": 1.1}, {"max_novel_share": 0.04}, {"significance": 0.0}, {"threshold": 0.5}]
)
def test_parameters_without_meaning_are_refused(field: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        DriftParams.model_validate(field)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def stored(store: Store, table: dict[str, list[Any]]) -> tuple[ArtifactRef, ArtifactRef]:
    """Store clusters of two validation dates of 40 and 20 maps, and a date's assignments."""
    clusters, assigned = Recipe("clusters", 1), Recipe("assignments", 1, {"n": len(table["row"])})
    with store.create(clusters) as draft:
        write_array(draft, LABELS, np.asarray([1] * 30 + [2] * 10 + [1] * 10 + [2] * 10))
        draft.write_json("members.json", [["2021-08-23", list(range(40))], ["2021-09-03", list(range(20))]])
    with store.create(assigned) as draft:
        write_table(draft, ASSIGNMENTS, table)
    return clusters.ref, assigned.ref


def test_a_date_is_measured(store: Store) -> None:
    refs = stored(store, assignments(("test", [2] * 30, 0.02), ("val", [1] * 9, 0.5)))
    made = measure_drift.fn(str(store.root), date(2021, 9, 3), "gradcam", PARAMS, *refs)
    assert made == drift_recipe(PARAMS, *refs).ref
    found = store.open(made)
    assert found.summary == {"date": "2021-09-03", "natural_shift": 0.25, "n_outside": 1, "outside": ["test"]}
    table = read_table(found, DRIFT)
    assert table["split"] == ["test"] and table["reason"] == ["clusters novelty"]
    assert table["share_shift"] == [pytest.approx(2 / 3)]


@pytest.mark.parametrize("table", [assignments(), assignments(("val", [1, 2], 0.5))])
def test_a_date_without_unseen_plants_has_an_empty_table(store: Store, table: dict[str, list[Any]]) -> None:
    refs = stored(store, table)
    made = store.open(measure_drift.fn(str(store.root), date(2021, 9, 3), "gradcam", PARAMS, *refs))
    assert read_table(made, DRIFT)["split"] == []
    assert made.summary["n_outside"] == 0 and made.summary["outside"] == []
