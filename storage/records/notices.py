"""Keep notices of flow runs that failed or crashed, of a store's damage, and of promises that people found broken.

In a local store they are lines of one file. In a bucket, which cannot append, each is an object.
"""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from storage.artifacts import Store
from storage.places.durable import make_folder, sync
from storage.places.files import write_atomically

NOTICES = "notices"  # name of the file `notices.jsonl`, or prefix of the objects
DAMAGED = "Damaged"  # state in the notice of a store's damage
BROKEN = "Promise broken"  # state in the notice of a promise that checks of plants show to be broken


def make_notice(
    state: str, flow_run: str, message: str, campaign: str = "", date: str = "", **known: str
) -> dict[str, str]:
    """Return a notice of the present moment.

    Parameters
    ----------
    flow_run : name of the run.
    campaign, date : empty where the notice is of none or several.
    known : `id` and `url` of the run, if it has them.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    of = {"flow_run": flow_run, "campaign": campaign, "date": date}
    return {"time": now, **of, "id": uuid4().hex, "state": state, "message": message, "url": "", **known}


def keep_notice(store: Store, notice: Mapping[str, str]) -> None:
    """Add a notice to those already kept.

    Parameters
    ----------
    notice : texts by name; `time` (ISO 8601) and `id` are required, because they name and order the objects. `campaign`
        and `date` (YYYY-MM-DD) are empty where the notice is of none or several; earlier notices lack both.
    """
    line = json.dumps(notice).encode() + b"\n"
    if isinstance(store.root, Path):
        _append(store.root / f"{NOTICES}.jsonl", line)
    else:
        write_atomically(store.root / NOTICES / f"{notice['time']}-{notice['id']}.json", line)


def _append(path: Path, line: bytes) -> None:
    """Append a line in one write, so that lines of parallel processes never mix; a link is not followed."""
    make_folder(path.parent)
    stream = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        os.write(stream, line)
        os.fsync(stream)
    finally:
        os.close(stream)
    sync(path.parent)  # the first notice makes the file
