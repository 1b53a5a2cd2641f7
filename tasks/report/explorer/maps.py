"""Place the saliency maps of the plant explorer on the axes of the clusters.

The axes, the vectors and the distance are those by which new maps get their cluster (see `tasks.cluster.assign`), so
the explorer shows what the method sees. The page itself finds the maps most like each.
"""

import base64
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.artifacts import Artifact
from tasks.cluster.axes import map_vectors
from tasks.cluster.members import fitted_axes, iter_maps
from tasks.report.explorer.chosen import places_of
from tasks.report.sprites import COARSE, coarse_maps

FINEST = 32_767  # largest magnitude of a coordinate on the page, which has 16 bits


@dataclass(frozen=True)
class PlacedMaps:
    """Saliency maps (n) of one method.

    Attributes
    ----------
    coordinates : (n, c) on the principal axes of the validation maps.
    coarse : (n, 64) coarse maps (see `sprites.coarse_maps`).
    """

    coordinates: NDArray[np.float32]
    coarse: NDArray[np.int8]

    @property
    def is_signed(self) -> bool:
        """Return whether any map has evidence against the explained class."""
        return bool((self.coarse < 0).any())

    def content(self) -> dict[str, str | int | bool]:
        """Return what the page's scripts need: coordinates as 16-bit and maps as 8-bit integers, in base64.

        All coordinates are divided by the same number, so distances keep their order to a hundredth of a per cent.
        """
        largest = float(np.abs(self.coordinates).max(initial=0)) or 1.0
        rounded = (self.coordinates.astype(np.float64) / largest * FINEST).round().astype("<i2")
        return {
            "is_signed": self.is_signed,
            "n_axes": self.coordinates.shape[1],
            "coordinates": base64.b64encode(rounded.tobytes()).decode(),
            "maps": base64.b64encode(self.coarse.tobytes()).decode(),
        }


def place_maps(saliency: Artifact, clusters: Artifact, rows: NDArray[np.int64]) -> PlacedMaps:
    """Read the maps of some rows (n,) of a date's images, and place them on the axes of fitted clusters."""
    params = clusters.manifest.params
    axes = fitted_axes(clusters)
    coordinates = np.empty((len(rows), len(axes.components)), np.float32)
    coarse = np.empty((len(rows), COARSE**2), np.int8)
    places = places_of(saliency, rows)
    order = np.argsort(places)  # ascending positions read each file once
    start = 0
    for maps in iter_maps(saliency, places[order]):
        some = order[start : start + len(maps)]
        coordinates[some] = axes.coordinates(map_vectors(maps, params["size"], params["scaling"]))
        coarse[some] = coarse_maps(maps)
        start += len(maps)
    return PlacedMaps(coordinates, coarse)
