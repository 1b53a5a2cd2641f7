"""Read what people wrote into the GeoPackage of a date, with QField, QGIS or GDAL."""

from pathlib import Path
from typing import Any

from storage.errors import InputError
from storage.published.exports import KIND

Cells = dict[str, str]


def read_returned_layer(path: Path) -> list[tuple[int, Cells]]:
    """Read the layer of decisions of a GeoPackage: the number of every feature, and its columns as text.

    Empty cells are empty texts. Times are ISO 8601, with their distance from UTC where the file states it.

    Raises
    ------
    InputError : the file is damaged, or has no such layer.
    """
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        layers = [str(name) for name, _ in pyogrio.list_layers(path)]
        if KIND not in layers:
            raise InputError(
                f"{path.name} has the layers {', '.join(layers) or 'none'}",
                f"A GeoPackage that comes back must have the layer {KIND}, as it was exported",
                "give the file that was exported and then edited",
            )
        found: Any = pyogrio.read_dataframe(
            path, layer=KIND, read_geometry=False, fid_as_index=True, datetime_as_string=True
        )
    except (DataSourceError, DataLayerError) as error:
        raise InputError(
            f"{path.name} cannot be read as a GeoPackage: {error}",
            "A GeoPackage that comes back must be undamaged, and closed in other programs",
            "save it again in QGIS, or copy it again from the device",
        ) from None
    texts = found.astype(object).where(found.notna(), "").astype(str)
    return [(int(fid), cells) for fid, cells in texts.to_dict("index").items()]
