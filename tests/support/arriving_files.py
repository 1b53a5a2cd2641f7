"""Files of acquisition dates that arrive bit by bit."""

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

DAY, OTHER = date(2021, 8, 30), date(2021, 9, 3)
FOLDER = "Field2/2021_08_30"
NOON = datetime(2021, 8, 31, 12, tzinfo=UTC)


def put(root: Path, name: str, n_bytes: int = 100, seconds: float = 0) -> Path:
    """Write a file with a time of change so many seconds after noon."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * n_bytes)
    os.utime(path, (after(seconds).timestamp(), after(seconds).timestamp()))
    return path


def plant(number: int, folder: str = FOLDER) -> str:
    """Return the name of a plant's image, relative to the season."""
    return f"{folder}/2021_Ref_Plot2_E{number}.png"


def after(seconds: float) -> datetime:
    """Return the moment so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)
