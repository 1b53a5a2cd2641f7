"""Whole files of arrays are encoded as Zarr encodes them, and damaged ones are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from storage.arrays import specs
from storage.arrays.encoding import FileEncoding, file_encoding
from storage.arrays.specs import IMAGES, LOGITS, PLANT_IDS, SALIENCY, ArraySpec
from storage.arrays.zarr_files import create_array, write_array
from storage.artifacts.drafts import FolderDraft

SPECS = [spec for spec in vars(specs).values() if isinstance(spec, ArraySpec) and spec.dtype != "string"]


def some_values(spec: ArraySpec, n: int) -> np.ndarray[Any, Any]:
    shape = (n, *(3 + i for i in range(len(spec.dims) - 1)))
    return np.random.default_rng(0).uniform(0, 200, shape).astype(spec.dtype)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def written_by_zarr(folder: Path, spec: ArraySpec, values: np.ndarray[Any, Any], shard: int | None) -> zarr.Array[Any]:
    array = create_array(FolderDraft(folder), spec, values.shape, shard)
    array[:] = values
    return array


def encoding(array: zarr.Array[Any]) -> FileEncoding:
    found = file_encoding(array)
    assert found is not None
    return found


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_every_byte_is_that_of_zarr(tmp_path: Path, spec: ArraySpec) -> None:
    values, shard = some_values(spec, 11), 4 if spec.shard else None
    written_by_zarr(tmp_path / "zarr", spec, values, shard)
    ours = FolderDraft(tmp_path / "ours")
    write_array(ours, spec, values, shard)
    theirs = next(path for path in tmp_path.iterdir() if "zarr" in path.name)
    assert content(ours.folder) == content(theirs)


@pytest.mark.parametrize("spec", [SALIENCY, IMAGES, LOGITS], ids=lambda spec: spec.name)
def test_decodes_what_zarr_wrote(tmp_path: Path, spec: ArraySpec) -> None:
    values = some_values(spec, 6)
    array = written_by_zarr(tmp_path / "zarr", spec, values, 8 if spec.shard else None)
    (file,) = (path for path in tmp_path.rglob("c/*") if path.is_dir() or path.is_file())
    file = next(path for path in (file, *file.rglob("*")) if path.is_file())
    found = encoding(array).decode(file.read_bytes(), 6)
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


def test_an_image_that_a_shard_does_not_hold_has_the_fill_value(tmp_path: Path) -> None:
    array = create_array(FolderDraft(tmp_path / "draft"), SALIENCY, (4, 3, 3), 4)
    values = np.ones((2, 3, 3), np.float16)
    found = encoding(array).decode(b"".join(encoding(array).encode(values)), 4)
    np.testing.assert_array_equal(found, np.concatenate([values, np.zeros((2, 3, 3))]))


@pytest.mark.parametrize("cut", [1, 4, 68, 70])
def test_a_cut_shard_is_refused(tmp_path: Path, cut: int) -> None:
    form = encoding(create_array(FolderDraft(tmp_path / "draft"), SALIENCY, (4, 3, 3), 4))
    whole = b"".join(form.encode(some_values(SALIENCY, 4)))
    with pytest.raises(ValueError, match="checksum"):
        form.decode(whole[:-cut], 4)


def test_images_that_are_not_where_the_index_says_are_refused(tmp_path: Path) -> None:
    form = encoding(create_array(FolderDraft(tmp_path / "draft"), SALIENCY, (4, 3, 3), 4))
    whole = b"".join(form.encode(some_values(SALIENCY, 4)))
    for damaged in (whole[5:], whole[:12] + b"\xff\xff\xff\x7f" + whole[16:]):
        with pytest.raises(ValueError, match="do not have the length"):
            form.decode(damaged, 4)


def test_other_layouts_are_left_to_zarr(tmp_path: Path) -> None:
    draft = FolderDraft(tmp_path / "draft")
    others = [
        create_array(draft, PLANT_IDS, (3,)),
        create_array(draft, SALIENCY, (0, 0, 0)),
        zarr.create_array({}, shape=(4, 2), chunks=(1, 2), shards=(4, 2), dtype="int16"),
        zarr.create_array({}, shape=(4, 2), chunks=(2, 1), dtype="int16"),
    ]
    assert [file_encoding(array) for array in others] == [None] * 4
