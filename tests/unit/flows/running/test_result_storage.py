"""Check that Prefect gets references from the records of a store and nothing else, in folders and in buckets."""

import asyncio
import json
import logging
from pathlib import Path

import pytest
from prefect.filesystems import LocalFileSystem
from prefect.results import ResultStore
from prefect.serializers import JSONSerializer

from flows.running.result_storage import StoreRecords
from storage.artifacts import Store
from storage.places.files import write_atomically
from storage.records.results import RefusedRecordError, record_name
from tests.support.local_stores import local
from tests.support.planted_records import FOREIGN_RECORDS, REF, SEVERAL, plant, reference, true_record

NAME = record_name([REF])


def results(store: Store) -> ResultStore:
    return ResultStore(result_storage=StoreRecords(store=store.address), cache_result_in_memory=False)


@pytest.mark.parametrize("kind", ["pickle", "pickle of the old format", "compressed pickle", "pickle without a record"])
def test_prefect_itself_would_obey_them(kind: str, tmp_path: Path) -> None:
    """Without this, the tests below could pass because the planted records are wrong."""
    store, executed = Store(tmp_path / "store"), tmp_path / "executed"
    plant(store, NAME, FOREIGN_RECORDS[kind](executed))
    unguarded = ResultStore(result_storage=LocalFileSystem(basepath=str(local(store.results_folder))))
    assert unguarded.read(NAME).result is None and executed.is_dir()


@pytest.mark.parametrize("kind", FOREIGN_RECORDS)
def test_foreign_records_are_never_obeyed(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, executed = Store(tmp_path / "store"), tmp_path / "executed"
    plant(store, NAME, FOREIGN_RECORDS[kind](executed))
    with caplog.at_level(logging.WARNING, "flows.running.result_storage"):
        assert not results(store).exists(NAME) and not asyncio.run(results(store).aexists(NAME))
    assert [f"prefect-results/{NAME}" in record.message for record in caplog.records] == [True, True]
    with pytest.raises(RefusedRecordError, match=f"prefect-results/{NAME}"):
        results(store).read(NAME)
    with pytest.raises(RefusedRecordError, match=f"prefect-results/{NAME}"):
        asyncio.run(results(store).aread(NAME))
    assert not executed.exists()


def test_references_come_back_and_nothing_else_of_a_record(tmp_path: Path) -> None:
    """A record may name a place where other records are, and a serializer twice."""
    store, several = Store(tmp_path), record_name(SEVERAL)
    twice = true_record(json.dumps(reference(REF))).replace(b'"type": "json"', b'"type": "pickle", "type": "json"')
    plant(store, NAME, twice)
    plant(store, several, true_record(json.dumps([reference(ref) for ref in SEVERAL])))
    read = results(store).read(NAME)
    assert read.result == REF and results(store).read(several).result == SEVERAL
    assert (read.metadata.storage_key, read.metadata.serializer.type) == (NAME, "json")
    assert b"/srv/store" not in StoreRecords(store=store.address).read_path(NAME)


def test_prefect_reads_back_what_it_wrote(tmp_path: Path) -> None:
    store = Store(tmp_path)
    writing = ResultStore(result_storage=StoreRecords(store=store.address), serializer=JSONSerializer())
    writing.write(REF, NAME)
    writing.write(SEVERAL, record_name(SEVERAL))
    assert results(store).exists(NAME) and results(store).read(NAME).result == REF
    assert results(store).read(record_name(SEVERAL)).result == SEVERAL


@pytest.mark.parametrize("kind", ["pickle", "foreign class", "another artefact"])
def test_records_in_a_bucket_are_refused(kind: str, address: str, tmp_path: Path) -> None:
    store, executed = Store(address), tmp_path / "executed"
    write_atomically(store.results_folder / NAME, FOREIGN_RECORDS[kind](executed))
    assert not results(store).exists(NAME) and not executed.exists()
    with pytest.raises(RefusedRecordError, match=f"prefect-results/{NAME}"):
        results(store).read(NAME)
    write_atomically(store.results_folder / NAME, true_record(json.dumps(reference(REF))))
    assert results(store).read(NAME).result == REF and not executed.exists()
