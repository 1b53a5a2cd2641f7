"""Describe the layout of every stored array as data: name, axes, type, chunks, meaning and unit."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ArraySpec:
    """Layout and meaning of an array whose first axis counts images, maps, clusters or components.

    Attributes
    ----------
    name : name of the array's folder in its artefact.
    dims : names of the axes.
    dtype : numpy name of the type, or `string`.
    meaning, unit : description for the reader of the file, stored in the attributes of the array.
    chunk, shard : length along the first axis; None writes the array as one chunk. `create_array` can be given another
        length of shard; readers take it from the array.
    shuffle : Blosc's filter. `bitshuffle` compresses floats better; it does not help for photographs.
    version : version of the layout, stored in the attributes and checked on opening.
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
    "peak", ("image",), "float32", "largest magnitude of each saliency map before division", "unit of the method"
)
ROWS = ArraySpec("rows", ("image",), "int32", "position of each map's image in the date's images array", "from 0")
EXPLAINED_CLASS = ArraySpec("explained_class", ("image",), "int16", "class that each map explains", "class index")
PLANT_IDS = ArraySpec("plant_id", ("image",), "string", "plant of each image or map", "id", shuffle="noshuffle")
LOGITS = ArraySpec("logits", ("image", "class"), "float32", "the classifier's output before softmax", "1")
FEATURES = ArraySpec(
    "features", ("image", "feature"), "float32", "input of the classifier's last layer, for each image", "1", 1024
)
TRUTH = ArraySpec("truth", ("image",), "int16", "true class of each labelled validation image", "class index")
MAP_DISTANCE = ArraySpec(
    "map_distance", ("map",), "float64", "mean distance of each validation map to the nearest maps in other folds", "1"
)
VOTES = ArraySpec(
    "votes",
    ("map",),
    "int16",
    "cluster that most of the nearest validation maps of other plants have, for each validation map",
    "1",
)
MODEL_INPUTS = ArraySpec(
    "model_inputs",
    ("image", "input"),
    "float32",
    "inputs of the combined model for each explained image, without the date's share of ready plants",
    "1",
    4096,
)
ADJUSTED_WITHOUT_FOLD = ArraySpec(
    "adjusted_without_fold",
    ("image",),
    "int16",
    "cross-fitted: validation answers adjusted by the clusters of the other folds",
    "class index",
)
RESIDUALS = ArraySpec("residuals", ("map",), "float64", "length of each validation map outside PCA space", "1")
WRONG = ArraySpec("wrong", ("map",), "bool", "whether the answer of each validation map is wrong", "1")
PCA_MEAN = ArraySpec("pca_mean", ("feature",), "float64", "mean of the unit-length validation maps", "1")
PCA_COMPONENTS = ArraySpec("pca_components", ("component", "feature"), "float64", "principal axes", "1")
COORDINATES = ArraySpec("coordinates", ("map", "component"), "float64", "validation maps in PCA space", "1")
LABELS = ArraySpec("labels", ("map",), "int16", "cluster of each validation map; 1 is the largest cluster", "1")
PROTOTYPES = ArraySpec("prototypes", ("cluster", "y", "x"), "float32", "mean saliency map of each cluster", "1")
