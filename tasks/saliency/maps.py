"""The saliency methods by name: what a campaign can ask for, and how each makes its maps."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.classifier import Classifier
from tasks.parameters import Params, Runtime
from tasks.saliency.gradcam import GradCam, GradcamParams
from tasks.saliency.lime import LimeParams, prepare_lime
from tasks.saliency.occlusion import Occlusion, OcclusionParams
from tasks.saliency.preview import OcclusionPreview

# Methods whose maps are approximate: clusters see the difference.
APPROXIMATE: tuple[str, ...] = ("occlusion_preview",)
Method = Literal["gradcam", "occlusion", "occlusion_preview", "lime"]
# Images (n, 3, h, w) float32 in 0..1 and the class to explain for each (n,) -> maps (n, rows, cols) float32.
Explainer = Callable[[NDArray[np.float32], NDArray[np.integer]], NDArray[np.float32]]


class ExplainParams(Params):
    """Saliency maps."""

    methods: tuple[Method, ...] = Field(
        default=("gradcam",),
        min_length=1,
        description="side by side, each with clusters and scores of its own; occlusion_preview is approximate",
    )
    explained_class: str = Field(
        default="predicted",
        description="predicted, the name of a class, or label (uses ground truth; not valid for unseen data)",
    )
    gradcam: GradcamParams = GradcamParams()
    occlusion: OcclusionParams = OcclusionParams()
    lime: LimeParams = LimeParams()

    def of_method(self, method: Method) -> Params:
        """Parameters of one method."""
        return self.gradcam if method == "gradcam" else self.lime if method == "lime" else self.occlusion


def prepare_explainer(method: Method, classifier: Classifier, params: ExplainParams, runtime: Runtime) -> Explainer:
    """A method made ready for a classifier: what need not be done again for every image is done here.

    Raises
    ------
    InputError : the method needs something that the classifier lacks.
    """
    if method == "gradcam":
        return GradCam(classifier, params.gradcam, runtime)
    if method == "lime":
        return prepare_lime(classifier, params.lime, runtime)
    kind = OcclusionPreview if method == "occlusion_preview" else Occlusion
    return kind(classifier, params.occlusion, runtime)
