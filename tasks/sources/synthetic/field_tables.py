"""Write the tables of a grown season in the layout `field`: a GeoPackage of plants and an Excel file of harvests."""

from pathlib import Path
from typing import Any

from tasks.sources.synthetic.mosaic import CRS
from tasks.sources.synthetic.season import Season


def write_plants(path: Path, season: Season) -> None:
    """Write the positions of all plants as points, with the columns plant_id, plot, row, number and split."""
    import geopandas  # takes a quarter of a second, and only this layout needs it

    plants = season.plants
    columns = ("plant_id", "plot", "row", "number", "split")
    places: Any = geopandas.points_from_xy([one.easting for one in plants], [one.northing for one in plants])
    cells = {column: [getattr(one, column) for one in plants] for column in columns}
    frame: Any = geopandas.GeoDataFrame(cells, geometry=places, crs=CRS)
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_file(path, layer="plants", driver="GPKG", engine="pyogrio")


def write_harvests(path: Path, season: Season) -> None:
    """Write what is recorded of every plant's harvest (see `Season.recorded`) as the one sheet of an Excel file."""
    import openpyxl

    book = openpyxl.Workbook()
    sheet: Any = book.active
    sheet.title = "harvest"
    sheet.append(("plant_id", "harvest_date"))
    for plant in season.plants:
        sheet.append((plant.plant_id, season.recorded(plant)))
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)
