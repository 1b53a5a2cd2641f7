"""Measure what this machine has: memory that may be used, free disk space and processors."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from storage.places.faults import free_bytes

CGROUPS = Path("/sys/fs/cgroup")  # folder of all control groups
OWN_CGROUP = Path("/proc/self/cgroup")  # file that names the control groups of this process
LIMIT_FILES = ("memory.max", "memory.limit_in_bytes")  # files with a limit in bytes, of cgroups version 2 and 1


def memory_limit(own: Path = OWN_CGROUP, groups: Path = CGROUPS) -> int:
    """Return the bytes of memory that processes here may take: the machine's, or less by a control group's limit.

    Parameters
    ----------
    own : file that names this process's control groups; may be missing.
    groups : folder of all control groups; may be missing.
    """
    return min([psutil.virtual_memory().total, *_cgroup_limits(own, groups)])


def _cgroup_limits(own: Path, groups: Path) -> Iterator[int]:
    """Yield the limits of this process's control groups and their parents; a container sees its own as the root."""
    lines = own.read_text().splitlines() if own.is_file() else []
    folders = {groups, groups / "memory"}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        top = groups if not controllers else groups / controllers
        folder = top / path.lstrip("/")
        folders |= {folder, *(parent for parent in folder.parents if parent.is_relative_to(top))}
    for file in (folder / name for folder in folders for name in LIMIT_FILES):
        said = file.read_text().strip() if file.is_file() else "max"
        if said.isdigit():
            yield int(said)


def free_disk(store: str) -> int | None:
    """Return the free bytes on the disk of a store, which need not exist yet; None for a store in a bucket."""
    if "://" in store:
        return None
    return free_bytes(Path(store).absolute())


def n_processors() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
