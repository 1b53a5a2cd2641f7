"""Arrivals: what was seen of a date's files when somebody last looked whether all of them are there.

It is a memory between looks and no result: where it is missing or damaged, the next look begins anew.
"""

import json
from datetime import date
from typing import Any

from storage.artifacts import Store
from storage.places.files import Place, write_atomically


def arrival_path(store: Store, campaign: str, day: date) -> Place:
    """Where the last look at a date's files is kept."""
    return store.root / "arrivals" / campaign / f"{day.isoformat()}.json"


def read_arrival(store: Store, campaign: str, day: date) -> Any:
    """What the last look found, as JSON; None where nobody has looked or the file is damaged."""
    try:
        return json.loads(arrival_path(store, campaign, day).read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def write_arrival(store: Store, campaign: str, day: date, content: dict[str, Any]) -> Place:
    """Keep what a look found, in place of the last."""
    path = arrival_path(store, campaign, day)
    write_atomically(path, json.dumps(content, indent=1, sort_keys=True, allow_nan=False).encode())
    return path
