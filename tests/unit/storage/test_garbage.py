"""What is removed from a store and what stays, over random histories of fits, dates and killed runs."""

import json
import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from storage.artifacts import MANIFEST, ArtifactRef, Store
from storage.artifacts.store import Manifest, read_manifest
from storage.artifacts.uses import use_path
from storage.errors import ArtifactError
from storage.garbage import closure, find_garbage, remove_garbage
from storage.records.acquisitions import find_acquisition, fit_digest, list_acquisitions, read_acquisition
from storage.records.campaigns import read_record
from tests.support.local_stores import local
from tests.support.store_history import DAYS, NOW, History


def all_manifests(store: Store) -> dict[ArtifactRef, Manifest]:
    folders = (local(store.root) / "artifacts").glob("*/[!.]*")
    return {ArtifactRef(kind=one.parent.name, digest=one.name): read_manifest(one, Manifest) for one in folders}


@pytest.mark.parametrize("seed", range(5))
def test_what_something_rests_on_stays_and_the_rest_goes(tmp_path: Path, seed: int) -> None:
    history = History(tmp_path, seed)
    history.fit()
    history.go_on(30)
    store, days, n_fits = history.store, 60, seed % 3
    before, present = all_manifests(store), fit_digest(read_record(store, "field").artifacts)
    records = {path: read_acquisition(path) for path in list_acquisitions(store)}
    remove_garbage(store, find_garbage(store, NOW, days, n_fits))

    left = all_manifests(store)
    since = NOW - timedelta(days)
    young = [ref for ref, manifest in before.items() if datetime.fromisoformat(manifest.created) >= since]
    assert left.keys() >= set(young)
    kept = [read_acquisition(path) for path in list_acquisitions(store)]
    named = [ref for record in (read_record(store, "field"), *kept) for ref in record.artifacts.values()]
    assert all(store.holds(ref) for ref in closure(named, before))
    assert left.keys() - set(young) <= closure([*named, *reports(store)], before)
    for day in DAYS:
        of_day = [one for one in records.values() if one.date == day]
        assert [one for one in of_day if one.fit == present] == [
            one for one in kept if one.date == day and one.fit == present
        ]
        assert sum(one.date == day and one.fit != present for one in kept) >= min(
            n_fits, sum(one.fit != present for one in of_day)
        )
    again = find_garbage(store, NOW, days, n_fits)
    assert (again.records, again.artifacts, again.results, again.leftovers) == ([], {}, [], {})


def reports(store: Store) -> list[ArtifactRef]:
    said = json.loads((local(store.root) / "reports" / "field" / MANIFEST).read_text())
    return [ArtifactRef(**one) for one in said["sources"]]


def test_a_kill_leaves_no_record_of_what_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(tmp_path, 0)
    for _ in range(4):
        history.fit()
        history.score()
    history.age = 0.0
    found = find_garbage(history.store, NOW, 30, 0)
    assert found.records and len(found.artifacts) > 3 and found.n_bytes == sum(found.artifacts.values())
    removed: list[object] = []

    def killed(path: Path) -> None:
        removed.append(path)
        if len(removed) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("storage.garbage.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        remove_garbage(history.store, found)
    for path in list_acquisitions(history.store):
        assert not any(history.store.damage(ref) for ref in read_acquisition(path).artifacts.values())
    assert not any(history.store.damage(ref) for ref in all_manifests(history.store))
    monkeypatch.undo()
    remove_garbage(history.store, find_garbage(history.store, NOW, 30, 0))
    assert not set(found.artifacts) & all_manifests(history.store).keys()


@pytest.mark.parametrize("seed", range(2))
def test_what_a_run_under_way_has_found_stays(tmp_path: Path, seed: int) -> None:
    """A run that finds old artefacts makes nothing new, and names them in its record only when it ends."""
    history = History(tmp_path, seed)
    history.fit()
    history.go_on(12)
    store, days = history.store, 60
    lone = sorted(find_garbage(store, NOW, days, 0).artifacts, key=str)
    assert len(lone) >= 4
    history.chance.shuffle(lone)
    early, late, ended, others = lone[:1], lone[1:2], lone[2:3], lone[3:]
    for ref in early + ended:
        assert store.holds(ref)
        noted = use_path(store.root, str(ref))
        age(local(noted), days - 1 if ref in early else days + 1)
    found = find_garbage(store, NOW, days, 0)
    assert set(found.artifacts) == set(late + ended + others)
    assert local(use_path(store.root, str(ended[0]))) in found.leftovers
    assert store.holds(late[0])  # a run begins while the garbage is looked for
    remove_garbage(store, found)
    assert set(lone) & all_manifests(store).keys() == set(early + late)
    assert {one.name for one in (tmp_path / "uses").rglob("*") if one.is_file()} == {ref.digest for ref in early + late}


def age(path: Path, days: float) -> None:
    os.utime(path, (made := (NOW - timedelta(days=days)).timestamp(), made))


def test_an_unreadable_manifest_matters_only_where_something_rests_on_it(tmp_path: Path) -> None:
    history = History(tmp_path, 0)
    history.fit()
    history.fit()
    history.age = 0.0
    lone, *_ = (ref for ref in find_garbage(history.store, NOW, 30, 0).artifacts if ref.kind == "classifier")
    (local(history.store.folder(lone)) / MANIFEST).write_bytes(b"")
    assert lone not in find_garbage(history.store, NOW, 30, 0).artifacts
    named = read_record(history.store, "field").artifacts["classifier"]
    (local(history.store.folder(named)) / MANIFEST).write_bytes(b"")
    with pytest.raises(ArtifactError, match="cannot be read as a manifest"):
        find_garbage(history.store, NOW, 30, 0)


def test_nothing_is_removed_where_a_record_cannot_be_read(tmp_path: Path) -> None:
    history = History(tmp_path, 0)
    history.fit()
    history.score()
    fit = fit_digest(read_record(history.store, "field").artifacts)
    day = next(day for day in DAYS if find_acquisition(history.store, "field", day, fit))
    (tmp_path / "acquisitions" / "field" / str(day) / f"{fit}.json").write_bytes(b"")
    with pytest.raises(ArtifactError, match="cannot be read as the record of a scored date"):
        find_garbage(history.store, NOW, 30, 0)
