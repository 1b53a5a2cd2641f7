"""Test that files for a viewer are not begun where they cannot be finished."""

from pathlib import Path

import pytest

from flows.report.viewers import check_room
from storage.errors import InputError


def test_a_disk_without_room_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"The files take up to 1000 TB, and the disk of .*/new has .* free") as caught:
        check_room(tmp_path / "new", 10**15)
    assert "--out on another disk" in caught.value.remedy and list(tmp_path.iterdir()) == []
    check_room(tmp_path / "new", 1)
