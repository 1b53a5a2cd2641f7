"""Read a campaign's explained images for a viewer: which they are, their pixels, maps and places on the axes.

Reads `images`, `predictions`, `saliency`, `assignments` and `clusters`. Computes only what is not stored: maps at the
resolution of the images, and the coordinates of maps on the axes on which clusters were made. Training images have no
maps, so they are not among the explained images.

Memory: a part of the images or maps, and the tables and coordinates of all images.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.arrays.specs import IMAGES, ROWS, SALIENCY
from storage.arrays.zarr_files import iter_images, open_array, read_array
from storage.artifacts import Artifact
from storage.errors import ArtifactError
from storage.tables import ASSIGNMENTS, PREDICTIONS
from storage.tables.rows import days_of, rows_of
from tasks.cluster.axes import Floats, map_vectors
from tasks.cluster.members import fitted_axes, iter_maps
from tasks.explain.upsample import upsample

AT_ONCE = 64  # images or upsampled maps in memory at a time: a shard of images
ANSWERED = ("row", "plant_id", "split", "label", "probabilities")  # columns that are read of the predictions


@dataclass(frozen=True)
class ExplainedImages:
    """Explained images of a campaign, date after date.

    Attributes
    ----------
    days : dates with explained images, ascending.
    rows : position of each image in its date's array of images, one array (m,) for each date.
    table : for each of all n images, its `date` and the columns `ANSWERED` of the predictions.
    height, width : size of an image, in pixels.
    """

    days: Sequence[str]
    rows: Sequence[NDArray[np.int64]]
    table: Sequence[dict[str, Any]]
    height: int
    width: int

    @property
    def n_bytes(self) -> int:
        """Return the bytes of the images."""
        return len(self.table) * self.height * self.width * 3

    def labels(self, unknown: int) -> NDArray[np.int64]:
        """Return the class of each image (n,), and `unknown` where it has no label."""
        return np.asarray([unknown if row["label"] is None else row["label"] for row in self.table], np.int64)

    def column(self, name: str) -> list[Any]:
        """Return one column of the table."""
        return [row[name] for row in self.table]


def read_explained(artifacts: dict[str, Artifact], methods: Sequence[str]) -> ExplainedImages:
    """Read which images are explained, in the order of their maps.

    Raises
    ------
    ArtifactError : the methods explain different images, or images differ in size.
    """
    days, rows, table, shapes = list[str](), list[NDArray[np.int64]](), list[dict[str, Any]](), set[tuple[int, ...]]()
    for day in days_of(artifacts, f"assignments {methods[0]}"):
        of_methods = [read_array(artifacts[f"saliency {method} {day}"], ROWS).astype(np.int64) for method in methods]
        for method, other in zip(methods, of_methods, strict=True):
            if not np.array_equal(other, of_methods[0]):
                raise ArtifactError(f"on {day}, {methods[0]} and {method} explain different images")
        if not len(of_methods[0]):
            continue
        answers = {row["row"]: row for row in rows_of(artifacts[f"predictions {day}"], PREDICTIONS, ANSWERED)}
        days.append(day)
        rows.append(of_methods[0])
        table += [{"date": day, **answers[row]} for row in of_methods[0].tolist()]
        shapes.add(open_array(artifacts[f"images {day}"], IMAGES).shape[1:])
    if len(shapes) > 1:
        raise ArtifactError(f"images have the shapes {sorted(shapes)}; a viewer needs one")
    height, width, _ = shapes.pop()
    return ExplainedImages(days, rows, table, height, width)


def iter_pixels(artifacts: dict[str, Artifact], explained: ExplainedImages) -> Iterator[NDArray[np.uint8]]:
    """Yield the images (m, h, w, 3), RGB, 0..255, in parts of at most `AT_ONCE`."""
    for day, rows in zip(explained.days, explained.rows, strict=True):
        yield from iter_images(open_array(artifacts[f"images {day}"], IMAGES), rows, AT_ONCE)


def iter_shown_maps(artifacts: dict[str, Artifact], explained: ExplainedImages, method: str) -> Iterator[Floats]:
    """Yield the maps (m, h, w) upsampled to the images' size, in parts; each is divided by its native map's peak."""
    for day, rows in zip(explained.days, explained.rows, strict=True):
        saliency = open_array(artifacts[f"saliency {method} {day}"], SALIENCY)
        for maps in iter_images(saliency, np.arange(len(rows)), AT_ONCE):
            yield upsample(maps, explained.height, explained.width)


def read_coordinates(artifacts: dict[str, Artifact], explained: ExplainedImages, method: str) -> Floats:
    """Compute the coordinates (n, axes) of all maps on the principal axes on which clusters were made.

    Those of validation maps are the stored ones, up to rounding.
    """
    fit = artifacts[f"clusters {method}"]
    axes = fitted_axes(fit)
    size, scaling = (fit.manifest.params[name] for name in ("size", "scaling"))
    parts = [
        axes.coordinates(map_vectors(maps, size, scaling))
        for day, rows in zip(explained.days, explained.rows, strict=True)
        for maps in iter_maps(artifacts[f"saliency {method} {day}"], np.arange(len(rows)))
    ]
    return np.concatenate(parts)


def read_clusters(artifacts: dict[str, Artifact], explained: ExplainedImages, method: str) -> NDArray[np.int64]:
    """Read the cluster of each explained image (n,), from 1."""
    found: list[int] = []
    for day, rows in zip(explained.days, explained.rows, strict=True):
        assigned = rows_of(artifacts[f"assignments {method} {day}"], ASSIGNMENTS, ("row", "cluster"))
        cluster = {row["row"]: row["cluster"] for row in assigned}
        found += [cluster[row] for row in rows.tolist()]
    return np.asarray(found, np.int64)
