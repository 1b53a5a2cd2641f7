"""Describe every array as data: name, axes, type, chunks, meaning and unit."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ArraySpec:
    """Layout and meaning of an array whose first axis counts images (or clusters, components).

    Attributes
    ----------
    name : file name without `.zarr`.
    dims : names of the axes.
    dtype : numpy name.
    meaning, unit : for the reader of the file, kept in its attributes.
    chunk, shard : length along the first axis; None writes the array as one chunk. Another length of shard can be
        given where the array is made; readers find it in the array.
    shuffle : Blosc's filter; `bitshuffle` pays for floats, nothing for photographs.
    """

    name: str
    dims: tuple[str, ...]
    dtype: str
    meaning: str
    unit: str
    chunk: int | None = None
    shard: int | None = None
    shuffle: Literal["noshuffle", "bitshuffle"] = "bitshuffle"
    version: int = 1


IMAGES = ArraySpec(
    "images", ("image", "y", "x", "channel"), "uint8", "RGB image of one plant", "0..255", 1, 64, "noshuffle"
)
SALIENCY = ArraySpec(
    "saliency",
    ("image", "y", "x"),
    "float16",
    "saliency map at native resolution, divided by its peak",
    "-1..1",
    1,
    512,
)
PEAK = ArraySpec(
    "peak", ("image",), "float32", "largest magnitude of each saliency map before division", "that of the method"
)
ROWS = ArraySpec("rows", ("image",), "int32", "position of each map's image in the date's images array", "from 0")
EXPLAINED_CLASS = ArraySpec("explained_class", ("image",), "int16", "class that each map explains", "class index")
LOGITS = ArraySpec("logits", ("image", "class"), "float32", "the classifier's output for each image", "1")
FEATURES = ArraySpec(
    "features", ("image", "feature"), "float32", "what the classifier's last layer decides from", "1", 1024
)
TRUTH = ArraySpec("truth", ("image",), "int16", "true class of each labelled validation image", "class index")
MAP_DISTANCE = ArraySpec(
    "map_distance", ("map",), "float64", "mean distance of each validation map to its nearest of other plants", "1"
)
ADJUSTED_WITHOUT_FOLD = ArraySpec(
    "adjusted_without_fold",
    ("image",),
    "int16",
    "validation answers adjusted by the other folds' clusters",
    "class index",
)
RESIDUALS = ArraySpec("residuals", ("map",), "float64", "length of each validation map outside PCA space", "1")
WRONG = ArraySpec("wrong", ("map",), "bool", "whether the answer of each validation map is wrong", "1")
PCA_MEAN = ArraySpec("pca_mean", ("feature",), "float64", "mean of the unit-length validation maps", "1")
PCA_COMPONENTS = ArraySpec("pca_components", ("component", "feature"), "float64", "principal axes", "1")
COORDINATES = ArraySpec("coordinates", ("map", "component"), "float64", "validation maps in PCA space", "1")
LABELS = ArraySpec("labels", ("map",), "int16", "cluster of each validation map, 1 is the largest", "1")
PROTOTYPES = ArraySpec("prototypes", ("cluster", "y", "x"), "float32", "mean saliency map of each cluster", "1")
