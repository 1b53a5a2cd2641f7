"""Find the slip by which plants lie beside their field: swapped columns, or the zone's number before the eastings."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from storage.errors import InputError
from tasks.sources.field.grids import corners_of
from tasks.sources.projections import transform
from tasks.sources.raster import open_raster
from tasks.sources.remote import locate

ZONE = 1e6  # metres: eastings of UTM have six digits, and the number of the zone may stand before them

Places = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Positions x and y, each of shape (n_plants,)."""

SLIPS: tuple[tuple[str, Callable[[Places], Places]], ...] = (
    (
        "x and y are swapped: exchange source.plants.x_column and y_column, or correct the file",
        lambda places: (places[1], places[0]),
    ),
    (
        "the eastings begin with the number of the UTM zone: remove it, or set source.plants.crs to the code that has "
        "it, such as EPSG:4647 for zone 32",
        lambda places: (np.asarray(places[0] % ZONE, np.float64), places[1]),
    ),
)


def find_slip(places: Places, is_right: Callable[[Places], bool]) -> str | None:
    """Return the remedy of the slip after whose correction places are right; None if no known slip explains them."""
    return next((remedy for remedy, correct in SLIPS if is_right(correct(places))), None)


def refuse_plants_outside(root: Path, raster: str, name: str, places: Places, crs: str) -> None:
    """Raise InputError that no plant lies in any orthophoto, with the bounds of both and the slip, if it is known.

    Parameters
    ----------
    raster : path of one orthophoto relative to the root.
    name : name of the file of plants.
    crs : CRS of the places.
    """
    with open_raster(locate(root, raster)) as dataset:
        edges = transform(*corners_of(dataset), dataset.crs.to_wkt(), crs)

    def lie_inside(found: Places) -> bool:
        middles = (float(np.median(one)) for one in found)
        return all(edge.min() <= middle <= edge.max() for edge, middle in zip(edges, middles, strict=True))

    raise InputError(
        f"No plant of {name} lies in an orthophoto: plants have {bounds(places)}; {raster} covers {bounds(edges)}",
        "Plants must lie in the orthophotos",
        find_slip(places, lie_inside) or "correct source.plants.crs, or use plants and orthophotos of one field",
    )


def bounds(places: Places) -> str:
    """Write the bounds of places."""
    (x, y) = places
    return f"x {x.min():.10g} to {x.max():.10g} and y {y.min():.10g} to {y.max():.10g}"
