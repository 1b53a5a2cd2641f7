"""Kill processes with everything that they started, at one moment."""

from collections.abc import Iterable
from contextlib import suppress

import psutil


def kill_trees(pids: Iterable[int]) -> int:
    """Kill processes and all their descendants with SIGKILL; the number of them.

    All are suspended first, so that none sees another die, or starts one that is missed.
    """
    stopped: dict[int, psutil.Process] = {}
    found = [process for pid in pids for process in tree(pid)]
    while found:
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
                stopped[process.pid] = process
        # What was started between the look and the suspension.
        found = [one for process in list(stopped.values()) for one in tree(process.pid) if one.pid not in stopped]
    for process in stopped.values():
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return len(stopped)


def tree(pid: int) -> list[psutil.Process]:
    """A process and its descendants; empty where it has ended."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
