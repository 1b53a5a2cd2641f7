"""Read a drawn season in the layout `field`: one orthophoto a date, a GeoPackage of plants and an Excel file."""

from datetime import date
from pathlib import Path

from tasks.sources.field.source import FieldSource
from tasks.sources.synthetic.season import SPACING


def field_of_season(root: Path, observed_until: date) -> FieldSource:
    """Make the source, whose crops are the drawn images to the pixel."""
    return FieldSource.model_validate(
        {
            "root": str(root),
            "rasters": "ortho_{date}.tif",
            "crop_metres": SPACING,
            "plants": {"path": "plants.gpkg", "id_column": "plant_id", "split_column": "split"},
            "harvest_table": {"path": "harvest.xlsx", "observed_until": observed_until},
        }
    )
