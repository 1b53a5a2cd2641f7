"""A folder as somebody has it after two flights: orthophotos, a GeoPackage of plants, and a table of what was cut."""

from datetime import date
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
from numpy.typing import NDArray
from rasterio.transform import Affine

from tests.support.orthophotos import NORTH, WEST, write_raster
from tests.support.workbooks import write_workbook

DAYS = (date(2024, 6, 3), date(2024, 6, 10))
CRS, SPACING, PIXEL, SIDE = "EPSG:32632", 0.5, 0.02, 6  # metres between plants and of a pixel; plants of a row
WIDTH = round((SIDE + 1) * SPACING / PIXEL)  # pixels of an orthophoto
GRID = [(row, number) for row in range(1, SIDE + 1) for number in range(1, SIDE + 1)]
PLANTS = [f"A{row}-{number:02}" for row, number in GRID]
SPOTS = [(WEST + SPACING * number, NORTH - SPACING * row) for row, number in GRID]
TRANSFORM = Affine(PIXEL, 0.0, WEST, 0.0, -PIXEL, NORTH)


def harvest_day(i: int) -> date:
    """Return the day on which a plant is cut: within three days of the first flight, of the second, or later."""
    return (date(2024, 6, 5), date(2024, 6, 12), date(2024, 6, 20))[i % 3]


def draw(day: date) -> NDArray[np.uint8]:
    """Return the bands (3, h, w) of a flight: noise, in which plants that are ready have a bright middle."""
    bands = np.random.default_rng(day.toordinal()).integers(40, 120, (3, WIDTH, WIDTH), np.uint8)
    for i, (x, y) in enumerate(SPOTS):
        if 0 <= (harvest_day(i) - day).days <= 3:
            column, row = round((x - WEST) / PIXEL), round((NORTH - y) / PIXEL)
            bands[:, row - 5 : row + 5, column - 5 : column + 5] = 240
    return bands


def write_plants(path: Path, **columns: Any) -> Path:
    """Write the plants as points, with a column `plant` unless others are given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shapes = geopandas.points_from_xy(*zip(*SPOTS, strict=True))
    frame: Any = geopandas.GeoDataFrame(columns or {"plant": PLANTS}, geometry=shapes, crs=CRS)
    frame.to_file(path, engine="pyogrio", **({"driver": "KML"} if path.suffix == ".kml" else {}))
    return path


def write_lines(path: Path, *lines: str) -> Path:
    """Write a text table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def harvest_rows(header: str = "plant,harvest_date") -> list[str]:
    """Return the lines of the table of harvests."""
    return [header, *(f"{plant},{harvest_day(i)}" for i, plant in enumerate(PLANTS))]


def write_orthos(root: Path, pattern: str = "flights/{date}/ortho.tif", days: tuple[date, ...] = DAYS) -> None:
    """Write the orthophotos of dates."""
    for day in days:
        write_raster(root / pattern.format(date=day), draw(day), TRANSFORM, CRS)


def write_first_field(root: Path) -> Path:
    """Write the whole folder, with harvests in a sheet of a workbook."""
    write_orthos(root)
    write_plants(root / "plants.gpkg", plant=PLANTS, bed=[i // (2 * SIDE) + 1 for i in range(len(PLANTS))])
    rows = [("plant", "harvest_date"), *((plant, harvest_day(i)) for i, plant in enumerate(PLANTS))]
    write_workbook(root / "cut.xlsx", {"cut": rows, "notes": [("who",), ("A. Müller",)]})
    return root
