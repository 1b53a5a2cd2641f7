"""Which damage of a scored date is found without reading its files."""

from datetime import date
from pathlib import Path

import pytest

from storage.artifacts import Recipe, Store
from storage.published.exports import KIND, publish_decisions
from storage.published.publish import publish_table
from storage.records.acquisitions import AcquisitionRecord, write_acquisition
from storage.records.scored import find_whole_acquisition, missing_parts
from storage.tables import DECIDED
from storage.tables.parquet import write_table
from tests.support.local_stores import local

DAY, FIT = date(2022, 9, 3), "0" * 24


@pytest.fixture
def record(tmp_path: Path) -> AcquisitionRecord:
    """A scored date with one artefact of a table, one of an export and one of the fit, all of them published."""
    store = Store(tmp_path)
    made = {}
    for role, kind in (
        (f"decided gradcam {DAY}", "decided"),
        (f"{KIND} gradcam {DAY}", KIND),
        ("classifier", "classifier"),
    ):
        recipe = Recipe(kind, 1)
        with store.create(recipe) as draft:
            if kind == "decided":
                write_table(draft, DECIDED, {column.name: [] for column in DECIDED.columns})
            else:
                draft.write_bytes(f"{kind}.csv", b"plant_id")
        made[role] = recipe.ref
    publish_table(store, DECIDED, [made[f"decided gradcam {DAY}"]], "field", DAY)
    publish_decisions(store, {"gradcam": made[f"{KIND} gradcam {DAY}"]}, "field", DAY)
    record = AcquisitionRecord(campaign="field", date=DAY, fitted_by="field", fit=FIT, params={}, artifacts=made)
    write_acquisition(store, record)
    return record


def test_a_whole_date_has_none(tmp_path: Path, record: AcquisitionRecord) -> None:
    assert missing_parts(Store(tmp_path), record) == []
    assert find_whole_acquisition(Store(tmp_path), "field", DAY, FIT) == record
    assert find_whole_acquisition(Store(tmp_path), "field", date(2022, 9, 4), FIT) is None


@pytest.mark.parametrize("damage", ["empty", "shorter", "missing"])
def test_every_file_counts(tmp_path: Path, record: AcquisitionRecord, damage: str) -> None:
    store = Store(tmp_path)
    files = [
        path
        for folder in ("artifacts", "tables", "exports", "manifests")
        for path in sorted((local(store.root) / folder).rglob("*"))
        if path.is_file()
    ]
    assert len(files) >= 10
    for path in files:
        content = path.read_bytes()
        if damage == "missing":
            path.unlink()
        else:
            path.write_bytes(content[:-1] if damage == "shorter" else b"")
        assert len(missing_parts(store, record)) >= 1, path
        assert find_whole_acquisition(store, "field", DAY, FIT) is None
        path.write_bytes(content)
    assert missing_parts(store, record) == []
