"""Measure the distance between plants, from which the side of a crop follows where a campaign states none."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import InputError
from tasks.sources.field.plants_file import PlantsFile, find_plants_file

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


def find_crop_metres(root: Path, options: PlantsFile, crs: str) -> float:
    """Return the side of a crop, metres, for a campaign that states none: the distance between its plants.

    Raises
    ------
    InputError : the file of plants cannot be read, or its plants have no spacing.
    """
    stat = find_plants_file(root, options).stat()
    return _crop_metres(root, options.model_dump_json(), crs, (stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=16)
def _crop_metres(root: Path, keys: str, crs: str, state: tuple[int, int]) -> float:
    """Measure the distance between the plants of a file in one state (bytes, time of change), once in a process."""
    from tasks.sources.field.plants import locate_rows

    options = PlantsFile.model_validate_json(keys)
    _, _, places = locate_rows(root, options, crs)
    spacing = plant_spacing(*places)
    if spacing is None:
        raise InputError(
            f"source.crop_metres is not set, and the {len(places[0])} plants of {options.path} have no spacing",
            f"Without crop_metres, a field must have at least {FEWEST} plants at like distances from the next one",
            "set source.crop_metres to the side of a square around one plant",
        )
    return spacing


def describe_crop(crop_metres: float, name: str) -> str:
    """Return a note on the side of crops that follows from the spacing of the plants in a file."""
    return (
        f"source.crop_metres is not set: crops are {crop_metres:g} m wide, the median distance of the plants of {name} "
        "to the next one. Write it into the campaign file, so that another file of plants does not change it"
    )
