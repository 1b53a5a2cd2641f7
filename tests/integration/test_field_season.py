"""Analyse one season as patches and as orthophotos: equal pixels give equal decisions."""

import base64
import json
from datetime import date
from typing import Any

import numpy as np
import pytest

from flows.acquisition import score_acquisition
from flows.campaign import analyse_campaign
from storage.arrays.specs import IMAGES
from storage.arrays.zarr_files import read_array
from storage.artifacts import Store
from storage.records.campaigns import CampaignRecord
from storage.tables import TABLES
from storage.tables.parquet import load_table
from tasks.ingest.params import ArrivalParams
from tasks.sources.growliflower.source import GrowliFlowerSource
from tasks.sources.harvest_table import HarvestTable
from tasks.sources.synthetic.layouts import write_season
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.season import grow_season
from tests.support.campaigns import DATES, small_campaign
from tests.support.local_stores import local
from tests.support.orthophoto_season import field_of_season

pytestmark = pytest.mark.usefixtures("one_thread")

LATER = date(2022, 9, 6)  # a date that the fit has not seen
WATCHED_UNTIL = date(2022, 10, 31)
# Columns that say where images and splits were read, and the artefacts named after it.
OF_THE_SOURCE = {"path", "sha256", "split_source", "classifier", "clusters"}
# Of later fits, people, and other flows.
OF_OTHERS = {"cluster_matches", "reviews", "checks", "found", "audit", "acquisitions", "backfill"}
MAY_BE_EMPTY = {"rejected", "drift"}  # nothing was left out; a date has no unseen plant
LAYOUTS = ("growliflower", "field")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def records(store: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, CampaignRecord]:
    """Return the record of a campaign for each layout of one season."""
    season = grow_season(
        SeasonParams(dates=(*DATES, LATER), n_plots=2, rows=3, plants_per_row=8, image_size=64, seed=1)
    )
    roots = {layout: tmp_path_factory.mktemp("season") / layout for layout in LAYOUTS}
    for layout in LAYOUTS:
        write_season(season, roots[layout], layout)
    table = HarvestTable(observed_until=WATCHED_UNTIL)
    sources: dict[str, Any] = {
        "growliflower": GrowliFlowerSource(root=str(roots["growliflower"]), harvest_table=table),
        "field": field_of_season(roots["field"], WATCHED_UNTIL),
    }
    return {
        name: analyse_campaign(small_campaign(name, source=source), str(store.root)) for name, source in sources.items()
    }


@pytest.mark.parametrize("day", DATES)
def test_images_are_equal(store: Store, records: dict[str, CampaignRecord], day: date) -> None:
    patches, crops = (read_array(store.open(records[layout].artifacts[f"images {day}"]), IMAGES) for layout in LAYOUTS)
    assert len(patches) > 5
    np.testing.assert_array_equal(patches, crops)


@pytest.mark.parametrize("name", sorted(TABLES.keys() - OF_OTHERS))
@pytest.mark.usefixtures("records")
def test_published_tables_are_equal(store: Store, name: str) -> None:
    patches, crops = (local(store.root / f"tables/{name}/campaign={layout}") for layout in LAYOUTS)
    files = sorted(path.relative_to(patches) for path in patches.rglob("*.parquet"))
    assert files == sorted(path.relative_to(crops) for path in crops.rglob("*.parquet")) != []
    for file in files:
        expected, found = (load_table(folder / file, TABLES[name]).to_pydict() for folder in (patches, crops))
        assert name in MAY_BE_EMPTY or any(expected.values())
        for column in expected.keys() - OF_THE_SOURCE:
            assert expected[column] == found[column], (file, column)


@pytest.mark.parametrize("day", DATES)
def test_the_orthophoto_of_every_date_lies_behind_the_map(
    store: Store, records: dict[str, CampaignRecord], day: date
) -> None:
    """Patches have no orthophoto, and nothing is missing then."""
    patches, field = (store.open(records[layout].artifacts[f"background {day}"]) for layout in LAYOUTS)
    pages = [store.open(records[layout].artifacts["report"]).read_bytes("index.html").decode() for layout in LAYOUTS]
    assert set(patches.manifest.files) == set() and patches.summary["fault"] == ""
    assert base64.b64encode(field.read_bytes("background.webp")).decode() in pages[1]
    assert place_of(pages[0])["photos"] == {} and place_of(pages[1])["photos"].keys() >= {day.isoformat()}


def place_of(page: str) -> Any:
    """Return where the map of a page lies."""
    return json.loads(page.split('id="field-data">')[1].split("</script>")[0])["place"]


def test_a_date_that_is_scored_later_has_its_orthophoto_too(store: Store, records: dict[str, CampaignRecord]) -> None:
    assert f"background {LATER}" not in records["field"].artifacts
    at_once = ArrivalParams(settle_seconds=0, patience_minutes=0)
    scored = score_acquisition("field", LATER, str(store.root), arrival=at_once)
    picture = store.open(scored.artifacts[f"background {LATER}"]).read_bytes("background.webp")
    page = local(store.root / records["field"].report).read_text(encoding="utf-8")
    assert base64.b64encode(picture).decode() in page and place_of(page)["photos"].keys() >= {LATER.isoformat()}
