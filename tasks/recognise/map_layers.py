"""Look at the layers of a map file by their headers: shapes, columns and coordinate reference system."""

from dataclasses import dataclass
from pathlib import Path

from storage.errors import InputError

VECTOR_SUFFIXES = frozenset({".gpkg", ".geojson", ".json", ".shp", ".fgb", ".kml", ".gml", ".gpx"})


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a map file.

    Attributes
    ----------
    shapes : GDAL's name of its shapes, such as `Point`; empty for a table without shapes.
    crs : coordinate reference system as an EPSG code or WKT; None if the file states none.
    """

    name: str
    shapes: str
    n_rows: int
    columns: tuple[str, ...]
    crs: str | None


def look_at_layers(path: Path) -> list[Layer]:
    """Return what the headers of a map file say of its layers.

    Raises
    ------
    InputError : GDAL cannot read the file as a map.
    """
    from pyogrio import list_layers, read_info
    from pyogrio.errors import DataLayerError, DataSourceError

    layers: list[Layer] = []
    try:
        for name, shapes in list_layers(path):
            found = read_info(path, layer=str(name), force_feature_count=True)
            columns = tuple(str(column) for column in found["fields"])
            layers.append(Layer(str(name), str(shapes or ""), int(found["features"]), columns, found["crs"]))
    except (DataLayerError, DataSourceError, ValueError) as error:
        said, *_ = str(error).split(";")  # behind it GDAL advises programmers
        raise InputError(
            f"{path.name} cannot be read as a map: {said}",
            "A map must be a GeoPackage, GeoJSON, Shapefile, FlatGeobuf or KML file",
            "export it again, for example from QGIS",
        ) from None
    return layers
