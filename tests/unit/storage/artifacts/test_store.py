"""Check the names of artefacts, and that they are complete or absent, whatever happens during writing."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.artifacts import MANIFEST, ArtifactRef, Draft, Recipe, Store, content_digest
from storage.errors import ArtifactError
from storage.places import files
from tests.support.local_stores import local
from tests.support.repository import ROOT

RECIPE = Recipe("predictions", 3, {"a": 1, "b": [1, 2]}, {"images": ArtifactRef(kind="images", digest="0" * 24)})

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.text(max_size=5), JSON, max_size=4)

WRITER = """
import sys, time
from storage.artifacts import Recipe, Store
with Store(sys.argv[1]).create(Recipe("kind", 1, {"x": 1})) as draft:
    draft.write_bytes("half.bin", b"half")
    print("writing", flush=True)
    time.sleep(60)
"""


def shuffled(value: Any, chance: random.Random) -> Any:
    """Return a JSON value with the keys of every object in another order."""
    if isinstance(value, dict):
        keys = list(value)
        chance.shuffle(keys)
        return {key: shuffled(value[key], chance) for key in keys}
    return [shuffled(item, chance) for item in value] if isinstance(value, list) else value


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def write(store: Store, recipe: Recipe = RECIPE, content: bytes = b"content") -> Path:
    with store.create(recipe) as draft:
        draft.write_bytes("file.bin", content)
    return local(store.folder(recipe.ref))


@pytest.fixture
def often_switching() -> Iterator[None]:
    """Switch threads so often that a race shows within a few rounds."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


def typed(value: Any) -> Any:
    """Return a JSON value in a form in which 1, 1.0 and true differ, and key order does not count."""
    if isinstance(value, dict):
        return ("object", sorted((key, typed(item)) for key, item in value.items()))
    return ("list", [typed(item) for item in value]) if isinstance(value, list) else (type(value).__name__, repr(value))


class TestDigest:
    @given(OBJECTS, st.randoms(use_true_random=False))
    def test_key_order_does_not_count(self, content: dict[str, Any], chance: random.Random) -> None:
        assert content_digest(shuffled(content, chance)) == content_digest(content)

    @given(JSON, JSON)
    def test_other_content_has_another_digest(self, one: Any, other: Any) -> None:
        assert (content_digest(one) == content_digest(other)) == (typed(one) == typed(other))

    @given(OBJECTS)
    def test_numbers_and_truth_values_differ(self, content: dict[str, Any]) -> None:
        assert len({content_digest({**content, "x": value}) for value in (1, 1.0, True, "1", [1], None)}) == 6

    @given(OBJECTS, st.sampled_from(["kind", "revision", "params", "inputs"]), st.text(min_size=1, max_size=5))
    def test_every_part_of_a_recipe_counts(self, params: dict[str, Any], part: str, new: str) -> None:
        inputs = {"role": "digest"}
        changed = {
            "kind": Recipe("kind" + new.encode("utf-8", "surrogatepass").hex(), 1, params, inputs),
            "revision": Recipe("kind", 2, params, inputs),
            "params": Recipe("kind", 1, {**params, new: [params.get(new)]}, inputs),
            "inputs": Recipe("kind", 1, params, {"role": "digest" + new}),
        }[part]
        assert changed.ref.digest != Recipe("kind", 1, params, inputs).ref.digest

    def test_inputs_are_named_by_role_and_order(self) -> None:
        one, two = (ArtifactRef(kind="images", digest=letter * 24) for letter in "ab")
        orders = [{"x": one, "y": two}, {"x": two, "y": one}, {"x": [one, two]}, {"x": [two, one]}, {"x": one}]
        assert len({Recipe("kind", 1, {}, inputs).ref.digest for inputs in orders}) == len(orders)

    def test_hand_worked_case(self) -> None:
        # Pinned by hand, because names must be the same on every machine and in every later version.
        text = '["kind",2,{"a":[1,2.5],"b":"\\u00e4"},{"images":"images/00"}]'
        expected = hashlib.sha256(text.encode()).hexdigest()[:24]
        inputs = {"images": ArtifactRef(kind="images", digest="00")}
        assert Recipe("kind", 2, {"b": "ä", "a": (1, 2.5)}, inputs).ref == ArtifactRef(kind="kind", digest=expected)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_numbers_that_json_lacks_are_refused(self, value: float) -> None:
        with pytest.raises(ValueError, match="JSON compliant"):
            content_digest({"x": value})


class TestCreate:
    def test_holds_what_was_written(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        with store.create(RECIPE, {"python": "3"}) as draft:
            draft.write_bytes("one.bin", b"\x00\x01")
            (draft.folder / "deep").mkdir()
            draft.write_bytes("deep/two.bin", b"")
            draft.write_json("three.json", {"x": [1, None]})
            draft.summary = {"n": 7}
        artifact = store.open(RECIPE.ref)
        assert store.holds(RECIPE.ref) and store.damage(RECIPE.ref) == []
        assert artifact.folder == tmp_path / "artifacts/predictions" / RECIPE.ref.digest
        assert (artifact.read_bytes("one.bin"), artifact.read_json("three.json")) == (b"\x00\x01", {"x": [1, None]})
        assert artifact.summary == {"n": 7}
        manifest = artifact.manifest
        assert (manifest.revision, manifest.params, manifest.versions) == (3, {"a": 1, "b": [1, 2]}, {"python": "3"})
        assert manifest.inputs == {"images": "images/" + "0" * 24}
        assert set(manifest.files) == {"one.bin", "deep/two.bin", "three.json"}
        for name, record in manifest.files.items():
            content = (artifact.folder / name).read_bytes()
            assert (record.size, record.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        with pytest.raises(ArtifactError, match=r"predictions/\w{24} has no other\.bin"):
            artifact.file("other.bin")

    def test_nothing_is_visible_while_the_block_runs(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        with store.create(RECIPE) as draft:
            draft.write_bytes("file.bin", b"content")
            assert not store.holds(RECIPE.ref) and not local(store.folder(RECIPE.ref)).exists()
            with pytest.raises(ArtifactError, match=r"no manifest\.json: never finished"):
                store.open(RECIPE.ref)
        assert files_below(tmp_path / "artifacts/predictions") == [
            f"{RECIPE.ref.digest}/file.bin",
            f"{RECIPE.ref.digest}/{MANIFEST}",
        ]

    @pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
    def test_a_failed_block_leaves_nothing(self, tmp_path: Path, error: BaseException) -> None:
        store = Store(tmp_path)

        def fail(draft: Draft) -> None:
            draft.write_bytes("file.bin", b"content")
            raise error

        with pytest.raises(type(error)), store.create(RECIPE) as draft:
            fail(draft)
        assert not store.holds(RECIPE.ref)
        assert list((tmp_path / "artifacts/predictions").iterdir()) == []

    def test_a_summary_without_json_fails_whole(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        with pytest.raises(ValueError, match="serialize"), store.create(RECIPE) as draft:
            draft.summary = {"store": store}
        assert list((tmp_path / "artifacts/predictions").iterdir()) == []

    def test_a_killed_process_leaves_no_artefact(self, tmp_path: Path) -> None:
        store, recipe = Store(tmp_path), Recipe("kind", 1, {"x": 1})
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout and process.stdout.readline() == "writing\n"
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        (left,) = (tmp_path / "artifacts/kind").iterdir()
        assert left.name.startswith(".tmp-") and files_below(left) == ["half.bin"]
        assert not store.holds(recipe.ref)
        folder = write(store, recipe)
        assert store.holds(recipe.ref) and files_below(folder) == ["file.bin", MANIFEST]

    @pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "extra", "no manifest", "bad manifest"])
    def test_a_damaged_artefact_is_replaced(self, tmp_path: Path, damage: str) -> None:
        store = Store(tmp_path)
        folder = write(store)
        file = folder / "file.bin"
        match damage:
            case "flip":
                file.write_bytes(b"Content")
            case "truncate":
                file.write_bytes(b"conten")
            case "delete":
                file.unlink()
            case "extra":
                (folder / "extra.bin").write_bytes(b"")
            case "no manifest":
                (folder / MANIFEST).unlink()
            case _:
                (folder / MANIFEST).write_bytes(b"{")
        (problem,) = store.damage(RECIPE.ref)
        assert not store.holds(RECIPE.ref)
        assert {"extra": "extra.bin", "no manifest": MANIFEST, "bad manifest": MANIFEST}.get(
            damage, "file.bin"
        ) in problem
        write(store)
        assert store.holds(RECIPE.ref) and files_below(folder) == ["file.bin", MANIFEST]
        assert file.read_bytes() == b"content"
        assert [path.name for path in folder.parent.iterdir()] == [RECIPE.ref.digest]

    def test_a_whole_artefact_is_never_rewritten(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        folder = write(store, content=b"first")
        write(store, content=b"second")
        assert (folder / "file.bin").read_bytes() == b"first" and store.holds(RECIPE.ref)
        assert [path.name for path in folder.parent.iterdir()] == [RECIPE.ref.digest]

    @pytest.mark.parametrize("predecessor", ["none", "damaged"])
    def test_creators_that_race_leave_one_whole_artefact(
        self, tmp_path: Path, often_switching: None, predecessor: str
    ) -> None:
        store, n = Store(tmp_path), 8
        folder = store.folder(RECIPE.ref)
        errors: list[BaseException] = []
        for _ in range(20):
            if predecessor == "damaged":
                (write(store) / "file.bin").write_bytes(b"Content")
            together = threading.Barrier(n)

            def race(number: int, together: threading.Barrier = together) -> None:
                try:
                    with store.create(RECIPE) as draft:
                        for name in ("file.bin", "other.bin"):
                            draft.write_bytes(name, bytes([number]) * 1000)
                        together.wait()
                except BaseException as error:
                    errors.append(error)

            threads = [threading.Thread(target=race, args=(number,)) for number in range(n)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert errors == [] and store.damage(RECIPE.ref) == []
            assert [path.name for path in local(folder.parent).iterdir()] == [RECIPE.ref.digest]
            assert (folder / "file.bin").read_bytes() == (folder / "other.bin").read_bytes()
            shutil.rmtree(local(folder))


class TestWorkFolder:
    def test_is_kept_after_failure_and_removed_after_success(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        with pytest.raises(ValueError, match="power cut"), store.create(RECIPE):
            (store.work_folder(RECIPE.ref) / "checkpoint").write_bytes(b"epoch 3")
            raise ValueError("power cut")
        checkpoint = store.work_folder(RECIPE.ref) / "checkpoint"
        assert checkpoint.read_bytes() == b"epoch 3"
        other = store.work_folder(Recipe("predictions", 4).ref)
        write(store)
        assert not local(checkpoint.parent).exists() and other.is_dir()
        assert store.holds(RECIPE.ref) and not local(checkpoint).is_relative_to(local(store.folder(RECIPE.ref)))


class TestStore:
    def test_a_relative_root_does_not_move_with_the_working_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        store = Store("store")
        write(store)
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert store.holds(RECIPE.ref) and Store(tmp_path / "store").holds(RECIPE.ref)

    def test_forget_result(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        local(store.results_folder).mkdir()
        for key in ("predictions-a", "predictions-b"):
            (local(store.results_folder / key)).write_text("record")
        store.forget_result("predictions-a")
        store.forget_result("predictions-never")
        assert [path.name for path in local(store.results_folder).iterdir()] == ["predictions-b"]

    def test_a_manifest_with_an_unknown_key_is_refused(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        path = write(store) / MANIFEST
        path.write_text(json.dumps({**json.loads(path.read_text()), "colour": "red"}))
        with pytest.raises(ArtifactError, match=r"manifest\.json cannot be read as a manifest: [^$]*colour"):
            store.open(RECIPE.ref)


def test_a_file_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that have just been written are read each time: a second change could leave their time as it is."""
    store, read = Store(tmp_path), list[str]()
    with store.create(RECIPE) as draft:
        draft.write_bytes("a.bin", b"right")
    describe = files.describe_file
    monkeypatch.setattr(files, "describe_file", lambda path: read.append(path.name) or describe(path))
    assert store.holds(RECIPE.ref) and store.holds(RECIPE.ref) and read == ["a.bin"] * 2
    monkeypatch.setattr(files, "SETTLED_NS", 0)
    for _ in range(3):
        assert store.holds(RECIPE.ref)
    assert read == ["a.bin"] * 3
    changed = store.folder(RECIPE.ref) / "a.bin"
    assert isinstance(changed, Path)
    changed.write_bytes(b"wrong")
    os.utime(changed, (1, 1))  # a clock that ticks every few milliseconds might show no change
    assert not store.holds(RECIPE.ref)
