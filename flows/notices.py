"""Notices of flow runs that went wrong, for people who do not sit in front of the Prefect UI."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow, get_run_logger

NOTICES = "notices.jsonl"


@flow(name="note-failure", flow_run_name="note {state} of {name}")
def note_failure(store: str, flow_run_id: str, name: str, state: str, message: str, url: str) -> None:
    """Log that a flow run went wrong, and append it to the store's list of notices."""
    notice = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "flow_run": name,
        "id": flow_run_id,
        "state": state,
        "message": message,
        "url": url,
    }
    get_run_logger().error("%s: %s (%s): %s", state, name, url, message)
    append_line(Path(store) / NOTICES, json.dumps(notice))


def append_line(path: Path, line: str) -> None:
    """Append a line in one write, so that lines of several processes never mix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(stream, line.encode() + b"\n")
        os.fsync(stream)
    finally:
        os.close(stream)
