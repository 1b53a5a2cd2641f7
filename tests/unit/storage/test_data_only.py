"""Check that files of a store which name Python objects, or places elsewhere, are data or refused."""

import hashlib
import json
import pickle
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numcodecs import Pickle
from pydantic import ValidationError

from flows.running.result_storage import StoreRecords
from storage.arrays.specs import LABELS
from storage.arrays.zarr_files import open_array, read_array, write_array
from storage.artifacts import Artifact, ArtifactRef, Recipe, Store
from storage.errors import ArtifactError, InputError
from storage.published.exports import publish_decisions
from storage.published.manifests import read_published
from storage.published.publish import publish_report, publish_table, unpublish_table
from storage.records.acquisitions import AcquisitionRecord, read_acquisition, write_acquisition
from storage.records.arrivals import write_arrival
from storage.records.campaigns import CampaignRecord, find_record, read_record, write_record
from storage.records.checks import CheckedFile, keep_checks
from storage.records.notices import keep_notice
from storage.records.reviews import Review, keep_review
from storage.tables import REJECTED
from storage.tables.parquet import load_table, write_table
from tests.support.local_stores import local
from tests.support.planted_records import Deed

RECIPE, NOW = Recipe("kind", 1), datetime(2026, 11, 30, tzinfo=UTC)


@pytest.fixture
def executed(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    store = Store(tmp_path / "store")
    with store.create(RECIPE) as draft:
        write_array(draft, LABELS, np.arange(3))
        write_table(draft, REJECTED, {column.name: ["a"] for column in REJECTED.columns})
    return store.open(RECIPE.ref)


@pytest.mark.parametrize("codec", ["pickle", "numcodecs.pickle", "os.system", "tests.support.planted_records.Deed"])
@pytest.mark.parametrize("key", ["codecs", "data_type"])
def test_an_array_that_names_a_python_codec_or_type_is_refused(
    artifact: Artifact, executed: Path, codec: str, key: str
) -> None:
    array = local(artifact.folder) / "labels"
    named = {"name": codec, "configuration": {"command": f"mkdir {executed}"}}
    said = json.loads((array / "zarr.json").read_text())
    (array / "zarr.json").write_text(json.dumps({**said, key: [named] if key == "codecs" else named}))
    (array / "c/0").write_bytes(pickle.dumps(Deed(executed)))
    with pytest.raises(ArtifactError, match="cannot be opened"):
        read_array(artifact, LABELS)
    assert not executed.exists()


def test_an_array_of_pickled_objects_of_zarr_2_is_refused(artifact: Artifact, executed: Path) -> None:
    """Zarr 2 had a filter that unpickles; stores are read as Zarr 3 alone."""
    array = local(artifact.folder) / "labels"
    (array / "zarr.json").unlink()
    said: dict[str, Any] = {"shape": [1], "chunks": [1], "dtype": "|O", "fill_value": None, "order": "C"}
    said |= {"compressor": None, "filters": [Pickle().get_config()], "zarr_format": 2}
    (array / ".zarray").write_text(json.dumps(said))
    (array / "0").write_bytes(pickle.dumps(Deed(executed)))
    with pytest.raises(ArtifactError, match="cannot be opened"):
        open_array(artifact, LABELS)
    assert not executed.exists()


def test_a_table_with_a_pickled_type_is_read_as_plain_values(artifact: Artifact, executed: Path) -> None:
    """Arrow once unpickled a column's type from the metadata of a file."""
    path = local(artifact.folder) / "rejected.parquet"
    table = pq.ParquetFile(path).read()
    said = {b"ARROW:extension:name": b"arrow.py_extension_type"}
    said[b"ARROW:extension:metadata"] = pickle.dumps(Deed(executed))
    field = table.schema.field("plant_id").with_metadata(said)
    pq.write_table(table.cast(table.schema.set(table.schema.get_field_index("plant_id"), field)), path)
    assert load_table(path, REJECTED).column("plant_id").to_pylist() == ["a"]
    assert not executed.exists()


@pytest.mark.parametrize("tag", ["__class__", "py/object", "py/reduce", "!!python/object/apply:os.mkdir"])
def test_a_manifest_that_names_a_class_is_refused(artifact: Artifact, executed: Path, tag: str) -> None:
    path = local(artifact.folder) / "manifest.json"
    content = b64encode(pickle.dumps(Deed(executed))).decode()
    path.write_text(json.dumps({**json.loads(path.read_text()), tag: content}))
    with pytest.raises(ArtifactError, match="cannot be read as a manifest"):
        Store(executed.with_name("store")).open(RECIPE.ref)
    assert not executed.exists()


ELSEWHERE = ["../other", "a/../../other", "/etc/hostname", "..", "..\\other"]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_manifest_that_names_files_elsewhere_is_refused(artifact: Artifact, tmp_path: Path, name: str) -> None:
    """Its files would be read into a report, overwritten, or deleted as those of an earlier one."""
    path, store = local(artifact.folder) / "manifest.json", Store(tmp_path / "store")
    said = json.loads(path.read_text())
    record = {"size": 0, "sha256": "0" * 64}
    for changes in ({"files": {name: record}}, {"place": name}):
        path.write_text(json.dumps({**said, **changes}))
        with pytest.raises(ArtifactError, match=r"(?s)cannot be read as a manifest.*below its folder"):
            store.open(RECIPE.ref)
    published = tmp_path / "published.json"
    published.write_text(json.dumps({"sources": [], "files": {name: record}}))
    with pytest.raises(ArtifactError, match=r"(?s)cannot be read as a manifest.*below its folder"):
        read_published(published)


@pytest.mark.parametrize("part", [*ELSEWHERE, "", "a/b", "a b"])
def test_a_reference_that_leads_elsewhere_is_refused(part: str) -> None:
    for fields in ({"kind": part, "digest": "0" * 24}, {"kind": "images", "digest": part}):
        with pytest.raises(ValidationError):
            ArtifactRef.model_validate(fields)


def test_nothing_outside_a_partition_is_deleted_with_it(tmp_path: Path) -> None:
    kept, folder = tmp_path / "kept.txt", tmp_path / "tables/rejected/campaign=field2"
    kept.write_text("kept")
    folder.mkdir(parents=True)
    record = {"size": 4, "sha256": hashlib.sha256(b"kept").hexdigest()}
    (folder / "fit-11aa.json").write_text(json.dumps({"sources": [], "files": {"../../../kept.txt": record}}))
    unpublish_table(Store(tmp_path), REJECTED, "field2")
    assert kept.read_text() == "kept" and not folder.exists()


def test_a_manifest_of_another_artefact_is_refused(artifact: Artifact, tmp_path: Path) -> None:
    """Somebody who copies one artefact over another would have it taken for the other."""
    other = Recipe("kind", 2)
    local(Store(tmp_path / "store").folder(other.ref)).mkdir()
    content = (local(artifact.folder) / "manifest.json").read_bytes()
    (local(Store(tmp_path / "store").folder(other.ref)) / "manifest.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=f"is the manifest of {artifact.ref}"):
        Store(tmp_path / "store").open(other.ref)


@pytest.mark.parametrize("shape", [[4], [2**40], [3, 2**40]])
def test_an_array_that_claims_more_shards_than_it_has_is_refused(artifact: Artifact, shape: list[int]) -> None:
    """Zarr would read the others as zeros, of any size."""
    path = local(artifact.folder) / "labels/zarr.json"
    said = json.loads(path.read_text())
    path.write_text(json.dumps({**said, "shape": shape, "chunk_grid": said["chunk_grid"]}))
    with pytest.raises(ArtifactError, match="labels"):
        read_array(artifact, LABELS)


def test_a_missing_shard_is_not_read_as_zeros(artifact: Artifact) -> None:
    (local(artifact.folder) / "labels/c/0").unlink()
    with pytest.raises(ArtifactError, match=r"labels.* cannot be read: FileNotFoundError"):
        read_array(artifact, LABELS)


@pytest.mark.parametrize("name", ["../../elsewhere", "..", "", "a/b", "/etc/passwd"])
def test_a_record_that_names_places_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    store, day = Store(tmp_path / "store"), date(2021, 9, 10)
    record: dict[str, Any] = {"campaign": "a", "date": str(day), "fitted_by": "a", "fit": "f", "params": {}}
    folder = tmp_path / f"store/acquisitions/a/{day}"
    folder.mkdir(parents=True)
    for wrong in ({"fitted_by": name}, {"campaign": name}, {"fit": name}, {"artifacts": {" ": artifact_name()}}):
        (folder / "f.json").write_text(json.dumps({"artifacts": {}, **record, **wrong}))
        with pytest.raises(ArtifactError, match=r"f\.json cannot be read"):
            read_acquisition(folder / "f.json")
    (tmp_path / "store/campaigns").mkdir()
    of_campaign = {"campaign": "a", "params": {}, "artifacts": {}, "report": "reports/a/index.html"}
    for wrong in ({"campaign": name}, {"campaign": "b"}, {"report": "../x.html"}, {"params": {"dates": [{}]}}):
        (tmp_path / "store/campaigns/a.json").write_text(json.dumps({**of_campaign, **wrong}))
        with pytest.raises(ArtifactError, match=r"a\.json"):
            read_record(store, "a")


@pytest.mark.parametrize("name", ["../campaigns/a", "../../elsewhere", "/etc/passwd", "a\0", "", "a" * 300])
def test_no_record_is_looked_for_elsewhere(tmp_path: Path, name: str) -> None:
    record = CampaignRecord(campaign="a", params={}, artifacts={}, report="reports/a/index.html")
    path = local(write_record(Store(tmp_path / "store"), record))
    (tmp_path / "elsewhere.json").write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="There is no record of"):
        read_record(Store(tmp_path / "store"), name)
    assert find_record(Store(tmp_path / "store"), name) is None


LONG = "9" * 300


@pytest.mark.parametrize(
    "wrong",
    [
        *({"report": LONG}, {"report": "a/" * 600}),
        *(
            {"artifacts": {"kind": {"kind": "kind", "digest": LONG}}},
            {"artifacts": {"kind": {"kind": LONG, "digest": "9"}}},
        ),
    ],
)
def test_a_record_of_names_that_no_file_can_have_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """The system itself says of such a name only that it is too long."""
    record = CampaignRecord(campaign="a", params={}, artifacts={}, report="reports/a/index.html")
    path = local(write_record(Store(tmp_path), record))
    path.write_text(json.dumps({**json.loads(path.read_text()), **wrong}))
    with pytest.raises(ArtifactError, match=r"a\.json cannot be read as a campaign's record"):
        read_record(Store(tmp_path), "a")


def test_a_manifest_of_a_place_that_no_folder_can_be_is_refused(artifact: Artifact, tmp_path: Path) -> None:
    path = local(artifact.folder) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "place": LONG}))
    with pytest.raises(ArtifactError, match="longer than names of files can be"):
        Store(tmp_path / "store").open(RECIPE.ref)


def artifact_name() -> dict[str, str]:
    return RECIPE.ref.model_dump()


LINKED = (
    *("reports/a", "reports", "tables/rejected/campaign=a", "manifests", "exports/a", "artifacts", "artifacts/kind"),
    *("work", "campaigns", "acquisitions/a", "reviews/a", "checks/a", "arrivals/a", "prefect-results"),
)


@pytest.mark.parametrize("name", LINKED)
def test_nothing_is_written_or_deleted_through_a_link_that_leads_out(tmp_path: Path, name: str) -> None:
    """A report that is published deletes whatever else lies in its folder."""
    store, outside, day = Store(tmp_path / "store"), tmp_path / "outside", date(2021, 9, 10)
    with store.create(Recipe("report", 1)) as draft:
        draft.write_bytes("index.html", b"<!doctype html>")
    with store.create(Recipe("rejected", 1)) as draft:
        write_table(draft, REJECTED, {column.name: ["a"] for column in REJECTED.columns})
    report, table, scores = Recipe("report", 1).ref, Recipe("rejected", 1).ref, RECIPE.ref
    record = CampaignRecord(campaign="a", params={}, artifacts={}, report="reports/a/index.html")
    scored = AcquisitionRecord(campaign="a", date=day, fitted_by="a", fit="f", params={}, artifacts={})
    said: dict[str, Any] = {"method": "m", "choices": {}, "reviewer": "", "reason": "", "decided": NOW}
    sheet: dict[str, Any] = {"file": "x", "sha256": "a" * 64, "imported_by": "", "imported_at": NOW, "checks": []}
    writing: dict[str, Callable[[], Any]] = {
        "reports": lambda: publish_report(store, report, "a"),
        "tables": lambda: publish_table(store, REJECTED, [table], "a"),
        "manifests": lambda: publish_table(store, REJECTED, [table], "a"),
        "exports": lambda: publish_decisions(store, {"m": report}, "a", day),
        "artifacts": lambda: store.create(RECIPE).__enter__(),
        "work": lambda: store.work_folder(report),
        "campaigns": lambda: write_record(store, record),
        "acquisitions": lambda: write_acquisition(store, scored),
        "reviews": lambda: keep_review(store, Review(campaign="a", scores=scores, **said)),
        "checks": lambda: keep_checks(store, CheckedFile(campaign="a", date=day, **sheet)),
        "arrivals": lambda: write_arrival(store, "a", day, {}),
        "prefect-results": lambda: StoreRecords(store=store.address).write_path("kind-1", b"{}"),
    }
    place = tmp_path / "store" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir():
        place.rename(tmp_path / "before")
    outside.mkdir()
    (outside / "kept").write_text("kept")
    place.symlink_to(outside)
    with pytest.raises(ArtifactError, match=r"leads to .*outside"):
        writing[name.split("/")[0]]()
    assert [(path.name, path.read_text()) for path in outside.rglob("*")] == [("kept", "kept")]


def test_a_store_that_is_linked_as_a_whole_is_used(artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(tmp_path / "store")
    assert read_array(Store(tmp_path / "linked").open(artifact.ref), LABELS).tolist() == [0, 1, 2]


def test_no_notice_is_added_to_a_file_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "notices.jsonl").symlink_to(tmp_path / "kept")
    with pytest.raises(OSError, match="notices"):
        keep_notice(Store(tmp_path), {"time": "t", "id": "x"})
    assert (tmp_path / "kept").read_text() == "kept"
