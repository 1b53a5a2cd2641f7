"""Clusters of a small store: two dates, all splits, planted patterns; and the cluster of every other map."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from storage.arrays.specs import COORDINATES, LABELS, MAP_DISTANCE, PROTOTYPES, ROWS, WRONG
from storage.arrays.zarr_files import read_array
from storage.artifacts import ArtifactRef, Store
from storage.errors import InputError
from storage.tables import ASSIGNMENTS, CROSSFIT
from storage.tables.parquet import Rows, read_table
from tasks.cluster import members
from tasks.cluster.axes import map_vectors
from tasks.cluster.folds import KERNELS
from tasks.cluster.members import iter_maps, validation_members
from tasks.cluster.params import ClusterParams
from tests.support.planted_campaign import (
    DAYS,
    PARAMS,
    Planted,
    Shown,
    all_maps,
    assign,
    crossfit,
    fit,
    pattern_map,
    plant,
    plant_season,
    season,
)

# Splits of each date's images in the order of the table, which is not that of the images array.
SPLITS = (
    ["val"] * 14 + ["test"] * 5 + ["train"] * 3 + ["val"] * 3,
    ["new", "train", "test"] + ["val"] * 11 + ["test"] * 4,
)
N_WITHOUT_LABEL = 2  # the last validation images of the first date
# Maps that hold one value everywhere, by their place in each date's maps: of a new plant, and of a test plant.
FLAT: tuple[dict[int, float], ...] = ({}, {0: 0.0, 1: 1.0})


def plant_day(store: Store, day: int, flat: dict[int, float] | None = None) -> Planted:
    """A date's predictions and maps; `flat` maps as in FLAT."""
    splits = SPLITS[day]
    n = len(splits)
    pattern = np.random.default_rng(10 + day).choice(3, n, p=(0.5, 0.3, 0.2)).tolist()
    has_label = [not (day == 0 and i >= n - N_WITHOUT_LABEL) for i in range(n)]
    images = [
        Shown(f"p{day}-{i}", splits[i], i % 2 if has_label[i] else None, predicted=1, pattern=pattern[i])
        for i in range(n)
    ]
    maps = np.stack([pattern_map(image, DAYS[day]) for image in images if image.split != "train"])
    for place, value in (FLAT[day] if flat is None else flat).items():
        maps[place] = value
    return plant(store, DAYS[day], images, maps, np.random.default_rng(day).permutation(n).tolist())


@dataclass(frozen=True)
class Fitted:
    """A store with both dates, their clusters and assignments."""

    store: Store
    dates: list[Planted]
    clusters: ArtifactRef
    crossfit: ArtifactRef
    assignments: list[Rows]


def assign_all(store: Store, dates: list[Planted], clusters: ArtifactRef, params: ClusterParams = PARAMS) -> list[Rows]:
    """Assignments of every date."""
    judged = crossfit(store, dates, clusters, params)
    return [read_table(store.open(assign(store, one, clusters, judged)), ASSIGNMENTS) for one in dates]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    store = Store(tmp_path_factory.mktemp("store"))
    dates = [plant_day(store, day) for day in range(2)]
    clusters = fit(store, dates)
    return Fitted(store, dates, clusters, crossfit(store, dates, clusters), assign_all(store, dates, clusters))


def test_the_clusters_are_the_planted_patterns(fitted: Fitted) -> None:
    labels = read_array(fitted.store.open(fitted.clusters), LABELS)
    patterns = [planted.pattern[row] for planted in fitted.dates for row in planted.members]
    assert len(labels) == len(patterns) == 15 + 11
    assert len(set(zip(labels.tolist(), patterns, strict=True))) == 3
    assert labels[0] == [k for k, _ in by_size(patterns)].index(patterns[0]) + 1


def by_size(patterns: list[int]) -> list[tuple[int, int]]:
    """Patterns and how often they occur, most frequent first, then by first occurrence."""
    counts = {k: patterns.count(k) for k in set(patterns)}
    return sorted(counts.items(), key=lambda item: (-item[1], patterns.index(item[0])))


def test_only_labelled_validation_images_are_members_date_after_date(fitted: Fitted) -> None:
    stored = fitted.store.open(fitted.clusters).read_json("members.json")
    assert stored == [[day, planted.members] for day, planted in zip(DAYS, fitted.dates, strict=True)]


def test_the_summary_tells_what_was_found(fitted: Fitted) -> None:
    summary = fitted.store.open(fitted.clusters).summary
    patterns = [planted.pattern[row] for planted in fitted.dates for row in planted.members]
    assert summary["sizes"] == [n for _, n in by_size(patterns)]
    assert (summary["method"], summary["approximate"], summary["n_isolated"]) == ("gradcam", False, 0)
    assert (summary["n_zero"], summary["n_constant"]) == (0, 0)
    assert summary["stability"] == 1 and summary["eigengap"] > 0.3
    assert summary["warnings"] == ["PCA has 16 dimensions, not 50: the maps have no more"]


def member_maps(fitted: Fitted) -> NDArray[np.float32]:
    """Maps of the members in their order, found by their array rows."""
    chosen: list[NDArray[np.float32]] = []
    for planted in fitted.dates:
        artifact = fitted.store.open(planted.saliency)
        maps, rows = all_maps(artifact), read_array(artifact, ROWS).tolist()
        chosen += [maps[rows.index(row)] for row in planted.members]
    return np.stack(chosen)


def test_stored_coordinates_are_principal_components_of_unit_maps(fitted: Fitted) -> None:
    expected = PCA(16, svd_solver="full").fit_transform(map_vectors(member_maps(fitted), 64))
    found = read_array(fitted.store.open(fitted.clusters), COORDINATES)
    # Signs are free, inner products are not.
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-9)


def test_prototypes_are_means_of_maps_with_peak_one(fitted: Fitted) -> None:
    artifact, maps = fitted.store.open(fitted.clusters), member_maps(fitted)
    labels = read_array(artifact, LABELS)
    expected = [np.mean([m / m.max() for m in maps[labels == c]], axis=0) for c in (1, 2, 3)]
    np.testing.assert_allclose(read_array(artifact, PROTOTYPES), expected, rtol=1e-5)


@pytest.mark.parametrize("day", [0, 1])
def test_validation_images_keep_their_own_cluster(fitted: Fitted, day: int) -> None:
    labels = read_array(fitted.store.open(fitted.clusters), LABELS).tolist()
    start = 0 if day == 0 else len(fitted.dates[0].members)
    table = fitted.assignments[day]
    cluster = dict(zip(table["row"], table["cluster"], strict=True))
    rows = fitted.dates[day].members
    assert [cluster[row] for row in rows] == labels[start : start + len(rows)]


@pytest.mark.parametrize("day", [0, 1])
def test_other_images_get_the_cluster_of_their_pattern(fitted: Fitted, day: int) -> None:
    table, planted = fitted.assignments[day], fitted.dates[day]
    own = {
        planted.pattern[row]: cluster
        for row, cluster in zip(table["row"], table["cluster"], strict=True)
        if row in planted.members
    }
    others = [i for i, row in enumerate(table["row"]) if row not in planted.members and not table["is_flat_map"][i]]
    assert len(others) >= 4
    assert [table["cluster"][i] for i in others] == [own[planted.pattern[table["row"][i]]] for i in others]
    assert all(table["neighbour_agreement"][i] == 1 for i in others)


@pytest.mark.parametrize("day", [0, 1])
def test_assignments_name_their_plants_and_leave_training_images_out(fitted: Fitted, day: int) -> None:
    table, answers = fitted.assignments[day], fitted.dates[day].table
    plants = {
        row: (plant_id, split)
        for row, plant_id, split in zip(*(answers[n] for n in ("row", "plant_id", "split")), strict=True)
    }
    assert {row: (p, s) for row, p, s in zip(*(table[n] for n in ("row", "plant_id", "split")), strict=True)} == {
        row: named for row, named in plants.items() if named[1] != "train"
    }
    assert set(table["clusters"]) == {fitted.clusters.digest}
    assert set(table["method"]) == {"gradcam"} and set(table["explained_class"]) == {"predicted"}


@pytest.mark.parametrize("day", [0, 1])
def test_what_the_nearest_maps_say_of_other_images_by_brute_force(fitted: Fitted, day: int) -> None:
    """Distances of whole vectors: all 16 dimensions are axes here, so nothing is left out of them."""
    planted, table = fitted.dates[day], fitted.assignments[day]
    artifact = fitted.store.open(planted.saliency)
    rows, vectors = read_array(artifact, ROWS).tolist(), map_vectors(all_maps(artifact), 64)
    known, is_wrong = map_vectors(member_maps(fitted), 64), read_array(fitted.store.open(fitted.clusters), WRONG)
    left_out = read_array(fitted.store.open(fitted.crossfit), MAP_DISTANCE)
    folds = np.asarray(read_table(fitted.store.open(fitted.crossfit), CROSSFIT)["fold"])
    # A zero map is equally far from all maps of unit length: which are nearest is left to rounding.
    others = [i for i, row in enumerate(table["row"]) if row not in planted.members and not table["is_flat_map"][i]]
    assert len(others) >= 4
    for i in others:
        distances = np.linalg.norm(known - vectors[rows.index(table["row"][i])], axis=1)
        near = np.argsort(distances)
        share = is_wrong[near[:15]].mean()
        assert table["nearest_map_reliability"][i] == pytest.approx(1 - share)
        without = [np.sort(distances[folds != fold])[: PARAMS.neighbours].mean() for fold in folds]
        n_farther = (left_out >= np.asarray(without) - 1e-9).sum()
        assert table["novelty"][i] == pytest.approx((1 + n_farther) / (1 + len(known)))


@pytest.mark.parametrize("day", [0, 1])
def test_what_other_plants_say_of_validation_images_is_cross_fitted(fitted: Fitted, day: int) -> None:
    planted, table = fitted.dates[day], fitted.assignments[day]
    judged = read_table(fitted.store.open(fitted.crossfit), CROSSFIT)
    own = {
        row: (novelty, reliability)
        for acquired, row, novelty, reliability in zip(
            *(judged[name] for name in ("acquired", "row", "novelty", "nearest_map_reliability")), strict=True
        )
        if acquired == date.fromisoformat(planted.day)
    }
    assert sorted(own) == sorted(planted.members)
    for i, row in enumerate(table["row"]):
        if row in own:
            assert (table["novelty"][i], table["nearest_map_reliability"][i]) == own[row]


def test_zero_and_constant_maps_are_marked(fitted: Fitted) -> None:
    assert sum(fitted.assignments[0]["is_flat_map"]) == 0
    marked = fitted.assignments[1]["is_flat_map"]
    assert [fitted.assignments[1]["split"][i] for i, is_flat in enumerate(marked) if is_flat] == ["new", "test"]


def test_zero_and_constant_validation_maps_are_counted_apart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    dates = [plant_day(store, 0, flat={2: 0.0, 5: 1.0, 7: 1.0, 9: 1.0}), plant_day(store, 1)]
    clusters = store.open(fit(store, dates))
    assert (clusters.summary["n_zero"], clusters.summary["n_constant"]) == (1, 3)
    assert (
        "1 of 26 maps are zero everywhere: nothing in the image spoke for the explained class"
        in (clusters.summary["warnings"])
    )
    assert any("3 of 26 maps have the same value everywhere, not zero" in said for said in clusters.summary["warnings"])
    assert sum(assign_all(store, dates, clusters.ref)[0]["is_flat_map"]) == 4


def test_maps_are_read_in_parts(fitted: Fitted) -> None:
    artifact = fitted.store.open(fitted.dates[0].saliency)
    whole = all_maps(artifact)
    assert whole.dtype == np.float32 and not np.allclose(whole.max(axis=(1, 2)), 1)  # in their own unit
    (part,) = iter_maps(artifact, np.arange(3, 7))
    assert part.dtype == np.float32 and np.array_equal(part, whole[3:7])


def test_assignments_do_not_depend_on_how_many_maps_are_read_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fitted: Fitted
) -> None:
    monkeypatch.setattr(members, "MAPS_AT_ONCE", 3)
    store = Store(tmp_path)
    dates = [plant_day(store, day) for day in range(2)]
    clusters = fit(store, dates)
    assert assign_all(store, dates, clusters) == fitted.assignments


def test_the_agreement_of_a_member_leaves_itself_out(tmp_path: Path) -> None:
    """The lone member of a cluster agrees with none of its neighbours, though it is nearest to itself."""
    store = Store(tmp_path)
    dates = [plant_day(store, day) for day in range(2)]
    params = PARAMS.model_copy(update={"n_clusters": 26})  # every map a cluster of its own
    agreements = [
        agreement
        for day, table in enumerate(assign_all(store, dates, fit(store, dates, params), params))
        for row, agreement in zip(table["row"], table["neighbour_agreement"], strict=True)
        if row in dates[day].members
    ]
    assert agreements == [0.0] * 26


def test_the_order_of_dates_is_kept_with_the_members(tmp_path: Path) -> None:
    store = Store(tmp_path)
    dates = [plant_day(store, day) for day in range(2)]
    reverse = fit(store, dates[::-1])
    assert reverse != fit(store, dates)
    assert [day for day, _ in store.open(reverse).read_json("members.json")] == [DAYS[1], DAYS[0]]
    for day, table in zip((1, 0), assign_all(store, dates[::-1], reverse), strict=True):
        pairs = {
            (dates[day].pattern[row], cluster)
            for row, cluster, is_flat in zip(table["row"], table["cluster"], table["is_flat_map"], strict=True)
            if not is_flat
        }
        assert len(pairs) == 3


def test_a_second_fit_finds_the_first(fitted: Fitted) -> None:
    before = fitted.store.open(fitted.clusters).manifest
    assert fit(fitted.store, fitted.dates) == fitted.clusters
    assert fitted.store.open(fitted.clusters).manifest == before


def test_the_kernel_that_is_chosen_is_told_and_used(tmp_path: Path) -> None:
    store, narrow = Store(tmp_path), PARAMS.model_copy(update={"scale": 1e-4, "n_seeds": 1})
    dates = plant_season(store, season(n_val=12))
    with pytest.raises(InputError, match="near each other"):
        fit(store, dates, narrow)
    params = narrow.model_copy(update={"choose_kernel": True})
    found = store.open(fit(store, dates, params))
    reading, scale = found.summary["kernel"]
    same = store.open(fit(store, dates, narrow.model_copy(update={"affinity": reading, "scale": scale})))
    assert (reading, scale) in {tuple(kernel) for kernel in KERNELS}
    assert np.array_equal(read_array(found, LABELS), read_array(same, LABELS)) and found.ref != same.ref


def test_a_kernel_too_narrow_leaves_no_artefact(fitted: Fitted) -> None:
    params = PARAMS.model_copy(update={"scale": 1e-4})
    with pytest.raises(InputError, match=r"near each other"):
        fit(fitted.store, fitted.dates, params)
    kinds = [path.parent.name for path in (fitted.store.root / "artifacts").glob("clusters/*")]
    assert len(kinds) == 1


def test_members_are_labelled_validation_images() -> None:
    predictions: dict[str, list[Any]] = {
        "row": [3, 0, 2, 1, 4],
        "split": ["val", "test", "val", "val", "train"],
        "label": [1, 0, None, 0, 1],
    }
    assert validation_members(predictions, np.asarray([0, 1, 2, 3])).tolist() == [False, True, False, True]
    assert validation_members(predictions, np.asarray([3])).tolist() == [True]
