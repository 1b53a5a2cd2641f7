"""Test the new date of `harvest demo`: what stands in the drawn field, and that its source knows no label."""

from datetime import timedelta
from pathlib import Path

import pytest

from flows.cli.demo import CUT_UNTIL, FLIGHT, demo_season, flight_season, flight_source, write_synthetic_season
from tasks.ingest.labels import label_observations
from tasks.sources.synthetic.season import grow_season

PARAMS = flight_season(shortcut=True).model_copy(update={"n_plots": 1, "image_size": 32})  # a fifth of the field


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo") / "flight"
    write_synthetic_season(root, "field", PARAMS, CUT_UNTIL)
    return root


def test_over_300_plants_stand_and_as_many_are_ready_as_on_the_fitted_dates() -> None:
    flight, fitted = (grow_season(make(shortcut=True)) for make in (flight_season, demo_season))
    standing, known = ([one for one in season.observations if one.state != "harvested"] for season in (flight, fitted))
    assert len(standing) == 324 and len(flight.plants) == 500
    ready, before = (sum(one.state == "ready" for one in some) / len(some) for some in (standing, known))
    assert ready == pytest.approx(before, abs=0.05)
    assert not {one.plant_id for one in flight.plants} & {one.plant_id for one in fitted.plants}


def test_all_plants_carry_the_marker_as_validation_plants_do() -> None:
    seen = [one for one in grow_season(flight_season(shortcut=True)).observations if one.state != "harvested"]
    for split in ("train", "val"):
        of_split = [one for one in seen if one.plant.split == split]
        assert not any(one.has_marker for one in of_split if one.state == "ready")
        unready = [one.has_marker for one in of_split if one.state == "not ready"]
        assert sum(unready) / len(unready) == pytest.approx(0.4, abs=0.15)


def test_what_stands_on_the_date_has_no_label_and_no_split(root: Path) -> None:
    season = grow_season(PARAMS)
    listing = flight_source(root).list_images([FLIGHT])
    images, left_out = label_observations(listing, keep_censored=True)
    state = {one.plant.plant_id: one.state for one in season.observations}
    assert {one.plant_id for one in images} == {name for name, found in state.items() if found != "harvested"}
    assert {one.label for one in images} == {None} and {one.split for one in images} == {"new"}
    assert {one.plant_id for one in left_out} == {name for name, found in state.items() if found == "harvested"}
    assert {one.reason for one in left_out} == {"harvested"}
    cut = [plant.harvest for plant in season.plants if state[plant.plant_id] == "harvested"]
    assert max(day for day in cut if day is not None) <= CUT_UNTIL == FLIGHT - timedelta(days=1)
