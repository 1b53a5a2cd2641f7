"""Read the labelled validation images of a campaign, to which clusters and scores are fitted."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from storage.arrays.specs import PCA_COMPONENTS, PCA_MEAN, PEAK, ROWS, SALIENCY
from storage.arrays.zarr_files import iter_images, open_array, read_array
from storage.artifacts import Artifact, ArtifactRef, Store
from storage.tables import PREDICTIONS
from storage.tables.parquet import Rows, read_columns
from storage.tables.rows import iter_rows
from tasks.classify.answers import Answers, read_answers
from tasks.cluster.axes import MAPS_AT_ONCE, Floats, PrincipalAxes, map_vectors


def fitted_axes(fit: Artifact) -> PrincipalAxes:
    """Read the principal axes of fitted clusters; their shares of the variance are not stored."""
    return PrincipalAxes(read_array(fit, PCA_MEAN), read_array(fit, PCA_COMPONENTS), np.zeros(0))


def iter_maps(artifact: Artifact, places: NDArray[np.integer]) -> Iterator[NDArray[np.float32]]:
    """Yield saliency maps (m, rows, cols) of a date at some positions (n,), at most `MAPS_AT_ONCE` at a time.

    Maps are in the method's own unit. Only the chunks that hold wanted maps are read, because validation maps may lie
    far apart.
    """
    left = read_array(artifact, PEAK)[places]
    for maps in iter_images(open_array(artifact, SALIENCY), places, MAPS_AT_ONCE):
        peaks, left = left[: len(maps)], left[len(maps) :]
        yield maps.astype(np.float32) * peaks[:, None, None]


def validation_members(predictions: Rows, rows: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return whether each of some rows (n,) of a date is a labelled validation image, (n,)."""
    where = {row: i for i, row in enumerate(predictions["row"])}
    chosen = [where[int(row)] for row in rows]
    return np.asarray(
        [predictions["split"][i] == "val" and predictions["label"][i] is not None for i in chosen], np.bool_
    )


@dataclass(frozen=True)
class DateMembers:
    """Labelled validation images of a date.

    Attributes
    ----------
    places : (n,) positions of their maps among the date's saliency maps.
    rows : (n,) their rows among the date's images.
    table : columns of the date's predictions, for these images only.
    answers : logits and features of these images.
    """

    date: str
    saliency: Artifact
    places: NDArray[np.int64]
    rows: NDArray[np.int64]
    table: Rows
    answers: Answers


def read_members(store: Store, saliency: list[ArtifactRef], predictions: list[ArtifactRef]) -> list[DateMembers]:
    """Read the labelled validation images of every date, without their maps."""
    return [_of_date(store.open(m), store.open(p)) for m, p in zip(saliency, predictions, strict=True)]


def _of_date(saliency: Artifact, predictions: Artifact) -> DateMembers:
    rows = read_array(saliency, ROWS).astype(np.int64)
    known = read_columns(predictions, PREDICTIONS, ("row", "split", "label"))
    places = np.flatnonzero(validation_members(known, rows))
    where = {row: i for i, row in enumerate(known["row"])}
    members = rows[places].tolist()
    wanted = set(members)
    kept = {row["row"]: row for row in iter_rows(predictions, PREDICTIONS) if row["row"] in wanted}
    return DateMembers(
        date=predictions.summary["date"],
        saliency=saliency,
        places=places,
        rows=rows[places],
        table={column.name: [kept[row][column.name] for row in members] for column in PREDICTIONS.columns},
        answers=read_answers(predictions, np.asarray([where[row] for row in members], np.int64)),
    )


def joined_answers(members: list[DateMembers]) -> Answers:
    """Join the classifier's answers of all dates, in their order."""
    return Answers(*(np.concatenate([getattr(m.answers, name) for m in members]) for name in ("logits", "features")))


def column(members: list[DateMembers], name: str) -> list[Any]:
    """Return one column of the predictions of all dates, in their order."""
    return [value for one in members for value in one.table[name]]


def plants_of(members: list[DateMembers]) -> list[str]:
    """Return the plant of each image of all dates, in their order."""
    return column(members, "plant_id")


def made_by(members: list[DateMembers], method: str, clusters: ArtifactRef) -> dict[str, str]:
    """Return the values of the columns that say from what a table's numbers were computed."""
    first = next(one for one in members if len(one.rows))
    return {
        "method": method,
        "explained_class": first.saliency.manifest.params["explained_class"],
        "classifier": first.table["classifier"][0],
        "clusters": clusters.digest,
    }


class MemberVectors:
    """Vectors of the validation maps of all dates, date after date, read in parts (see `axes.Vectors`)."""

    def __init__(self, members: list[DateMembers], size: int, scaling: Literal["unit", "rms"]) -> None:
        self.members, self.size = members, size
        self.scaling: Literal["unit", "rms"] = scaling
        self.starts = np.cumsum([0, *(len(one.places) for one in members)])
        shapes = [open_array(one.saliency, SALIENCY).shape for one in members]  # a date without maps has (0, 0, 0)
        self.shape = (int(self.starts[-1]), max(int(rows * cols) for _, rows, cols in shapes))

    def __getitem__(self, part: slice) -> Floats:
        found = [map_vectors(maps, self.size, self.scaling) for maps in self.maps(part)]
        return np.concatenate([np.empty((0, self.shape[1])), *found])

    def maps(self, part: slice = slice(None)) -> Iterator[NDArray[np.float32]]:
        """Yield maps (m, rows, cols) of consecutive members, at most `MAPS_AT_ONCE` at a time."""
        first, last, _ = part.indices(self.shape[0])
        for one, start in zip(self.members, self.starts, strict=False):
            places = one.places[max(0, first - start) : max(0, last - start)]
            yield from iter_maps(one.saliency, places)
