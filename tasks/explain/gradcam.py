"""Compute Grad-CAM maps, which show where the last convolutions see evidence for a class.

Selvaraju et al. 2017, DOI 10.1109/ICCV.2017.74. Layers below the explained one need no gradient. Only the layers above
it are differentiated, a whole batch at once.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from storage.errors import InputError
from tasks.batches import batches
from tasks.classify.model import Classifier, check_logits
from tasks.explain.checks import check_inputs
from tasks.explain.engine.forward import autocast, fast_model, images_a_pass, ready_model
from tasks.explain.engine.tracing import kept_name
from tasks.explain.params import GradcamParams
from tasks.parameters import Runtime


class GradCam:
    """Explainer by Grad-CAM for one classifier, called with images and the class to explain for each.

    Layers below the explained one run as in any fast forward pass. Only those above it are differentiated.
    """

    def __init__(self, classifier: Classifier, params: GradcamParams, runtime: Runtime) -> None:
        self.classifier, self.params, self.runtime = classifier, params, runtime
        self.models: dict[str, nn.Module] = {}  # fast models by explained layer
        self.last: dict[tuple[int, ...], str] = {}  # last convolutional stages by image size

    def __call__(self, images: NDArray[np.float32], explained: NDArray[np.integer]) -> NDArray[np.float32]:
        """Compute maps at the resolution of the explained layer.

        Parameters
        ----------
        images : (n, 3, h, w) float32, RGB in 0..1.
        explained : (n,) class to explain for each image.

        Returns
        -------
        (n, rows, cols) float32, >= 0, in units of the logit: the positive part of the sum of the channels, each
        weighted by the mean gradient of the explained class's logit.

        Raises
        ------
        InputError : no such layer, a layer without a spatial output, or images or classes that the classifier cannot
            take.
        """
        check_inputs(self.classifier, images, explained)
        if not len(images):
            return np.zeros((0, 0, 0), np.float32)
        layer = self.params.layer or self._last_stage(images)
        check_layer(self.classifier.model, layer)
        if layer not in self.models:
            model = fast_model(self.classifier, self.runtime, keep=layer)
            self.models[layer] = ready_model(model, self.classifier, self.classifier.normalised(images[:1]))
        size = images_a_pass(self.models[layer], self.classifier, images.shape[2:], self.runtime.batch_size)
        parts = [self._maps(layer, images[part], explained[part]) for part in batches(len(images), size)]
        return torch.cat(parts).cpu().numpy()

    def _last_stage(self, images: NDArray[np.float32]) -> str:
        size = images.shape[2:]
        if size not in self.last:  # finding it takes a pass
            self.last[size] = last_convolutional_stage(self.classifier, images[:1])
        return self.last[size]

    def _maps(self, layer: str, images: NDArray[np.float32], explained: NDArray[np.integer]) -> torch.Tensor:
        inputs = self.classifier.normalised(images).contiguous(memory_format=torch.channels_last)
        model = self.models[layer]
        with recorded_output(model, kept_name(model, layer)) as recorded, autocast(self.classifier, self.runtime):
            logits = model(inputs)
            check_logits(logits, len(images), len(self.classifier.classes))
            classes = torch.as_tensor(np.asarray(explained, np.int64), device=logits.device)
            score = logits.gather(1, classes[:, None]).sum()  # images are independent, so one backward serves all
            activations = _only(recorded, layer)
            (gradients,) = torch.autograd.grad(score, activations)
        weights = gradients.mean(dim=(2, 3), keepdim=True)
        return torch.relu((weights * activations.detach()).sum(dim=1)).float()


def check_layer(model: nn.Module, layer: str) -> None:
    """Refuse a layer that the model does not have.

    Raises
    ------
    InputError : there is no such layer; the message lists those with convolutions.
    """
    modules = dict(model.named_modules())
    if layer not in modules or not layer:
        raise InputError(
            f"the classifier has no layer {layer!r}",
            "explain.gradcam.layer must be the name of a layer of the classifier",
            "use one of: " + ", ".join(name for name, module in modules.items() if _has_convolution(module) and name),
        )


@contextmanager
def recorded_output(model: nn.Module, layer: str) -> Generator[list[torch.Tensor]]:
    """Record the output of a layer, as the variable of a gradient that stops there; restores the model at the end."""
    recorded: list[torch.Tensor] = []

    def cut(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if not isinstance(output, torch.Tensor):
            return output
        leaf = output.detach().requires_grad_(True)
        recorded.append(leaf)
        return leaf.clone()  # a following in-place ReLU must not overwrite the recorded output

    handle = model.get_submodule(layer).register_forward_hook(cut)
    try:
        with torch.enable_grad():
            yield recorded
    finally:
        handle.remove()


def _only(recorded: list[torch.Tensor], layer: str) -> torch.Tensor:
    """Return the recorded output, which must be one tensor with a spatial extent."""
    if len(recorded) != 1 or recorded[0].ndim != 4:
        shapes = [tuple(tensor.shape) for tensor in recorded]
        raise InputError(
            f"the layer {layer} has outputs of the shapes {shapes}",
            "Grad-CAM must explain a layer that runs once and gives (images, channels, rows, cols)",
            "choose a convolutional layer with explain.gradcam.layer",
        )
    return recorded[0]


def last_convolutional_stage(classifier: Classifier, image: NDArray[np.float32]) -> str:
    """Return the name of the last module that holds a convolution (`layer4` in a ResNet).

    Modules are ordered by when they finish, so a stage comes after the convolutions in it.

    Raises
    ------
    InputError : the output of that module has a single position, as for very small images. Or attention follows it, as
        in a transformer, whose first convolution says little about the answer.
    """
    finished = outputs_in_order(classifier, image)
    telling = [(name, _is_attention(m)) for name, m, _ in finished if _is_attention(m) or isinstance(m, nn.Conv2d)]
    if telling and telling[-1][1]:
        raise InputError(
            f"the attention layer {telling[-1][0]} comes after the last convolution",
            "Grad-CAM can explain only a classifier whose last stage is convolutional",
            "use the method occlusion or lime, or name a layer with explain.gradcam.layer",
        )
    stages = [(name, shape) for name, module, shape in finished if len(shape) == 4 and _has_convolution(module)]
    if not stages or max(stages[-1][1][2:]) < 2:
        raise InputError(
            f"images of {image.shape[2]} x {image.shape[3]} pixels have the last convolutional outputs {stages[-3:]}",
            "The last convolutional stage must have an output of more than one position",
            "use larger images (ingest.image_size), another architecture, or name a layer with explain.gradcam.layer",
        )
    return stages[-1][0]


def outputs_in_order(
    classifier: Classifier, image: NDArray[np.float32]
) -> list[tuple[str, nn.Module, tuple[int, ...]]]:
    """Run one image and return the modules in the order in which they finish, with the shape of their output.

    If the output is a tuple, the shape is that of its first part.
    """
    finished: list[tuple[str, nn.Module, tuple[int, ...]]] = []

    def note(name: str) -> Any:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) and output else output
            if isinstance(first, torch.Tensor):
                finished.append((name, module, tuple(first.shape)))

        return hook

    modules = [(name, module) for name, module in classifier.model.named_modules() if name]
    handles = [module.register_forward_hook(note(name)) for name, module in modules]
    try:
        with torch.no_grad():
            classifier.model(classifier.normalised(image))
    finally:
        for handle in handles:
            handle.remove()
    return finished


def _is_attention(module: nn.Module) -> bool:
    """Return whether a module is attention, judged by the names that torch and torchvision use."""
    return "Attention" in type(module).__name__


def _has_convolution(module: nn.Module) -> bool:
    """Return whether a module holds a kernel (out, in, rows, cols); layers of an exported program have no class."""
    return any(parameter.ndim == 4 for parameter in module.parameters())
