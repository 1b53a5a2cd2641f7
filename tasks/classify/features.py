"""What a classifier computes of an image beside its answer: logits, and the features its last layer decides from.

No Prefect.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tasks.classify.model import Classifier, forward_passes


def last_linear(model: nn.Module) -> nn.Linear | None:
    """The layer that turns features into logits; None where there is none to be found, as in an exported program."""
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return linear[-1] if linear else None


def n_features(classifier: Classifier) -> int:
    """Features an image: what the last linear layer takes; without such a layer, the logits."""
    head = last_linear(classifier.model)
    return len(classifier.classes) if head is None else head.in_features


def logits_and_features(
    classifier: Classifier, images: NDArray[np.uint8], batch_size: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits (n, n_classes) and features (n, d) of images (n, h, w, 3).

    Features are the inputs of the last linear layer (512 in a ResNet18); where no such layer can be found they are the
    logits themselves. The model must be the caller's own: another thread's pass through it would be noted too.

    Raises
    ------
    InputError : the model does not give one finite number per class.
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
