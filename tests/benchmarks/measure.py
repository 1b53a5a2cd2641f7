"""How a benchmark is timed, and the row it becomes."""

import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes
    ----------
    name : what was done.
    ours_s, peer_s : seconds, the shortest of the repetitions.
    peer : what did the same.
    ratio : peer_s / ours_s, how many times faster.
    max_difference : between the two results, as a share of the range of the peer's; None where nothing is compared.
    machine : processor (or GPU) and number of cores used.
    """

    name: str
    ours_s: float
    peer: str
    peer_s: float
    ratio: float
    max_difference: float | None
    machine: str

    def as_json(self) -> dict[str, Any]:
        """The row of `build/bench.json`."""
        return asdict(self)


def compare(name: str, ours: float, peer: str, peers: float, difference: float | None = None, device: str = "") -> Row:
    """A row from two times in seconds."""
    return Row(name, ours, peer, peers, peers / ours, difference, device or machine())


def machine() -> str:
    """Processor and cores in use."""
    names = [line.split(":")[1].strip() for line in _cpu_lines() if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {torch.get_num_threads()} core"


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def use_one_core() -> None:
    """Hold this process on one core, so that no library's thread pool makes the difference."""
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def seconds(run: Callable[[], object], repeats: int = 3, warm_up: bool = True) -> float:
    """Shortest of some repetitions, after one that is not counted."""
    if warm_up:
        run()
    times: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def alternating(ours: Callable[[], object], peer: Callable[[], object], repeats: int = 3) -> tuple[float, float]:
    """Shortest times of two, taken by turns so that a machine that slows down slows both."""
    ours()
    peer()
    pairs = [(seconds(ours, 1, warm_up=False), seconds(peer, 1, warm_up=False)) for _ in range(repeats)]
    return min(a for a, _ in pairs), min(b for _, b in pairs)
