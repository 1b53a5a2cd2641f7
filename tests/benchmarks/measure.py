"""Time benchmarks, hold their results as rows and print them."""

import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """Result of one comparison.

    Attributes
    ----------
    name : the work that was timed.
    ours_s, peer_s : shortest time of the repetitions, in seconds.
    peer : the other implementation.
    ratio : peer_s / ours_s, how many times faster this project is.
    max_difference : largest difference of the results, as a share of the peer's range; None where none was measured.
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
        """Return the row of `build/bench.json`."""
        return asdict(self)


def compare(name: str, ours: float, peer: str, peers: float, difference: float | None = None, device: str = "") -> Row:
    """Make a row from two times in seconds."""
    return Row(name, ours, peer, peers, peers / ours, difference, device or machine())


def show(rows: list[Row]) -> None:
    """Print all rows as a table."""
    table = Table(title=rows[0].machine)
    for name in ("what", "ours, s", "peer", "peer, s", "ratio", "difference / range"):
        table.add_column(name, justify="left" if name in ("what", "peer") else "right")
    for row in rows:
        difference = "" if row.max_difference is None else f"{row.max_difference:.1e}"
        table.add_row(row.name, f"{row.ours_s:.2f}", row.peer, f"{row.peer_s:.2f}", f"{row.ratio:.2f}", difference)
    Console().print(table)


def machine() -> str:
    """Return the name of the processor and the number of cores in use."""
    names = [line.split(":")[1].strip() for line in _cpu_lines() if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {torch.get_num_threads()} core"


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def use_one_core() -> None:
    """Pin this process to one core, so that thread pools of libraries do not distort the comparison."""
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def seconds(run: Callable[[], object], repeats: int = 3, warm_up: bool = True) -> float:
    """Return the shortest time of some repetitions in seconds, after one warm-up that is not counted."""
    if warm_up:
        run()
    times: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def alternating(ours: Callable[[], object], peer: Callable[[], object], repeats: int = 3) -> tuple[float, float]:
    """Return the shortest times of two in seconds, timed in turns so that a slowdown of the machine affects both."""
    ours()
    peer()
    pairs = [(seconds(ours, 1, warm_up=False), seconds(peer, 1, warm_up=False)) for _ in range(repeats)]
    return min(a for a, _ in pairs), min(b for _, b in pairs)
