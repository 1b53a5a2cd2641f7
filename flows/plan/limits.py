"""What a campaign needs against what the machine has: refusals, and which change of a parameter would do.

A remedy is found by planning again with other values, so what it names does fit.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from flows.plan.machine import size_text
from storage.errors import InputError
from tasks.plan.memory import StageMemory, plan_memory
from tasks.plan.store import plan_store
from tasks.plan.workload import Workload

SIZES = (512, 384, 256, 224, 192, 160, 128, 96, 64, 32)  # pixel, that images may be made smaller to
N_REMEDIES = 3


@dataclass(frozen=True)
class Machine:
    """What may be used, in bytes.

    Attributes
    ----------
    memory : of all processes together; available : of it what others leave just now.
    own : what the run's processes take already, Python and its libraries.
    gpu : of the CUDA device that would compute; None on a CPU.
    disk : free where the store is; None where it is elsewhere.
    """

    memory: int
    available: int
    own: int
    gpu: int | None
    disk: int | None

    def needed(self, stages: Sequence[StageMemory]) -> list[int]:
        """Memory of the process during each stage, with as many tasks of it as run side by side.

        What a task has freed the allocator keeps in part, for its thread alone. So the largest of those before counts
        once more.
        """
        own = [stage.worker if self.gpu is None else stage.host for stage in stages]
        return [
            self.own + stage.n_at_once * one + max(own[:i], default=0)
            for i, (stage, one) in enumerate(zip(stages, own, strict=True))
        ]

    def holds(self, work: Workload) -> bool:
        """Whether all stages fit into memory, the machine's and the GPU's."""
        stages = plan_memory(work)
        on_gpu = max(stage.n_at_once * stage.passes for stage in stages)
        return max(self.needed(stages)) <= self.memory and (self.gpu is None or on_gpu <= self.gpu)


def check_memory(work: Workload, machine: Machine) -> None:
    """Refuse a campaign of which a stage needs more memory than there is.

    Raises
    ------
    InputError : naming the largest stage and values with which everything fits.
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
        f"{stage_name(worst)} needs {size_text(need)} of {size_text(there)}: {worst.n_at_once} at once, each "
        f"{size_text(worst.worker)}, beside Python, its libraries and what stages before leave",
        f"Every stage of a campaign fits into the machine's {where}",
        remedy(work, machine.holds, f"a machine with {size_text(need)} of {where}, or fewer dates"),
    )


def check_disk(work: Workload, machine: Machine, image_share: float) -> None:
    """Refuse a campaign whose artefacts do not fit on the disk of the store.

    Raises
    ------
    InputError : naming the largest kind of artefact and values with which everything fits.
    """
    sizes = plan_store(work, image_share)
    need, free = sum(size.bytes for size in sizes), machine.disk
    if free is None or need <= free:
        return
    largest = max(sizes, key=lambda size: size.bytes)
    raise InputError(
        f"{size_text(need)} for {size_text(free)} that are free; {size_text(largest.bytes)} are "
        f"{largest.kind}{f' by {largest.method}' if largest.method else ''}",
        "A campaign's artefacts fit on the disk of the store",
        remedy(
            work,
            lambda changed: sum(size.bytes for size in plan_store(changed, image_share)) <= free,
            f"a disk with {size_text(need)} free (--store), or fewer dates",
        ),
    )


def stage_name(stage: StageMemory) -> str:
    """A stage with its saliency method, where it has one."""
    return f"{stage.stage} {stage.method}" if stage.method else stage.stage


def remedy(work: Workload, fits: Callable[[Workload], bool], otherwise: str) -> str:
    """The first changes of one parameter each with which a campaign fits; `otherwise` in any case."""
    found = (next((said for said, changed in some if fits(changed)), None) for some in changes(work))
    return ", or ".join([*islice((said for said in found if said), N_REMEDIES), otherwise])


def changes(work: Workload) -> Iterator[Iterator[tuple[str, Workload]]]:
    """Changes of each parameter that costs memory or room, what changes no number first, smaller ones first."""
    runtime, cluster, train = work.runtime, work.cluster, work.train
    yield (
        (f"runtime.workers = {n}", replace(work, runtime=runtime.model_copy(update={"workers": n})))
        for n in range(runtime.workers - 1, 0, -1)
    )
    yield (
        (f"runtime.batch_size = {n}", replace(work, runtime=runtime.model_copy(update={"batch_size": n})))
        for n in halves(runtime.batch_size, 1)
    )
    yield (
        (f"cluster.max_exact = {n}", replace(work, cluster=cluster.model_copy(update={"max_exact": n})))
        for n in halves(min(cluster.max_exact, work.n_validation), 2)
    )
    if train is not None:
        yield (
            (f"train.batch_size = {n} (other weights)", replace(work, train=train.model_copy(update={"batch_size": n})))
            for n in halves(train.batch_size, 2)
        )
    yield ((f"explain.methods without {left}", changed) for left, changed in fewer_methods(work))
    least = work.explain.occlusion.patch
    yield (
        (f"ingest.image_size = {size}", resized(work, size)) for size in SIZES if least < size < work.ingest.image_size
    )


def halves(value: int, least: int) -> Iterator[int]:
    """Half of a value, a quarter and so on, down to `least`."""
    while value // 2 >= least:
        value //= 2
        yield value


def fewer_methods(work: Workload) -> Iterator[tuple[str, Workload]]:
    """The same campaign with one saliency method less, where there are several; that of the largest maps first."""
    methods = work.explain.methods
    for left in sorted(methods, key=work.map_shape, reverse=True) if len(methods) > 1 else ():
        others = tuple(method for method in methods if method != left)
        yield left, replace(work, explain=work.explain.model_copy(update={"methods": others}))


def resized(work: Workload, size: int) -> Workload:
    """The same campaign with smaller images; layers' outputs go with the pixels, as a convolutional network's do.

    The shape of Grad-CAM maps stays, which is on the safe side.
    """
    share = (size / work.ingest.image_size) ** 2
    network = work.network
    smaller = replace(
        network, largest_bytes=round(network.largest_bytes * share), total_bytes=round(network.total_bytes * share)
    )
    return replace(work, network=smaller, ingest=work.ingest.model_copy(update={"image_size": size}))
