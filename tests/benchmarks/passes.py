"""Compare the fast forward pass of several networks with torch's own, and with the arithmetic limit of one core."""

from functools import partial

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tasks.classify.model import Classifier, freeze
from tasks.classify.params import IMAGENET_MEAN, IMAGENET_STD
from tasks.explain.engine.forward import fast_forward
from tests.benchmarks.measure import Row, alternating, compare, show, use_one_core
from tests.benchmarks.saliency import RUNTIME, convolution_peak, images, share
from tests.support.networks import fitted_to_noise

NETWORKS = ("resnet18", "mobilenet_v3_small", "efficientnet_b0")
N_IMAGES = 32


def network(architecture: str) -> Classifier:
    """Make a classifier of two classes with random weights."""
    model = fitted_to_noise(architecture, seed=0, n=4, side=64)
    return freeze(model, ("not_ready", "ready"), IMAGENET_MEAN, IMAGENET_STD, torch.device("cpu"))


def pass_rows(architectures: tuple[str, ...] = NETWORKS) -> list[Row]:
    """Compare passes of 32 images with torch in batches of 10, as the lime package has them, and with the peak."""
    rows: list[Row] = []
    for architecture in architectures:
        model = network(architecture)
        inputs = model.normalised(images(N_IMAGES))
        fast, plain = fast_forward(model, RUNTIME), partial(in_batches, model.model, inputs)
        difference = share(fast(inputs).numpy(), plain().numpy())
        ours, theirs = alternating(partial(fast, inputs), plain)
        name = f"{architecture}, {N_IMAGES} images"
        rows.append(compare(name, ours, "torch, batches of 10", theirs, difference))
        limit = N_IMAGES * flop_of_an_image(model.model, inputs[:1]) / convolution_peak()
        rows.append(compare(name, ours, f"at this core's peak, {convolution_peak() / 1e9:.0f} GFLOP/s", limit))
    return rows


def in_batches(model: nn.Module, inputs: torch.Tensor, size: int = 10) -> torch.Tensor:
    """Return the logits of normalised images, some at a time."""
    with torch.no_grad():
        return torch.cat([model(part) for part in inputs.split(size)])


def flop_of_an_image(model: nn.Module, image: torch.Tensor) -> int:
    """Count the FLOP of a pass of one image, with a multiplication and an addition as two."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image)
    return counter.get_total_flops()


if __name__ == "__main__":
    use_one_core()
    show(pass_rows())
