"""Verify a store in rounds: each call reads the next folders, up to a number of bytes, and keeps where it stopped."""

import time
from bisect import bisect_right
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from storage.artifacts import Store
from storage.records.upkeep import Damage, Upkeep, write_upkeep
from storage.verify import folder_problems, folder_size, list_folders, record_problems

SAVE_SECONDS = 20.0  # longest time of reading that a kill takes back


class Read(NamedTuple):
    """Folders and bytes that were read, and whether that ended a round."""

    n_folders: int
    n_bytes: int
    is_complete: bool


def read_on(store: Store, state: Upkeep, limit: int) -> Read:
    """Read the next folders of a round, and add what is damaged to the state, which is kept in the store.

    Parameters
    ----------
    state : state of the verification; it is changed.
    limit : number of bytes after which no further folder is begun; one folder is read at least.

    Raises
    ------
    AwayError : the store is no longer there; what was read since the last save is not kept.
    """
    folders, n_folders, n_bytes = list_folders(store), 0, 0
    state.begun, saved = state.begun or _now(), time.monotonic()
    for name in folders[bisect_right(folders, state.after) :]:
        size = folder_size(store, name)
        if n_folders and n_bytes + size > limit:
            break
        _note(state, name, folder_problems(store, name, []))
        n_folders, n_bytes = n_folders + 1, n_bytes + size
        state.after, state.n_bytes = name, state.n_bytes + size
        if time.monotonic() - saved > SAVE_SECONDS:
            _save(store, state)
            saved = time.monotonic()
    else:
        state.completed, state.begun, state.after, state.n_bytes = _now(), "", "", 0
    _save(store, state)
    return Read(n_folders, n_bytes, not state.begun)


def look_again(store: Store, state: Upkeep) -> None:
    """Read all records, and again what was damaged; what is whole by now, or gone, is no longer damaged.

    Another run may have been publishing a folder while it was read.

    Parameters
    ----------
    state : state of the verification; it is changed, and kept in the store.

    Raises
    ------
    AwayError : the store is no longer there.
    """
    folders, records = set(list_folders(store)), record_problems(store)
    for name in [*state.damaged]:
        _note(state, name, folder_problems(store, name, []) if name in folders else records.get(name, []))
    for name, problems in records.items():
        _note(state, name, problems)
    _save(store, state)


def _save(store: Store, state: Upkeep) -> None:
    store.refuse_absence()  # where the whole store is away, nothing of it is damaged
    write_upkeep(store, state)


def _note(state: Upkeep, name: str, problems: Iterable[str]) -> None:
    found = [" ".join(problem.removeprefix(f"{name}: ").split()) for problem in problems]
    if not found:
        state.damaged.pop(name, None)
    elif name in state.damaged:
        state.damaged[name].problems = found
    else:
        state.damaged[name] = Damage(problems=found, found=_now())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
