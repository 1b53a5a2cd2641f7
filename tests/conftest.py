"""What tests share: where the real photographs are, and small seasons on disk."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_leaves() -> Path:
    """The 1,200 real leaf photographs beside the project; tests that need them are skipped where they are absent."""
    folder = REPOSITORY.parent / "shared" / "real_images" / "plantvillage_apple"
    if not folder.is_dir():
        pytest.skip(f"the real photographs are not at {folder}")
    return folder
