"""What the version before backups wrote, in a service with a review, a scored date and a notice: it is still read."""

import json
from datetime import date
from pathlib import Path

import pytest

from storage.artifacts import Store
from storage.records.acquisitions import fit_digest
from storage.records.campaigns import read_record
from storage.records.reviews import list_reviews, read_review
from storage.records.scored import find_whole_acquisition
from storage.tables import TABLES
from storage.tables.parquet import load_table
from storage.verify import verify_store
from tests.support.stored import stored_backup

pytestmark = pytest.mark.slow

SCORED = date(2022, 9, 10)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(stored_backup(tmp_path_factory.mktemp("stored"))[0] / "store")


def test_its_store_is_whole(store: Store) -> None:
    found = verify_store(store)
    assert found.problems == [] and found.unfinished == [] and found.n_artifacts > 60
    assert all(name.startswith("artifacts/") for name in found.outdated)  # of version 0.1.0, and nothing names them


def test_its_records_are_read(store: Store) -> None:
    record = read_record(store, "before")
    scored = find_whole_acquisition(store, "before", SCORED, fit_digest(record.artifacts))
    assert scored is not None and scored.fitted_by == "before"
    (review,) = [read_review(path) for path in list_reviews(store)]
    assert (review.reviewer, review.reason) == ("A. Field", "markers")
    (notice,) = (store.root / "notices.jsonl").read_bytes().splitlines()
    assert json.loads(notice)["flow_run"] == "discover nowhere"


def test_every_table_of_it_is_read(store: Store) -> None:
    assert isinstance(store.root, Path)
    paths = sorted((store.root / "tables").rglob("*.parquet"))
    assert len(paths) > 35
    for path in paths:
        load_table(path, TABLES[path.relative_to(store.root / "tables").parts[0]])
    scored = {path.parts[-4] for path in paths if path.parent.name == f"date={SCORED}"}
    assert scored >= {"observations", "predictions", "assignments", "reliability", "adjusted", "decided", "drift"}
