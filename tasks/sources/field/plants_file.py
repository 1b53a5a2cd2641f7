"""Read the rows of a file of plant positions: points or polygons of a map layer, or a table of coordinates."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from storage.errors import InputError
from tasks.parameters import Params
from tasks.sources.checks import text_table
from tasks.sources.projections import read_crs
from tasks.sources.text_tables import TABLE_SUFFIXES, read_table, to_number


class PlantsFile(Params):
    """File of plant positions, and the names of its columns; only the position is needed."""

    path: str = Field(
        description="Path of the file of plant positions, relative to root: points or polygons (their centroids) in a "
        "GeoPackage, GeoJSON, Shapefile, FlatGeobuf or KML file, or a text table or Excel workbook with columns of "
        "coordinates"
    )
    layer: str | None = Field(
        default=None,
        description="Name of the layer, or of the sheet of a workbook, that holds the plants; needed where the file "
        "has several",
    )
    crs: str | None = Field(
        default=None,
        description="Coordinate reference system of the positions, such as EPSG:32632; needed for tables and for "
        "files that state none",
    )
    x_column: str = Field(default="easting", description="Column of easting or longitude; only for tables")
    y_column: str = Field(default="northing", description="Column of northing or latitude; only for tables")
    id_column: str | None = Field(
        default=None,
        description="Column of the plant id; null makes ids from plot, row and number, such as Plot3_B_7, or else from "
        "the position",
    )
    plot_column: str | None = Field(
        default=None,
        description="Column of the plot, by which reports count and lists are sorted; whole plots are drawn for a "
        "split",
    )
    row_column: str | None = Field(
        default=None, description="Column of the plant's row in its plot, for walking order and ids that are made"
    )
    number_column: str | None = Field(
        default=None,
        description="Column of the plant's number in its row, for walking order and ids that are made",
    )
    variety_column: str | None = Field(default=None, description="Column of the plant's variety")
    split_column: str | None = Field(
        default=None,
        description="Column of the split: train, val, test, or new and an empty cell for plants that are only scored",
    )

    @model_validator(mode="after")
    def ids_are_whole(self) -> Self:
        """Refuse a row without a number where ids are made of both."""
        if self.row_column and not (self.number_column or self.id_column):
            raise ValueError(
                "row_column is given without number_column; ids that are made need both; add number_column or id_column"
            )
        return self

    @property
    def place_columns(self) -> tuple[str | None, str | None, str | None, str | None]:
        """Return the columns of plot, row, number and variety; None where no key names one."""
        return self.plot_column, self.row_column, self.number_column, self.variety_column

    @property
    def named(self) -> list[str]:
        """Return the columns that the keys name, each once, without those of coordinates."""
        keys = (self.id_column, *self.place_columns, self.split_column)
        return list(dict.fromkeys(column for column in keys if column is not None))


@dataclass(frozen=True, slots=True)
class PlantRow:
    """One row of a file of plants: its place in the file, position in the file's CRS, and the cells of columns."""

    where: str
    x: float
    y: float
    cells: dict[str, str]


@dataclass(frozen=True, slots=True)
class PlantRows:
    """Rows of a file of plants, and the CRS of their positions as an EPSG code or WKT."""

    crs: str
    rows: tuple[PlantRow, ...]


def read_rows(root: Path, options: PlantsFile) -> PlantRows:
    """Read the rows of a file of plants.

    Raises
    ------
    InputError : the file is missing or cannot be read, has no plants, lacks a column or CRS, or a row has no position.
    """
    path = find_plants_file(root, options)
    is_table = path.suffix.lower() in TABLE_SUFFIXES
    found = read_table_rows(path, options) if is_table else read_layer(path, options)
    refuse_without_position(path.name, found.rows)
    if not found.rows:
        raise InputError(
            f"{path.name} has no rows", "A file of plant positions must hold plants", "check source.plants.path"
        )
    return found


def find_plants_file(root: Path, options: PlantsFile) -> Path:
    """Return the path of the file of plants.

    Raises
    ------
    InputError : there is no such file.
    """
    path = root / options.path
    if not path.is_file():
        raise InputError(
            f"There is no file {path}", "The file of plant positions must exist", "correct source.plants.path"
        )
    return path


def refuse_without_position(name: str, rows: Sequence[PlantRow]) -> None:
    """Raise InputError if rows have no finite position, and list them."""
    wrong = [(row.where, *list(row.cells.values())[:4]) for row in rows if row.x != row.x or row.y != row.y]
    if wrong:
        shown = text_table(("row", *(["cells"] if len(wrong[0]) > 1 else [])), [(a, ", ".join(b)) for a, *b in wrong])
        raise InputError(
            f"Rows of {name} without a position: {len(wrong)}{shown}",
            "Every plant must have a position of two finite numbers, a point or a polygon",
            "fill in the positions, or remove these rows",
        )


def read_table_rows(path: Path, options: PlantsFile) -> PlantRows:
    """Read a table of coordinates; what is no number becomes NaN."""
    table = read_table(path, options.layer)
    table.require(options.x_column, options.y_column, *options.named)
    if options.crs is None:
        raise InputError(
            f"{path.name} is a table, and source.plants.crs is not set",
            "The coordinate reference system of the positions must be known",
            "set source.plants.crs: EPSG:4326 for longitude and latitude, or the EPSG code of the projected system",
        )
    read_crs(options.crs)
    rows = [
        PlantRow(f"line {line}", number(row[options.x_column]), number(row[options.y_column]), row)
        for line, row in table.rows
    ]
    return PlantRows(options.crs, tuple(rows))


def number(text: str) -> float:
    """Return the number of a text, or NaN."""
    found = to_number(text)
    return float("nan") if found is None else found


def read_layer(path: Path, options: PlantsFile) -> PlantRows:
    """Read the points, or the centroids of the polygons, of a layer that GDAL reads; other shapes become NaN."""
    import shapely
    from pyogrio import list_layers, raw
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        layer = options.layer or only_layer(path, [str(name) for name, _ in list_layers(path)])
        meta, _, shapes, columns = raw.read(path, layer=layer, force_2d=True)
    except (DataLayerError, DataSourceError, ValueError) as error:
        raise InputError(
            f"{path.name} cannot be read as a map layer: {str(error).splitlines()[0]}",
            "Plant positions must be a GeoPackage, GeoJSON, Shapefile, FlatGeobuf or KML file, or a table",
            "export the plants to a GeoPackage or to a CSV file, or correct source.plants.layer",
        ) from None
    names = [str(name) for name in meta["fields"]]
    missing = [column for column in options.named if column not in names]
    if missing:
        raise InputError(
            f"{path.name} has no column {', '.join(missing)}; its columns are {', '.join(names) or 'none'}",
            f"{path.name} must have the columns that the parameters name",
            "name the file's own columns in [source.plants]",
        )
    geometry: Any = shapely.from_wkb(shapes) if shapes is not None else []
    places = [position(shape) for shape in geometry]
    texts = [[text(cell) for cell in columns[names.index(column)]] for column in options.named]
    rows = [
        PlantRow(f"feature {n}", x, y, dict(zip(options.named, cells, strict=True)))
        for n, ((x, y), *cells) in enumerate(zip(places, *texts, strict=True), 1)
    ]
    return PlantRows(layer_crs(path, meta["crs"], options.crs), tuple(rows))


def only_layer(path: Path, layers: Sequence[str]) -> str:
    """Return the name of a file's only layer, or raise InputError."""
    if len(layers) != 1:
        raise InputError(
            f"{path.name} has {len(layers)} layers: {', '.join(layers) or 'none'}",
            "One layer must hold the plants",
            "name it in source.plants.layer",
        )
    return layers[0]


def position(shape: Any) -> tuple[float, float]:
    """Return a point's position or a polygon's centroid; NaN for other or empty shapes."""
    nowhere = float("nan"), float("nan")
    if shape is None or shape.is_empty or shape.geom_type not in {"Point", "MultiPoint", "Polygon", "MultiPolygon"}:
        return nowhere
    centre = shape.centroid
    return nowhere if centre.is_empty else (float(centre.x), float(centre.y))


def text(cell: Any) -> str:
    """Return a cell of a layer as text: whole numbers without decimals, nothing for null."""
    if cell is None or cell != cell:
        return ""
    is_whole = not isinstance(cell, str) and hasattr(cell, "is_integer") and cell.is_integer()
    return str(int(cell)) if is_whole else str(cell).strip()


def layer_crs(path: Path, found: str | None, stated: str | None) -> str:
    """Return the CRS of a layer, stated in its file or by the key.

    Raises
    ------
    InputError : neither states one, or they contradict each other.
    """
    if found is None and stated is None:
        raise InputError(
            f"{path.name} states no coordinate reference system",
            "The coordinate reference system of the positions must be known",
            "set source.plants.crs, such as EPSG:32632; to a Shapefile belongs a .prj file",
        )
    if found is not None and stated is not None and not read_crs(stated).equals(read_crs(found), True):
        raise InputError(
            f"{path.name} states {read_crs(found).name}, and source.plants.crs is {stated}",
            "source.plants.crs is for files that state no coordinate reference system",
            "remove source.plants.crs, or correct the file",
        )
    return found or stated or ""
