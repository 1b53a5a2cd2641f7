"""A store that version 0.1.0 wrote, before modules moved into packages: it is read, and nothing is made again."""

import json
import tarfile
from collections.abc import Generator
from pathlib import Path

import pytest
from prefect.serializers import prefect_json_object_decoder

from flows.cli.run_file import load_run_file
from storage.artifacts import ArtifactRef, Store
from storage.records.campaigns import read_record
from storage.tables import TABLES
from storage.tables.parquet import load_table
from storage.verify import verify_store
from tests.support.campaigns import run_small
from tests.support.prefect_api import api_in_this_process
from tests.support.repository import ROOT

ARCHIVE = ROOT / "tests/stored/store-0.1.0.tar.xz"
NEVER_CACHED = {"survey before", "rehearse before", "publish before"}
MAY_BE_EMPTY = {"rejected", "drift"}  # nothing was left out; a date has no unseen plant
MADE_AGAIN = {"report before"}  # a report is named by the program's templates too, and they changed since


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "field2"


@pytest.fixture(scope="module")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    with api_in_this_process(tmp_path_factory.mktemp("prefect")):
        yield


def table_bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in (folder / "store/tables").rglob("*.parquet")}


def test_records_of_cached_results_are_references(folder: Path) -> None:
    """Prefect gives a plain dictionary, without a word, where the class that a record names cannot be imported."""
    records = [path for path in (folder / "store/prefect-results").iterdir() if path.is_file()]
    assert len(records) > 25
    for path in records:
        result = json.loads(json.loads(path.read_bytes())["result"], object_hook=prefect_json_object_decoder)
        refs = result if isinstance(result, list) else [result]
        assert refs and all(isinstance(ref, ArtifactRef) for ref in refs), path.name
        assert all(Store(folder / "store").holds(ref) for ref in refs), path.name


def test_manifests_and_tables_are_read(folder: Path) -> None:
    found = verify_store(Store(folder / "store"))
    assert found.problems == [] and found.unfinished == [] and found.n_artifacts > 25
    tables = sorted((folder / "store/tables").rglob("*.parquet"))
    assert len({path.relative_to(folder / "store/tables").parts[0] for path in tables}) > 14
    for path in tables:
        spec = TABLES[path.relative_to(folder / "store/tables").parts[0]]
        n_rows = load_table(path, spec).num_rows
        assert n_rows > 0 or spec.name in MAY_BE_EMPTY, path
    assert (folder / "store" / read_record(Store(folder / "store"), "before").report).is_file()


@pytest.mark.usefixtures("one_thread", "prefect_api")
def test_a_run_on_it_finds_everything_cached_and_changes_no_table(folder: Path) -> None:
    params, _ = load_run_file(folder / "before.toml")
    record, tables = read_record(Store(folder / "store"), "before"), table_bytes(folder)
    again = run_small(params, folder / "store")
    states = again.states()
    assert {name for name, state in states.items() if state != "Cached"} == NEVER_CACHED | MADE_AGAIN
    assert {state for name, state in states.items() if name in NEVER_CACHED | MADE_AGAIN} == {"Completed"}
    assert table_bytes(folder) == tables
    kept = {role: ref for role, ref in record.artifacts.items() if role != "report"}
    assert {role: ref for role, ref in again.record.artifacts.items() if role != "report"} == kept
