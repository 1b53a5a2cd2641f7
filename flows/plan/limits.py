"""Refuse a campaign that needs more than the machine has, and name changes of a parameter with which it fits.

A remedy is found by planning again with other values, so a campaign with the named values does fit.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from storage.errors import InputError
from storage.places.faults import size_text
from tasks.plan.memory import StageMemory, plan_memory
from tasks.plan.store import plan_store
from tasks.plan.workload import Workload

SIZES = (512, 384, 256, 224, 192, 160, 128, 96, 64, 32)  # image sizes that a remedy tries, pixels
N_REMEDIES = 3  # most changes that a remedy names


@dataclass(frozen=True)
class Machine:
    """Memory and disk that a run may use, in bytes.

    Attributes
    ----------
    memory : memory for all processes together.
    available : memory that other processes leave free now.
    own : memory that the run's processes take for Python and its libraries.
    gpu : memory of the CUDA device that would compute; None on a CPU.
    disk : free space where the store is; None if the store is not on this machine.
    """

    memory: int
    available: int
    own: int
    gpu: int | None
    disk: int | None

    def needed(self, stages: Sequence[StageMemory]) -> list[int]:
        """Estimate the memory of the process during each stage with its parallel tasks, in bytes.

        The allocator keeps part of the memory that a task has freed, for that task's thread. So the largest task of the
        earlier stages is added once more.
        """
        own = [stage.worker if self.gpu is None else stage.host for stage in stages]
        return [
            self.own + stage.n_at_once * one + max(own[:i], default=0)
            for i, (stage, one) in enumerate(zip(stages, own, strict=True))
        ]

    def holds(self, work: Workload) -> bool:
        """Tell whether all stages fit into the memory of the machine and of its GPU."""
        stages = plan_memory(work)
        on_gpu = max(stage.n_at_once * stage.passes for stage in stages)
        return max(self.needed(stages)) <= self.memory and (self.gpu is None or on_gpu <= self.gpu)


def check_memory(work: Workload, machine: Machine) -> None:
    """Refuse a campaign if a stage needs more memory than the machine or its GPU has.

    Raises
    ------
    InputError : a stage does not fit. The error names the largest stage, and values with which everything fits.
    """
    if machine.holds(work):
        return
    stages = plan_memory(work)
    needed = machine.needed(stages)
    need, there, where = max(needed), machine.memory, "memory"
    worst = stages[needed.index(need)]
    if need <= there:
        assert machine.gpu is not None
        worst = max(stages, key=lambda stage: stage.n_at_once * stage.passes)
        need, there, where = worst.n_at_once * worst.passes, machine.gpu, "GPU memory"
    raise InputError(
        f"{stage_name(worst)} needs {size_text(need)} of {where}, this machine has {size_text(there)}: "
        f"{worst.n_at_once} parallel tasks of {size_text(worst.worker)} each, besides Python, its libraries and what "
        "earlier stages leave",
        f"Every stage of a campaign must fit into the machine's {where}",
        remedy(work, machine.holds, f"use a machine with {size_text(need)} of {where}, or fewer dates"),
    )


def check_disk(work: Workload, machine: Machine, image_share: float) -> None:
    """Refuse a campaign whose artefacts do not fit on the disk of the store.

    Parameters
    ----------
    image_share : stored bytes of an image as a share of its pixels' bytes.

    Raises
    ------
    InputError : the artefacts do not fit. The error names the largest kind, and values with which everything fits.
    """
    sizes = plan_store(work, image_share)
    need, free = sum(size.bytes for size in sizes), machine.disk
    if free is None or need <= free:
        return
    largest = max(sizes, key=lambda size: size.bytes)
    raise InputError(
        f"The campaign's artefacts need {size_text(need)}, the store's disk has {size_text(free)} free; "
        f"{size_text(largest.bytes)} are {largest.kind}{f' by {largest.method}' if largest.method else ''}",
        "A campaign's artefacts must fit on the disk of the store",
        remedy(
            work,
            lambda changed: sum(size.bytes for size in plan_store(changed, image_share)) <= free,
            f"use a disk with {size_text(need)} free (--store), or fewer dates",
        ),
    )


def stage_name(stage: StageMemory) -> str:
    """Name a stage, with its saliency method if it has one."""
    return f"{stage.stage} {stage.method}" if stage.method else stage.stage


def remedy(work: Workload, fits: Callable[[Workload], bool], otherwise: str) -> str:
    """Name the smallest changes of single parameters with which a campaign fits, and `otherwise` in any case."""
    found = (next((said for said, changed in some if fits(changed)), None) for some in changes(work))
    return ", or ".join([*islice((said for said in found if said), N_REMEDIES), otherwise])


def changes(work: Workload) -> Iterator[Iterator[tuple[str, Workload]]]:
    """Yield changes of each parameter that costs memory or disk: smaller ones first, those that change results last."""
    runtime, cluster, train = work.runtime, work.cluster, work.train
    yield (
        (f"set runtime.workers = {n}", replace(work, runtime=runtime.model_copy(update={"workers": n})))
        for n in range(runtime.workers - 1, 0, -1)
    )
    yield (
        (f"set runtime.batch_size = {n}", replace(work, runtime=runtime.model_copy(update={"batch_size": n})))
        for n in halves(runtime.batch_size, 1)
    )
    yield (
        (f"set cluster.max_exact = {n}", replace(work, cluster=cluster.model_copy(update={"max_exact": n})))
        for n in halves(min(cluster.max_exact, work.n_validation), 2)
    )
    if train is not None:
        yield (
            (
                f"set train.batch_size = {n} (trains other weights)",
                replace(work, train=train.model_copy(update={"batch_size": n})),
            )
            for n in halves(train.batch_size, 2)
        )
    yield ((f"leave {left} out of explain.methods", changed) for left, changed in fewer_methods(work))
    least = work.explain.occlusion.patch
    yield (
        (f"set ingest.image_size = {size}", resized(work, size))
        for size in SIZES
        if least < size < work.ingest.image_size
    )


def halves(value: int, least: int) -> Iterator[int]:
    """Yield half of a value, a quarter of it and so on, down to `least`."""
    while value // 2 >= least:
        value //= 2
        yield value


def fewer_methods(work: Workload) -> Iterator[tuple[str, Workload]]:
    """Yield the campaign without one of its saliency methods, the one with the largest maps first."""
    methods = work.explain.methods
    for left in sorted(methods, key=work.map_shape, reverse=True) if len(methods) > 1 else ():
        others = tuple(method for method in methods if method != left)
        yield left, replace(work, explain=work.explain.model_copy(update={"methods": others}))


def resized(work: Workload, size: int) -> Workload:
    """Return the campaign with smaller images.

    The bytes of layers' outputs scale with the number of pixels, as in a convolutional network. The shape of Grad-CAM
    maps stays, which overestimates their size.
    """
    share = (size / work.ingest.image_size) ** 2
    network = work.network
    smaller = replace(
        network, largest_bytes=round(network.largest_bytes * share), total_bytes=round(network.total_bytes * share)
    )
    return replace(work, network=smaller, ingest=work.ingest.model_copy(update={"image_size": size}))
