"""Read a classifier's outputs for images: logits, and the features that are the input of its last layer."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.arrays.specs import FEATURES, LOGITS
from storage.arrays.zarr_files import open_array, read_rows
from storage.artifacts import Artifact

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """Outputs of a classifier for n images.

    Attributes
    ----------
    logits : (n, classes).
    features : (n, d), inputs of the last layer.
    """

    logits: Floats
    features: Floats

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Return the class of the largest logit, (n,)."""
        return self.logits.argmax(axis=1)

    def __getitem__(self, chosen: NDArray[np.bool_]) -> "Answers":
        return Answers(self.logits[chosen], self.features[chosen])


def read_answers(predictions: Artifact, chosen: NDArray[np.integer]) -> Answers:
    """Read the outputs for some images of a date, without keeping the features of the others in memory.

    Parameters
    ----------
    predictions : artefact of a date's predictions.
    chosen : (n,) rows of the images.
    """
    logits, features = (read_rows(open_array(predictions, spec), chosen) for spec in (LOGITS, FEATURES))
    return Answers(logits.astype(np.float64), features.astype(np.float64))
