"""Check that an artefact in a bucket is complete or absent, whatever is killed or overwritten."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.arrays.shards import KEPT, ObjectArray
from storage.arrays.specs import IMAGES
from storage.arrays.zarr_files import (
    Part,
    create_array,
    link_file,
    link_shards,
    open_array,
    read_array,
    read_rows,
    write_block,
)
from storage.artifacts import ArtifactRef, Recipe, Store
from storage.artifacts.drafts import MANIFEST, ObjectDraft
from storage.errors import ArtifactError
from storage.places.files import list_files
from storage.places.objects import ObjectPath
from storage.verify import verify_store
from tests.support.object_servers import ObjectServer, faulty_line
from tests.support.repository import ROOT

RECIPE = Recipe("images", 1, {"number": 1})


@pytest.fixture
def store(address: str) -> Store:
    return Store(address)


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which drafts are written."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def some_images(n: int = 150) -> Any:
    return np.random.default_rng(0).integers(0, 256, (n, 4, 4, 3), np.uint8)


def write(store: Store, recipe: Recipe = RECIPE) -> ArtifactRef:
    images = some_images()
    with store.create(recipe) as draft:
        array = create_array(draft, IMAGES, images.shape)
        for start in range(0, len(images), 64):
            write_block(array, start, images[start : start + 64])
            draft.settle()
        draft.write_json("card.json", {"a": 1})
    return recipe.ref


def objects_of(store: Store) -> set[str]:
    return set(list_files(store.root))


class TestCreate:
    def test_it_appears_with_its_manifest_and_not_before(self, store: Store, scratch: Path) -> None:
        images = some_images()
        with store.create(RECIPE) as draft:
            array = create_array(draft, IMAGES, images.shape)
            for start in range(0, len(images), 64):
                write_block(array, start, images[start : start + 64])
                draft.settle()
                assert not list(draft.folder.glob("images/c/*/*/*/*"))  # uploaded and removed locally
            assert not store.holds(RECIPE.ref) and not any(name.endswith(MANIFEST) for name in objects_of(store))
            with pytest.raises(ArtifactError, match="never finished"):
                store.open(RECIPE.ref)
        assert store.holds(RECIPE.ref) and not list(scratch.iterdir())
        artifact = store.open(RECIPE.ref)
        np.testing.assert_array_equal(read_array(artifact, IMAGES), images)
        rows = np.asarray([0, 149, 63, 64, 5])
        np.testing.assert_array_equal(read_rows(open_array(artifact, IMAGES), rows), images[rows])
        assert verify_store(store).problems == [] and verify_store(store).unfinished == []

    def test_a_block_that_fails_leaves_nothing(self, store: Store, scratch: Path) -> None:
        with pytest.raises(ValueError, match="power cut"), store.create(RECIPE) as draft:
            write_block(create_array(draft, IMAGES, (64, 4, 4, 3)), 0, some_images(64))
            draft.settle()
            raise ValueError("power cut")
        assert objects_of(store) == set() and not list(scratch.iterdir())

    def test_the_same_layout_reads_in_a_folder(self, store: Store, tmp_path: Path) -> None:
        write(store)
        for name, path in list_files(store.root).items():
            (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "copy" / name).write_bytes(path.read_bytes())
        copy = Store(tmp_path / "copy")
        assert copy.holds(RECIPE.ref) and verify_store(copy).problems == []
        np.testing.assert_array_equal(read_array(copy.open(RECIPE.ref), IMAGES), some_images())

    def test_a_killed_process_leaves_what_nobody_reads(self, store: Store, tmp_path: Path) -> None:
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, store.address],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        assert process.stdout is not None and process.stdout.readline() == "sent\n"
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not store.holds(RECIPE.ref)
        found = verify_store(store)
        (left,) = found.unfinished
        assert (found.problems, found.n_artifacts) == ([], 0)
        assert left.startswith(f"artifacts/images/{RECIPE.ref.digest}/attempt-")
        write(store)
        assert store.holds(RECIPE.ref)
        assert verify_store(store).problems == [] and verify_store(store).unfinished == [left]

    def test_creators_that_race_leave_one_whole_artefact(self, store: Store) -> None:
        errors: list[BaseException] = []
        together = threading.Barrier(4)

        def race(number: int) -> None:
            try:
                with store.create(RECIPE) as draft:
                    for name in ("one.bin", "two.bin"):
                        draft.write_bytes(name, bytes([number]) * 1000)
                    together.wait()
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=race, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        artifact = store.open(RECIPE.ref)
        assert errors == [] and store.holds(RECIPE.ref)
        assert artifact.read_bytes("one.bin") == artifact.read_bytes("two.bin")
        assert verify_store(store).problems == []

    def test_a_link_is_a_copy_that_the_server_makes(
        self, store: Store, object_server: ObjectServer, scratch: Path
    ) -> None:
        part = store.open(write(store))
        with store.create(Recipe("whole", 1)) as draft:
            link_shards(draft, IMAGES, 150, [Part(0, part)])
            assert not list(draft.folder.glob("images/c/*"))
            with pytest.raises(FileExistsError):
                link_file(draft, "images/c/0/0/0/0", part, "images/c/1/0/0/0")
        whole = store.open(Recipe("whole", 1).ref)
        np.testing.assert_array_equal(read_array(whole, IMAGES), some_images())
        assert verify_store(store).problems == []


KILLED = """
import sys, time
import numpy as np
from storage.arrays.specs import IMAGES
from storage.arrays.zarr_files import create_array, write_block
from storage.artifacts import Recipe, Store
with Store(sys.argv[1]).create(Recipe("images", 1, {"number": 1})) as draft:
    write_block(create_array(draft, IMAGES, (64, 4, 4, 3)), 0, np.zeros((64, 4, 4, 3), np.uint8))
    draft.settle()
    print("sent", flush=True)
    time.sleep(60)
"""


class TestDamage:
    @pytest.mark.parametrize("damage", ["other content", "cut", "deleted", "no manifest"])
    def test_it_is_seen_named_and_mended(self, store: Store, damage: str) -> None:
        artifact = store.open(write(store))
        shard = artifact.file("images/c/0/0/0/0")
        assert isinstance(shard, ObjectPath)
        content = bytearray(shard.read_bytes())
        match damage:
            case "other content":
                content[10] ^= 1
                shard.write_bytes(bytes(content))
            case "cut":
                shard.write_bytes(bytes(content[:-1]))
            case "deleted":
                shard.unlink()
            case _:
                (store.folder(RECIPE.ref) / MANIFEST).unlink()
        assert not store.holds(RECIPE.ref)
        found = verify_store(
            store
        )  # without a manifest it looks like a killed run's draft; only a record would miss it
        assert (len(found.problems), len(found.unfinished)) == ((0, 1) if damage == "no manifest" else (1, 0))
        write(store)
        assert store.holds(RECIPE.ref) and verify_store(store).problems == []
        if damage != "no manifest":  # the files of the damaged artefact were deleted
            assert verify_store(store).unfinished == []

    def test_an_object_with_another_tag_and_the_same_content_is_whole(
        self, store: Store, object_server: ObjectServer
    ) -> None:
        """Check a store that was copied to another bucket, whose server gives other tags."""
        write(store)
        manifest = store.folder(RECIPE.ref) / MANIFEST
        manifest_of = manifest.read_bytes()
        tags = {record.etag for record in store.open(RECIPE.ref).manifest.files.values() if record.etag}
        assert tags
        for tag in tags:
            manifest_of = manifest_of.replace(tag.replace('"', '\\"').encode(), b"another")
        assert isinstance(manifest, ObjectPath)
        manifest.write_bytes(manifest_of)
        assert {record.etag for record in store.open(RECIPE.ref).manifest.files.values()} == {"another"}
        assert store.holds(RECIPE.ref)


class TestReading:
    def test_a_shard_is_one_request(self, object_server: ObjectServer) -> None:
        with faulty_line(object_server.url, share=0) as line:
            artifact = Store(f"s3://harvest/reading?endpoint={line.url}")
            found = artifact.open(write(artifact))
            before = line.counts["served"]
            array = open_array(found, IMAGES)
            for row in range(150):
                np.asarray(array[row])
            assert line.counts["served"] - before == 1 + 3  # the array's description, and its three shards

    def test_few_shards_are_kept(self, store: Store) -> None:
        images = some_images(64 * 8)
        with store.create(RECIPE) as draft:
            write_block(create_array(draft, IMAGES, images.shape), 0, images)
        array = open_array(store.open(RECIPE.ref), IMAGES)
        np.testing.assert_array_equal(array[...], images)
        reading = array.store
        assert isinstance(reading, ObjectArray) and len(reading._reading) <= KEPT  # pyright: ignore[reportPrivateUsage]

    def test_a_lost_shard_is_an_error_and_not_zeros(self, store: Store) -> None:
        artifact = store.open(write(store))
        shard = artifact.file("images/c/1/0/0/0")
        assert isinstance(shard, ObjectPath)
        shard.unlink()
        array = open_array(artifact, IMAGES)
        assert np.asarray(array[0]).any()
        with pytest.raises(ArtifactError, match="c/1/0/0/0"):
            np.asarray(array[64])


def test_a_draft_needs_no_server_to_be_discarded(tmp_path: Path) -> None:
    root = Store("s3://bucket/a?endpoint=http://127.0.0.1:9").root
    assert isinstance(root, ObjectPath)
    draft = ObjectDraft(root / "artifacts/images/0")
    draft.write_bytes("file.bin", b"content")
    draft.discard()
    assert not draft.folder.exists()
