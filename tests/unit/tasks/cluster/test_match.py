"""Clusters of a fit matched to those of an earlier one, from prototypes in a real store."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from storage.arrays.specs import LABELS, PROTOTYPES
from storage.arrays.zarr_files import read_array, write_array
from storage.artifacts import ArtifactRef, Recipe, Store
from storage.tables import CLUSTER_MATCHES
from storage.tables.parquet import read_table
from tasks.cluster.match import match_earlier
from tests.support.planted_campaign import PARAMS, fit, plant_season, season


def clusters(store: Store, maps: NDArray[np.float64], name: str) -> ArtifactRef:
    recipe = Recipe("clusters", 1, {"name": name})
    with store.create(recipe) as draft:
        write_array(draft, PROTOTYPES, maps)
    return recipe.ref


def match(store: Store, ours: ArtifactRef, earlier: ArtifactRef) -> dict[str, list[Any]]:
    made = match_earlier.fn(str(store.root), "gradcam", ours, earlier)
    return read_table(store.open(made), CLUSTER_MATCHES)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 2, 3, 0], [2, 0, 3, 1]])
def test_renumbered_clusters_map_back(tmp_path: Path, order: list[int]) -> None:
    store, maps = Store(tmp_path), np.random.default_rng(0).uniform(size=(4, 5, 5))
    earlier = clusters(store, maps, "earlier")
    noisy = maps[order] * 3 + 0.01 * np.random.default_rng(1).uniform(size=(4, 5, 5))  # stronger maps are as alike
    table = match(store, clusters(store, noisy, "later"), earlier)
    assert table["cluster"] == [1, 2, 3, 4] and table["earlier_cluster"] == [i + 1 for i in order]
    assert all(0.999 < x <= 1 for x in table["likeness"]) and set(table["earlier"]) == {earlier.digest}


def test_a_cluster_too_many_has_no_earlier_one(tmp_path: Path) -> None:
    store, maps = Store(tmp_path), np.eye(4).reshape(4, 2, 2)
    table = match(store, clusters(store, maps, "later"), clusters(store, maps[[2, 0]], "earlier"))
    assert table["earlier_cluster"].count(None) == 2 and table["likeness"].count(None) == 2
    assert (table["earlier_cluster"][0], table["earlier_cluster"][2]) == (2, 1)


def test_a_cluster_of_empty_maps_is_like_nothing_and_still_a_row(tmp_path: Path) -> None:
    store, maps = Store(tmp_path), np.stack([np.zeros((2, 2)), np.eye(2)])
    table = match(store, clusters(store, maps, "later"), clusters(store, maps[::-1], "earlier"))
    assert table["earlier_cluster"] == [2, 1] and table["likeness"] == pytest.approx([0, 1])


def test_a_fit_with_another_seed_maps_to_the_first(tmp_path: Path) -> None:
    store = Store(tmp_path)
    dates = plant_season(store, season())
    first, second = fit(store, dates), fit(store, dates[::-1], PARAMS.model_copy(update={"seed": 5}))
    table = match(store, second, first)
    per_day = [len(one.members) for one in dates]
    labels = read_array(store.open(first), LABELS)
    ours = np.roll(read_array(store.open(second), LABELS), per_day[0])  # its dates are the other way round
    assert [table["earlier_cluster"][c - 1] for c in ours] == labels.tolist()
    assert min(table["likeness"]) > 0.999


def test_a_fit_continues_itself(tmp_path: Path) -> None:
    store = Store(tmp_path)
    only = fit(store, plant_season(store, season()))
    assert match(store, only, only)["earlier_cluster"] == [1, 2, 3]
