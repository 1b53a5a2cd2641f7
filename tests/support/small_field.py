"""A small field: one orthophoto for two dates, and a table of three plants."""

from datetime import date
from pathlib import Path
from typing import Any

import geopandas
from rasterio.transform import Affine

from tasks.sources.contract import SourceListing
from tasks.sources.field.source import FieldSource
from tests.support.orthophotos import NORTH, WEST, small_bands, small_transform, write_raster

DAY, LATER = date(2024, 5, 1), date(2024, 5, 8)
CRS = "EPSG:32632"
SPOTS = [(WEST + 1.0, NORTH - 1.0), (WEST + 3.0, NORTH - 1.0), (WEST + 1.0, NORTH - 3.0)]
LINES = [f"{name},{x},{y}" for name, (x, y) in zip("abc", SPOTS, strict=True)]


def save(root: Path, *lines: str, header: str = "id,easting,northing") -> None:
    """Write the rows of `plants.csv`."""
    (root / "plants.csv").write_text("\n".join([header, *lines]))


def make(root: Path, **options: Any) -> FieldSource:
    """Make a source with the least keys; `plants` adds keys to those of its table."""
    plants = {"path": "plants.csv", "crs": CRS, "id_column": "id", **options.pop("plants", {})}
    known = {"root": str(root), "rasters": "ortho_{date}.tif", "crop_metres": 1.0, "crs": CRS, "plants": plants}
    return FieldSource.model_validate({**known, **options})


def read(root: Path, *dates: date, **options: Any) -> SourceListing:
    """List the images of dates, by default of the first."""
    return make(root, **options).list_images(dates or [DAY])


def write_field(root: Path) -> Path:
    """Write an orthophoto of 4 m for two dates, and three plants in it."""
    for day in (DAY, LATER):
        write_raster(root / f"ortho_{day:%Y%m%d}.tif", small_bands(), small_transform(), CRS)
    save(root, *LINES)
    return root


def write_documented_field(root: Path) -> None:
    """Write the files that docs/sources.md names: flights, plants in two forms, a harvest table and observations."""
    matrix = Affine(0.025, 0.0, WEST, 0.0, -0.025, NORTH)
    for day, name in ((DAY, "north"), (DAY, "south"), (LATER, "ortho")):
        write_raster(root / f"flights/{day}/{name}.tif", small_bands(), matrix, CRS)
    spots = [(WEST + x, NORTH - y) for x in (0.4, 1.0, 1.6) for y in (0.4, 1.0, 1.6)]
    columns = {"plant": [f"p{n}" for n in range(9)], "plot": [1 + n // 3 for n in range(9)]}
    frame: Any = geopandas.GeoDataFrame(columns, geometry=geopandas.points_from_xy(*zip(*spots, strict=True)), crs=CRS)
    frame.to_file(root / "plants.gpkg", engine="pyogrio")
    places = frame.to_crs("EPSG:4326").geometry
    lines = [f"{name},{p.x!r},{p.y!r}" for name, p in zip(columns["plant"], places, strict=True)]
    (root / "plants.csv").write_text("\n".join(["plant,lon,lat", *lines]))
    rows = [f"{name},2024-05-{2 + 3 * n:02}" for n, name in enumerate(columns["plant"])]
    (root / "harvest.csv").write_text("\n".join(["plant_id,harvest_date", *rows]))
    seen = [
        f"{name},{day},{'yes' if n % 2 else 'no'}" for n, name in enumerate(columns["plant"]) for day in (DAY, LATER)
    ]
    (root / "seen.csv").write_text("\n".join(["plant,date,ready", *seen]))
