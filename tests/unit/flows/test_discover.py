"""Test the key under which a date is scored once for what there is."""

from datetime import date
from pathlib import Path

from flows.discover import scoring_key
from storage.artifacts import Store
from storage.records.acquisitions import AcquisitionRecord, DateFiles, write_acquisition
from tasks.sources.synthetic.source import SyntheticSource
from tests.support.local_stores import local

DAY, FIT = date(2021, 9, 10), "0" * 24
RECORD = AcquisitionRecord(campaign="field2", date=DAY, fitted_by="field2", fit=FIT, params={}, artifacts={})


def test_results_that_other_files_replace_have_a_key_of_their_own(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def key() -> str:
        return scoring_key(store, "field2", DAY, FIT, SyntheticSource())

    first = key()
    path = write_acquisition(store, RECORD)
    assert key() == first, "a record of an earlier version does not say what its files were"
    found: list[str] = []
    for digest in ("half", "half", "whole"):
        files = DateFiles(n_files=1, n_bytes=1, digest=digest)
        write_acquisition(store, RECORD.model_copy(update={"files": files}))
        found.append(key())
    assert found[0] == found[1] and len({first, *found}) == 3
    local(path).write_text("{")
    assert key() == first
