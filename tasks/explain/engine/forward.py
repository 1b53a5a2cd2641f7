"""Speed up forward passes for saliency methods that run the classifier thousands of times per image.

Batch normalisation is folded into the convolutions. Tensors are laid out channels last, which oneDNN and cuDNN prefer.
On a CPU, convolutions are packed and joined with what follows them. They run as Winograd tiles where this processor
gains by it, and late layers take more images at once than early ones. All of it changes numbers only by float rounding,
which is checked at the first pass.
"""

import copy
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.fx import GraphModule
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tasks.classify.model import Classifier, check_logits, pass_size
from tasks.explain.engine.joined import packed_model
from tasks.explain.engine.staged import StagedModel, late_pass, staged
from tasks.explain.engine.tracing import folding_pairs
from tasks.parameters import Runtime

TOLERANCE = 1e-4  # largest difference of a packed model's logits from the classifier's, as a share of 1 + |logit|
Forward = Callable[[torch.Tensor], torch.Tensor]  # normalised inputs (n, 3, h, w) -> logits (n, n_classes) float32


def fast_model(classifier: Classifier, runtime: Runtime, packed: bool = True, keep: str | None = None) -> nn.Module:
    """Copy the classifier's model for many forward passes.

    With `packed` false, the convolutions are torch's own, as an independent reference. The layer `keep` keeps its
    output: a normalisation that follows it is not folded into it. A packed model has that output in another module (see
    `kept_name`), every other model in the layer itself.
    """
    folded = folded_copy(classifier.model, keep)
    if folded is None:
        return classifier.model
    model = folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return packed_model(model, keep) if packed and can_pack(classifier, runtime) else model


def can_pack(classifier: Classifier, runtime: Runtime) -> bool:
    """Return whether fast passes of a classifier are those of a packed model, if its model can be traced."""
    is_program = isinstance(classifier.model, torch.export.UnflattenedModule)
    is_on_cpu = classifier.device.type == "cpu" and torch.backends.mkldnn.is_available()
    return is_on_cpu and runtime.saliency_precision == "float32" and not is_program


def folded_copy(model: nn.Module, keep: str | None = None) -> nn.Module | None:
    """Copy a model and fold batch normalisation into its convolutions, except across the output of the layer `keep`.

    None for an exported program, which can be neither copied nor changed.
    """
    if isinstance(model, torch.export.UnflattenedModule):
        return None
    model = copy.deepcopy(model)
    for convolution, norm in folding_pairs(model):
        if keep is None or not (_is_within(convolution, keep) and not _is_within(norm, keep)):
            _replace(model, convolution, fuse_conv_bn_eval(*map(model.get_submodule, (convolution, norm))))  # type: ignore[type-var]
            _replace(model, norm, nn.Identity())
    return model


def ready_model(model: nn.Module, classifier: Classifier, inputs: torch.Tensor) -> nn.Module:
    """Stage and check a packed model by one of some inputs (n, 3, h, w), of the size that it will be used for.

    If its logits are not the classifier's, the classifier's own model is returned, with a warning that passes take
    longer. Models that are not packed are returned as they are.
    """
    if not isinstance(model, GraphModule) or not len(inputs):
        return model
    one = inputs[:1].contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = classifier.model(one)
        check_logits(expected, 1, len(classifier.classes))
        try:
            ready = staged(model, one)
            found = ready(one)
            difference = float((found - expected).abs().max())
        except RuntimeError as error:  # a sum that oneDNN refuses
            ready, found, difference = classifier.model, error, float("inf")
    if is_close(difference, expected):
        return ready
    warnings.warn(
        f"the fast forward pass differs from the classifier's own: {found} instead of {expected}. The classifier's own"
        " is used: the maps are right, but take up to twice as long",
        RuntimeWarning,
        stacklevel=2,
    )
    return classifier.model


def is_close(difference: float, expected: torch.Tensor) -> bool:
    """Return whether a largest difference from these logits is float rounding."""
    return difference <= TOLERANCE * (1 + float(expected.abs().max()))


def images_a_pass(model: nn.Module, classifier: Classifier, shape: Sequence[int], batch_size: int) -> int:
    """Return the number of images (h, w) of a pass of a model: `batch_size`, on a CPU limited as in other passes."""
    if isinstance(model, StagedModel):
        return late_pass(shape, batch_size)
    return pass_size(classifier.device.type, shape, batch_size)


def _is_within(name: str, layer: str) -> bool:
    return f"{name}.".startswith(f"{layer}.")


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module)


def fast_forward(classifier: Classifier, runtime: Runtime, packed: bool = True) -> Forward:
    """Return a function of normalised inputs that gives the classifier's logits, without gradients, by `fast_model`."""
    model, is_ready = fast_model(classifier, runtime, packed), False

    def logits(inputs: torch.Tensor) -> torch.Tensor:
        nonlocal model, is_ready
        if not is_ready:
            model, is_ready = ready_model(model, classifier, inputs), len(inputs) > 0
        size = images_a_pass(model, classifier, inputs.shape[2:], runtime.batch_size)
        with torch.inference_mode(), autocast(classifier, runtime):
            out = torch.cat([model(part.contiguous(memory_format=torch.channels_last)) for part in inputs.split(size)])
        check_logits(out, len(inputs), len(classifier.classes))
        return out.float()

    return logits


def autocast(classifier: Classifier, runtime: Runtime) -> AbstractContextManager[object]:
    """Return a context with bfloat16 where the runtime asks for it; TF32 is set for the process with the device."""
    if runtime.saliency_precision != "bfloat16":
        return nullcontext()
    return torch.autocast(classifier.device.type, dtype=torch.bfloat16)


def class_scores(logits: torch.Tensor, explained: int, score: str) -> torch.Tensor:
    """Return the score (n,) float64 of one class: its softmax probability, or its logit.

    The softmax is computed in float64. Near 0 and 1, a float32 probability loses the differences that make up a map.
    """
    wide = logits.double()
    return wide[:, explained] if score == "logit" else torch.softmax(wide, dim=1)[:, explained]
