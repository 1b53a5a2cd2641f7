"""Compare occlusion of several networks by the incremental engine with their whole forward passes."""

from functools import partial

import torch

from tasks.explain.engine.forward import fast_forward
from tasks.explain.engine.incremental import take_apart
from tasks.explain.occlusion import OcclusionParams, incremental_logits, loop_logits, window_corners
from tests.benchmarks.measure import Row, alternating, compare, show, use_one_core
from tests.benchmarks.passes import network
from tests.benchmarks.saliency import RUNTIME, SIZE, images, share

FAMILIES = ("resnet50", "resnext50_32x4d", "wide_resnet50_2", "vgg11_bn")
N_WINDOWS = 64


def family_row(architecture: str) -> Row:
    """Compare windows spread over an image of 256 pixels, 32 a pass, with whole passes of 16 images."""
    classifier, params = network(architecture), OcclusionParams()
    taken = take_apart(classifier.model)
    assert taken is not None
    image, spread = classifier.normalised(images(1)), window_corners(SIZE, SIZE, params).flatten(0, 1)
    corners = spread[torch.linspace(0, len(spread) - 1, N_WINDOWS).round().long()]
    engine = partial(incremental_logits, taken, image, corners, params.patch, 32)
    loop = partial(loop_logits, fast_forward(classifier, RUNTIME), image, corners, params.patch, 16)
    difference = share(engine().numpy(), loop().numpy())
    ours, theirs = alternating(engine, loop)
    return compare(f"{architecture}, {N_WINDOWS} windows", ours, "whole passes", theirs, difference)


if __name__ == "__main__":
    use_one_core()
    show([family_row(architecture) for architecture in FAMILIES])
