"""Normalise images and run the classifier. No Prefect."""

import io
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from storage.errors import InputError
from tasks.batches import batches
from tasks.classify.params import EXPORTED
from tasks.parameters import Runtime

# Pixels of a pass on a CPU: 4 images of 256 pixels or 64 of 64. Activations of larger passes exceed the 32 MB blocks
# that glibc keeps, so they are freed and allocated again in every layer. In smaller passes the calls cost more than the
# sums. Predictions took 0.82 of the time of 64 images a pass at 256 pixels, and 0.45 of the time of 8 images a pass at
# 32 pixels, with bit-identical results.
CPU_PIXELS = 4 * 256 * 256


@dataclass(frozen=True)
class Classifier:
    """A model in evaluation mode with its classes, normalisation and device.

    Attributes
    ----------
    model : takes (n, 3, h, w) float32, returns logits (n, n_classes).
    classes : names in class order.
    mean, std : normalisation of values in 0..1, per channel.
    """

    model: nn.Module
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    device: torch.device

    def inputs(self, images: NDArray[np.uint8]) -> torch.Tensor:
        """Normalise images (n, h, w, 3) uint8 to inputs (n, 3, h, w) float32 on the model's device."""
        return normalise(torch.from_numpy(np.array(images)).to(self.device), self.mean, self.std)

    def normalised(self, images: NDArray[np.float32]) -> torch.Tensor:
        """Normalise images (n, 3, h, w) float32 in 0..1 (see `rgb_images`) to inputs on the model's device."""
        return standardise(torch.from_numpy(np.array(images)).to(self.device), self.mean, self.std)


def rgb_images(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Convert stored pixels (n, h, w, 3) uint8 to images (n, 3, h, w) float32 in 0..1."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32) / np.float32(255)


def normalise(images: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """Normalise images (n, h, w, 3) uint8 to (n, 3, h, w) float32 by mean and standard deviation of each channel."""
    return standardise(images.permute(0, 3, 1, 2).to(torch.float32) / 255, mean, std)


def standardise(scaled: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """Normalise images (n, 3, h, w) in 0..1 by mean and standard deviation of each channel."""
    shift, scale = (torch.tensor(v, device=scaled.device).view(1, 3, 1, 1) for v in (mean, std))
    return (scaled - shift) / scale


def choose_device(runtime: Runtime, precision: str = "float32") -> torch.device:
    """Return the device of a runtime; `auto` uses CUDA if it is available.

    On CUDA, convolutions of the whole process are set to deterministic algorithms in float32, or in TF32 if that is the
    precision. cuDNN's defaults (TF32 and the fastest algorithm of the moment) would change numbers, and a setting per
    call would be a race between threads. Stages of one campaign that need different settings never run in parallel.

    Raises
    ------
    InputError : CUDA or TF32 is requested, but there is no CUDA device.
    """
    if runtime.device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"torch {torch.__version__} sees no CUDA device",
            "With runtime.device = cuda there must be a CUDA device",
            "use runtime.device = auto or cpu, or run on a machine with a GPU",
        )
    if runtime.device == "cpu" or not torch.cuda.is_available():
        if precision == "tf32":
            raise InputError(
                "runtime.saliency_precision is tf32, but the run uses the CPU",
                "TF32 needs a CUDA device",
                "use float32, or bfloat16 if the processor supports it",
            )
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    return torch.device("cuda")


def freeze(
    model: nn.Module,
    classes: tuple[str, ...],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    device: torch.device,
) -> Classifier:
    """Return a classifier in evaluation mode, without gradients of its weights.

    Raises
    ------
    InputError : a weight is NaN or infinite.
    """
    n_bad = sum(int((~torch.isfinite(tensor)).sum()) for tensor in model.state_dict().values())
    if n_bad:
        raise InputError(
            f"The classifier has {n_bad} NaN or infinite weights; they are damaged, or training diverged",
            "A classifier's weights must be finite numbers",
            "lower train.learning_rate, or give other weights",
        )
    if not isinstance(model, torch.export.UnflattenedModule):  # an exported program is fixed in evaluation mode
        model.eval()
    model = model.to(device).requires_grad_(False)
    return Classifier(model, classes, mean, std, device)


def weights_file(architecture: str) -> str:
    """Return the name of the file that holds a classifier in its artefact; torch.export requires the suffix `.pt2`."""
    return "program.pt2" if architecture == EXPORTED else "weights.pt"


def save_weights(model: nn.Module) -> bytes:
    """Return the state dict of a model as bytes, with its tensors on the CPU."""
    buffer = io.BytesIO()
    torch.save({name: tensor.cpu() for name, tensor in model.state_dict().items()}, buffer)
    return buffer.getvalue()


def pass_size(device: str, shape: Sequence[int], batch_size: int) -> int:
    """Return the number of images (h, w) of a forward pass: `batch_size`, on a CPU limited by `CPU_PIXELS`."""
    return min(batch_size, max(1, CPU_PIXELS // math.prod(shape))) if device == "cpu" else batch_size


def predict_logits(classifier: Classifier, images: NDArray[np.uint8], batch_size: int) -> NDArray[np.float32]:
    """Compute the logits (n, n_classes) of images (n, h, w, 3).

    Raises
    ------
    InputError : the model does not return one finite number per class.
    """
    logits = np.empty((len(images), len(classifier.classes)), np.float32)
    for part, out in forward_passes(classifier, images, batch_size):
        logits[part] = out.cpu().numpy()
    return logits


def forward_passes(
    classifier: Classifier, images: NDArray[np.uint8], batch_size: int
) -> Generator[tuple[slice, torch.Tensor]]:
    """Yield the slice and the logits of each forward pass over images (n, h, w, 3).

    The logits are on the classifier's device and have no gradients.

    Raises
    ------
    InputError : the model does not return one finite number per class.
    """
    for part in batches(len(images), pass_size(classifier.device.type, images.shape[1:3], batch_size)):
        with torch.no_grad():  # not around the loop, or it would also apply to the caller between two passes
            out = classifier.model(classifier.inputs(images[part]))
        check_logits(out, part.stop - part.start, len(classifier.classes))
        yield part, out


def check_logits(logits: Any, n: int, n_classes: int) -> None:
    """Refuse a model's output that is not one finite number per image and class.

    Raises
    ------
    InputError : the output has another shape, or holds NaN or infinite values.
    """
    shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if shape in ((n,), (n, 1)) and n_classes == 2:
        raise InputError(
            f"The classifier returned {shape} for {n} images: one output column for two classes",
            "A classifier must return one logit per image and class, unless classifier.outputs says otherwise",
            'set classifier.outputs = "one_logit" (before a sigmoid) or "one_probability" (after it), or export two '
            "columns: torch.cat([torch.zeros_like(logit), logit], 1)",
        )
    if shape != (n, n_classes):
        raise InputError(
            f"The classifier returned {shape} for {n} images and {n_classes} classes",
            "A classifier must return one logit per image and class",
            "use a classifier without auxiliary outputs and with as many outputs as the campaign has classes",
        )
    n_bad = int((~torch.isfinite(logits)).sum())
    if n_bad:
        raise InputError(
            f"{n_bad} of {n * n_classes} logits are NaN or infinite; weights are damaged, or training diverged",
            "A classifier's logits must be finite numbers",
            "lower train.learning_rate, or give other weights",
        )


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the softmax over the last axis."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
