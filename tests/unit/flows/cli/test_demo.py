"""Test the new date of `harvest demo`: what stands, that its source knows no label, and what somebody finds there."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.cli.demo import (
    CUT_UNTIL,
    FLIGHT,
    demo_season,
    flight_season,
    flight_source,
    plants_to_look_at,
    write_synthetic_season,
    write_work_sheet,
)
from tasks.export.checking import Answers, Whose, checks_of, start_of
from tasks.export.entries import read_entries
from tasks.export.forms import form_of
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


def test_somebody_looks_at_drawn_plants_and_at_those_to_check_in_the_first_plot(tmp_path: Path) -> None:
    """The form comes back as it would from the page, with the true states and nothing else."""
    season = grow_season(PARAMS)
    standing = [one for one in season.observations if one.state != "harvested"][:5]
    decided = [("harvest", "1", True), ("leave", "3", True), ("check", "1", False), ("check", "2", False)]
    decided += [("harvest", "1", False)]
    rows: list[dict[str, Any]] = [
        {
            "plant_id": one.plant.plant_id,
            **dict(zip(("decision", "plot", "is_audit"), some, strict=True)),
            "method": "gradcam",
            "answer": "ready",
            "answer_reliability": 0.9,
        }
        for one, some in zip(standing, decided, strict=True)
    ]
    chosen = plants_to_look_at(rows)
    assert chosen == rows[:3]
    of_plant = {row["plant_id"]: row for row in rows}
    answers = Answers("toy", FLIGHT, form_of(("not ready", "ready")), (), of_plant, frozenset(of_plant))
    write_work_sheet(tmp_path / "form.csv", answers, chosen, season)
    entries = read_entries(tmp_path / "form.csv", answers.form, "toy", FLIGHT)
    checks = checks_of("form.csv", entries.rows, answers, Whose("", start_of(FLIGHT)), datetime.now(UTC))
    assert [(one.plant_id, one.found) for one in checks] == [(one.plant.plant_id, one.state) for one in standing[:3]]
    assert {(one.checked_by, one.checked_at.isoformat()) for one in checks} == {("Demo", f"{FLIGHT}T12:00:00+00:00")}
