"""Fields in the layout of the real release, whose dates arrive one by one."""

import shutil
from datetime import date
from pathlib import Path
from typing import Any

from tasks.ingest.arrival import ArrivalParams
from tasks.sources.synthetic.layouts import write_season
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.season import grow_season
from tests.support.campaigns import DATES

BAD, NEW, LATE = date(2022, 8, 27), date(2022, 8, 30), date(2022, 9, 1)
YEAR_LATER = (date(2023, 8, 25), date(2023, 8, 28), date(2023, 8, 31), date(2023, 9, 3))
AT_ONCE = ArrivalParams(settle_seconds=0, patience_minutes=0)
TINY: dict[str, Any] = {"n_plots": 1, "rows": 2, "plants_per_row": 4, "image_size": 64, "days_to_harvest": 82}


def day_folder(root: Path, day: date) -> Path:
    return root / f"GrowliFlowerR/Field2/{day:%Y_%m_%d}"


def write_field(root: Path, **season: Any) -> Path:
    """A season in the layout of the real release; a folder a date."""
    write_season(grow_season(SeasonParams(**season)), root, "growliflower")
    return root


def arrive(whole: Path, root: Path, day: date, names: slice = slice(None)) -> list[Path]:
    """Copy (some of) a date's images from the whole season."""
    target = day_folder(root, day)
    target.mkdir(parents=True, exist_ok=True)
    files = sorted(day_folder(whole, day).iterdir())[names]
    return [Path(shutil.copy(file, target)) for file in files]


def spoil(root: Path, day: date) -> None:
    """Make every image of a date unreadable."""
    for path in day_folder(root, day).iterdir():
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + path.name.encode())


def own_dates(whole: Path, root: Path) -> Path:
    """A field of which only the campaign's own dates have arrived."""
    root.mkdir()
    for table in [path for path in whole.iterdir() if path.is_file()]:
        shutil.copy(table, root)
    for day in DATES:
        arrive(whole, root, day)
    return root
