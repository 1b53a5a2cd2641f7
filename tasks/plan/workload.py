"""Describe the workload of a campaign before an image is read: numbers of images, and the size of the classifier.

No Prefect.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from torch import nn

from tasks.classify.features import last_linear
from tasks.classify.model import Classifier, pass_size
from tasks.classify.params import TrainParams
from tasks.cluster.params import ClusterParams
from tasks.explain.engine.forward import can_pack
from tasks.explain.engine.incremental import take_apart
from tasks.explain.engine.tracing import traced
from tasks.explain.engine.winograd import is_plain, suits
from tasks.explain.gradcam import check_layer, last_convolutional_stage, outputs_in_order
from tasks.explain.occlusion import n_windows, windows_a_pass
from tasks.explain.params import ExplainParams, Method
from tasks.explain.samples import can_share
from tasks.ingest.params import IngestParams
from tasks.parameters import Runtime
from tasks.sources.contract import SourceImage


@dataclass(frozen=True)
class DateCounts:
    """Numbers of images of a date.

    Attributes
    ----------
    n_images : all of them.
    n_explained : those that are explained: all but training.
    n_validation : labelled validation images.
    n_crops : those that are cut from orthophotos, which are read block by block.
    """

    date: str
    n_images: int
    n_explained: int
    n_validation: int
    n_crops: int = 0


@dataclass(frozen=True)
class Network:
    """Size of a classifier for one image of the campaign's size.

    Attributes
    ----------
    weight_bytes : bytes of all parameters and buffers.
    kernel_bytes : bytes of the kernels of convolutions.
    tiled_bytes : bytes of those kernels that may run as Winograd tiles.
    largest_bytes : bytes of the largest output of a layer, for one image, float32.
    total_bytes : bytes of the outputs of all layers together, for one image, float32.
    n_features : inputs of the last linear layer, or the number of classes if there is no such layer.
    cam_shape : rows and columns of a Grad-CAM map; None if the campaign does not use Grad-CAM.
    is_incremental : whether occlusion computes only what a window changes.
    is_packed : whether explanations take passes of a packed model.
    shares_layers : whether LIME's samples of an image share their early layers.
    device : cpu or cuda.
    """

    weight_bytes: int
    kernel_bytes: int
    tiled_bytes: int
    largest_bytes: int
    total_bytes: int
    n_features: int
    cam_shape: tuple[int, int] | None
    is_incremental: bool
    is_packed: bool
    shares_layers: bool
    device: str


@dataclass(frozen=True)
class Workload:
    """Everything that decides what a campaign costs.

    Attributes
    ----------
    n_classes : number of classes of the classifier.
    n_training : number of labelled training images.
    n_samples : number of samples per epoch that augmentation makes of them.
    train : parameters of training; None if the classifier is given.
    n_backgrounds : number of dates whose orthophoto is kept as a picture.
    """

    dates: tuple[DateCounts, ...]
    n_classes: int
    n_training: int
    n_samples: int
    network: Network
    ingest: IngestParams
    train: TrainParams | None
    explain: ExplainParams
    cluster: ClusterParams
    runtime: Runtime
    n_backgrounds: int = 0

    @property
    def n_images(self) -> int:
        """Return the number of images of all dates."""
        return sum(day.n_images for day in self.dates)

    @property
    def n_validation(self) -> int:
        """Return the number of labelled validation images of all dates."""
        return sum(day.n_validation for day in self.dates)

    @property
    def image_bytes(self) -> int:
        """Return the bytes of one stored image, before compression."""
        return 3 * self.ingest.image_size**2

    @property
    def images_a_pass(self) -> int:
        """Return the number of images per pass of the classifier, without gradients of the weights."""
        return pass_size(self.network.device, 2 * [self.ingest.image_size], self.runtime.batch_size)

    @property
    def windows_a_pass(self) -> int:
        """Return the number of hidden windows per pass, if occlusion computes only what they change."""
        return windows_a_pass(self.network.device, self.runtime.batch_size)

    def map_shape(self, method: Method) -> tuple[int, int]:
        """Return the rows and columns of a map at native resolution."""
        if method == "gradcam":
            assert self.network.cam_shape is not None  # `measure_network` sets it if Grad-CAM is asked for
            return self.network.cam_shape
        side = self.ingest.image_size
        side = side if method == "lime" else n_windows(side, self.explain.occlusion)
        return side, side


def count_date(day: date, images: Sequence[SourceImage]) -> DateCounts:
    """Count a date's images."""
    return DateCounts(
        day.isoformat(),
        len(images),
        sum(image.split != "train" for image in images),
        sum(image.split == "val" and image.label is not None for image in images),
        sum(image.centre is not None for image in images),
    )


def measure_network(classifier: Classifier, explain: ExplainParams, size: int, runtime: Runtime) -> Network:
    """Measure the size of a classifier by one forward pass of a grey image of `size` x `size` pixels.

    Raises
    ------
    InputError : Grad-CAM is asked for, and there is no layer for it.
    """
    grey = np.full((1, 3, size, size), 0.5, np.float32)
    finished = outputs_in_order(classifier, grey)
    outputs = [4 * int(np.prod(shape)) for _, module, shape in finished if not list(module.children())]
    cam_shape = None
    if "gradcam" in explain.methods:
        layer = explain.gradcam.layer or last_convolutional_stage(classifier, grey)
        check_layer(classifier.model, layer)
        shape = next(shape for name, _, shape in reversed(finished) if name == layer)
        cam_shape = (shape[-2], shape[-1])
    head, kernels = last_linear(classifier.model), convolutions(classifier.model)
    return Network(
        weight_bytes=weight_bytes(classifier.model),
        kernel_bytes=sum(one.weight.nbytes for one in kernels),
        tiled_bytes=sum(one.weight.nbytes for one in kernels if is_plain(one) and suits(one.weight, one.stride[0])),
        largest_bytes=max(outputs),
        total_bytes=sum(outputs),
        n_features=len(classifier.classes) if head is None else head.in_features,
        cam_shape=cam_shape,
        is_incremental=runtime.saliency_precision == "float32" and take_apart(classifier.model) is not None,
        is_packed=can_pack(classifier, runtime) and traced(classifier.model) is not None,
        shares_layers="lime" in explain.methods and can_share(classifier, runtime, size),
        device=classifier.device.type,
    )


def weight_bytes(model: nn.Module) -> int:
    """Return the bytes of a model's parameters and buffers."""
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())


def convolutions(model: nn.Module) -> list[nn.Conv2d]:
    """List the convolutions of a model."""
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]
