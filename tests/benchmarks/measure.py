"""Time benchmarks, hold their results as rows and print them."""

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

Times = float | Sequence[float]
REPEATS = 5


@dataclass(frozen=True)
class Row:
    """Result of one comparison.

    Attributes
    ----------
    name : the work that was timed.
    ours_s, peers_s : times of the repetitions in seconds, ascending.
    peer : the other implementation.
    ratio : shortest time of the peer over the shortest of ours, how many times faster this project is.
    max_difference : largest difference of the results, as a share of the peer's range; None where none was measured.
    machine : processor (or GPU) and number of cores used.
    """

    name: str
    ours_s: tuple[float, ...]
    peer: str
    peers_s: tuple[float, ...]
    ratio: float
    max_difference: float | None
    machine: str

    def as_json(self) -> dict[str, Any]:
        """Return the row of `build/bench.json`."""
        return asdict(self)


def compare(name: str, ours: Times, peer: str, peers: Times, difference: float | None = None, device: str = "") -> Row:
    """Make a row from the times of both in seconds, of one repetition or several."""
    mine, theirs = (tuple(sorted([times] if isinstance(times, int | float) else times)) for times in (ours, peers))
    return Row(name, mine, peer, theirs, theirs[0] / mine[0], difference, device or machine())


def show(rows: list[Row]) -> None:
    """Print all rows as a table, with the shortest, median and longest time of some repetitions."""
    table = Table(title=rows[0].machine)
    for name in ("what", "ours, s", "peer", "peer, s", "ratio", "difference / range"):
        table.add_column(name, justify="left" if name in ("what", "peer") else "right")
    for row in rows:
        difference = "" if row.max_difference is None else f"{row.max_difference:.1e}"
        table.add_row(row.name, spread(row.ours_s), row.peer, spread(row.peers_s), f"{row.ratio:.2f}", difference)
    Console().print(table)


def spread(times: Sequence[float]) -> str:
    """Return the shortest, median and longest time, or the only one."""
    chosen = (times[0], median(times), times[-1]) if len(times) > 1 else times
    return ", ".join(f"{one:.3g}" if one < 10 else f"{one:.1f}" for one in chosen)


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


def repeated(run: Callable[[], object], repeats: int = REPEATS, warm_up: bool = True) -> list[float]:
    """Return the times of some repetitions in seconds, after one warm-up that is not counted."""
    if warm_up:
        run()
    times: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


def seconds(run: Callable[[], object], repeats: int = REPEATS, warm_up: bool = True) -> float:
    """Return the shortest time of some repetitions in seconds."""
    return min(repeated(run, repeats, warm_up))


def alternating(
    ours: Callable[[], object], peer: Callable[[], object], repeats: int = REPEATS
) -> tuple[list[float], list[float]]:
    """Return the times of two in seconds, measured in turns so that a slowdown of the machine affects both."""
    ours()
    peer()
    pairs = [(seconds(ours, 1, warm_up=False), seconds(peer, 1, warm_up=False)) for _ in range(repeats)]
    return [mine for mine, _ in pairs], [theirs for _, theirs in pairs]
