"""Compare occlusion of several networks by the incremental engine with their whole forward passes."""

from functools import partial

from tasks.explain.engine.forward import fast_forward
from tasks.explain.engine.incremental import take_apart
from tasks.explain.occlusion import OcclusionParams, incremental_logits, loop_logits
from tests.benchmarks.measure import Row, alternating, compare, show, use_one_core
from tests.benchmarks.passes import network
from tests.benchmarks.saliency import RUNTIME, images, share, spread_corners

FAMILIES = ("resnet50", "resnext50_32x4d", "wide_resnet50_2", "vgg11_bn")
N_WINDOWS = 64


def family_row(architecture: str) -> Row:
    """Compare windows spread over an image of 256 pixels, 32 a pass, with whole passes of 16 images."""
    classifier, params = network(architecture), OcclusionParams()
    taken = take_apart(classifier.model)
    assert taken is not None
    image, corners = classifier.normalised(images(1)), spread_corners(N_WINDOWS)
    engine = partial(incremental_logits, taken, image, corners, params.patch, 32)
    loop = partial(loop_logits, fast_forward(classifier, RUNTIME), image, corners, params.patch, 16)
    difference = share(engine().numpy(), loop().numpy())
    ours, theirs = alternating(engine, loop)
    return compare(f"{architecture}, {N_WINDOWS} windows", ours, "whole passes", theirs, difference)


if __name__ == "__main__":
    use_one_core()
    show([family_row(architecture) for architecture in FAMILIES])
