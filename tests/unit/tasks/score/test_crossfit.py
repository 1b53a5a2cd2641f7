"""Cross-fitted judgements of a small store: what they hold, and what may not change them."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.arrays.specs import COORDINATES, FEATURES, LABELS, LOGITS, MAP_DISTANCE, TRUTH, VOTES
from storage.arrays.zarr_files import read_array
from storage.artifacts import Store
from storage.errors import InputError
from storage.tables import ADJUSTED, ASSIGNMENTS, CROSSFIT, DECIDED, RELIABILITIES
from storage.tables.parquet import Rows, read_table
from tasks.cluster.members import read_members
from tasks.score.combine import fit_combination
from tasks.score.crossfit import read_validation
from tasks.score.held_out import cross_fit
from tasks.score.uncertainty import ReadyModel
from tests.support.local_stores import local
from tests.support.planted_campaign import (
    DAYS,
    PARAMS,
    SIZE,
    Judged,
    Planted,
    Shown,
    by_plant,
    crossfit,
    fit,
    judge,
    pattern_map,
    plant,
    plant_season,
    relabelled,
    season,
)

Dates = list[list[Shown]]
SHARES = ("error_share", "novelty", "nearest_map_reliability", "neighbour_agreement")
ANSWERS = ("softmax", "calibrated_softmax", "feature_reliability", "trust_score")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    store = Store(tmp_path_factory.mktemp("store"))
    return judge(store, plant_season(store, season()))


def test_every_labelled_validation_image_is_judged_once(planted: Judged) -> None:
    table = planted.read(CROSSFIT)
    expected = [(date.fromisoformat(one.day), row) for one in planted.dates for row in one.members]
    assert list(zip(table["acquired"], table["row"], strict=True)) == expected and len(expected) == 40
    answers = {
        (date.fromisoformat(one.day), row): (plant_id, label, predicted)
        for one in planted.dates
        for row, plant_id, label, predicted in zip(
            *(one.table[name] for name in ("row", "plant_id", "label", "predicted")), strict=True
        )
    }
    columns = (table[name] for name in ("plant_id", "label", "predicted"))
    assert list(zip(*columns, strict=True)) == [answers[key] for key in expected]


def test_both_dates_of_a_plant_are_in_one_fold(planted: Judged) -> None:
    table = planted.read(CROSSFIT)
    folds = {(plant_id, fold) for plant_id, fold in zip(table["plant_id"], table["fold"], strict=True)}
    assert len(folds) == 20 and {fold for _, fold in folds} == {1, 2, 3, 4, 5}


def test_the_table_holds_the_cross_fitted_signals(planted: Judged) -> None:
    saliency, predictions = [d.saliency for d in planted.dates], [d.predictions for d in planted.dates]
    found = read_validation(read_members(planted.store, saliency, predictions), PARAMS, SIZE)
    signals, table = cross_fit(found, PARAMS, PARAMS.kernel).signals, planted.read(CROSSFIT)
    for name in (*SHARES, *ANSWERS):
        np.testing.assert_allclose(table[name], signals[name], rtol=1e-9)
    artifact = planted.store.open(planted.crossfit)
    np.testing.assert_allclose(read_array(artifact, MAP_DISTANCE), signals["map_distance"], rtol=1e-9)
    for spec, values in ((TRUTH, found.truth), (LOGITS, found.answers.logits), (FEATURES, found.answers.features)):
        assert np.array_equal(read_array(artifact, spec), values.astype(spec.dtype))
    model = fit_combination(signals, found.is_wrong)
    stored = ReadyModel.of(artifact.read_json("ready_model.json"))
    np.testing.assert_allclose(stored.combination.weights, model.weights, rtol=1e-6)
    assert artifact.summary["weights"]["margin"] == stored.combination.weights[2] and artifact.summary["warnings"] == []
    assert {len(one["n"]) for one in artifact.read_json("folds.json").values()} == {3}


def test_the_model_knows_the_dates_and_how_uncertain_it_is(planted: Judged) -> None:
    artifact, table = planted.store.open(planted.crossfit), planted.read(CROSSFIT)
    whole = ReadyModel.of(artifact.read_json("ready_model.json"))
    resampled = [ReadyModel.of(one) for one in artifact.read_json("resampled_models.json")]
    assert whole.shares.overall == pytest.approx(np.mean(table["label"]))
    assert list(whole.shares.of_dates) == list(DAYS)
    overall = [one.shares.overall for one in resampled]
    assert len(overall) == 100 and np.mean(overall) == pytest.approx(whole.shares.overall, abs=0.04)
    weights = np.stack([one.combination.weights for one in resampled])
    assert (weights.std(axis=0) > 0).all() and (weights[:, :6] >= 0).all()
    low, high = np.quantile(weights, (0.01, 0.99), axis=0)
    assert ((low <= whole.combination.weights) & (whole.combination.weights <= high)).all()


def test_votes_are_those_of_the_nearest_maps_of_other_plants(planted: Judged) -> None:
    """Every plant has a map on both dates; neither votes on the other."""
    fit, judged = planted.store.open(planted.clusters), planted.store.open(planted.crossfit)
    places, labels = read_array(fit, COORDINATES), read_array(fit, LABELS).tolist()
    plants, votes = np.asarray(planted.read(CROSSFIT)["plant_id"]), read_array(judged, VOTES).tolist()
    for i, vote in enumerate(votes):
        others = np.flatnonzero(plants != plants[i])
        near = others[np.argsort(np.linalg.norm(places[others] - places[i], axis=1))][: PARAMS.neighbours]
        found = [labels[j] for j in near]
        assert vote == max(found, key=lambda cluster: (found.count(cluster), -found.index(cluster)))
    assert len(votes) == len(labels) == 40


def test_a_second_run_finds_the_first(planted: Judged) -> None:
    assert crossfit(planted.store, planted.dates, planted.clusters) == planted.crossfit


# What may not change a judgement


def rows_of(found: Judged, plants: set[str], *names: str) -> dict[tuple[Any, str], list[Any]]:
    return {
        key: [row[name] for name in names] for key, row in by_plant(found.read(CROSSFIT)).items() if key[1] in plants
    }


def test_a_plants_labels_do_not_reach_its_own_judgement(tmp_path: Path, planted: Judged) -> None:
    store = Store(tmp_path)
    other = judge(store, plant_season(store, [relabelled(images, "p05") for images in season()]))
    fold = {row["plant_id"]: row["fold"] for row in by_plant(planted.read(CROSSFIT)).values()}
    same = {plant_id for plant_id in fold if fold[plant_id] == fold["p05"]}
    told = (*SHARES, *ANSWERS, "combined_reliability")
    assert rows_of(other, same, *told) == rows_of(planted, same, *told) and len(same) == 4
    rest = set(fold) - same
    assert rows_of(other, rest, "combined_reliability") != rows_of(planted, rest, "combined_reliability")
    first, second = (by_plant(found.read(RELIABILITIES, 1))[None, "p05"] for found in (planted, other))
    assert first["label"] != second["label"]
    for name in ("combined_reliability", "ready_probability"):
        assert first[name] == second[name]


def shuffled(store: Store, dates: Dates) -> list[Planted]:
    """Plant the images again in another order, in another order of the array, with maps of other strengths."""
    found: list[Planted] = []
    for day, (name, images) in enumerate(zip(DAYS, dates, strict=True)):
        generator = np.random.default_rng(day)
        mixed = [images[i] for i in generator.permutation(len(images))]
        maps = np.stack([pattern_map(image, name) for image in mixed if image.split != "train"])
        strength = np.exp2(generator.integers(-8, 9, (len(maps), 1, 1))).astype(np.float32)
        found.append(plant(store, name, mixed, maps * strength, generator.permutation(len(images)).tolist()))
    return found


def test_the_order_of_images_and_the_strength_of_maps_change_nothing(tmp_path: Path) -> None:
    dates = season(n_val=22)  # whose patterns are of different sizes
    stores = Store(tmp_path / "plain"), Store(tmp_path / "shuffled")
    plain, other = judge(stores[0], plant_season(stores[0], dates)), judge(stores[1], shuffled(stores[1], dates))

    def close(first: Rows, second: Rows, names: tuple[str, ...], tolerance: float) -> None:
        ours, theirs = by_plant(first), by_plant(second)
        assert set(ours) == set(theirs) and len(ours) >= 30
        for key, row in ours.items():
            assert [theirs[key][name] for name in names] == pytest.approx([row[name] for name in names], abs=tolerance)

    close(plain.read(CROSSFIT), other.read(CROSSFIT), (*SHARES, *ANSWERS, "fold"), 1e-6)
    close(plain.read(CROSSFIT), other.read(CROSSFIT), ("combined_reliability",), 1e-3)
    for day in range(2):
        placed = ("cluster", "neighbour_agreement", "nearest_map_reliability", "novelty", "is_flat_map")
        close(plain.read(ASSIGNMENTS, day), other.read(ASSIGNMENTS, day), placed, 1e-6)
        rated, probable = ("error_share", "error_share_lower", *ANSWERS), ("combined_reliability", "ready_probability")
        close(plain.read(RELIABILITIES, day), other.read(RELIABILITIES, day), rated, 1e-6)
        close(plain.read(RELIABILITIES, day), other.read(RELIABILITIES, day), probable, 1e-3)
        close(plain.read(ADJUSTED, day), other.read(ADJUSTED, day), ("adjusted", "is_swapped"), 0)
        close(plain.read(DECIDED, day), other.read(DECIDED, day), ("answer", "is_corrected", "is_outside"), 0)


# Few plants, few maps


@pytest.mark.parametrize("n_plants", [1, 2])
def test_fewer_than_three_plants_are_refused(tmp_path: Path, n_plants: int) -> None:
    store = Store(tmp_path)
    images = [Shown(f"p{i % n_plants}", "val", i % 2, 1, pattern=i % 3) for i in range(9)]
    dates = [plant(store, DAYS[0], images)]
    clusters = fit(store, dates)
    with pytest.raises(InputError, match="leaves plants out"):
        crossfit(store, dates, clusters)
    assert not list(local(store.root / "artifacts" / "crossfit").iterdir())


def test_three_plants_are_enough(tmp_path: Path) -> None:
    store = Store(tmp_path)
    dates = [plant(store, DAYS[0], [Shown(f"p{i % 3}", "val", i % 2, 1, pattern=i // 3) for i in range(9)])]
    table = read_table(store.open(crossfit(store, dates, fit(store, dates))), CROSSFIT)
    assert sorted(set(table["fold"])) == [1, 2, 3] and len(table["row"]) == 9
    assert all(0 < p < 1 for p in table["combined_reliability"])


def test_folds_without_clusters_are_told(tmp_path: Path) -> None:
    store, params = Store(tmp_path), PARAMS.model_copy(update={"n_clusters": 40})  # as many as maps
    dates = plant_season(store, season())
    artifact = store.open(crossfit(store, dates, fit(store, dates, params), params))
    (warning,) = artifact.summary["warnings"]
    assert warning.startswith(
        "in 5 of 5 folds the other maps could not be clustered "
        "(32 saliency maps show only 32 different patterns, for 40 clusters)"
    )
    table = read_table(artifact, CROSSFIT)
    label, predicted, folds = (np.asarray(table[name]) for name in ("label", "predicted", "fold"))
    for fold, share in zip(table["fold"], table["error_share"], strict=True):
        assert share == pytest.approx((label != predicted)[folds != fold].mean())
    assert set(table["cluster"]) == {1}
