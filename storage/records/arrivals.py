"""Keep what the last check of a date's files found, while a run waits until all files have arrived.

This is state between checks and no result. If it is missing or damaged, the next check starts from scratch.
"""

import json
from datetime import date
from typing import Any

from storage.artifacts import Store
from storage.errors import ArtifactError
from storage.places.files import Place, read_file, write_atomically


def arrival_path(store: Store, campaign: str, day: date) -> Place:
    """Return the path of the last check of a date's files."""
    return store.own(store.root / "arrivals" / campaign) / f"{day.isoformat()}.json"


def read_arrival(store: Store, campaign: str, day: date) -> Any:
    """Return what the last check found, as JSON; None where there was no check or the file is damaged."""
    try:
        return json.loads(read_file(arrival_path(store, campaign, day)))
    except (FileNotFoundError, ArtifactError, ValueError, RecursionError):
        return None


def write_arrival(store: Store, campaign: str, day: date, content: dict[str, Any]) -> Place:
    """Replace the last check's findings by new ones; return their path."""
    path = arrival_path(store, campaign, day)
    write_atomically(path, json.dumps(content, indent=1, sort_keys=True, allow_nan=False).encode())
    return path
