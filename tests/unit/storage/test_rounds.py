"""Rounds of verification: every folder is read, in parts of a night, and after a kill it goes on."""

import random
from collections import Counter
from pathlib import Path

import pytest

from storage import rounds
from storage.artifacts import ArtifactRef, Store
from storage.errors import AwayError
from storage.records.upkeep import Upkeep, read_upkeep, upkeep_path, write_upkeep
from storage.rounds import look_again, read_on
from storage.verify import folder_problems, folder_size, list_folders
from tests.support.local_stores import local
from tests.support.store_history import History


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def folder_of(store: Store, ref: ArtifactRef) -> Path:
    return local(store.folder(ref))


@pytest.mark.parametrize("seed", range(4))
def test_every_folder_is_read_in_a_round_that_kills_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Nights of random length, of which some are killed, while artefacts are made and removed."""
    history, chance = History(tmp_path, seed), random.Random(seed)
    store = history.store
    made = [history.make(chance.choice(["images", "maps", "zeros"])) for _ in range(8)]
    there, reads = set(list_folders(store)), Counter[str]()

    def read_or_die(read: Store, name: str, outdated: list[str]) -> list[str]:
        if chance.random() < 0.2:
            raise KeyboardInterrupt
        reads[name] += 1
        return folder_problems(read, name, outdated)

    monkeypatch.setattr(rounds, "folder_problems", read_or_die)
    monkeypatch.setattr(rounds, "SAVE_SECONDS", -1.0)
    n_kills, limit = 0, 20
    while not (state := read_upkeep(store)).completed:
        before = reads.total()
        try:
            read = read_on(store, state, limit)
            assert read.n_folders == reads.total() - before
            assert read.n_bytes <= limit or read.n_folders == 1
        except KeyboardInterrupt:
            n_kills += 1
        if chance.random() < 0.5:
            history.make("images")
        elif len(made) > 6:
            ref = made.pop()
            for path in folder_of(store, ref).iterdir():
                path.unlink()
            folder_of(store, ref).rmdir()
            there.discard(f"artifacts/{ref}")
    assert all(reads[name] == 1 for name in there)
    assert state.damaged == {} and (state.begun, state.after, state.n_bytes) == ("", "", 0)


def test_a_kill_takes_back_what_was_not_saved_and_no_more(tmp_path: Path) -> None:
    history = History(tmp_path, 0)
    folders = sorted([f"artifacts/{ref}" for ref in [*history.images, *(history.make("maps") for _ in range(3))]])
    assert list_folders(history.store) == folders
    state = Upkeep()
    first = read_on(history.store, state, folder_size(history.store, folders[0]))
    assert (first.n_folders, first.is_complete, state.after) == (1, False, folders[0])
    again = read_upkeep(history.store)
    assert again == state and again.n_bytes == first.n_bytes > 0
    assert read_on(history.store, again, 10**9) == (
        4,
        sum(folder_size(history.store, name) for name in folders[1:]),
        True,
    )
    local(upkeep_path(history.store)).write_bytes(b"{")
    assert read_upkeep(history.store) == Upkeep()


def test_damage_is_remembered_until_it_is_gone(tmp_path: Path) -> None:
    history = History(tmp_path, 0)
    history.fit()
    history.score()
    store, state = history.store, Upkeep()
    images = f"artifacts/{history.images[0]}"
    (record,) = (tmp_path / "acquisitions").rglob("*.json")
    whole = record.read_bytes()
    flip(tmp_path / images / "file.bin")
    record.write_bytes(b"")
    read_on(store, state, 10**9)
    look_again(store, state)
    assert set(state.damaged) == {images, store.name_of(record)}
    assert state.damaged[images].problems == ["file file.bin has changed content (SHA-256 differs from its manifest)"]
    state.damaged[images].n_tries = 1
    record.write_bytes(whole)
    look_again(store, state)
    assert list(state.damaged) == [images] and state.damaged[images].n_tries == 1
    flip(tmp_path / images / "file.bin")
    look_again(store, state)
    assert read_upkeep(store).damaged == {}


def test_a_store_that_goes_away_is_not_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(tmp_path / "store", 0)
    for _ in range(3):
        history.make("images")
    write_upkeep(history.store, Upkeep())

    def unmount(store: Store, name: str, outdated: list[str]) -> list[str]:
        if (tmp_path / "store").exists():
            (tmp_path / "store").rename(tmp_path / "away")
        return folder_problems(store, name, outdated)

    monkeypatch.setattr(rounds, "folder_problems", unmount)
    for look in (lambda state: read_on(history.store, state, 10**9), lambda state: look_again(history.store, state)):
        with pytest.raises(AwayError, match="has no folder `artifacts`"):
            look(Upkeep())
    assert not (tmp_path / "store").exists()
    (tmp_path / "away").rename(tmp_path / "store")
    assert read_upkeep(history.store) == Upkeep()
