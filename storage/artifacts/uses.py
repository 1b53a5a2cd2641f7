"""Note when runs last rested on artefacts, so that what a run under way has found in the store is not removed.

A run that finds an old artefact makes nothing, and names the artefact in a record only at its end. The note is an empty
file of the artefact's name; its time of change counts. It is state and no result: without it, only age protects.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from storage.places.files import Place, changed_at, write_atomically

USES = "uses"  # folder of the store for these notes
FRESH = timedelta(days=1)  # age up to which a note is not renewed


def use_path(root: Place, name: str) -> Place:
    """Return the place of an artefact's note.

    Parameters
    ----------
    root : place of the store.
    name : the artefact as `kind/digest`.
    """
    return root / USES / name


def note_use(root: Place, name: str) -> None:
    """Note that a run rests on an artefact from now on, unless the store cannot be written."""
    path, now = use_path(root, name), datetime.now(UTC)
    with suppress(OSError):  # a store that can only be read
        changed = changed_at(path)
        if changed is not None and now - changed < FRESH:
            return
        if isinstance(path, Path):  # not synced: a loss of power ends the run too
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        else:
            write_atomically(path, b"")


def last_use(root: Place, name: str) -> datetime | None:
    """Return when a run last rested on an artefact, to a day; None where nothing is noted."""
    return changed_at(use_path(root, name))
