"""Tests that a campaign that cannot fit is refused, with values that fit."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.plan.limits import Machine, changes, check_disk, check_memory
from flows.plan.machine import free_disk, memory_limit
from storage.errors import InputError
from storage.places.faults import size_text
from tasks.cluster.params import ClusterParams
from tasks.explain.methods import ExplainParams
from tasks.parameters import Runtime
from tasks.plan.store import plan_store
from tasks.plan.workload import Workload
from tests.support.planned import DATES, RESNET18, workload

GB = 10**9
MANY = (replace(DATES[0], n_images=200_000, n_explained=60_000, n_validation=30_000),)


def machine(memory: float = 16 * GB, disk: float | None = 100 * GB, gpu: float | None = None) -> Machine:
    return Machine(int(memory), int(memory), GB, None if gpu is None else int(gpu), None if disk is None else int(disk))


def refused(work: Workload, there: Machine) -> InputError:
    with pytest.raises(InputError) as refusal:
        check_memory(work, there)
        check_disk(work, there, image_share=1)
    return refusal.value


def changed(work: Workload, said: str) -> Workload:
    """Return the workload with the change that a remedy names."""
    return next(work for some in changes(work) for name, work in some if name == said)


def test_the_papers_campaign_fits_into_8_gb() -> None:
    check_memory(workload(), machine(8 * GB))
    check_disk(workload(), machine(disk=10 * GB), image_share=1)


def test_too_many_workers_with_too_large_batches() -> None:
    work, there = workload(runtime=Runtime(batch_size=512, workers=4)), machine(8 * GB)
    error = refused(work, there)
    workers = int(re.findall(r"runtime\.workers = (\d+)", error.remedy)[0])
    assert there.holds(changed(work, f"set runtime.workers = {workers}"))
    assert not there.holds(changed(work, f"set runtime.workers = {workers + 1}")) if workers < 3 else True
    batch = int(re.findall(r"runtime\.batch_size = (\d+)", error.remedy)[0])
    assert there.holds(changed(work, f"set runtime.batch_size = {batch}"))
    assert "this machine has 8.0 GB" in error.found and "parallel tasks" in error.found


def test_affinity_of_all_pairs() -> None:
    """Refuse 30,000 validation maps, whose affinities take 7 GB and are in memory three times."""
    work = workload(dates=MANY, cluster=ClusterParams(max_exact=40_000), train=None)
    error = refused(work, machine(16 * GB))
    assert error.found.startswith("cluster needs")
    assert re.match(r"set cluster\.max_exact = 15000,? or", error.remedy)
    check_memory(changed(work, "set cluster.max_exact = 15000"), machine(16 * GB))


def test_maps_of_many_pixels_of_many_images() -> None:
    work = workload(dates=MANY, explain=ExplainParams(methods=("gradcam", "lime")), train=None)
    assert refused(work, machine(16 * GB)).remedy.startswith("leave lime out of explain.methods")


def test_nothing_helps_but_memory() -> None:
    error = refused(workload(), machine(1.2 * GB))
    assert re.fullmatch(r"use a machine with .* of memory, or fewer dates", error.remedy)


def test_a_gpu_has_a_memory_of_its_own() -> None:
    work = workload(runtime=Runtime(batch_size=512), network=replace(RESNET18, device="cuda"))
    check_memory(work, machine(16 * GB, gpu=24 * GB))
    error = refused(work, machine(16 * GB, gpu=4 * GB))
    assert "GPU memory" in error.rule and "runtime.batch_size" in error.remedy


def test_a_full_disk() -> None:
    work = workload(dates=MANY, explain=ExplainParams(methods=("gradcam", "occlusion")), train=None)
    need = sum(size.bytes for size in plan_store(work, 1))
    error = refused(work, machine(10**13, disk=need - 1))
    assert "are images" in error.found and "--store" in error.remedy
    assert "leave occlusion out of explain.methods" in error.remedy and "ingest.image_size" in error.remedy
    check_disk(work, machine(disk=need), image_share=1)
    check_disk(work, machine(disk=None), image_share=1)  # the room in a bucket is not known


def test_a_disk_without_room_for_crops_that_wait() -> None:
    work = workload(dates=(replace(DATES[0], n_crops=20_000),), runtime=Runtime(workers=1))
    need = sum(size.bytes for size in plan_store(work, 1))
    error = refused(work, machine(disk=need - 1))
    assert "3.9 GB are waiting crops" in error.found
    check_disk(work, machine(disk=need), image_share=1)


class TestMachine:
    def groups(self, folder: Path, lines: str, files: dict[str, str]) -> int:
        own = folder / "cgroup"
        own.write_text(lines)
        for name, content in files.items():
            (folder / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "groups" / name).write_text(content)
        return memory_limit(own, folder / "groups")

    @pytest.mark.parametrize(
        ("lines", "files"),
        [
            ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": f"{GB}\n"}),  # version 2: a parent's counts
            ("0::/host/only\n", {"memory.max": f"{GB}\n"}),  # a container that sees itself as the root
            ("4:memory:/job\n0::/\n", {"memory/job/memory.limit_in_bytes": f"{GB}\n"}),  # version 1
            ("4:memory:/host/only\n", {"memory/memory.limit_in_bytes": f"{GB}\n"}),
        ],
    )
    def test_a_control_group_limits(self, tmp_path: Path, lines: str, files: dict[str, Any]) -> None:
        assert self.groups(tmp_path, lines, files) == GB

    def test_no_limit_is_the_machines(self, tmp_path: Path) -> None:
        everything = {"a/memory.max": "max\n", "memory/memory.limit_in_bytes": "9223372036854771712\n"}
        assert self.groups(tmp_path, "0::/a\n", everything) == psutil.virtual_memory().total
        assert memory_limit(tmp_path / "none", tmp_path / "none") == psutil.virtual_memory().total

    def test_disk(self, tmp_path: Path) -> None:
        free = free_disk(str(tmp_path / "not" / "there"))
        assert free is not None and free > 0
        assert free_disk("s3://bucket/prefix?endpoint=http://host") is None

    def test_sizes_for_people(self) -> None:
        said = [size_text(n) for n in (0, 999, 1500, 250_000_000, 1.25e9, 2e15)]
        assert said == ["0.0 kB", "1.0 kB", "1.5 kB", "250 MB", "1.2 GB", "2000 TB"]
