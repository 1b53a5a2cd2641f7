"""Zarr arrays: what is on disk, and that two writers cannot share a shard."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from storage import arrays
from storage.arrays import IMAGES, PEAK, SALIENCY, ArraySpec, create_array, open_array, read_array, write_array
from storage.arrays import write_block as write
from storage.artifacts import Artifact, Draft, Recipe, Store
from storage.errors import ArtifactError

SPECS = [spec for spec in vars(arrays).values() if isinstance(spec, ArraySpec)]
SMALL = ArraySpec("small", ("image", "x"), "int16", "numbers", "1", chunk=1, shard=4)
MISALIGNED = [(0, 3), (1, 4), (2, 2), (3, 5), (4, 7), (8, 3), (9, 1)]  # start and length in ten images


def artifact_with(root: Path, spec: ArraySpec, values: np.ndarray[Any, Any]) -> Artifact:
    store, recipe = Store(root), Recipe("kind", 1, {"array": spec.name})
    with store.create(recipe) as draft:
        write_array(draft, spec, values)
    return store.open(recipe.ref)


def some_values(spec: ArraySpec, n: int) -> np.ndarray[Any, Any]:
    shape = (n, *(3 + i for i in range(len(spec.dims) - 1)))
    return np.random.default_rng(0).uniform(0, 200, shape).astype(spec.dtype)


def shards_on_disk(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.name != "zarr.json")


def shard_files(folder: Path) -> list[str]:
    return [name for name in shards_on_disk(folder) if (folder / name).is_file()]


class TestRoundTrip:
    @pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
    @pytest.mark.parametrize("n", [0, 1, 5])
    def test_every_array(self, tmp_path: Path, spec: ArraySpec, n: int) -> None:
        values = some_values(spec, n)
        artifact = artifact_with(tmp_path, spec, values)
        found = read_array(artifact, spec)
        assert found.dtype == np.dtype(spec.dtype)
        np.testing.assert_array_equal(found, values)
        # What a reader without this project sees.
        raw = json.loads((artifact.folder / f"{spec.name}.zarr/zarr.json").read_text())
        assert (raw["zarr_format"], raw["data_type"], raw["shape"]) == (3, spec.dtype, list(values.shape))
        assert raw["dimension_names"] == list(spec.dims)
        assert raw["attributes"] == {"meaning": spec.meaning, "unit": spec.unit, "version": spec.version}

    def test_names_are_unique(self) -> None:
        assert len(SPECS) == 10 == len({spec.name for spec in SPECS})

    def test_values_are_cast_to_the_array_s_type(self, tmp_path: Path) -> None:
        found = read_array(artifact_with(tmp_path, PEAK, np.array([0.1, 2.0], np.float64)), PEAK)
        np.testing.assert_array_equal(found, np.array([0.1, 2.0], np.float32))

    @given(st.integers(1, 13), st.permutations(range(4)))
    def test_whole_shards_in_any_order(self, n: int, order: list[int]) -> None:
        values = np.arange(2 * n, dtype=np.int16).reshape(n, 2)
        array = zarr.create_array({}, shape=values.shape, chunks=(1, 2), shards=(4, 2), dtype="int16")
        for start in (4 * shard for shard in order if 4 * shard < n):
            write(array, start, values[start : start + 4])
        np.testing.assert_array_equal(array[...], values)


class TestLayout:
    @pytest.mark.parametrize(
        ("spec", "n", "expected"),
        [
            (IMAGES, 130, ["c/0/0/0/0", "c/1/0/0/0", "c/2/0/0/0"]),
            (IMAGES, 64, ["c/0/0/0/0"]),
            (SALIENCY, 513, ["c/0/0/0", "c/1/0/0"]),
            (PEAK, 700, ["c/0"]),
        ],
        ids=["images of three shards", "images of one shard", "saliency of two shards", "peak in one chunk"],
    )
    def test_one_file_a_shard(self, tmp_path: Path, spec: ArraySpec, n: int, expected: list[str]) -> None:
        artifact = artifact_with(tmp_path, spec, some_values(spec, n))
        assert shard_files(artifact.folder / f"{spec.name}.zarr") == expected
        assert {name for name in artifact.manifest.files if not name.endswith("zarr.json")} == {
            f"{spec.name}.zarr/{name}" for name in expected
        }

    @pytest.mark.parametrize(("spec", "shard"), [(IMAGES, 64), (SALIENCY, 512)])
    def test_a_chunk_is_one_image(self, tmp_path: Path, spec: ArraySpec, shard: int) -> None:
        values = some_values(spec, 3)
        array = open_array(artifact_with(tmp_path, spec, values), spec)
        assert array.chunks == (1, *values.shape[1:])
        assert array.shards == (shard, *values.shape[1:])

    def test_a_shard_of_zeros_has_a_file(self, tmp_path: Path) -> None:
        artifact = artifact_with(tmp_path, IMAGES, np.zeros((65, 2, 2, 3), np.uint8))
        assert shard_files(artifact.folder / "images.zarr") == ["c/0/0/0/0", "c/1/0/0/0"]


class TestWriteBlock:
    @pytest.fixture
    def array(self, tmp_path: Path) -> zarr.Array[Any]:
        return create_array(Draft(tmp_path), SMALL, (10, 2))

    @pytest.mark.parametrize(("start", "n"), MISALIGNED)
    def test_a_part_of_a_shard_is_refused(self, array: zarr.Array[Any], start: int, n: int) -> None:
        with pytest.raises(ArtifactError, match=rf"whole shards of 4 images \(of 10\): got {start}\.\.{start + n};"):
            write(array, start, np.ones((n, 2), np.int16))
        assert not np.asarray(array[...]).any()

    @pytest.mark.parametrize(("start", "n"), [(0, 4), (0, 8), (4, 4), (4, 6), (8, 2), (0, 10), (4, 0)])
    def test_whole_shards_are_written(self, array: zarr.Array[Any], start: int, n: int) -> None:
        write(array, start, np.ones((n, 2), np.int16))
        expected = np.zeros((10, 2))
        expected[start : start + n] = 1
        np.testing.assert_array_equal(array[...], expected)

    def test_why_a_shard_has_one_owner(self, tmp_path: Path) -> None:
        """Zarr alone rewrites a whole shard for a part of it: the later of two writers undoes the earlier's images."""
        array = create_array(Draft(tmp_path), SMALL, (4, 2))
        shard = tmp_path / "small.zarr/c/0/0"
        write(array, 0, np.zeros((4, 2), np.int16))
        before = shard.read_bytes()
        array[0:2] = np.ones((2, 2), np.int16)
        first = shard.read_bytes()
        shard.write_bytes(before)  # the second writer read the shard before the first wrote it
        array[2:4] = np.full((2, 2), 2, np.int16)
        assert first != before
        assert np.asarray(array[...]).tolist() == [[0, 0], [0, 0], [2, 2], [2, 2]]


class TestOpen:
    @pytest.mark.parametrize(
        ("other", "named"),
        [
            ({"dtype": "float32"}, "float32"),
            ({"dims": ("image", "row", "column")}, "'row', 'column'"),
            ({"version": 2}, "2"),
        ],
    )
    def test_another_layout_is_refused(self, tmp_path: Path, other: dict[str, Any], named: str) -> None:
        written = dataclasses.replace(SALIENCY, **other)
        artifact = artifact_with(tmp_path, written, some_values(written, 2))
        with pytest.raises(ArtifactError) as refused:
            open_array(artifact, SALIENCY)
        found, _, expected = str(refused.value).partition(", expected ")
        assert f"{artifact.ref}/saliency" in found and named in found and named not in expected

    def test_an_absent_array_is_refused(self, tmp_path: Path) -> None:
        artifact = artifact_with(tmp_path, PEAK, np.ones(2))
        with pytest.raises(ArtifactError, match=r"has no images\.zarr"):
            open_array(artifact, IMAGES)

    @pytest.mark.parametrize("damage", ["missing", "truncated"])
    def test_damaged_metadata_is_an_artefact_error(self, tmp_path: Path, damage: str) -> None:
        artifact = artifact_with(tmp_path, PEAK, np.ones(2))
        metadata = artifact.folder / "peak.zarr/zarr.json"
        if damage == "missing":
            metadata.unlink()
        else:
            metadata.write_bytes(metadata.read_bytes()[:40])
        with pytest.raises(ArtifactError, match=rf"{artifact.ref}/peak"):
            open_array(artifact, PEAK)

    def test_is_read_only(self, tmp_path: Path) -> None:
        array = open_array(artifact_with(tmp_path, PEAK, np.ones(2)), PEAK)
        with pytest.raises(ValueError, match="read-only"):
            array[:] = np.zeros(2)
