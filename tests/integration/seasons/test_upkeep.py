"""A store whose files rot: what was made is made again in the night, and what people gave is left to people."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.checks import renew_after_checks
from flows.upkeep.keep import NOTHING, keep_store
from flows.upkeep.params import UpkeepParams
from storage.artifacts import Store
from storage.errors import AwayError
from storage.records.campaigns import CampaignRecord
from storage.records.notices import DAMAGED
from storage.records.upkeep import read_upkeep
from storage.tables import DECIDED
from storage.tables.rows import rows_of
from storage.verify import folder_size, list_folders, verify_store
from tests.support.checks import keep_found
from tests.support.season_fields import NEW
from tests.support.season_runs import Scored, artifacts_of, flow_runs, table_bytes


@pytest.fixture
def rotten(store: Path, scored: Scored, tmp_path: Path) -> Path:
    """A copy of the store with a campaign and a date that it has scored."""
    return shutil.copytree(store, tmp_path / "store")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def notices(store: Path) -> list[dict[str, str]]:
    path = store / "notices.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    return [one for one in found if one["state"] == DAMAGED]


def own_tables(store: Path) -> dict[str, bytes]:
    """Tables of the campaign; those of other tests, which rest on the same clusters, are made again too."""
    return {name: content for name, content in table_bytes(store).items() if "campaign=small/" in name}


def keep(store: Path, **params: Any) -> dict[str, list[str]]:
    return keep_store(str(store), UpkeepParams(**{"gc_days": 0, **params}))


def test_damaged_results_are_made_again_and_told(rotten: Path, scored: Scored, fitted: CampaignRecord) -> None:
    opened = Store(rotten)
    rows = rows_of(opened.open(scored.record.artifacts[f"decided gradcam {NEW}"]), DECIDED)[:1]
    keep_found(opened, "small", NEW, {rows[0]["plant_id"]: "ready"}, rows)
    renew_after_checks(opened, "small")
    before, found = own_tables(rotten), "tables/found/campaign=small"
    decided = f"artifacts/{scored.record.artifacts[f'decided gradcam {NEW}']}"
    clusters = f"artifacts/{fitted.artifacts['clusters gradcam']}"
    table = f"tables/adjusted/campaign=small/date={NEW}"
    entered = rotten / "checks/other/2022-09-03"
    entered.mkdir(parents=True)
    (entered / "20220904T000000-01234567.json").write_bytes(b"{")  # what a person had found
    flip(rotten / decided / "decided.parquet")
    (array,) = (path for path in (rotten / clusters).rglob("zarr.json") if path.parent.name == "pca_mean")
    array.unlink()
    for name in (table, found):
        (rotten / name / "part-0.parquet").write_bytes(b"")
    person = f"checks/other/2022-09-03/{next(entered.iterdir()).name}"

    first = keep(rotten)
    assert own_tables(rotten) == before
    (problem,) = verify_store(opened).problems
    assert "20220904T000000-01234567.json" in problem
    (notice,) = notices(rotten)
    head, *lines = notice["message"].splitlines()
    assert head == "5 damaged, 4 of them whole again, 1 for a person"
    told = {line.split(":")[0]: line for line in lines}
    assert told.keys() == {decided, clusters, table, found, person}
    for place, file in ((decided, "decided.parquet"), (table, "part-0.parquet")):
        assert f"file {file} has" in told[place] and f"small {NEW} was scored again" in told[place]
    assert "pca_mean/zarr.json is missing" in told[clusters] and "small was run again" in told[clusters]
    assert "file part-0.parquet has" in told[found] and "small was run again" in told[found]
    assert "Whole again" in told[clusters] and "For a person: not made again: what people entered" in told[person]
    assert first["Damaged"] == lines
    *_, run = flow_runs("keep store")
    assert decided in artifacts_of(run.id)["upkeep"] and str(run.id) in notice["url"]

    # What is left to a person is told once, and gone when the person has mended it.
    keep(rotten)
    assert len(notices(rotten)) == 1 and list(read_upkeep(opened).damaged) == [person]
    shutil.rmtree(entered)
    keep(rotten)
    assert read_upkeep(opened).damaged == {} and verify_store(opened).problems == []


def test_a_night_reads_a_part_and_the_next_reads_on(rotten: Path) -> None:
    opened = Store(rotten)
    folders = list_folders(opened)
    size = sum(folder_size(opened, name) for name in folders)
    read: list[int] = []
    while not read_upkeep(opened).completed:
        keep(rotten, verify_gb=size / 3e9)
        read.append(read_upkeep(opened).n_bytes)
    assert 2 <= len(read) <= 4 and read[:-1] == sorted(read[:-1]) and notices(rotten) == []


def test_a_store_that_is_not_there_is_not_called_whole(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(AwayError, match="has no folder `artifacts`"):  # a run of the service is put off
            keep(tmp_path / "unmounted")
        (tmp_path / "unmounted").mkdir(exist_ok=True)
    assert list((tmp_path / "unmounted").iterdir()) == []
    (tmp_path / "unmounted/reports").mkdir()  # a new service has this folder
    assert keep(tmp_path / "unmounted") == {"Read again": [NOTHING]}


def test_a_store_that_lost_its_artefacts_is_not_called_new(rotten: Path) -> None:
    before = table_bytes(rotten)
    (rotten / "artifacts").rename(rotten.parent / "other-disk")
    with pytest.raises(AwayError, match=r"has no folder `artifacts`[^$]*restore a backup"):
        keep(rotten)
    assert table_bytes(rotten) == before and notices(rotten) == []
    (rotten.parent / "other-disk").rename(rotten / "artifacts")
    assert keep(rotten).keys() == {"Read again", "Damaged", "Removed"}


def test_what_nothing_rests_on_is_removed(rotten: Path) -> None:
    opened, before = Store(rotten), own_tables(rotten)
    kept = set(list_folders(opened))
    lone = rotten / "artifacts/zeros/0123456789abcdef01234567"
    shutil.copytree(next((rotten / "artifacts/drift").glob("[!.]*")), lone)
    said = json.loads((lone / "manifest.json").read_text()) | {"kind": "zeros", "digest": lone.name}
    (lone / "manifest.json").write_text(json.dumps(said | {"created": "2020-01-01T00:00:00+00:00"}))
    removed = keep(rotten, gc_days=30)["Removed"]
    assert "artefacts: 1 zeros" in removed and not lone.exists()
    assert set(list_folders(opened)) == kept and own_tables(rotten) == before
    assert verify_store(opened).problems == []
