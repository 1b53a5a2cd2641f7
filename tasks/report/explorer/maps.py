"""Place the saliency maps of the plant explorer on the axes of the clusters, and find the maps most like each.

The axes, the vectors and the distance are those by which new maps get their cluster (see `tasks.cluster.assign`), so
the explorer shows what the method sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.artifacts import Artifact
from tasks.cluster.axes import map_vectors
from tasks.cluster.members import fitted_axes, iter_maps
from tasks.cluster.nearest import nearest
from tasks.report.explorer.chosen import Day, Explained, places_of
from tasks.report.sprites import coarse_map

N_NEIGHBOURS = 6  # nearest maps of other plants that are shown beside a plant


@dataclass(frozen=True)
class PlacedMaps:
    """Saliency maps (n) of one method.

    Attributes
    ----------
    coordinates : (n, c) on the principal axes of the validation maps.
    coarse : coarse maps one after the other (see `sprites.coarse_map`).
    """

    coordinates: NDArray[np.float64]
    coarse: bytes

    @property
    def is_signed(self) -> bool:
        """Return whether any map has evidence against the explained class."""
        return bool((np.frombuffer(self.coarse, np.int8) < 0).any())

    def first_two(self) -> NDArray[np.float64]:
        """Return the coordinates (n, 2) on the first two axes; zero on an axis that the clusters do not have."""
        padded = np.pad(self.coordinates, ((0, 0), (0, 2)))
        return padded[:, :2]


def place_maps(days: Sequence[Day], clusters: Artifact, method: str, images: Explained) -> PlacedMaps:
    """Read the maps of some images, and place them on the axes of fitted clusters."""
    params = clusters.manifest.params
    axes = fitted_axes(clusters)
    coordinates, coarse = np.empty((len(images), len(axes.components))), [b""] * len(images)
    for number, day in enumerate(days):
        saliency = day.artifacts[f"saliency {method} {day.date}"]
        here = np.flatnonzero(images.day == number)
        places = places_of(saliency, images.row[here])
        order = np.argsort(places)  # ascending positions read each file once
        start = 0
        for maps in iter_maps(saliency, places[order]):
            some = here[order[start : start + len(maps)]]
            coordinates[some] = axes.coordinates(map_vectors(maps, params["size"], params["scaling"]))
            for i, saliency_map in zip(some, maps, strict=True):
                coarse[i] = coarse_map(saliency_map)
            start += len(maps)
    return PlacedMaps(coordinates, b"".join(coarse))


def alike(coordinates: NDArray[np.float64], plants: Sequence[str]) -> NDArray[np.int64]:
    """Return the `N_NEIGHBOURS` maps of other plants (n, k) that are most like each map, the nearest first.

    Maps of the plant itself are left out, because a plant on another day is like itself. There are fewer columns if
    the plant with most maps leaves fewer of others, and none if all maps are of one plant.
    """
    numbers = np.unique(np.asarray(plants), return_inverse=True)[1]
    if len(np.unique(numbers)) < 2:
        return np.empty((len(plants), 0), np.int64)
    return nearest(coordinates, coordinates, N_NEIGHBOURS, (numbers, numbers))[0]
