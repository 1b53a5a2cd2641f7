"""Hold what a classifier computed of images: logits and the features its last layer decides from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.arrays.specs import FEATURES, LOGITS
from storage.arrays.zarr_files import open_array, read_rows
from storage.artifacts import Artifact
from storage.tables.parquet import Rows

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """What the classifier computed of n images.

    Attributes
    ----------
    logits : (n, classes); features : (n, d), what its last layer decides from.
    """

    logits: Floats
    features: Floats

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Class of the largest logit, (n,)."""
        return self.logits.argmax(axis=1)

    def __getitem__(self, chosen: NDArray[np.bool_]) -> "Answers":
        return Answers(self.logits[chosen], self.features[chosen])


def read_answers(predictions: Artifact, chosen: NDArray[np.integer]) -> Answers:
    """What the classifier computed of some images of a date; the features of the others are not kept in memory."""
    logits, features = (read_rows(open_array(predictions, spec), chosen) for spec in (LOGITS, FEATURES))
    return Answers(logits.astype(np.float64), features.astype(np.float64))


def unlabelled(predictions: Rows) -> list[int]:
    """Find the rows of a table of predictions that are explained though they have no label."""
    return [
        i
        for i, (label, split) in enumerate(zip(predictions["label"], predictions["split"], strict=True))
        if label is None and split != "train"
    ]
