"""Saliency maps of a classifier by each method, as one call."""

import numpy as np
from numpy.typing import NDArray

from tasks.classify.model import Classifier
from tasks.explain.gradcam import GradCam, GradcamParams
from tasks.explain.lime import LimeParams, prepare_lime
from tasks.explain.occlusion import Occlusion, OcclusionParams
from tasks.parameters import Runtime

Images, Classes, Maps = NDArray[np.float32], NDArray[np.integer], NDArray[np.float32]


def gradcam_maps(
    classifier: Classifier, images: Images, explained: Classes, params: GradcamParams, runtime: Runtime
) -> Maps:
    """Explain images (n, 3, h, w) for the classes (n,) by Grad-CAM."""
    return GradCam(classifier, params, runtime)(images, explained)


def lime_maps(classifier: Classifier, images: Images, explained: Classes, params: LimeParams, runtime: Runtime) -> Maps:
    """Explain images (n, 3, h, w) for the classes (n,) by LIME."""
    return prepare_lime(classifier, params, runtime)(images, explained)


def occlusion_maps(
    classifier: Classifier, images: Images, explained: Classes, params: OcclusionParams, runtime: Runtime
) -> Maps:
    """Explain images (n, 3, h, w) for the classes (n,) by occlusion."""
    return Occlusion(classifier, params, runtime)(images, explained)
