"""Choose between two ways to compute the same by a short measurement on this processor, once in a process.

What is fast on one processor is slow on another. Both ways are equal up to float rounding.
"""

import threading
import time
from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec

import torch

ROUNDS = 3  # timings of each way, of which the shortest counts
MEASURING = threading.RLock()  # lets one thread measure at a time, because tasks run side by side
P = ParamSpec("P")


def measured_once(measure: Callable[P, bool]) -> Callable[P, bool]:
    """Keep the answer of a measurement for each of its arguments, and let no other measurement run beside it."""
    kept = cache(measure)

    @wraps(measure)
    def answer(*args: P.args, **kwargs: P.kwargs) -> bool:
        with MEASURING, torch.inference_mode():
            return kept(*args, **kwargs)  # type: ignore[arg-type]  # the arguments are shapes

    return answer


def is_faster(candidate: Callable[[], object], usual: Callable[[], object], gain: float) -> bool:
    """Return whether one way is `gain` times as fast as the usual one.

    Where both are alike, a gain above 1 keeps noise from choosing. They run in turns, so that other work slows both.
    The first run of each prepares it and does not count.
    """
    rounds = [(_seconds(candidate), _seconds(usual)) for _ in range(1 + ROUNDS)]
    candidates, usuals = map(min, zip(*rounds[1:], strict=True))
    return usuals > gain * candidates


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
