"""Check that files of a store which name Python objects, or places elsewhere, are data or refused."""

import hashlib
import json
import pickle
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numcodecs import Pickle
from pydantic import ValidationError

from storage.arrays.specs import LABELS
from storage.arrays.zarr_files import open_array, read_array, write_array
from storage.artifacts import Artifact, ArtifactRef, Recipe, Store
from storage.errors import ArtifactError
from storage.published.manifests import read_published
from storage.published.publish import unpublish_table
from storage.tables import REJECTED
from storage.tables.parquet import load_table, write_table
from tests.support.local_stores import local
from tests.support.planted_records import Deed

RECIPE = Recipe("kind", 1)


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
