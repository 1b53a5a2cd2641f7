"""The classifier: building, loading and running it. No Prefect."""

import copy
import io
import math
import pickle
import zipfile
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import nn

from storage.errors import InputError
from tasks.batches import batches
from tasks.parameters import Params, Runtime

EXPORTED = "exported"
# Of a pass on a CPU, 4 images of 256 pixels or 64 of 64: the activations of more are blocks larger than glibc keeps
# (32 MB), given back after each layer and asked for anew; fewer small images cost more in calls than in sums. Against
# 64 and 8 images a pass, predictions took 0.82 and 0.45 of the time at 256 and 32 pixels, to the last bit the same.
CPU_PIXELS = 4 * 256 * 256
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# What torch raises for a file of another kind, a cut one, and weights of another model.
NOT_A_CLASSIFIER = (RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, EOFError, KeyError, ValueError, TypeError)


class GivenClassifier(Params):
    """An already trained classifier instead of training: weights of a torchvision model, or an exported program."""

    path: str = Field(description="state dict (torch.save), or a torch.export program (.pt2)")
    architecture: str = Field(
        default="resnet18", description="torchvision model name, or exported for a torch.export program"
    )
    mean: tuple[float, float, float] = Field(
        default=IMAGENET_MEAN, description="of the normalisation it was trained with"
    )
    std: tuple[float, float, float] = Field(
        default=IMAGENET_STD, description="of the normalisation it was trained with"
    )

    @model_validator(mode="after")
    def _positive_std(self) -> "GivenClassifier":
        if min(self.std) <= 0:
            raise ValueError("std must be positive")
        return self


@dataclass(frozen=True)
class Classifier:
    """A model in evaluation mode with what is needed to feed it.

    Attributes
    ----------
    model : takes (n, 3, h, w) float32, returns logits (n, n_classes).
    classes : names in class order.
    mean, std : of the normalisation of values in 0..1, per channel.
    """

    model: nn.Module
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    device: torch.device

    def inputs(self, images: NDArray[np.uint8]) -> torch.Tensor:
        """Normalised inputs (n, 3, h, w) float32 on the model's device from images (n, h, w, 3) uint8."""
        return normalise(torch.from_numpy(np.array(images)).to(self.device), self.mean, self.std)

    def normalised(self, images: NDArray[np.float32]) -> torch.Tensor:
        """The same from images (n, 3, h, w) float32 in 0..1, as `rgb_images` gives them."""
        return standardise(torch.from_numpy(np.array(images)).to(self.device), self.mean, self.std)


def rgb_images(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Images (n, 3, h, w) float32 in 0..1 from stored pixels (n, h, w, 3) uint8."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32) / np.float32(255)


def normalise(images: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """Images (n, h, w, 3) uint8 as (n, 3, h, w) float32 with the given mean and standard deviation taken out."""
    return standardise(images.permute(0, 3, 1, 2).to(torch.float32) / 255, mean, std)


def standardise(scaled: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """Images (n, 3, h, w) in 0..1 with the given mean and standard deviation of each channel taken out."""
    shift, scale = (torch.tensor(v, device=scaled.device).view(1, 3, 1, 1) for v in (mean, std))
    return (scaled - shift) / scale


def choose_device(runtime: Runtime, precision: str = "float32") -> torch.device:
    """The device that a runtime asks for; `auto` takes CUDA where there is one.

    On CUDA, convolutions are set to repeatable sums in full float32 (or TF32 where that is the precision) for the whole
    process: cuDNN's own defaults (TF32, the fastest algorithm of the moment) change numbers, and a setting per call
    would race between threads. Stages of one campaign that need different settings never run at the same time.

    Raises
    ------
    InputError : CUDA asked for and not there; TF32 without CUDA.
    """
    if runtime.device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"none visible to torch {torch.__version__}",
            "runtime.device = cuda needs a CUDA device",
            "use runtime.device = auto or cpu, or run on a machine with a GPU",
        )
    if runtime.device == "cpu" or not torch.cuda.is_available():
        if precision == "tf32":
            raise InputError(
                "the CPU",
                "runtime.saliency_precision = tf32 needs a CUDA device",
                "use float32, or bfloat16 where the processor has it",
            )
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    return torch.device("cuda")


def load_given(given: GivenClassifier, n_classes: int) -> nn.Module:
    """Load an already trained classifier.

    Raises
    ------
    InputError : no such file, not of this kind, or weights that do not fit the architecture and number of classes.
    """
    path = Path(given.path)
    if not path.is_file():
        raise InputError(f"no file {path}", "classifier.path is a file", "give the path of the weights")
    return read_model(path.read_bytes(), given.architecture, n_classes, str(path))()


def read_model(content: bytes, architecture: str, n_classes: int, source: str) -> Callable[[], nn.Module]:
    """Read a file's content; returns what makes models of it, each with modules of its own.

    Parameters
    ----------
    source : where the content was read, for people.

    Raises
    ------
    InputError : not of this kind, or weights that do not fit the architecture and number of classes.
    """
    from tasks.classify.architectures import build_model

    try:
        if architecture == EXPORTED:  # cannot be copied, but made into modules again in a fifth of a second
            return partial(torch.export.unflatten, torch.export.load(io.BytesIO(content)))
        model = build_model(architecture, n_classes, "none", seed=0)
        model.load_state_dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
        return partial(with_same_weights, model)
    except NOT_A_CLASSIFIER as error:
        kind = "an exported program" if architecture == EXPORTED else f"weights of {architecture}"
        raise InputError(
            f"{source}: {str(error)[:500]}",
            f"classifier.path holds {kind} with {n_classes} outputs",
            "check classifier.architecture and the campaign's classes",
        ) from error


def with_same_weights(model: nn.Module) -> nn.Module:
    """A copy of a model's modules around the very same tensors."""
    tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, tensors)  # type: ignore[arg-type]


def freeze(
    model: nn.Module,
    classes: tuple[str, ...],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    device: torch.device,
) -> Classifier:
    """A classifier in evaluation mode whose weights are finite and take no gradient.

    Raises
    ------
    InputError : NaN or infinite weights.
    """
    n_bad = sum(int((~torch.isfinite(tensor)).sum()) for tensor in model.state_dict().values())
    if n_bad:
        raise InputError(
            f"{n_bad} NaN or infinite",
            "A classifier's weights are finite numbers",
            "they are damaged or training diverged: lower train.learning_rate, or give other weights",
        )
    if not isinstance(model, torch.export.UnflattenedModule):  # an exported program is fixed in evaluation mode
        model.eval()
    model = model.to(device).requires_grad_(False)
    return Classifier(model, classes, mean, std, device)


def weights_file(architecture: str) -> str:
    """Name of the file that holds a classifier in its artefact; torch.export insists on its own ending."""
    return "program.pt2" if architecture == EXPORTED else "weights.pt"


def save_weights(model: nn.Module) -> bytes:
    """State dict as bytes, on the CPU."""
    buffer = io.BytesIO()
    torch.save({name: tensor.cpu() for name, tensor in model.state_dict().items()}, buffer)
    return buffer.getvalue()


def pass_size(device: str, shape: Sequence[int], batch_size: int) -> int:
    """Images of a pass without gradients of the weights, each of shape (h, w): on a CPU what `CPU_PIXELS` allow."""
    return min(batch_size, max(1, CPU_PIXELS // math.prod(shape))) if device == "cpu" else batch_size


def predict_logits(classifier: Classifier, images: NDArray[np.uint8], batch_size: int) -> NDArray[np.float32]:
    """Logits (n, n_classes) of images (n, h, w, 3).

    Raises
    ------
    InputError : the model does not give one finite number per class.
    """
    logits = np.empty((len(images), len(classifier.classes)), np.float32)
    for part, out in forward_passes(classifier, images, batch_size):
        logits[part] = out.cpu().numpy()
    return logits


def forward_passes(
    classifier: Classifier, images: NDArray[np.uint8], batch_size: int
) -> Generator[tuple[slice, torch.Tensor]]:
    """Passes over images (n, h, w, 3): which they are, and their logits on the classifier's device, without gradients.

    Raises
    ------
    InputError : the model does not give one finite number per class.
    """
    for part in batches(len(images), pass_size(classifier.device.type, images.shape[1:3], batch_size)):
        with torch.no_grad():  # not around the loop: it would hold for whoever takes the passes, too
            out = classifier.model(classifier.inputs(images[part]))
        check_logits(out, part.stop - part.start, len(classifier.classes))
        yield part, out


def check_logits(logits: Any, n: int, n_classes: int) -> None:
    """Refuse what is not one finite number per image and class.

    Raises
    ------
    InputError : with the shape or the count of NaN and infinite values.
    """
    shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if shape != (n, n_classes):
        raise InputError(
            f"{shape} for {n} images and {n_classes} classes",
            "A classifier returns one logit per image and class",
            "use a classifier without auxiliary outputs and with as many outputs as the campaign has classes",
        )
    n_bad = int((~torch.isfinite(logits)).sum())
    if n_bad:
        raise InputError(
            f"{n_bad} of {n * n_classes} NaN or infinite",
            "A classifier's logits are finite numbers",
            "its weights are damaged or its training diverged: lower train.learning_rate, or give other weights",
        )


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Softmax over the last axis."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
