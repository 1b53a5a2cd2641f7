"""A small field in a folder."""

from pathlib import Path

import pytest

from tests.support.small_field import write_field


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_field(tmp_path)
