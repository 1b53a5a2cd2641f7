"""Draw the plots of a date as polygons, with the number of plants by decision and of those expected to be ready."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from scipy.spatial import KDTree

from storage.tables.columns import DAY, METHOD, SHARE, TEXT, WHOLE
from storage.tables.parquet import Column, TableSpec, rows_to_columns, to_arrow

# Distance in metres of a plot's border from its outermost plants, where no two plants tell the distance between plants.
LEAST_MARGIN = 0.25
CORNER_SEGMENTS = 4  # segments of a quarter circle around a corner

PLOTS = TableSpec(
    "plots",
    "the explained plants of a date by plot",
    (
        Column("campaign", TEXT, "name of the campaign"),
        Column("date", DAY, "acquisition date"),
        METHOD,
        Column("plot", TEXT, "name of the plot"),
        Column("n_plants", WHOLE, "explained plants"),
        Column(
            "n_harvest",
            WHOLE,
            "plants to harvest; null with classes other than not ready and ready",
            "plants",
            nullable=True,
        ),
        Column(
            "n_leave",
            WHOLE,
            "plants to leave; null with classes other than not ready and ready",
            "plants",
            nullable=True,
        ),
        Column("n_check", WHOLE, "plants to check", "plants"),
        Column(
            "n_ready",
            SHARE,
            "expected number of ready plants, as in the table `ready_counts`; null where it is not known",
            "plants",
            nullable=True,
        ),
        Column("n_ready_lower", SHARE, "lower end of its 0.9 interval", "plants", nullable=True),
        Column("n_ready_upper", SHARE, "upper end of its 0.9 interval", "plants", nullable=True),
    ),
)


def plots_frame(
    plots: Sequence[Mapping[str, Any]], plants: Sequence[Mapping[str, Any]], crs: str
) -> geopandas.GeoDataFrame:
    """Return rows of `PLOTS` as a frame of polygons: the convex hull of a plot's plants, and half a spacing around it.

    Parameters
    ----------
    plants : `plot`, `easting` and `northing` (m) of each plant; None where unknown. A plot without a plant of known
        position has no polygon.
    crs : coordinate reference system of the positions.
    """
    found: defaultdict[str | None, list[tuple[float, float]]] = defaultdict(list)
    for plant in plants:
        if plant["easting"] is not None and plant["northing"] is not None:
            found[plant["plot"]].append((plant["easting"], plant["northing"]))
    places = {plot: np.asarray(points, np.float64) for plot, points in found.items()}
    half = half_spacing(list(places.values()))
    outlines: Any = [_outline(places.get(plot["plot"]), half) for plot in plots]
    table = to_arrow(PLOTS, rows_to_columns(PLOTS, plots))
    return geopandas.GeoDataFrame(table.to_pandas(types_mapper=pd.ArrowDtype), geometry=outlines, crs=crs)


def half_spacing(groups: Sequence[NDArray[np.float64]]) -> float:
    """Return half the median distance (m) of a plant to the nearest one of its plot; `LEAST_MARGIN` if unknown or 0.

    Parameters
    ----------
    groups : positions (n, 2) of the plants of each plot.
    """
    nearest = [KDTree(points).query(points, k=2)[0][:, 1] for points in groups if len(points) > 1]
    half = float(np.median(np.concatenate(nearest))) / 2 if nearest else 0.0
    return half or LEAST_MARGIN


def _outline(points: NDArray[np.float64] | None, margin: float) -> shapely.Geometry | None:
    if points is None:
        return None
    return shapely.MultiPoint(points).convex_hull.buffer(margin, quad_segs=CORNER_SEGMENTS)
