"""Grad-CAM (Selvaraju et al. 2017, DOI 10.1109/ICCV.2017.74): where the last convolutions see evidence for a class.

The trunk below the explained layer needs no gradient; only the tail above it is differentiated, a whole batch at once.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from storage.errors import InputError
from tasks.classifier import Classifier, batches, check_logits


def gradcam_maps(
    classifier: Classifier,
    images: NDArray[np.uint8],
    explained: NDArray[np.integer],
    layer: str | None = None,
    batch_size: int = 32,
) -> NDArray[np.float32]:
    """Grad-CAM maps at the layer's own resolution.

    Parameters
    ----------
    classifier : any model with a named layer that gives (n, channels, rows, cols).
    images : (n, h, w, 3) uint8.
    explained : (n,) class to explain for each image.
    layer : module name; None takes the last convolutional stage (see `last_convolutional_stage`).
    batch_size : images a pass; changes no number beyond float tolerance.

    Returns
    -------
    (n, rows, cols) float32, >= 0, in units of the logit: the positive part of the channels' sum, each weighted by the
    mean gradient of the explained class's logit.

    Raises
    ------
    InputError : no such layer, a layer without a spatial output, a class the classifier does not have.
    """
    n_classes = len(classifier.classes)
    if len(explained) and not (int(explained.min()) >= 0 and int(explained.max()) < n_classes):
        raise InputError(
            "The explained class is one of the classifier's",
            f"classes {sorted(set(np.asarray(explained).tolist()))}",
            f"use 0..{n_classes - 1}",
        )
    if not len(images):
        return np.zeros((0, 0, 0), np.float32)
    name = layer or last_convolutional_stage(classifier, images[:1])
    parts: list[NDArray[np.float32]] = []
    for part in batches(len(images), batch_size):
        with recorded_output(classifier.model, name) as recorded:
            logits = classifier.model(classifier.inputs(images[part]))
            check_logits(logits, part.stop - part.start, n_classes)
            classes = torch.as_tensor(np.asarray(explained[part], np.int64), device=logits.device)
            score = logits.gather(1, classes[:, None]).sum()  # images are independent, so one backward serves all
            activations = _only(recorded, name)
            (gradients,) = torch.autograd.grad(score, activations)
        weights = gradients.mean(dim=(2, 3), keepdim=True)
        parts.append(torch.relu((weights * activations.detach()).sum(dim=1)).cpu().numpy())
    return np.concatenate(parts)


@contextmanager
def recorded_output(model: nn.Module, layer: str) -> Generator[list[torch.Tensor]]:
    """Cut the gradient below a layer and record its output, which gradients can be taken of; restores the model after.

    Raises
    ------
    InputError : the model has no such layer.
    """
    modules = dict(model.named_modules())
    if layer not in modules or not layer:
        raise InputError(
            "explain.layer is the name of a layer of the classifier",
            repr(layer),
            "use one of: " + ", ".join(name for name, module in modules.items() if _has_convolution(module) and name),
        )
    recorded: list[torch.Tensor] = []

    def cut(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if not isinstance(output, torch.Tensor):
            return output
        leaf = output.detach().requires_grad_(True)
        recorded.append(leaf)
        return leaf.clone()  # a following in-place ReLU must not write into what was recorded

    handle = modules[layer].register_forward_hook(cut)
    try:
        with torch.enable_grad():
            yield recorded
    finally:
        handle.remove()


def _only(recorded: list[torch.Tensor], layer: str) -> torch.Tensor:
    """The recorded output, which must be one tensor with a spatial extent."""
    if len(recorded) != 1 or recorded[0].ndim != 4:
        shapes = [tuple(tensor.shape) for tensor in recorded]
        raise InputError(
            "Grad-CAM needs a layer that runs once and gives (images, channels, rows, cols)",
            f"{layer} gave {shapes}",
            "choose a convolutional layer with explain.layer",
        )
    return recorded[0]


def last_convolutional_stage(classifier: Classifier, image: NDArray[np.uint8]) -> str:
    """Name of the last module holding a convolution whose output has more than one position (`layer4` in a ResNet).

    Modules are taken in the order in which they finish, so a stage comes after the convolutions in it.

    Raises
    ------
    InputError : there is none, as for images so small that the last stage sees a single position only.
    """
    finished: list[tuple[str, tuple[int, ...]]] = []

    def note(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                finished.append((name, tuple(output.shape)))

        return hook

    modules = [(n, m) for n, m in classifier.model.named_modules() if n and _has_convolution(m)]
    handles = [module.register_forward_hook(note(name)) for name, module in modules]
    try:
        with torch.no_grad():
            classifier.model(classifier.inputs(image))
    finally:
        for handle in handles:
            handle.remove()
    stages = [(name, shape) for name, shape in finished if len(shape) == 4]
    if not stages or max(stages[-1][1][2:]) < 2:
        raise InputError(
            "Grad-CAM needs a last convolutional stage with more than one position",
            f"outputs {stages[-3:]} for images of {image.shape[1]} x {image.shape[2]} pixels",
            "use larger images (ingest.image_size), another architecture, or name a layer with explain.layer",
        )
    return stages[-1][0]


def _has_convolution(module: nn.Module) -> bool:
    """Whether a module holds a kernel (out, in, rows, cols); an exported program's layers have lost their class."""
    return any(parameter.ndim == 4 for parameter in module.parameters())
