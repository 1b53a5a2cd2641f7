"""Count what is left of a window of occlusion: multiplications, bytes and seconds by kind of operation, on one core.

Run it by `python -m tests.benchmarks.roofline`, which takes a minute. It explains windows spread over an image by the
incremental engine with a ResNet18 of 256 pixels, and compares them with the speed of this core: the peak of
convolutions, and the bandwidth of a copy that does not fit into its caches.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.utils._python_dispatch import TorchDispatchMode

from tasks.explain.engine.incremental import OccludedImage, take_apart
from tasks.explain.occlusion import windows_a_pass
from tasks.explain.params import OcclusionParams
from tests.benchmarks.measure import machine, repeated, seconds, spread, use_one_core
from tests.benchmarks.saliency import RUNTIME, classifier, convolution_peak, images, spread_corners

PRODUCTS, TRANSFORMS, GATHERS, OTHERS = "products over channels", "transforms of tiles", "gathered rows", "the rest"
LARGEST_TRANSFORM = 81  # rows and columns of the largest matrix that transforms tiles
MATRICES = {"mm": (0, 1), "bmm": (0, 1), "baddbmm": (1, 2), "addmm": (1, 2), "_linear_pointwise": (0, 1)}


class Counter(TorchDispatchMode):
    """Count FLOP, bytes read and written, and seconds of all operations, by kind.

    Counting makes each operation longer by some microseconds, which the seconds include.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flop, self.bytes, self.seconds = (defaultdict[str, float](float) for _ in range(3))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count it."""
        start = time.perf_counter()
        found = func(*args, **(kwargs or {}))
        passed, name = time.perf_counter() - start, func._schema.name.split("::")[1]
        kind, flop = GATHERS if name == "index_select" else OTHERS, 0.0
        if name in MATRICES:
            left, right = (args[i] for i in MATRICES[name])
            flop = 2.0 * left.numel() * found.shape[-1]
            is_transform = max(left.shape[-2:]) <= LARGEST_TRANSFORM and right.shape[-1] > LARGEST_TRANSFORM
            kind = TRANSFORMS if is_transform else PRODUCTS
        self.flop[kind] += flop
        self.seconds[kind] += passed
        if not func.is_view:
            # Of the table that rows are gathered from, only these are read.
            moved = [found, found, args[2]] if kind == GATHERS else tensors([*args, found])
            self.bytes[kind] += sum(one.numel() * one.element_size() for one in moved)
        return found


def tensors(values: Sequence[Any]) -> list[torch.Tensor]:
    """Return the tensors among some values and in the lists among them."""
    flat = [one for value in values for one in (value if isinstance(value, list | tuple) else [value])]
    return [one for one in flat if isinstance(one, torch.Tensor)]


def bandwidth() -> float:
    """Measure the bytes a second that a copy of 256 MB reads and writes."""
    source = torch.ones(64 * 2**20)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / seconds(lambda: target.copy_(source))


def main() -> None:
    """Count, and print a table."""
    use_one_core()
    network, params = take_apart(classifier().model), OcclusionParams()
    assert network is not None
    size = windows_a_pass("cpu", RUNTIME.batch_size)
    corners = spread_corners(4 * size).split(size)
    with torch.inference_mode():
        occluded = OccludedImage(network, classifier().normalised(images(1)))

        def windows() -> None:
            for part in corners:
                occluded.logits(part, params.patch)

        whole = [1000 * one / (4 * size) for one in repeated(windows)]
        with Counter() as found:
            windows()
    peak, copied = convolution_peak(), bandwidth()
    table = Table(*("of a window", "MFLOP", "MB", "ms", "ms at the peak", "ms at the bandwidth"))
    for kind in (PRODUCTS, TRANSFORMS, GATHERS, OTHERS):
        flop, moved, taken = (of[kind] / (4 * size) for of in (found.flop, found.bytes, found.seconds))
        least = (1000 * flop / peak, 1000 * moved / copied)
        table.add_row(kind, *(f"{one:.2f}" for one in (flop / 1e6, moved / 1e6, 1000 * taken, *least)))
    Console().print(f"{machine()}: {peak / 1e9:.0f} GFLOP/s, {copied / 1e9:.1f} GB/s; {len(corners)} x {size} windows")
    Console().print(table, f"all, without counting: {spread(sorted(whole))} ms a window")


if __name__ == "__main__":
    main()
