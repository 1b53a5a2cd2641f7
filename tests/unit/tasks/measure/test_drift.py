"""Test drift against slow formulas: all orders of distances, and cases worked by hand."""

from datetime import date, timedelta
from fractions import Fraction
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from storage.arrays.specs import VOTES
from storage.arrays.zarr_files import write_array
from storage.artifacts import ArtifactRef, Recipe, Store
from storage.tables import ASSIGNMENTS, CROSSFIT, DRIFT, PREDICTIONS
from storage.tables.parquet import read_table, rows_to_columns, write_table
from tasks.measure.drift import (
    DriftParams,
    Validated,
    compare,
    drift_recipe,
    drift_rows,
    judge_drift,
    measure_drift,
    natural_shifts,
    novel_share,
)
from tests.support.planted_campaign import write_rows

PARAMS = DriftParams()
NATURAL = {"share_shift": 0.1, "answer_shift": 0.1}


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
        share, chance = novel_share([1 / (n + 1)] * n_novel + [0.05] * (m - n_novel), n, n)
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
    chance = novel_share([0.0] * n_novel + [1.0] * (m - n_novel), n, n)[1]
    assert chance == pytest.approx(slow_chance(n, m, n_novel), rel=1e-6, abs=1e-12)


def test_many_novel_maps_at_once_are_not_many_surprises() -> None:
    share, chance = novel_share([0.01] * 61 + [0.5] * 339, 40, 40)
    assert share == 61 / 400 and chance == pytest.approx(0.014, abs=5e-4)  # binomial: 1e-14
    assert novel_share([], 40, 40) == novel_share([0.5], 0, 0) == novel_share([1 / 20] * 9, 19, 19) == (0, 1)


def conformal(new: NDArray[np.float64], known: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of known distances that are at least as large, with the new one among them."""
    return (1 + (known[None] >= new[:, None]).sum(axis=1)) / (1 + len(known))


@pytest.mark.parametrize("n", [20, 39, 40, 110])
def test_without_drift_the_chance_is_right(n: int) -> None:
    """With distances from one distribution, the p-value is uniform within 4 standard errors."""
    random, m, n_draws = np.random.default_rng(2), 90, 2000
    known, new = random.normal(size=(n_draws, n)), random.normal(size=(n_draws, m))
    found = [novel_share(conformal(a, b), n, n)[1] for a, b in zip(new, known, strict=True)]
    for level in (0.01, 0.05, 0.2):
        reached = max((p for p in set(found) if p <= level), default=0.0)  # p-values of counts have steps
        share, error = np.mean(np.asarray(found) <= level), (level * (1 - level) / n_draws) ** 0.5
        assert share <= level + 4 * error
        assert share == pytest.approx(reached, abs=4 * error)


@pytest.mark.parametrize("same", [0.0, 0.5, 1.0])
def test_several_maps_of_a_plant_do_not_make_chance_look_like_drift(same: float) -> None:
    """Three distances of each of 50 plants, with correlation `same`: under a level at most as often as that.

    Counted as 150 plants, 0.14 are under 0.05 at `same` 1.
    """
    random, n_draws = np.random.default_rng(6), 1000
    found: list[float] = []
    for _ in range(n_draws):
        known = same**0.5 * random.normal(size=(50, 1)) + (1 - same) ** 0.5 * random.normal(size=(50, 3))
        found.append(novel_share(conformal(random.normal(size=90), known.ravel()), 150, 50)[1])
    for level in (0.01, 0.05, 0.2):
        error = (level * (1 - level) / n_draws) ** 0.5
        assert np.mean(np.asarray(found) <= level) <= level + 4 * error


@pytest.mark.parametrize(
    ("measured", "natural", "reason"),
    [
        ((0.31, 0.001, 0.05, 0.5, 0.1, 0.001), 0.0, "clusters"),
        ((0.30, 0.001, 0.15, 0.001, 0.3, 0.001), 0.0, ""),  # a limit is not yet outside
        ((0.31, 0.01, 0.16, 0.01, 0.31, 0.01), 0.0, ""),  # may be chance
        ((0.31, 0.001, 0.05, 0.5, 0.31, 0.001), 0.35, ""),  # validation dates differ as much
        ((0.36, 0.001, 0.16, 0.001, 0.36, 0.001), 0.35, "clusters novelty answers"),
        ((0.10, 0.001, 0.16, 0.001, 0.0, 1.0), 0.0, "novelty"),
        ((0.10, 0.001, 0.05, 0.5, 0.31, 0.001), 0.0, "answers"),
        ((0.0, 1.0, 0.0, 1.0, 0.0, 1.0), 0.0, ""),
    ],
)
def test_the_rule(measured: tuple[float, ...], natural: float, reason: str) -> None:
    names = ("share_shift", "share_shift_p", "novel_share", "novel_share_p", "answer_shift", "answer_shift_p")
    excused = {"share_shift": natural, "answer_shift": natural}
    assert judge_drift(dict(zip(names, measured, strict=True)), excused, PARAMS) == reason


def validated(votes: list[int], answers: list[int] | None = None, per_plant: int = 1) -> Validated:
    """Validation images of one date for each image of a plant; all answers are 0 unless given."""
    n = len(votes)
    plants, dates = [f"v{i // per_plant}" for i in range(n)], [f"day {i % per_plant}" for i in range(n)]
    return Validated(np.asarray(votes), np.asarray(answers or [0] * n), plants, dates)


def test_one_image_is_judged_by_what_its_kind_is_worth() -> None:
    """One image is in a cluster with a fifth of validation: 21 of 101 images are as far from the others."""
    known = validated([1] * 80 + [2] * 20, [1] * 20 + [0] * 80)
    found = compare([2], [1], [0.0], known, {}, PARAMS)
    assert (found["n"], found["share_shift"], found["novel_share"], found["is_outside"]) == (1, 0.8, 1, False)
    assert found["answer_shift"] == 0.8
    assert found["share_shift_p"] == pytest.approx(21 / 101, abs=0.02)
    assert found["answer_shift_p"] == pytest.approx(21 / 101, abs=0.02)
    assert found["novel_share_p"] == pytest.approx(5 / 101)  # novel if fewer than 5 of 100 are at least as far


def test_validation_plants_count_once_whatever_their_images() -> None:
    """Ten plants with two images each in other clusters: half of each. The novelty knows ten plants, not twenty."""
    known = validated([1, 2] * 10, [0, 1] * 10, per_plant=2)
    found = compare([1, 1, 2, 2], [0, 1, 1, 1], [0.5] * 4, known, {}, PARAMS)
    assert found["share_shift"] == 0 and found["answer_shift"] == 0.25 and known.n_plants == 10


def test_shifts_between_validation_dates_are_of_votes_and_answers() -> None:
    """On the first of two dates all 25 plants are in cluster 1 and answered 0; on the second, 5 and 10 are not."""
    votes = [cluster for i in range(25) for cluster in (1, 2 if i < 5 else 1)]
    answers = [answer for i in range(25) for answer in (0, int(i < 10))]
    found = natural_shifts(validated(votes, answers, per_plant=2))
    assert found == {"share_shift": pytest.approx(0.2), "answer_shift": pytest.approx(0.4)}


def assignments(*lots: tuple[str, list[int], float], seen: str | None = None) -> dict[str, list[Any]]:
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
            "seen": seen,
            "explained_class": "predicted",
            "classifier": "c0",
            "clusters": "k0",
        }
        for i, (split, cluster, novelty) in enumerate(images)
    ]
    return rows_to_columns(ASSIGNMENTS, rows)


def answered(table: dict[str, list[Any]], *answers: int) -> dict[str, list[Any]]:
    """Add the answers to the columns of the table `assignments`; without answers, all are 0."""
    return {**table, "predicted": list(answers) or [0] * len(table["row"])}


def joined(*tables: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {name: [value for table in tables for value in table[name]] for name in tables[0]}


def test_only_unseen_splits_are_compared_each_with_all_of_validation() -> None:
    known = validated([1] * 60 + [2] * 30 + [3] * 10)
    table = answered(
        assignments(("new", [3] * 40, 0.5), ("val", [2] * 20, 0.01), ("test", [1] * 24 + [2] * 12 + [3] * 4, 0.01))
    )
    test, new = drift_rows(table, known, NATURAL, PARAMS)
    assert (test["split"], test["n"], test["reason"]) == ("test", 40, "novelty")
    assert test["share_shift"] == pytest.approx(0, abs=1e-12) and test["answer_shift"] == 0
    assert (new["split"], new["n"], new["reason"]) == ("new", 40, "clusters")
    assert new["share_shift"] == pytest.approx(0.9) and new["novel_share"] == 0 and new["novel_share_p"] == 1
    marks = ("method", "explained_class", "classifier", "clusters")
    assert [new[name] for name in marks] == ["gradcam", "predicted", "c0", "k0"]
    shuffled = np.random.default_rng(0).permutation(len(table["row"]))
    again = drift_rows({k: [v[i] for i in shuffled] for k, v in table.items()}, known, NATURAL, PARAMS)
    assert [{**row, "share_shift": 0} for row in again] == [{**row, "share_shift": 0} for row in (test, new)]


@pytest.mark.parametrize("seen", ["train", "val"])
def test_plants_that_the_fit_has_seen_are_left_out_and_counted(seen: str) -> None:
    known = validated([1] * 60 + [2] * 40)
    unseen, others = assignments(("new", [1] * 18 + [2] * 12, 0.5)), assignments(("new", [2] * 50, 0.01), seen=seen)
    (alone,) = drift_rows(answered(unseen), known, NATURAL, PARAMS)
    (both,) = drift_rows(answered(joined(others, unseen), *[1] * 50, *[0] * 30), known, NATURAL, PARAMS)
    assert (alone["n"], alone["n_seen"], both["n_seen"]) == (30, 0, 50)
    assert {**both, "n_seen": 0} == alone and not both["is_outside"]
    (only,) = drift_rows(answered(others), known, NATURAL, PARAMS)
    assert (only["n"], only["n_seen"], only["share_shift_p"], only["novel_share_p"], only["reason"]) == (
        0,
        50,
        1,
        1,
        "",
    )


def test_other_answers_are_outside_though_the_maps_are_not() -> None:
    """Validation answers `ready` for half the plants, the date for nine in ten."""
    known = validated([1] * 60 + [2] * 40, [0, 1] * 50)
    table = answered(assignments(("new", [1] * 24 + [2] * 16, 0.5)), *[1] * 36, *[0] * 4)
    (row,) = drift_rows(table, known, NATURAL, PARAMS)
    assert row["answer_shift"] == pytest.approx(0.4) and row["reason"] == "answers" and row["is_outside"]
    (excused,) = drift_rows(table, known, {**NATURAL, "answer_shift": 0.45}, PARAMS)
    assert not excused["is_outside"] and excused["answer_shift_p"] < 0.01


def test_a_cluster_that_validation_never_had_counts() -> None:
    assert compare([4, 4, 4], [0] * 3, [0.5] * 3, validated([1, 2, 1]), {}, PARAMS)["share_shift"] == 1


@pytest.mark.parametrize(
    "field",
    [
        {"max_shift": 1.1},
        {"max_answer_shift": -0.1},
        {"max_novel_share": 0.04},
        {"significance": 0.0},
        {"threshold": 0.5},
    ],
)
def test_parameters_without_meaning_are_refused(field: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        DriftParams.model_validate(field)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def stored(store: Store, table: dict[str, list[Any]], answer: int = 0) -> tuple[ArtifactRef, ArtifactRef, ArtifactRef]:
    """Store validation images of 40 plants, half of them on two dates, a date's assignments and its predictions."""
    first = date(2021, 8, 23)
    crossfit, assigned = Recipe("crossfit", 1), Recipe("assignments", 1, {"n": len(table["row"])})
    predicted = Recipe("predictions", 1, {"n": len(table["row"]), "answer": answer})
    images = [(i, first) for i in range(40)] + [(i, first + timedelta(days=11)) for i in range(20)]
    with store.create(crossfit) as draft:
        write_array(draft, VOTES, np.asarray([1] * 30 + [2] * 10 + [1] * 10 + [2] * 10))
        rows = [{"plant_id": f"v{i}", "acquired": day, "predicted": i % 2} for i, day in images]
        write_rows(draft, CROSSFIT, rows)
    with store.create(assigned) as draft:
        write_table(draft, ASSIGNMENTS, table)
    with store.create(predicted) as draft:
        rows = [
            {
                "row": row,
                "plant_id": plant,
                "split": "new",
                "predicted": answer,
                "probabilities": [0.5, 0.5],
                "label": None,
            }
            for row, plant in zip(table["row"], table["plant_id"], strict=True)
        ]
        write_table(draft, PREDICTIONS, rows_to_columns(PREDICTIONS, [{"classifier": "c0", **row} for row in rows]))
    return crossfit.ref, assigned.ref, predicted.ref


def test_a_date_is_measured(store: Store) -> None:
    """Ten of the plants with two votes have one in each cluster, so the mean shares are 25 and 15 of 40."""
    refs = stored(store, assignments(("test", [2] * 30, 0.02), ("val", [1] * 9, 0.5)), answer=1)
    made = measure_drift.fn(str(store.root), date(2021, 9, 3), "gradcam", PARAMS, *refs)
    assert made == drift_recipe(PARAMS, *refs).ref
    found = store.open(made)
    assert found.summary == {
        "date": "2021-09-03",
        "natural_shift": 0.25,
        "natural_answer_shift": 0,
        "n_seen": 0,
        "n_outside": 1,
        "outside": ["test"],
    }
    table = read_table(found, DRIFT)
    assert table["split"] == ["test"] and table["reason"] == ["clusters novelty answers"]
    assert table["share_shift"] == [pytest.approx(25 / 40)] and table["answer_shift"] == [pytest.approx(0.5)]


@pytest.mark.parametrize("table", [assignments(), assignments(("val", [1, 2], 0.5))])
def test_a_date_without_unseen_plants_has_an_empty_table(store: Store, table: dict[str, list[Any]]) -> None:
    refs = stored(store, table)
    made = store.open(measure_drift.fn(str(store.root), date(2021, 9, 3), "gradcam", PARAMS, *refs))
    assert read_table(made, DRIFT)["split"] == []
    assert made.summary["n_outside"] == 0 and made.summary["outside"] == []
