"""One campaign from drawn images to its report, with Prefect's API in this process."""

from collections.abc import Generator
from pathlib import Path

import pytest

from storage.artifacts import Store
from storage.records.campaigns import read_record
from storage.tables import METRICS, TABLES
from storage.tables.parquet import load_table
from storage.tables.rows import rows_of
from storage.verify import verify_store
from tests.support.campaigns import DATES, Finished, run_small, small_campaign
from tests.support.local_stores import local
from tests.support.prefect_api import api_in_this_process

pytestmark = pytest.mark.usefixtures("one_thread")
NOT_OF_A_CAMPAIGN = {
    "cluster_matches",
    "reviews",
    "audit",
    "acquisitions",
    "backfill",
    "checks",
    "found",
}  # other flows, people
MAY_BE_EMPTY = {"rejected", "drift"}  # nothing was left out; a date has no unseen plant
NEVER_CACHED = {"survey small", "rehearse small", "publish small"}


@pytest.fixture(scope="module", autouse=True)
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    with api_in_this_process(tmp_path_factory.mktemp("prefect")):
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def first(folder: Path) -> Finished:
    return run_small(small_campaign(), folder)


def table_bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in (folder / "tables").rglob("*.parquet")}


def test_every_stage_completes_and_every_table_has_rows(first: Finished, folder: Path) -> None:
    assert set(first.states().values()) == {"Completed"}
    for name in TABLES.keys() - NOT_OF_A_CAMPAIGN:
        files = sorted((folder / "tables" / name / "campaign=small").rglob("part-0.parquet"))
        assert len(files) == (len(DATES) if TABLES[name].per_date else 1), name
        assert name in MAY_BE_EMPTY or all(load_table(file, TABLES[name]).num_rows > 0 for file in files), name
    assert verify_store(Store(folder)).problems == []


def test_report_and_exports_are_those_of_the_record(first: Finished, folder: Path) -> None:
    store = Store(folder)
    assert read_record(store, "small") == first.record
    metrics = rows_of(store.open(first.record.artifacts["metrics gradcam"]), METRICS)
    assert {(row["split"], row["state"]) for row in metrics} >= {("val", "cross-fitted"), ("test", "after")}
    field = local(store.root / first.record.report)
    assert field.name == "index.html" and all(f'"date":"{day}"' in field.read_text() for day in DATES)
    analysis = field.with_name("analysis.html").read_text()
    assert all(f'<th scope="row" class="nowrap">{day}</th>' in analysis for day in DATES)
    exports = {path.name for day in DATES for path in (folder / "exports/small" / str(day)).iterdir()}
    kinds = ("csv", "geojson", "gpkg", "parquet", "xlsx")
    assert exports >= {f"small_{day}_gradcam.{kind}" for day in DATES for kind in kinds}


def test_a_second_run_is_cached_and_changes_no_table(first: Finished, folder: Path) -> None:
    before = table_bytes(folder)
    second = run_small(small_campaign(), folder)
    assert {name for name, state in second.states().items() if state != "Cached"} == NEVER_CACHED
    assert second.record == first.record and table_bytes(folder) == before
