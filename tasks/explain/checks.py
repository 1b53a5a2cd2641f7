"""Refuse images and explained classes that no saliency method can explain, before anything expensive."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from storage.errors import InputError

if TYPE_CHECKING:
    from tasks.classify.model import Classifier


def check_inputs(classifier: "Classifier", images: NDArray[np.float32], explained: NDArray[np.integer]) -> None:
    """Refuse images (n, 3, h, w) and classes (n,) that cannot be explained.

    Raises
    ------
    InputError : other shapes, NaN or infinite values, values outside 0..1, or a class that the classifier does not
        have.
    """
    if images.ndim != 4 or images.shape[1] != 3 or explained.shape != images.shape[:1]:
        raise InputError(
            f"images to explain have the shape {images.shape}, their classes {explained.shape}",
            "Images to explain must be (n, 3, height, width), with one class each",
            "give RGB images with the channels first and one explained class per image",
        )
    bad = ~np.isfinite(images).all(axis=(1, 2, 3))
    if bad.any():
        raise InputError(
            f"{int(bad.sum())} of {len(images)} images to explain have NaN or infinite values, first in image "
            f"{int(bad.argmax())}",
            "Images to explain must hold finite numbers",
            "leave these images out, or ingest them again",
        )
    if images.size and not (images.min() >= 0 and images.max() <= 1):
        raise InputError(
            f"images to explain have values from {images.min():.4g} to {images.max():.4g}",
            "Images to explain must hold RGB values in 0..1",
            "divide 8-bit values by 255 (tasks.classify.model.rgb_images), and do not normalise them",
        )
    n_classes = len(classifier.classes)
    if len(explained) and not (int(explained.min()) >= 0 and int(explained.max()) < n_classes):
        raise InputError(
            f"classes to explain are {sorted(set(np.asarray(explained).tolist()))}",
            f"The explained class must be one of the classifier's {n_classes} classes",
            f"use 0..{n_classes - 1}",
        )


def check_explained_class(choice: str, classes: list[str]) -> None:
    """Refuse an `explained_class` that names no class to explain.

    Raises
    ------
    InputError : it is neither `predicted`, `label` nor one of the classes.
    """
    if choice not in ("predicted", "label", *classes):
        raise InputError(
            f"explain.explained_class is {choice!r}",
            "explain.explained_class must be predicted, label or the name of a class",
            f"use predicted, or one of {', '.join(classes)}",
        )
