"""Compute a classifier's logits of images, and the features that are the input of its last layer. No Prefect."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tasks.classify.model import Classifier, forward_passes


def last_linear(model: nn.Module) -> nn.Linear | None:
    """Return the last linear layer, which turns features into logits; None for a model without (exported programs)."""
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return linear[-1] if linear else None


def n_features(classifier: Classifier) -> int:
    """Return the number of features per image: the inputs of the last linear layer, else the number of logits."""
    head = last_linear(classifier.model)
    return len(classifier.classes) if head is None else head.in_features


def logits_and_features(
    classifier: Classifier, images: NDArray[np.uint8], batch_size: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute the logits (n, n_classes) and features (n, d) of images (n, h, w, 3).

    Features are the inputs of the last linear layer (512 in a ResNet18), or the logits if there is no such layer. No
    other thread may use the model meanwhile, because the hook would record its passes too.

    Raises
    ------
    InputError : the model does not return one finite number per class.
    """
    seen: list[torch.Tensor] = []
    head = last_linear(classifier.model)
    hook = None if head is None else head.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    logits = np.empty((len(images), len(classifier.classes)), np.float32)
    features = np.empty((len(images), n_features(classifier)), np.float32)
    try:
        for part, out in forward_passes(classifier, images, batch_size):
            logits[part] = out.cpu().numpy()
            features[part] = (seen.pop() if seen else out).flatten(1).cpu().numpy()
    finally:
        if hook is not None:
            hook.remove()
    return logits, features
