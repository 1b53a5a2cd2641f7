"""Notices of flow runs that went wrong: lines of one file, or objects of a bucket, which appends to nothing."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from storage.artifacts import Store
from storage.places.files import write_atomically

NOTICES = "notices"  # the file `notices.jsonl`, or what the objects lie below


def keep_notice(store: Store, notice: Mapping[str, str]) -> None:
    """Keep a notice beside those before.

    Parameters
    ----------
    notice : with at least `time` (ISO 8601) and `id`, by which objects are named and ordered.
    """
    line = json.dumps(notice).encode() + b"\n"
    if isinstance(store.root, Path):
        _append(store.root / f"{NOTICES}.jsonl", line)
    else:
        write_atomically(store.root / NOTICES / f"{notice['time']}-{notice['id']}.json", line)


def _append(path: Path, line: bytes) -> None:
    """Append a line in one write, so that lines of several processes never mix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(stream, line)
        os.fsync(stream)
    finally:
        os.close(stream)
