"""Plants that the fit has seen, on a later date: marked, and judged without their own earlier maps."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from storage.arrays.specs import LABELS, MAP_DISTANCE, ROWS, WRONG
from storage.arrays.zarr_files import read_array
from storage.artifacts import ArtifactRef, Store
from storage.tables import ASSIGNMENTS, CROSSFIT
from storage.tables.parquet import Rows, read_table
from tasks.cluster.axes import map_vectors
from tests.support.planted_campaign import (
    DAYS,
    PARAMS,
    Judged,
    Planted,
    Shown,
    all_maps,
    assign,
    by_plant,
    judge,
    pattern_map,
    plant,
    plant_season,
    plants_of,
    season,
)

LATER = "2021-09-10"
SEEN = {"val": "val", "train": "train", "test": None, "new": None}


@dataclass(frozen=True)
class Scored:
    """A fitted season, and a later date of the same plants and of two others."""

    fit: Judged
    later: Planted
    plants: ArtifactRef

    def assigned(self, is_same_field: bool) -> Rows:
        """Read the later date's assignments, as a date of the fitted field or of another."""
        plants = self.plants if is_same_field else None
        made = assign(self.fit.store, self.later, self.fit.clusters, self.fit.crossfit, plants)
        return read_table(self.fit.store.open(made), ASSIGNMENTS)


def later_images() -> list[Shown]:
    """Images without labels; plants of the split `train` are listed as `new`, and two plants are in no table."""
    known = [
        replace(image, label=None, split="new" if image.split == "train" else image.split) for image in season()[1]
    ]
    return [*known, *(Shown(f"x{i}", "new", None, 0, pattern=i) for i in range(2))]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    store = Store(tmp_path_factory.mktemp("store"))
    fit = judge(store, plant_season(store, season()))
    return Scored(fit, plant(store, LATER, later_images()), plants_of(store, season()))


def test_plants_are_marked_by_the_splits_of_the_fit(scored: Scored) -> None:
    splits = {image.plant: image.split for image in season()[0]}
    found = scored.assigned(True)
    seen = dict(zip(found["plant_id"], found["seen"], strict=True))
    assert seen == {name: SEEN[splits[name]] if name in splits else None for name in found["plant_id"]}
    assert sorted(map(str, set(seen.values()))) == ["None", "train", "val"]
    assert dict(zip(found["plant_id"], found["split"], strict=True)) == {i.plant: i.split for i in later_images()}


def test_on_a_date_of_another_field_the_same_id_is_another_plant(scored: Scored) -> None:
    same, other = scored.assigned(True), scored.assigned(False)
    assert set(other["seen"]) == {None}
    told = ("cluster", "neighbour_agreement", "nearest_map_reliability", "novelty")
    for i, plant_id in enumerate(same["plant_id"]):
        if same["seen"][i] != "val":
            assert all(same[name][i] == other[name][i] for name in told), plant_id
    assert any(same["novelty"][i] < other["novelty"][i] for i, seen in enumerate(same["seen"]) if seen == "val")


def vectors_of(one: Planted, store: Store, rows: list[int]) -> NDArray[np.float64]:
    artifact = store.open(one.saliency)
    stored = read_array(artifact, ROWS).tolist()
    return map_vectors(all_maps(artifact), 64)[[stored.index(row) for row in rows]]


def test_maps_of_the_same_plant_are_left_out_by_brute_force(scored: Scored) -> None:
    """Distances of whole vectors: all 16 dimensions are axes here, so nothing is left out of them."""
    fit, found = scored.fit, scored.assigned(True)
    crossfit, clusters = fit.store.open(fit.crossfit), fit.store.open(fit.clusters)
    known = np.concatenate([vectors_of(one, fit.store, one.members) for one in fit.dates])
    labels, is_wrong = read_array(clusters, LABELS), read_array(clusters, WRONG)
    table = read_table(crossfit, CROSSFIT)
    plants, folds, distances = np.asarray(table["plant_id"]), table["fold"], read_array(crossfit, MAP_DISTANCE)
    new = vectors_of(scored.later, fit.store, found["row"])
    for i, plant_id in enumerate(found["plant_id"]):
        apart = np.linalg.norm(known - new[i], axis=1)
        others = np.flatnonzero(plants != plant_id)
        near = others[np.argsort(apart[others])]
        votes = labels[near[: PARAMS.neighbours]].tolist()
        assert votes.count(found["cluster"][i]) == max(map(votes.count, votes))
        assert found["neighbour_agreement"][i] == pytest.approx(votes.count(found["cluster"][i]) / len(votes))
        assert found["nearest_map_reliability"][i] == pytest.approx(1 - is_wrong[near[:15]].mean())
        n_farther = 0
        for at in others:
            outside = [j for j in others if folds[j] != folds[at]]
            n_farther += distances[at] >= np.sort(apart[outside])[: PARAMS.neighbours].mean() - 1e-9
        assert found["novelty"][i] == pytest.approx((1 + n_farther) / (1 + len(others)))


def test_a_strange_plant_does_not_vouch_for_itself(tmp_path: Path) -> None:
    """Its maps show what no other plant's do. The same map on a later date looks known, unless they are left out."""
    store = Store(tmp_path)
    dates = [[replace(image, pattern=3) if image.plant == "p00" else image for image in images] for images in season()]
    fit = judge(store, plant_season(store, dates), PARAMS.model_copy(update={"neighbours": 1}))
    strange = dates[0][0]
    later = plant(store, LATER, [replace(strange, label=None)], pattern_map(strange, DAYS[0])[None])
    one = Scored(fit, later, plants_of(store, dates))
    assert one.assigned(True)["novelty"] == [pytest.approx(1 / 39)] and one.assigned(False)["novelty"][0] > 0.5


def test_unlabelled_validation_images_are_judged_without_their_plants_labelled_ones(tmp_path: Path) -> None:
    store, (first, second) = Store(tmp_path), season()
    dates = [first, [replace(image, label=None) if image.plant == "p03" else image for image in second]]
    fit = judge(store, plant_season(store, dates))
    plants = plants_of(store, dates)
    same, other = (
        by_plant(read_table(store.open(assign(store, fit.dates[1], fit.clusters, fit.crossfit, given)), ASSIGNMENTS))
        for given in (plants, None)
    )
    assert {row["seen"] for row in same.values() if row["split"] == "val"} == {"val"}
    changed = {plant_id for (_, plant_id), row in same.items() if row["novelty"] != other[None, plant_id]["novelty"]}
    assert changed == {"p03"}
