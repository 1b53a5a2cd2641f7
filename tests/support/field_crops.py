"""A source `field` of one orthophoto and a table of plants, its crops, and how alike two crops are."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.sources.contract import SourceListing
from tasks.sources.field.source import FieldSource

DAY = date(2024, 5, 1)


def field(root: Path, crs: str, **options: Any) -> FieldSource:
    """Make a source of `ortho.tif` and `plants.csv` with the columns id, easting and northing."""
    plants = {"path": "plants.csv", "crs": crs, "id_column": "id", **options.pop("plants", {})}
    found = {"root": str(root), "rasters": {str(DAY): "ortho.tif"}, "crop_metres": 1.0, "crs": crs, "plants": plants}
    return FieldSource.model_validate({**found, **options})


def write_plants(root: Path, places: dict[str, tuple[float, float]]) -> None:
    """Write `plants.csv`, with positions by id."""
    lines = [f"{name},{x!r},{y!r}" for name, (x, y) in places.items()]
    (root / "plants.csv").write_text("\n".join(["id,easting,northing", *lines]))


def crops_of(source: FieldSource) -> tuple[SourceListing, dict[str, NDArray[np.uint8]]]:
    """Return the listing of the day, and the crop of every plant by its id."""
    listing = source.list_images([DAY])
    return listing, {one.plant_id: source.read_image(one) for one in listing.images}


def correlation(one: NDArray[np.uint8], other: NDArray[np.uint8], size: int = 48) -> float:
    """Return the normalised correlation of two crops at one size."""
    small = [np.array(Image.fromarray(crop).resize((size, size)), np.float64).ravel() for crop in (one, other)]
    table: Any = np.corrcoef(np.stack(small))
    return float(table[0, 1])
