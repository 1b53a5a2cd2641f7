"""Measure what LIME's samples of an image share, on one core: multiplications and seconds, against whole passes.

Run it by `python -m tests.benchmarks.samples`, which takes a minute, or with files of pictures, which are scaled to 256
pixels. Without one, the image is that of `make bench`.
"""

import sys

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from tasks.batches import batches
from tasks.classify.model import rgb_images
from tasks.explain.engine.forward import fast_forward
from tasks.explain.engine.states import SharedLayers, shared_network
from tasks.explain.lime import mean_colours, random_samples, superpixels
from tasks.explain.params import LimeParams
from tests.benchmarks.measure import machine, repeated, spread, use_one_core
from tests.benchmarks.roofline import Counter
from tests.benchmarks.saliency import RUNTIME, SIZE, classifier, images

TIMED = 128  # samples that are timed


def picture(path: str) -> NDArray[np.float32]:
    """Return a picture of a file as (3, SIZE, SIZE) in 0..1."""
    with Image.open(path) as opened:
        pixels = np.asarray(opened.convert("RGB").resize((SIZE, SIZE)))
    return rgb_images(pixels[None])[0]


def measure(image: NDArray[np.float32]) -> list[str]:
    """Return a row of the table for an image (3, h, w)."""
    params = LimeParams()
    segments = superpixels(image, params.segments, params.seed)
    pair = classifier().normalised(np.stack([image, mean_colours(image, segments)]))
    n, network = int(segments.max()) + 1, shared_network(classifier().model)
    assert network is not None
    given = pair, torch.as_tensor(segments), torch.as_tensor(random_samples(params.n_samples, n, params.seed)).bool()

    def share() -> SharedLayers:
        return SharedLayers(network, *given)

    once = sorted(repeated(share))
    with Counter() as counted:
        layers = share()
    parts = [torch.arange(part.start, part.stop) for part in batches(TIMED, RUNTIME.batch_size)]
    later = sorted(repeated(lambda: [layers.logits(part) for part in parts]))
    whole = torch.where(given[2][:TIMED, given[1]][:, None], pair[0], pair[1])
    forward = fast_forward(classifier(), RUNTIME)
    passes = sorted(repeated(lambda: forward(whole)))
    flop = (2 * layers.multiplications, sum(counted.flop.values()) / params.n_samples)
    times = (spread([1000 * one / TIMED for one in some]) for some in (later, passes))
    shapes = ", ".join(f"{one.height} x {one.width} x {one.table.shape[1]}" for one in layers.layers)
    return [str(n), shapes, *(f"{one / 1e9:.3f}" for one in flop), spread(once), *times]


def main(*paths: str) -> None:
    """Measure pictures, and print a table."""
    use_one_core()
    columns = ("superpixels", "gathered", "GFLOP whole", "by states", "once, s", "later layers, ms", "whole pass, ms")
    table = Table(*columns)
    with torch.inference_mode():
        for image in [picture(path) for path in paths] or images(1):
            table.add_row(*measure(image))
    Console().print(f"{machine()}; {LimeParams().n_samples:,} samples", table)


if __name__ == "__main__":
    main(*sys.argv[1:])
