"""Test plans of training samples: the paper's counts, the eight symmetries, and shares of weighted draws."""

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.stats import binom

from storage.artifacts import ArtifactRef, Recipe, Store
from storage.errors import InputError
from storage.tables import AUGMENTATION, OBSERVATIONS
from storage.tables.parquet import read_table, rows_to_columns, write_table
from tasks.classify.augment import (
    AugmentParams,
    augmentation_rows,
    copies_per_class,
    plan_augmentation,
    plan_copies,
    plan_weighted_sampling,
    training_images,
)
from tasks.classify.changes import NO_CHANGE

PAPER = np.asarray([0] * 304 + [1] * 237)
COPIES = np.asarray([8, 16])
EIGHT = list(range(8))


def rows_of(plan: NDArray[np.int64], image: int) -> NDArray[np.int64]:
    return plan[plan[:, 0] == image]


def test_the_papers_counts() -> None:
    plan = plan_copies(PAPER, COPIES, seed=0)
    per_class = Counter(PAPER[plan[:, 0]].tolist())
    assert per_class == {0: 2432, 1: 3792}
    assert plan.shape == (6224, 3)


def test_the_first_eight_copies_are_the_eight_symmetries_unchanged_and_the_next_eight_have_seeds() -> None:
    plan = plan_copies(PAPER, COPIES, seed=3)
    for image, label in enumerate(PAPER):
        rows = rows_of(plan, image)
        assert sorted(rows[:8, 1]) == EIGHT and set(rows[:8, 2]) == {NO_CHANGE}
        if label:
            assert sorted(rows[8:, 1]) == EIGHT
            assert (rows[8:, 2] >= 0).all() and len(set(rows[8:, 2])) == 8


@given(
    labels=st.lists(st.integers(0, 2), min_size=1, max_size=12),
    copies=st.lists(st.integers(1, 20), min_size=3, max_size=3),
    seed=st.integers(0, 2**32),
)
def test_a_plan_of_copies_holds_every_image_as_often_as_its_class_says(
    labels: list[int], copies: list[int], seed: int
) -> None:
    plan = plan_copies(np.asarray(labels), np.asarray(copies), seed)
    assert Counter(plan[:, 0].tolist()) == {i: copies[label] for i, label in enumerate(labels)}
    for image in range(len(labels)):
        rows = rows_of(plan, image)
        assert rows[0, 1] == 0  # the image itself is never left out
        assert len(set(rows[:8, 1])) == min(8, len(rows))
        assert ((rows[:, 2] == NO_CHANGE) == (np.arange(len(rows)) < 8)).all()
    assert np.array_equal(plan, plan_copies(np.asarray(labels), np.asarray(copies), seed))


@pytest.mark.parametrize("make", [plan_copies, plan_weighted_sampling])
def test_another_seed_is_another_plan(make: Any) -> None:
    assert not np.array_equal(make(PAPER, COPIES, 0), make(PAPER, COPIES, 1))


def test_weighted_sampling_draws_as_many_samples_with_the_same_expected_shares() -> None:
    plans = [plan_weighted_sampling(PAPER, COPIES, seed) for seed in range(5)]
    assert [len(plan) for plan in plans] == [6224] * 5
    n, n_ready = 5 * 6224, sum(int(PAPER[plan[:, 0]].sum()) for plan in plans)
    low, high = binom.interval(1 - 1e-6, n, 3792 / 6224)
    assert low <= n_ready <= high
    drawn = np.bincount(np.concatenate([plan[:, 0] for plan in plans]), minlength=len(PAPER))
    for image in (0, 303, 304, 540):  # within a class every image has the same chance
        low, high = binom.interval(1 - 1e-6, n, COPIES[PAPER[image]] / 6224)
        assert low <= drawn[image] <= high
    counts = np.bincount(np.concatenate([plan[:, 1] for plan in plans]))
    low, high = binom.interval(1 - 1e-6, n, 1 / 8)
    assert len(counts) == 8 and (low <= counts).all() and (counts <= high).all()
    assert all((plan[:, 2] >= 0).all() for plan in plans)


def test_weighted_sampling_is_deterministic_and_leaves_torchs_global_generator_alone() -> None:
    before = torch.get_rng_state()
    plan = plan_weighted_sampling(PAPER, COPIES, 7)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(plan, plan_weighted_sampling(PAPER, COPIES, 7))


@pytest.mark.parametrize("copies", [(), (0,), (8, 0), (-1, 8), (8, 16, 8)])
def test_copies_that_do_not_fit_the_classes_are_refused(copies: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"augment\.copies") as caught:
        copies_per_class(copies, 2)
    assert "[8, 8]" in caught.value.remedy


def test_the_seed_is_not_negative() -> None:
    assert AugmentParams.model_validate({"seed": 0}).seed == 0 == AugmentParams().seed
    with pytest.raises(ValidationError, match="seed"):
        AugmentParams.model_validate({"seed": -1})


def test_the_papers_copies_are_the_default() -> None:
    assert AugmentParams().copies == (8, 16)


def test_one_number_serves_all_classes() -> None:
    assert copies_per_class((4,), 3).tolist() == [4, 4, 4]
    assert copies_per_class((8, 16), 2).tolist() == [8, 16]


@pytest.mark.parametrize("make", [plan_copies, plan_weighted_sampling])
def test_photometric_seeds_are_spread_over_31_bits(make: Any) -> None:
    """With few seeds the changed samples of an image would be copies of each other."""
    seeds = make(PAPER, COPIES, 0)[:, 2]
    drawn = seeds[seeds >= 0]
    assert len(np.unique(drawn)) > 0.99 * len(drawn) > 1800
    assert 0.99 * 2**31 < drawn.max() < 2**31
    assert drawn.mean() / 2**31 == pytest.approx(0.5, abs=0.03)


DATES = ["2021-08-23", "2021-09-03"]
PARTS: list[dict[str, list[Any]]] = [
    {
        "plant_id": ["a", "b", "c", "d"],
        "split": ["test", "train", "train", "val"],
        "label": [0, 1, None, 1],
        "row": [10, 11, 12, 13],
    },
    {"plant_id": ["b", "e"], "split": ["train", "train"], "label": [0, 0], "row": [5, 6]},
]


def test_only_labelled_training_images_are_planned() -> None:
    assert training_images(PARTS) == [(0, 1), (1, 0), (1, 1)]


def test_rows_name_the_image_they_are_made_of() -> None:
    rows = augmentation_rows(DATES, PARTS, AugmentParams(copies=(1, 9), seed=2), n_classes=2)
    first, second = date(2021, 8, 23), date(2021, 9, 3)
    named = Counter((row["acquired"], row["plant_id"], row["row"], row["label"]) for row in rows)
    assert named == {(first, "b", 11, 1): 9, (second, "b", 5, 0): 1, (second, "e", 6, 0): 1}
    seeds = [row["photometric_seed"] for row in rows if row["label"] == 1]
    assert seeds[:8] == [None] * 8 and isinstance(seeds[8], int)


def test_weighted_rows_are_as_many_as_copied_ones() -> None:
    copied, drawn = (
        augmentation_rows(DATES, PARTS, AugmentParams(plan=plan, copies=(8, 16)), n_classes=2)
        for plan in ("copies", "weighted_sampling")
    )
    assert len(copied) == len(drawn) == 32
    assert {row["row"] for row in drawn} <= {11, 5, 6}


def stored_observations(store: Store, day: int, labels: list[int | None]) -> ArtifactRef:
    """Store the table of a date whose images are all for training."""
    same: dict[str, Any] = {"split": "train", "path": "a.png", "sha256": "0", "height": 4, "width": 4, "flags": ""}
    rows = [{"plant_id": f"p{day}{i}", "label": label, "row": i, **same} for i, label in enumerate(labels)]
    recipe = Recipe("images", 1, {"day": day})
    with store.create(recipe) as draft:
        write_table(draft, OBSERVATIONS, rows_to_columns(OBSERVATIONS, rows))
        draft.summary = {"date": DATES[day], "classes": ["not ready", "half ready", "ready"]}
    return recipe.ref


def test_the_stored_plan_of_a_campaign_counts_samples_of_each_class(tmp_path: Path) -> None:
    store = Store(tmp_path)
    images = [stored_observations(store, 0, [0, 2, None]), stored_observations(store, 1, [2, 1, 2])]
    plan = store.open(plan_augmentation.fn(str(tmp_path), params=AugmentParams(copies=(2, 3, 10)), images=images))
    assert plan.summary == {"not ready": 2, "half ready": 3, "ready": 30}
    table = read_table(plan, AUGMENTATION)
    named = Counter(zip(table["acquired"], table["plant_id"], table["row"], table["label"], strict=True))
    first, second = date(2021, 8, 23), date(2021, 9, 3)
    expected = {(first, "p00", 0, 0): 2, (first, "p01", 1, 2): 10, (second, "p10", 0, 2): 10, (second, "p11", 1, 1): 3}
    assert named == {**expected, (second, "p12", 2, 2): 10}
    seeds = [seed for seed in table["photometric_seed"] if seed is not None]
    assert len(seeds) == 3 * 2 and min(seeds) >= 0  # the ninth and tenth sample of each ready image
