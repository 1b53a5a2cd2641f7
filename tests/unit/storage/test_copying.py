"""Copies of a store that runs write into: each is what the store was at one moment."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from storage import copying
from storage.artifacts import MANIFEST, Recipe, Store
from storage.copying import Copying, copy_store
from storage.errors import InputError
from storage.garbage import roots
from storage.published.manifests import read_published
from storage.records.campaigns import read_record
from tests.support.local_stores import local
from tests.support.store_history import History


@pytest.fixture
def history(tmp_path: Path) -> History:
    made = History(tmp_path / "store", 3)
    made.fit()
    made.go_on(3)
    made.kill()
    (tmp_path / "store/notices.jsonl").write_text("{}\n")
    return made


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "PAUSE_SECONDS", 0)


def finished(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Content, time of change and mode of every file that no killed run left."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and "/.tmp-" not in str(path)]
    named = {path.relative_to(folder).as_posix(): path for path in paths}
    return {
        name: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode)
        for name, path in named.items()
        if not name.startswith("work/")
    }


def meanwhile(monkeypatch: pytest.MonkeyPatch, what: Callable[[int], None]) -> None:
    """Have something done before each file that is copied, told how many were copied."""
    take, n = Copying.take, 0

    def wrapped(self: Copying, name: str) -> None:
        nonlocal n
        what(n)
        n += 1
        take(self, name)

    monkeypatch.setattr(Copying, "take", wrapped)


def test_a_copy_has_every_finished_file_and_no_unfinished(history: History, tmp_path: Path) -> None:
    assert copy_store(tmp_path / "store", tmp_path / "copy") == []
    assert finished(tmp_path / "copy") == finished(tmp_path / "store")
    assert not [*(tmp_path / "copy").rglob(".tmp-*"), *(tmp_path / "copy").glob("work/*")]


def test_a_later_copy_takes_room_for_what_is_new_alone(history: History, tmp_path: Path) -> None:
    copy_store(tmp_path / "store", tmp_path / "first")
    before = finished(tmp_path / "first")
    history.fit()
    copy_store(tmp_path / "store", tmp_path / "second", tmp_path / "first")
    after = finished(tmp_path / "second")
    assert after == finished(tmp_path / "store") and finished(tmp_path / "first") == before
    for name in after:
        is_linked = (tmp_path / "second" / name).stat().st_nlink > 1
        assert is_linked == (before.get(name) == after[name]), name


def test_a_file_with_two_names_is_copied_once(history: History, tmp_path: Path) -> None:
    first = history.images[0]
    with history.store.create(recipe := Recipe("maps", 1, {}, {"images": first})) as draft:
        folder = history.store.folder(first)
        draft.link("file.bin", folder / "file.bin", history.store.open(first).manifest.files["file.bin"])
    copy_store(tmp_path / "store", tmp_path / "copy")
    copy = Store(tmp_path / "copy")
    one, other = (local(copy.folder(ref)) / "file.bin" for ref in (first, recipe.ref))
    assert one.samefile(other) and copy.holds(recipe.ref)


@pytest.mark.parametrize("part", range(4))
def test_what_is_published_meanwhile_is_in_it_whole_or_not_at_all(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    """A copy in the order of names, artefacts first, would have the new record without the artefacts that it names."""
    moment = part * len(finished(tmp_path / "store")) // 4

    def fit(n: int) -> None:
        if n == moment:
            history.fit()

    old = read_record(history.store, "field")
    meanwhile(monkeypatch, fit)
    assert copy_store(tmp_path / "store", tmp_path / "copy") == []
    copy = Store(tmp_path / "copy")
    new, record = read_record(history.store, "field"), read_record(copy, "field")
    assert new != old and record in (old, new)
    assert all(copy.holds(ref) for ref in roots(copy, set()))
    report = read_published(copy.root / "reports/field" / MANIFEST)
    assert report == read_published(history.store.root / "reports/field" / MANIFEST) or record == old


def test_an_artefact_that_is_removed_meanwhile_is_left_out_whole(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lone = local(history.store.folder(history.make("zones")))  # the last by name, and nothing names it

    def remove(n: int) -> None:
        if (tmp_path / "copy" / lone.relative_to(tmp_path / "store") / "file.bin").exists():
            shutil.rmtree(lone)

    meanwhile(monkeypatch, remove)
    assert copy_store(tmp_path / "store", tmp_path / "copy") == []
    assert not lone.exists()
    assert not [path for path in (tmp_path / "copy/artifacts/zones").glob("*/*") if path.is_file()]


def test_a_store_that_never_rests_is_not_copied(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "LOOKS", 3)
    meanwhile(monkeypatch, lambda _: (tmp_path / "store/campaigns/field.json").touch())
    with pytest.raises(InputError, match="changed at each of 3 looks"):
        copy_store(tmp_path / "store", tmp_path / "copy")


def test_damage_in_the_store_is_told(history: History, tmp_path: Path) -> None:
    lost = local(history.store.folder(read_record(history.store, "field").artifacts["classifier"])) / "file.bin"
    lost.unlink()
    (problem,) = copy_store(tmp_path / "store", tmp_path / "copy")
    assert "file file.bin is missing" in problem
    (tmp_path / "store/campaigns/field.json").write_text("half a rec")
    (problem,) = copy_store(tmp_path / "store", tmp_path / "another")
    assert "cannot be read as a campaign's record" in problem
