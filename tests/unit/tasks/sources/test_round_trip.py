"""Test for every layout that its reader returns the ground truth of the season that was written."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from tasks.ingest.labels import Readiness, label_observations
from tasks.sources.contract import Harvest, Source, UnreadableImage
from tasks.sources.fiftyone.source import FiftyOneSource
from tasks.sources.folder.source import FolderSource
from tasks.sources.growliflower.source import GrowliFlowerSource
from tasks.sources.harvest_table import HarvestTable
from tasks.sources.synthetic.layout_files import ORTHOPHOTOS
from tasks.sources.synthetic.layouts import LAYOUTS, HarvestWords, Layout, WrittenSeason, write_season
from tasks.sources.synthetic.season import Season, SeasonParams, grow_season
from tests.support.orthophoto_season import field_of_season

SIZE = 32
WATCHED_UNTIL = date(2021, 10, 31)  # after the last harvest of the season
SMALL = {"seed": 5, "n_plots": 2, "rows": 2, "plants_per_row": 6, "image_size": SIZE}


@pytest.fixture(scope="module")
def season() -> Season:
    return grow_season(SeasonParams.model_validate(SMALL))


def open_source(written: WrittenSeason) -> Source:
    root = str(written.root)
    if written.layout == "fiftyone":
        return FiftyOneSource(root=root, observed_until=WATCHED_UNTIL)
    if written.layout == "folder":
        # The folders are named with an underscore; the order is that of the classes everywhere else.
        return FolderSource(root=root, classes=("not_ready", "ready"))
    if written.layout == "field":
        return field_of_season(written.root, WATCHED_UNTIL)
    # Prepared patches state their labels and have no harvest table.
    table = None if written.layout == "growliflower-prepared" else HarvestTable(observed_until=WATCHED_UNTIL)
    return GrowliFlowerSource(root=root, crop_size=SIZE, harvest_table=table)


def write(season: Season, root: Path, layout: Layout, harvested: HarvestWords = "dates") -> WrittenSeason:
    return write_season(season, root / layout, layout, harvested=harvested)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_labels_splits_and_pixels(season: Season, tmp_path: Path, layout: Layout) -> None:
    written = write(season, tmp_path, layout)
    source = open_source(written)
    assert source.available_dates() == season.params.dates
    listing = source.list_images(season.params.dates)
    images, left_out = label_observations(listing)

    standing = [seen for seen in season.observations if seen.state != "harvested"]
    truth = {(seen.plant.plant_id, seen.acquired): seen for seen in standing}
    assert {(one.plant_id, one.acquired) for one in images} == truth.keys()
    n_gone = 0 if layout in {"growliflower-prepared", "folder"} else len(season.observations) - len(standing)
    assert [one.reason for one in left_out] == ["harvested"] * n_gone
    assert listing.left_out == ()
    flagged = set(written.flagged)
    for one in images:
        seen = truth[one.plant_id, one.acquired]
        assert (one.label, one.split) == (int(seen.state == "ready"), seen.plant.split)
        if layout == "field" or layout.startswith("growliflower"):
            assert (one.easting, one.northing) == (seen.plant.easting, seen.plant.northing)
        has_crop_flag = bool({"crop_leaves_raster", "mostly_no_data"} & set(one.flags))
        assert has_crop_flag == ((one.plant_id, one.acquired) in flagged)
        if not has_crop_flag:
            np.testing.assert_array_equal(source.read_image(one), season.image(seen))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_date_is_a_part_of_all(season: Season, tmp_path: Path, layout: Layout) -> None:
    source = open_source(write(season, tmp_path, layout))
    day = season.params.dates[1]
    everything = source.list_images(season.params.dates).images
    assert source.list_images([day]).images == tuple(one for one in everything if one.acquired == day)


def days_left(harvested_on: date | None, visits: tuple[date, ...]) -> Harvest:
    """Return the harvest interval that yes / no at each visit states: last visit before, first visit on or after it."""
    before = [day for day in visits if harvested_on is None or day < harvested_on]
    after = [day for day in visits if day not in before]
    if not after:
        return Harvest(visits[-1], date.max, visits[-1])
    return Harvest(before[-1] if before else date.min, after[0], visits[-1])


def test_visit_flags_of_the_export(season: Season, tmp_path: Path) -> None:
    listing = open_source(write(season, tmp_path, "fiftyone", "visits")).list_images(season.params.dates)
    expected = {plant.plant_id: days_left(plant.harvest, season.params.dates) for plant in season.plants}
    assert {one.plant_id: one.harvest for one in listing.images} == expected
    images, left_out = label_observations(listing)
    assert {one.reason for one in left_out} == {Readiness.harvested, Readiness.ambiguous}
    # The last visit is the last flight. No label of the days before it can be known, whatever the flags say.
    assert max(one.acquired for one in images) <= season.params.dates[-1] - timedelta(days=3)
    truth = {(seen.plant.plant_id, seen.acquired): seen.state for seen in season.observations}
    assert images and all(one.label == int(truth[one.plant_id, one.acquired] == "ready") for one in images)


def test_plants_never_harvested_are_stated(season: Season, tmp_path: Path) -> None:
    never = {plant.plant_id for plant in season.plants if plant.harvest is None}
    assert 0 < len(never) < len(season.plants)
    for layout in ("growliflower", "fiftyone"):
        listing = open_source(write(season, tmp_path, layout)).list_images(season.params.dates)
        assert {one.plant_id for one in listing.images if one.harvest == Harvest.never()} == never


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout not in ORTHOPHOTOS])
def test_spoiled_and_duplicate_files(tmp_path: Path, layout: Layout) -> None:
    faults = {"n_damaged": 2, "n_truncated": 3, "n_duplicates": 2}
    season = grow_season(SeasonParams.model_validate({**SMALL, **faults}))
    written = write(season, tmp_path, layout)
    source = open_source(written)
    unreadable: set[str] = set()
    fingerprints: dict[str, str] = {}
    for one in source.list_images(season.params.dates).images:
        fingerprints[one.path] = source.fingerprint(one)
        try:
            source.read_image(one)
        except UnreadableImage:
            unreadable.add(one.path)
    spoiled = {*written.damaged, *written.truncated}
    assert unreadable == spoiled & fingerprints.keys()
    assert len(unreadable) == 5
    assert len(written.duplicates) == 2
    for kept, copy in written.duplicates:
        assert fingerprints[kept] == fingerprints[copy]
    assert len(set(fingerprints.values())) == len(fingerprints) - 2
