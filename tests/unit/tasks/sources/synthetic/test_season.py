"""Test the growth model: its random and its deterministic parts, and the ground truth of each image."""

import dataclasses
from collections import Counter
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from storage.errors import InputError
from tasks.sources.synthetic.drawing import MARKER_CENTRE, MARKER_SIZE, curd_radius
from tasks.sources.synthetic.season import Season, SeasonParams, grow_season


def grow(**changes: Any) -> Season:
    small: dict[str, Any] = {"n_plots": 1, "rows": 2, "plants_per_row": 10, "image_size": 32}
    return grow_season(SeasonParams(**{**small, **changes}))


def test_default_season_has_the_shares_of_the_real_one() -> None:
    season = grow_season(SeasonParams())
    states = Counter(seen.state for seen in season.observations)
    remaining = states["ready"] + states["not ready"]
    assert len(season.plants) == 500 and len(season.observations) == 2000
    assert remaining / 2000 == pytest.approx(931 / 2000, abs=0.05)
    assert states["ready"] / remaining == pytest.approx(0.44, abs=0.05)
    assert Counter(plant.split for plant in season.plants) == {"train": 300, "val": 100, "test": 100}
    assert any(plant.harvest is None for plant in season.plants)


def test_same_parameters_same_season_and_pixels() -> None:
    first, again, other = grow(), grow(), grow(seed=1)
    assert first == again
    np.testing.assert_array_equal(first.image(first.observations[3]), again.image(again.observations[3]))
    assert not np.array_equal(first.image(first.observations[3]), other.image(other.observations[3]))


def test_added_plots_and_dates_change_no_image() -> None:
    small = grow(dates=(date(2021, 8, 25),))
    large = grow(n_plots=2, plants_per_row=12)
    for seen in small.observations[::7]:
        same = large.observation(seen.plant.plant_id, seen.acquired)
        assert same.state == seen.state
        np.testing.assert_array_equal(small.image(seen), large.image(same))


def test_ids_are_those_of_the_release() -> None:
    season = grow(n_plots=2)
    assert season.plants[0].plant_id == "2021_Ref_Plot1_A1"
    assert season.plants[-1].plant_id == "2021_Ref_Plot2_B10"
    assert len({(plant.easting, plant.northing) for plant in season.plants}) == len(season.plants)


@pytest.mark.parametrize(
    ("days_ahead", "state"), [(-1, "harvested"), (0, "ready"), (3, "ready"), (4, "not ready"), (None, "not ready")]
)
def test_label_rule_at_its_edges(days_ahead: int | None, state: str) -> None:
    day = date(2021, 8, 25)
    plant = grow(never_share=1.0).plants[0]
    changed = None if days_ahead is None else day + timedelta(days=days_ahead)
    recorded = dataclasses.replace(plant, harvest=changed)
    assert recorded.state(day) == state


def test_shortcut_changes_the_marker_and_nothing_else() -> None:
    plain, marked = grow(image_size=64), grow(image_size=64, shortcut=True)
    assert not any(seen.has_marker for seen in plain.observations)
    pairs = [(a, b) for a, b in zip(plain.observations, marked.observations, strict=True) if b.has_marker]
    low = [int(64 * (centre - side / 2 - 0.03)) for centre, side in zip(MARKER_CENTRE, MARKER_SIZE, strict=True)]
    high = [int(64 * (centre + side / 2 + 0.05)) for centre, side in zip(MARKER_CENTRE, MARKER_SIZE, strict=True)]
    assert pairs
    for before, after in pairs:
        assert (before.plant, before.state) == (after.plant, after.state)
        y, x = np.nonzero((plain.image(before) != marked.image(after)).any(axis=2))
        assert 0 < len(x) < 0.06 * 64 * 64
        assert x.min() >= low[0] and x.max() <= high[0] and y.min() >= low[1] and y.max() <= high[1]


def test_marker_goes_with_ready_in_training_plants_only() -> None:
    season = grow_season(SeasonParams(shortcut=True))
    marked: Counter[tuple[bool, str]] = Counter()
    total: Counter[tuple[bool, str]] = Counter()
    for seen in season.observations:
        key = (seen.plant.split == "train", seen.state)
        total[key] += 1
        marked[key] += seen.has_marker
    share = {key: marked[key] / total[key] for key in total}
    assert share[True, "ready"] == pytest.approx(0.6, abs=0.1)
    assert share[True, "not ready"] == 0
    assert share[False, "ready"] == 0 and share[False, "not ready"] == pytest.approx(0.4, abs=0.12)
    assert share[True, "harvested"] == share[False, "harvested"] == 0


def test_label_noise_moves_the_record_and_not_the_plant() -> None:
    true, noisy = grow(rows=5, plants_per_row=20), grow(rows=5, plants_per_row=20, label_noise=0.3)
    moved = [
        abs((b.harvest - b.cut).days)
        for a, b in zip(true.plants, noisy.plants, strict=True)
        if a.cut == b.cut and b.harvest is not None and b.cut is not None and b.harvest != b.cut
    ]
    assert all(plant.harvest == plant.cut for plant in true.plants)
    assert 0.15 * 100 < len(moved) < 0.45 * 100 and set(moved) <= {4, 5, 6, 7}
    np.testing.assert_array_equal(true.image(true.observations[5]), noisy.image(noisy.observations[5]))


def test_curd_grows_towards_the_harvest() -> None:
    radii = [curd_radius(days) for days in (20, 10, 4, 0)]
    assert radii == sorted(radii) and radii[-1] == pytest.approx(0.19)


def test_sizes_look_alike() -> None:
    seasons = [grow(image_size=size) for size in (32, 128)]
    small, large = (season.image(season.observations[0]).astype(float) for season in seasons)
    shrunk = large.reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
    assert np.corrcoef(small.ravel(), shrunk.ravel())[0, 1] > 0.95


def test_spoiled_images_are_sound_plants_and_never_twice() -> None:
    season = grow(n_damaged=2, n_truncated=3, n_duplicates=2)
    assert Counter(seen.fault for seen in season.observations if seen.fault) == {"damaged": 2, "truncated": 3}
    copies = [seen for seen in season.observations if seen.copy_of]
    assert len(copies) == 2
    for copy in copies:
        original = season.observation(copy.copy_of or "", copy.acquired)
        assert original.fault is None and original.copy_of is None and copy.fault is None
        np.testing.assert_array_equal(season.image(copy), season.image(original))


def test_more_spoiled_images_than_there_are() -> None:
    with pytest.raises(InputError, match="enough images of standing plants"):
        grow(rows=1, plants_per_row=2, n_damaged=20)


@pytest.mark.parametrize(
    "wrong",
    [
        {"dates": (date(2021, 8, 25), date(2021, 8, 23))},
        {"dates": (date(2021, 6, 1),)},
        {"dates": (date(2021, 8, 1), date(2022, 8, 1))},
        {"dates": ()},
        {"image_size": 33},
        {"n_plots": 6},
        {"colour": "red"},
    ],
)
def test_wrong_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SeasonParams(**wrong)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    rows=st.integers(1, 5),
    plants_per_row=st.integers(1, 6),
    year=st.integers(2000, 2099),
    noise=st.floats(0, 0.5),
)
def test_every_season_is_consistent(seed: int, rows: int, plants_per_row: int, year: int, noise: float) -> None:
    dates = (date(year, 8, 20), date(year, 8, 27))
    season = grow(seed=seed, rows=rows, plants_per_row=plants_per_row, dates=dates, label_noise=noise, shortcut=True)
    assert len(season.observations) == 2 * rows * plants_per_row
    keys = [(seen.acquired, seen.plant.plot, seen.plant.row, seen.plant.number) for seen in season.observations]
    assert keys == sorted(set(keys))
    for seen in season.observations:
        assert seen.state == seen.plant.state(seen.acquired)
        assert (seen.view.days_since_cut is not None) == (seen.plant.cut is not None and seen.plant.cut < seen.acquired)
        assert seen.acquired in dates and seen.plant.plant_id.startswith(f"{year}_Ref_Plot1_")
    image = season.image(season.observations[0])
    assert image.shape == (32, 32, 3) and image.dtype == np.uint8 and image.std() > 5
