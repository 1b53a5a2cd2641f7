"""Check the files of Zarr arrays, and that two writers cannot share a shard."""

import dataclasses
import errno
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.arrays import specs
from storage.arrays.chunks import shard_length
from storage.arrays.specs import FEATURES, IMAGES, PEAK, SALIENCY, ArraySpec
from storage.arrays.stored import StoredArray
from storage.arrays.zarr_files import (
    Part,
    check_tiling,
    create_array,
    iter_images,
    link_file,
    link_shards,
    open_array,
    read_array,
    read_rows,
    write_array,
    write_group,
)
from storage.arrays.zarr_files import write_block as write
from storage.artifacts import Artifact, Recipe, Store
from storage.artifacts.drafts import FolderDraft
from storage.errors import ArtifactError
from tests.support.local_stores import local

SPECS = [spec for spec in vars(specs).values() if isinstance(spec, ArraySpec)]
SMALL = ArraySpec("small", ("image", "x"), "int16", "numbers", "1", chunk=1, shard=4)
MISALIGNED = [(0, 3), (1, 4), (2, 2), (3, 5), (4, 7), (8, 3), (9, 1)]  # start and length in ten images


def artifact_with(root: Path, spec: ArraySpec, values: np.ndarray[Any, Any]) -> Artifact:
    store, recipe = Store(root), Recipe("kind", 1, {"array": spec.name})
    with store.create(recipe) as draft:
        write_array(draft, spec, values)
    return store.open(recipe.ref)


def some_values(spec: ArraySpec, n: int) -> np.ndarray[Any, Any]:
    shape = (n, *(3 + i for i in range(len(spec.dims) - 1)))
    values = np.random.default_rng(0).uniform(0, 200, shape)
    return values.astype(np.dtypes.StringDType() if spec.dtype == "string" else spec.dtype)


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
        assert found.dtype == (np.dtypes.StringDType() if spec.dtype == "string" else np.dtype(spec.dtype))
        np.testing.assert_array_equal(found, values)
        # This is what a reader without this project sees.
        raw = json.loads((local(artifact.folder / f"{spec.name}/zarr.json")).read_text())
        assert (raw["zarr_format"], raw["data_type"], raw["shape"]) == (3, spec.dtype, list(values.shape))
        assert raw["dimension_names"] == list(spec.dims)
        assert raw["attributes"] == {"meaning": spec.meaning, "unit": spec.unit, "version": spec.version}

    def test_names_are_unique(self) -> None:
        assert len(SPECS) == 20 == len({spec.name for spec in SPECS})

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

    @pytest.mark.parametrize("rows", [[], [3], [69, 0, 3, 3, 64], [*range(70)], [*range(69, 0, -3)]], ids=len)
    def test_rows_at_any_positions(self, tmp_path: Path, rows: list[int]) -> None:
        values = some_values(IMAGES, 70)
        array = open_array(artifact_with(tmp_path, IMAGES, values), IMAGES)
        found = read_rows(array, np.asarray(rows, np.int64))
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, values[np.asarray(rows, np.int64)])

    # An image takes 0.12 MB. The last file holds 32 images, the others 64.
    @pytest.mark.parametrize(("first", "n_wanted", "n_reads"), [(64, 7, 7), (64, 8, 1), (128, 3, 3), (128, 4, 1)])
    def test_a_file_is_read_once_where_that_is_faster(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int, n_wanted: int, n_reads: int
    ) -> None:
        values = np.zeros((160, 200, 200, 3), np.uint8)
        array, read = open_array(artifact_with(tmp_path, IMAGES, values), IMAGES), list[Any]()
        take = StoredArray.__getitem__
        monkeypatch.setattr(StoredArray, "__getitem__", lambda self, key: read.append(key) or take(self, key))
        read_rows(array, np.arange(first, first + n_wanted))
        assert len(read) == n_reads

    def test_a_file_that_is_one_piece_is_read_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        values = some_values(FEATURES, 1100)
        array, read = open_array(artifact_with(tmp_path, FEATURES, values), FEATURES), list[Any]()
        take = StoredArray.__getitem__
        monkeypatch.setattr(StoredArray, "__getitem__", lambda self, key: read.append(key) or take(self, key))
        wanted = np.asarray([1050, 3, 1030])
        np.testing.assert_array_equal(read_rows(array, wanted), values[wanted])
        assert len(read) == 2

    @pytest.mark.parametrize("size", [1, 7, 64, 200])
    @pytest.mark.parametrize("rows", [[], [69], [*range(5, 130)], [129, 3, 4, 70, 3]], ids=len)
    def test_rows_some_at_a_time(self, tmp_path: Path, rows: list[int], size: int) -> None:
        values, wanted = some_values(IMAGES, 130), np.asarray(rows, np.int64)
        found = [*iter_images(open_array(artifact_with(tmp_path, IMAGES, values), IMAGES), wanted, size)]
        assert [len(part) for part in found] == [len(wanted[k : k + size]) for k in range(0, len(rows), size)]
        np.testing.assert_array_equal(np.concatenate([values[:0], *found]), values[wanted])


class TestDataset:
    """What another program sees: an artefact is one dataset of named axes."""

    def stored(self, root: Path) -> Artifact:
        store, recipe = Store(root), Recipe("saliency", 1)
        with store.create(recipe) as draft:
            write_array(draft, SALIENCY, np.arange(12, dtype=np.float16).reshape(3, 2, 2))
            write_array(draft, PEAK, np.array([1, 2, 3], np.float32))
            write_group(draft, ["007", "1e5", "Ä b"], {"date": "2021-08-23", "method": "gradcam"})
            draft.write_json("plan.json", {"beside": "the arrays"})
        return store.open(recipe.ref)

    def test_xarray_opens_it(self, tmp_path: Path) -> None:
        with xarray.open_zarr(local(self.stored(tmp_path).folder), chunks=None) as found:
            assert dict(found.sizes) == {"image": 3, "y": 2, "x": 2} and set(found.data_vars) == {"saliency"}
            assert found.attrs == {"date": "2021-08-23", "method": "gradcam"}
            assert found.plant_id.values.tolist() == ["007", "1e5", "Ä b"]
            scaled = (found.saliency * found.peak).sel(image=found.plant_id == "1e5")
            assert scaled.dtype == np.float32 and scaled.values.tolist() == [[[8, 10], [12, 14]]]
            assert found.saliency.attrs["meaning"] == SALIENCY.meaning

    def test_in_a_store_that_cannot_list(self, tmp_path: Path) -> None:
        """A bucket may forbid listing: the group's metadata names its arrays."""
        folder = local(self.stored(tmp_path).folder)
        (folder / "peak/zarr.json").unlink()
        assert set(zarr.open_group(folder, mode="r").array_keys()) == {"saliency", "peak", "plant_id"}

    def test_arrays_of_earlier_versions_are_read(self, tmp_path: Path) -> None:
        store, recipe = Store(tmp_path), Recipe("saliency", 1)
        with store.create(recipe) as draft:
            write_array(draft, PEAK, np.array([1, 2, 3], np.float32))
            (draft.folder / "peak").rename(draft.folder / "peak.zarr")
        assert read_array(store.open(recipe.ref), PEAK).tolist() == [1, 2, 3]
        assert store.holds(recipe.ref)


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
        assert shard_files(local(artifact.folder / f"{spec.name}")) == expected
        assert {name for name in artifact.manifest.files if not name.endswith("zarr.json")} == {
            f"{spec.name}/{name}" for name in expected
        }

    @pytest.mark.parametrize(("spec", "shard"), [(IMAGES, 64), (SALIENCY, 512)])
    def test_a_chunk_is_one_image(self, tmp_path: Path, spec: ArraySpec, shard: int) -> None:
        values = some_values(spec, 3)
        array = open_array(artifact_with(tmp_path, spec, values), spec)
        assert array.chunks == (1, *values.shape[1:])
        assert array.shards == (shard, *values.shape[1:])

    def test_another_length_of_shard_can_be_given(self, tmp_path: Path) -> None:
        store, recipe, values = Store(tmp_path), Recipe("saliency", 1), some_values(SALIENCY, 33)
        with store.create(recipe) as draft:
            write_array(draft, SALIENCY, values, shard=16)
        artifact = store.open(recipe.ref)
        assert shard_files(local(artifact.folder / "saliency")) == ["c/0/0/0", "c/1/0/0", "c/2/0/0"]
        array = open_array(artifact, SALIENCY)
        assert shard_length(array) == 16 and array.chunks == (1, *values.shape[1:])
        np.testing.assert_array_equal(array[...], values)

    def test_a_shard_of_zeros_has_a_file(self, tmp_path: Path) -> None:
        artifact = artifact_with(tmp_path, IMAGES, np.zeros((65, 2, 2, 3), np.uint8))
        assert shard_files(local(artifact.folder / "images")) == ["c/0/0/0/0", "c/1/0/0/0"]


class TestWriteBlock:
    @pytest.fixture
    def array(self, tmp_path: Path) -> zarr.Array[Any]:
        return create_array(FolderDraft(tmp_path / "array"), SMALL, (10, 2))

    @pytest.mark.parametrize(("start", "n"), MISALIGNED)
    def test_a_part_of_a_shard_is_refused(self, array: zarr.Array[Any], start: int, n: int) -> None:
        named = rf"images {start}\.\.{start + n - 1} does not cover whole shards of 4 images \(of 10\);"
        with pytest.raises(ArtifactError, match=named):
            write(array, start, np.ones((n, 2), np.int16))
        assert not np.asarray(array[...]).any()

    @pytest.mark.parametrize(("start", "n"), [(0, 4), (0, 8), (4, 4), (4, 6), (8, 2), (0, 10), (4, 0)])
    def test_whole_shards_are_written(self, array: zarr.Array[Any], start: int, n: int) -> None:
        write(array, start, np.ones((n, 2), np.int16))
        expected = np.zeros((10, 2))
        expected[start : start + n] = 1
        np.testing.assert_array_equal(array[...], expected)

    def test_why_a_shard_has_one_owner(self, tmp_path: Path) -> None:
        """Show that Zarr rewrites a whole shard for a part of it: a second writer undoes the images of the first."""
        draft = FolderDraft(tmp_path / "array")
        array, shard = create_array(draft, SMALL, (4, 2)), draft.folder / "small/c/0/0"
        write(array, 0, np.zeros((4, 2), np.int16))
        before = shard.read_bytes()
        array[0:2] = np.ones((2, 2), np.int16)
        first = shard.read_bytes()
        shard.write_bytes(before)  # the second writer read the shard before the first wrote it
        array[2:4] = np.full((2, 2), 2, np.int16)
        assert first != before
        assert np.asarray(array[...]).tolist() == [[0, 0], [0, 0], [2, 2], [2, 2]]


class TestTiling:
    @pytest.mark.parametrize(
        ("parts", "problem"),
        [
            ([(0, 4), (4, 8)], r"images 8\.\.9 \(of 10\) are owned by nobody"),
            ([(4, 8), (8, 10)], r"images 0\.\.3 \(of 10\) are owned by nobody"),
            ([(0, 4), (8, 10)], r"images 4\.\.7 \(of 10\) are owned by nobody"),
            ([], r"images 0\.\.9 \(of 10\) are owned by nobody"),
            ([(0, 4), (4, 8), (4, 8), (8, 10)], r"images 4\.\.7 \(of 10\) are owned twice"),
            ([(0, 8), (4, 10)], r"images 4\.\.7 \(of 10\) are owned twice"),
            ([(0, 8), (0, 4), (8, 10), (8, 10)], r"images 0\.\.3, 8\.\.9 \(of 10\) are owned twice"),
            ([(0, 4), (4, 7), (8, 10)], r"images 4\.\.6 \(of 10\) are not whole shards of 4;"),
            ([(0, 2), (2, 4), (4, 10)], r"images 0\.\.1, 2\.\.3 \(of 10\) are not whole shards"),
            ([(0, 4), (4, 12)], r"images 4\.\.11 \(of 10\) are not whole shards"),
            ([(-4, 0), (0, 10)], r"images -4\.\.-1 \(of 10\) are not whole shards"),
        ],
        ids=[
            "end",
            "start",
            "gap",
            "nothing",
            "same",
            "overlap",
            "two",
            "part of a shard",
            "halves",
            "beyond",
            "before",
        ],
    )
    def test_what_has_not_one_owner_is_named(self, parts: list[tuple[int, int]], problem: str) -> None:
        with pytest.raises(ArtifactError, match=problem):
            check_tiling([range(*part) for part in parts], 10, 4)

    @given(st.data(), st.integers(1, 60), st.integers(1, 9))
    def test_whole_shards_with_one_owner_each(self, data: st.DataObject, n: int, shard: int) -> None:
        starts = range(0, n, shard)
        cuts = sorted({0, *data.draw(st.sets(st.sampled_from(starts)))})
        parts = [range(start, stop) for start, stop in zip(cuts, [*cuts[1:], n], strict=True)]
        parts = data.draw(st.permutations(parts))
        check_tiling(parts, n, shard)
        chosen = data.draw(st.sampled_from(parts))
        named = rf"images {chosen.start}\.\.{chosen.stop - 1} \(of {n}\) are"
        with pytest.raises(ArtifactError, match=f"{named} owned twice"):
            check_tiling([*parts, chosen], n, shard)
        with pytest.raises(ArtifactError, match=f"{named} owned by nobody"):
            check_tiling([part for part in parts if part != chosen], n, shard)

    def test_nothing_needs_no_owner(self) -> None:
        check_tiling([], 0, 4)


def parts_of(store: Store, values: np.ndarray[Any, Any], cuts: Sequence[int], spec: ArraySpec = SMALL) -> list[Part]:
    """Write one artefact for the values from each cut to the next."""
    parts: list[Part] = []
    for start, stop in zip(cuts, [*cuts[1:], len(values)], strict=True):
        recipe = Recipe("part", 1, {"name": spec.name, "start": start, "stop": stop})
        with store.create(recipe) as draft:
            write_array(draft, spec, values[start:stop])
        parts.append(Part(start, store.open(recipe.ref)))
    return parts


def linked(store: Store, n: int, parts: Sequence[Part], spec: ArraySpec = SMALL) -> Artifact:
    recipe = Recipe("whole", 1, {"name": spec.name, "n": n})
    with store.create(recipe) as draft:
        link_shards(draft, spec, n, parts)
    return store.open(recipe.ref)


class TestLinkShards:
    @pytest.mark.parametrize("n", [8, 9, 10, 12])
    @pytest.mark.parametrize("cuts", [[0, 4, 8], [0, 4], [0, 8], [0]], ids=str)
    def test_is_the_array_that_one_writer_makes(self, tmp_path: Path, n: int, cuts: list[int]) -> None:
        values = np.arange(2 * n, dtype=np.int16).reshape(n, 2)
        store = Store(tmp_path / "store")
        cuts = [cut for cut in cuts if cut < n]
        found = linked(store, n, parts_of(store, values, cuts)[::-1])
        np.testing.assert_array_equal(read_array(found, SMALL), values)
        np.testing.assert_array_equal(zarr.open_array(str(found.folder / "small"), mode="r")[...], values)
        written = artifact_with(tmp_path / "written", SMALL, values)
        assert found.manifest.files == written.manifest.files  # every byte, including metadata
        assert store.damage(found.ref) == []

    def test_real_maps(self, tmp_path: Path) -> None:
        """Link float16 maps of 33 images in the compressed layout of the saliency stage."""
        store, values = Store(tmp_path), some_values(SALIENCY, 33)
        spec = dataclasses.replace(SALIENCY, shard=16)
        found = linked(store, 33, parts_of(store, values, [0, 16, 32], spec), spec)
        np.testing.assert_array_equal(read_array(found, SALIENCY), values)

    def test_files_are_shared_and_stay_until_the_last_owner_goes(self, tmp_path: Path) -> None:
        store, values = Store(tmp_path), np.arange(20, dtype=np.int16).reshape(10, 2)
        parts = parts_of(store, values, [0, 4, 8])
        found = linked(store, 10, parts)
        ours = [found.folder / f"small/c/{i}/0" for i in range(3)]
        theirs = [part.artifact.folder / "small/c/0/0" for part in parts]
        assert [local(path).stat().st_ino for path in ours] == [local(path).stat().st_ino for path in theirs]
        for part in parts:
            shutil.rmtree(local(part.artifact.folder))
        assert {local(path).stat().st_nlink for path in ours} == {1}
        assert store.damage(found.ref) == []
        np.testing.assert_array_equal(read_array(found, SMALL), values)

    def test_the_checksum_is_that_of_the_writer(self, tmp_path: Path) -> None:
        """Check that a file damaged before linking is still reported as damaged."""
        store, values = Store(tmp_path), np.arange(20, dtype=np.int16).reshape(10, 2)
        parts = parts_of(store, values, [0, 4, 8])
        shard = parts[1].artifact.folder / "small/c/0/0"
        shard.write_bytes(b"?" + shard.read_bytes()[1:])
        assert store.damage(linked(store, 10, parts).ref) == [
            "shard small/c/1/0 has changed content (SHA-256 differs from its manifest)"
        ]

    @pytest.mark.parametrize("error", [errno.EPERM, errno.EXDEV, errno.EMLINK, errno.EOPNOTSUPP])
    def test_is_copied_where_the_file_system_refuses(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
    ) -> None:
        def refuse(*_: Any) -> None:
            raise OSError(error, os.strerror(error))

        store, values = Store(tmp_path), np.arange(20, dtype=np.int16).reshape(10, 2)
        parts = parts_of(store, values, [0, 4, 8])
        monkeypatch.setattr(os, "link", refuse)
        found = linked(store, 10, parts)
        np.testing.assert_array_equal(read_array(found, SMALL), values)
        assert {path.stat().st_nlink for path in local(found.folder).rglob("0") if path.is_file()} == {1}
        assert store.damage(found.ref) == []

    def test_nobody_writes_through_a_link(self, tmp_path: Path) -> None:
        store, values = Store(tmp_path), np.arange(8, dtype=np.int16).reshape(4, 2)
        (part,) = parts_of(store, values, [0])
        with store.create(Recipe("whole", 1)) as draft:
            link_shards(draft, SMALL, 4, [part])
            with pytest.raises(FileExistsError):
                draft.write_bytes("small/c/0/0", b"other")
            with pytest.raises(FileExistsError):
                link_file(draft, "small/c/0/0", part.artifact, "small/zarr.json")
            with pytest.raises(FileExistsError):
                write_array(draft, SMALL, values + 1)
        assert store.damage(part.artifact.ref) == []
        np.testing.assert_array_equal(read_array(part.artifact, SMALL), values)

    @pytest.mark.parametrize("chosen", [[0, 1], [1, 2], [0, 1, 2, 2]], ids=["no end", "no start", "one twice"])
    def test_parts_that_do_not_tile_leave_nothing(self, tmp_path: Path, chosen: list[int]) -> None:
        store = Store(tmp_path)
        parts = parts_of(store, np.zeros((12, 2), np.int16), [0, 4, 8])
        with pytest.raises(ArtifactError, match=r"owned (by nobody|twice)"):
            linked(store, 12, [parts[i] for i in chosen])
        assert list((tmp_path / "artifacts/whole").iterdir()) == []

    @pytest.mark.parametrize(
        ("spec", "shape", "named"),
        [
            (dataclasses.replace(SMALL, shard=2), (2, 2), "chunk_grid"),
            (SMALL, (2, 3), r"native shape \(3,\), other parts \(2,\)"),
            (dataclasses.replace(SMALL, shuffle="noshuffle"), (2, 2), "codecs"),
        ],
        ids=["shard", "native shape", "compression"],
    )
    def test_another_layout_is_refused(self, tmp_path: Path, spec: ArraySpec, shape: Any, named: str) -> None:
        store = Store(tmp_path)
        (good,) = parts_of(store, np.zeros((4, 2), np.int16), [0])
        odd = Part(4, artifact_with(tmp_path, spec, np.zeros(shape)))
        with pytest.raises(ArtifactError, match=rf"{odd.artifact.ref} has .*{named}.*one layout"):
            linked(store, 6, [good, odd])

    def test_a_layout_in_other_words_is_the_same(self, tmp_path: Path) -> None:
        """Another version of Zarr need not state that there are no transformers."""
        store, values = Store(tmp_path), np.arange(16, dtype=np.int16).reshape(8, 2)
        parts = parts_of(store, values, [0, 4])
        path = local(parts[1].artifact.folder) / "small/zarr.json"
        stated = json.loads(path.read_text())
        assert stated.pop("storage_transformers") == []
        path.write_text(json.dumps(stated))
        np.testing.assert_array_equal(read_array(linked(store, 8, parts), SMALL), values)

    @pytest.mark.parametrize("metadata", ["[]", "{}", '{"shape": [4, 2]}', "no JSON"])
    def test_damaged_metadata_of_a_part_is_refused(self, tmp_path: Path, metadata: str) -> None:
        store = Store(tmp_path)
        parts = parts_of(store, np.zeros((8, 2), np.int16), [0, 4])
        (local(parts[1].artifact.folder) / "small/zarr.json").write_text(metadata)
        with pytest.raises(ArtifactError):
            linked(store, 8, parts)

    def test_a_missing_shard_is_named(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        (part,) = parts_of(store, np.zeros((4, 2), np.int16), [0])
        (part.artifact.folder / "small/c/0/0").unlink()
        with pytest.raises(ArtifactError, match=rf"{part.artifact.ref} has no small/c/0/0"):
            linked(store, 4, [part])

    def test_without_images(self, tmp_path: Path) -> None:
        found = open_array(linked(Store(tmp_path), 0, [], SALIENCY), SALIENCY)
        assert found.shape == (0, 0, 0)

    @given(n=st.integers(1, 40), shard=st.integers(1, 9), data=st.data())
    @settings(max_examples=20, deadline=None)
    def test_any_number_of_images_and_length_of_shard(
        self, n: int, shard: int, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        store, spec = Store(tmp_path_factory.mktemp("store")), dataclasses.replace(SMALL, shard=shard)
        values = np.arange(2 * n, dtype=np.int16).reshape(n, 2)
        cuts = sorted({0, *data.draw(st.sets(st.sampled_from(range(0, n, shard))))})
        parts = data.draw(st.permutations(parts_of(store, values, cuts, spec)))
        np.testing.assert_array_equal(read_array(linked(store, n, parts, spec), spec), values)


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
        with pytest.raises(ArtifactError, match=r"has no images"):
            open_array(artifact, IMAGES)

    @pytest.mark.parametrize("damage", ["missing", "truncated"])
    def test_damaged_metadata_is_an_artefact_error(self, tmp_path: Path, damage: str) -> None:
        artifact = artifact_with(tmp_path, PEAK, np.ones(2))
        metadata = artifact.folder / "peak/zarr.json"
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
