"""List the saliency methods by name, with their parameters, explainers and sizes of shards and tasks."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.batches import batches
from tasks.explain.params import ExplainParams, Method
from tasks.parameters import Runtime

if TYPE_CHECKING:
    from tasks.classify.model import Classifier

# Images (n, 3, h, w) float32 in 0..1 and the class to explain for each (n,) -> maps (n, rows, cols) float32.
Explainer = Callable[[NDArray[np.float32], NDArray[np.integer]], NDArray[np.float32]]


def prepare_explainer(method: Method, classifier: "Classifier", params: ExplainParams, runtime: Runtime) -> Explainer:
    """Prepare a method for a classifier: work that is the same for every image is done once, here.

    Raises
    ------
    InputError : the method needs something that the classifier lacks.
    """
    from tasks.explain.gradcam import GradCam
    from tasks.explain.lime import prepare_lime
    from tasks.explain.occlusion import Occlusion, OcclusionPreview

    if method == "gradcam":
        return GradCam(classifier, params.gradcam, runtime)
    if method == "lime":
        return prepare_lime(classifier, params.lime, runtime)
    kind = OcclusionPreview if method == "occlusion_preview" else Occlusion
    return kind(classifier, params.occlusion, runtime)


# Maps per shard. At 256 pixels a core takes half a minute for 512 Grad-CAM maps, half an hour for 16 occlusion maps.
SHARD_MAPS: dict[Method, int] = {"gradcam": 512, "occlusion": 16, "occlusion_preview": 16, "lime": 16}
# Shards per task. Starting a task costs up to a few seconds (Dask, loading the classifier), so it should run for
# minutes, also on a GPU. Every finished shard is stored, so a killed task loses at most one.
TASK_SHARDS: dict[Method, int] = {"gradcam": 4, "occlusion": 8, "occlusion_preview": 16, "lime": 8}


def map_groups(n: int, method: Method) -> list[tuple[int, int]]:
    """Split `n` images into tasks of whole shards; returns the first and the last map of each task."""
    return [(part.start, part.stop - 1) for part in batches(n, SHARD_MAPS[method] * TASK_SHARDS[method])]


def flat_maps(maps: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return whether each of some maps (n, rows, cols) has one value everywhere, (n,); such a map shows no place."""
    return (maps == maps[:, :1, :1]).all(axis=(1, 2))
