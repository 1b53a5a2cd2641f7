"""What holds up dates, as the store keeps it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from storage.artifacts import Store
from storage.records.obstacles import SOURCE, Obstacle, read_obstacles, waiting_for_person, write_obstacles

SINCE = datetime(2026, 8, 30, 12, tzinfo=UTC)
BAD = Obstacle(since=SINCE, why="too many bad files", is_passing=False, needs_person=True)
AWAY = Obstacle(since=SINCE, why="There is no folder", is_passing=True, needs_person=False)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert read_obstacles(store, "field") == {} and list(waiting_for_person(store)) == []
    write_obstacles(store, "field", {"2026-08-30": BAD, SOURCE: AWAY})
    write_obstacles(store, "other", {"2026-08-30": AWAY})
    assert read_obstacles(store, "field") == {"2026-08-30": BAD, SOURCE: AWAY}
    row = {"campaign": "field", "date": "2026-08-30", "since": "2026-08-30T12:00:00+00:00", "why": BAD.why}
    assert list(waiting_for_person(store)) == [row]
    for _ in range(2):
        write_obstacles(store, "field", {})
    assert read_obstacles(store, "field") == {} and [one.name for one in (tmp_path / "obstacles").iterdir()] == [
        "other.json"
    ]


@pytest.mark.parametrize("kept", [b"", b"{", b"[]", b'{"2026-08-30": {}}', b"\xff"])
def test_a_damaged_memory_begins_anew(tmp_path: Path, kept: bytes) -> None:
    store = Store(tmp_path)
    write_obstacles(store, "field", {"2026-08-30": BAD})
    (tmp_path / "obstacles/field.json").write_bytes(kept)
    assert read_obstacles(store, "field") == {} and list(waiting_for_person(store)) == []
