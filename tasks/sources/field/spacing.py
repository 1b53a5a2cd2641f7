"""Measure the distance between plants, from which the side of a crop follows where a campaign states none."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # importing numpy takes a fifth of the time of an early error
    import numpy as np
    from numpy.typing import NDArray

FEWEST = 20  # plants below which a spacing is chance
WIDEST_SPREAD = 0.5  # largest spread of plants in rows; plants strewn at random have 0.77, a grid has 0


def plant_spacing(easting: "NDArray[np.float64]", northing: "NDArray[np.float64]") -> float | None:
    """Return the median distance from a plant to the nearest other one, metres, to two significant digits.

    None where that tells nothing about a crop: there are fewer than `FEWEST` plants, most lie on one another, or the
    distances differ too much. Their spread is the distance between their quartiles over the median, and must be at most
    `WIDEST_SPREAD`.

    Parameters
    ----------
    easting, northing : positions of the plants, metres, each of shape (n,).

    Notes
    -----
    Gaps, single weeds and double detections hardly move a median. Two digits are what a crop needs, and do not change
    with the last digits of a transformation or with a few more plants. Plants that stand at random in the plane have
    distances of a Rayleigh distribution, from whose quantiles the spread of 0.77 follows.
    """
    import numpy as np
    from scipy.spatial import KDTree

    places = np.column_stack([easting, northing])
    if len(places) < FEWEST:
        return None
    nearest = KDTree(places).query(places, k=2)[0][:, 1]
    lower, median, upper = np.quantile(nearest, [0.25, 0.5, 0.75])
    is_regular = median > 0 and upper - lower <= WIDEST_SPREAD * median
    return float(f"{median:.2g}") if is_regular else None
