"""Augment: plan the training samples, one row each.

Reads the observations of every date, writes the table `augmentation`. Flips and quarter turns are the eight
symmetries of the square (Kierdorf & Roscher 2023, section 2.2: Not ready x 8 and Ready x 16, 304 + 237 images ->
2,432 + 3,792 rows). Equal seeds give equal rows, and training makes its samples from these rows.
"""

from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task

from storage.artifacts import ArtifactRef, Draft, Recipe, Store
from storage.tables import AUGMENTATION, OBSERVATIONS
from storage.tables.parquet import read_table, rows_to_columns, write_table
from tasks.classify.changes import N_SYMMETRIES, NO_CHANGE
from tasks.classify.params import AugmentParams, check_copies
from tasks.stage import cached_by, made_once

REVISION = 1


def copies_per_class(copies: tuple[int, ...], n_classes: int) -> NDArray[np.int64]:
    """Return the number of samples per image of each class, (n_classes,).

    Raises
    ------
    InputError : there is neither one number nor one for each class, or a number is below 1.
    """
    check_copies(copies, n_classes)
    return np.broadcast_to(np.asarray(copies, np.int64), (n_classes,)).copy()


def plan_copies(labels: NDArray[np.integer], copies: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Plan `copies[label]` samples of every image: the eight symmetries, then symmetries with a photometric change.

    Parameters
    ----------
    labels : (n,) class of each image.
    copies : (n_classes,) samples per image.

    Returns
    -------
    (samples, 3) : image index, symmetry 0..7, photometric seed or -1. With fewer than eight copies an image gets the
    identity and a seeded choice of the other symmetries.
    """
    generator = np.random.default_rng([seed, 1])
    plan: list[tuple[int, int, int]] = []
    for image, label in enumerate(labels):
        turns = np.concatenate([[0], 1 + generator.permutation(N_SYMMETRIES - 1)])
        seeds = generator.integers(0, 2**31, size=int(copies[label]))
        for k in range(int(copies[label])):
            change = NO_CHANGE if k < N_SYMMETRIES else int(seeds[k])
            plan.append((image, int(turns[k % N_SYMMETRIES]), change))
    return np.asarray(plan, np.int64).reshape(-1, 3)


def plan_weighted_sampling(labels: NDArray[np.integer], copies: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Draw as many samples with replacement as `plan_copies` has rows, with images weighted by their class's copies.

    The expected share of each class equals that of `plan_copies`. Every sample has a random symmetry and photometric
    change. Shapes are those of `plan_copies`.
    """
    import torch
    from torch.utils.data import WeightedRandomSampler

    weights = copies[labels]
    n = int(weights.sum())
    sampler = WeightedRandomSampler(
        [float(w) for w in weights], n, replacement=True, generator=torch.Generator().manual_seed(seed)
    )
    generator = np.random.default_rng([seed, 2])
    images = np.fromiter(sampler, np.int64, n)
    return np.stack([images, generator.integers(0, N_SYMMETRIES, n), generator.integers(0, 2**31, n)], axis=1)


def training_images(parts: list[dict[str, list[Any]]]) -> list[tuple[int, int]]:
    """Return date index and position in that date's table of every labelled training image, in the dates' order."""
    return [
        (d, i)
        for d, part in enumerate(parts)
        for i, (split, label) in enumerate(zip(part["split"], part["label"], strict=True))
        if split == "train" and label is not None
    ]


def augmentation_rows(
    dates: list[str], parts: list[dict[str, list[Any]]], params: AugmentParams, n_classes: int
) -> list[dict[str, Any]]:
    """Return the rows of the table `augmentation` for the observations of every date."""
    chosen = training_images(parts)
    labels = np.asarray([parts[d]["label"][i] for d, i in chosen], np.int64)
    make = plan_copies if params.plan == "copies" else plan_weighted_sampling
    plan = make(labels, copies_per_class(params.copies, n_classes), params.seed)
    return [
        {
            "acquired": date.fromisoformat(dates[chosen[n][0]]),
            "plant_id": parts[chosen[n][0]]["plant_id"][chosen[n][1]],
            "row": parts[chosen[n][0]]["row"][chosen[n][1]],
            "label": int(labels[n]),
            "symmetry": symmetry,
            "photometric_seed": None if seed == NO_CHANGE else seed,
        }
        for n, symmetry, seed in plan.tolist()
    ]


def augmentation_recipe(params: AugmentParams, images: list[ArtifactRef]) -> Recipe:
    """Return the recipe of the augmentation table."""
    return Recipe("augmentation", REVISION, params.model_dump(mode="json"), {"images": images})


@task(task_run_name="augment {campaign}", **cached_by(augmentation_recipe))
@made_once(augmentation_recipe)
def plan_augmentation(draft: Draft, store: Store, params: AugmentParams, images: list[ArtifactRef]) -> None:
    """Plan the training samples of a campaign from its dates' images."""
    artifacts = [store.open(ref) for ref in images]
    classes: list[str] = artifacts[0].summary["classes"]
    rows = augmentation_rows(
        [a.summary["date"] for a in artifacts], [read_table(a, OBSERVATIONS) for a in artifacts], params, len(classes)
    )
    write_table(draft, AUGMENTATION, rows_to_columns(AUGMENTATION, rows))
    draft.summary = {name: sum(r["label"] == k for r in rows) for k, name in enumerate(classes)}
