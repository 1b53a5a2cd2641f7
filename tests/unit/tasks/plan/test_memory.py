"""Compare planned memory with that of processes that do the work."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from tasks.cluster.params import ClusterParams
from tasks.explain.params import Method
from tasks.parameters import Runtime
from tasks.plan.memory import cluster_bytes, explain_memory, plan_memory
from tests.support.planned import DATES, RESNET18, workload
from tests.support.repository import ROOT

PROCESS = """
import json, sys
import numpy as np, torch
torch.set_num_threads(1)
from tasks.cluster.axes import isometric
from tasks.classify.architectures import build_model
from tasks.classify.model import freeze
from tasks.cluster.params import ClusterParams, Kernel
from tasks.cluster.folds import cross_fit_maps
from tasks.classify.features import logits_and_features
from tasks.parameters import Runtime
from tasks.plan.memory import cluster_bytes, explain_memory, predict_bytes, train_bytes
from tasks.explain.methods import ExplainParams, prepare_explainer
from importlib import import_module
from flows.plan.plan import LOADED_BY_A_RUN
from tasks.heap import kept_memory
from tasks.cluster.evidence import cluster_evidence
from tasks.ingest.survey import IngestParams
from tasks.classify.training import Training, TrainingSet, TrainParams, train_epoch
from tasks.plan.workload import DateCounts, Network, Workload, measure_network

def peak():
    # Not getrusage: its peak starts at that of the process that started this one.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

SIZE, CPU, GREY = 128, torch.device("cpu"), (0.5, 0.5, 0.5)
GRADCAM = ExplainParams()

def classifier(architecture="resnet18"):
    return freeze(build_model(architecture, 2, "none", 0), ("a", "b"), GREY, GREY, CPU)

def images(n):
    return np.random.default_rng(0).integers(0, 256, (n, SIZE, SIZE, 3), np.uint8)

def measured(architecture="resnet18"):
    return measure_network(classifier(architecture), GRADCAM, SIZE, Runtime())

def plan(n, network, **changes):
    fields = {"dates": (DateCounts("d", n, n, n),), "n_classes": 2, "n_training": 0, "n_samples": 0,
        "network": network, "ingest": IngestParams(image_size=SIZE), "train": TrainParams(batch_size=max(n, 2)),
        "explain": GRADCAM, "cluster": ClusterParams(), "runtime": Runtime(batch_size=n)}
    return Workload(**{**fields, **changes})

def predict(n):
    logits_and_features(classifier(), images(n), n)
    return lambda: sum(predict_bytes(work := plan(n, measured()), work.dates[0]))

def train(n):
    params, rows = TrainParams(batch_size=n), np.arange(3 * n)  # of three batches, one is made while one is trained on
    samples = TrainingSet(images(3 * n), np.stack([rows, 0 * rows, 0 * rows - 1], axis=1).astype(np.int64), rows % 2)
    training = Training.start(params, 2, CPU)
    with kept_memory():
        train_epoch(training, samples, params, CPU)
        training.dump()
    # Nothing is validated here, so the other passes are those of a single image.
    return lambda: sum(train_bytes(plan(n, measured(), n_training=3 * n, runtime=Runtime(batch_size=1))))

def explain(n, architecture="resnet18"):
    explainer = prepare_explainer("gradcam", classifier(architecture), GRADCAM, Runtime(batch_size=n))
    explainer(np.random.default_rng(0).random((n, 3, SIZE, SIZE), np.float32), np.zeros(n, np.int64))
    return lambda: explain_memory(plan(n, measured(architecture)), "gradcam").worker

def cluster(n, side=8, max_exact=12_000):
    rng, params = np.random.default_rng(0), ClusterParams(n_seeds=1, max_exact=max_exact)
    maps = rng.normal(size=(n, side * side)) + 5 * rng.normal(size=(8, side * side))[rng.integers(0, 8, n)]
    maps /= np.linalg.norm(maps, axis=1, keepdims=True)
    is_wrong, kernel = rng.random(n) < 0.3, Kernel("local", 0.5)
    vectors = isometric(maps)
    cross_fit_maps(vectors, is_wrong, [str(i // 4) for i in range(n)], params, kernel)
    cluster_evidence(vectors, is_wrong, params, Kernel("median", 0.5))
    network = Network(0, 0, 0, 0, 0, 512, (side, side), True, True, False, "cpu")
    return lambda: cluster_bytes(plan(n, network, cluster=params), "gradcam")

stage, sizes = sys.argv[1], json.loads(sys.argv[2])
torch.nn.functional.conv2d(torch.zeros(1, 3, 8, 8), torch.zeros(4, 3, 3, 3))  # loads what a first pass loads
for module in LOADED_BY_A_RUN:
    import_module(module)
before, used, plans = peak(), [], []
for size in sizes:
    plans.append(globals()[stage](*size))
    used.append(peak() - before)
# A plan measures the network, which takes memory too, in a process of its own and not in the stage's.
print(json.dumps([[most, planned()] for most, planned in zip(used, plans)]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("stage", "sizes"),
    [
        pytest.param("predict", [[8], [64]], marks=pytest.mark.nightly),  # training holds all that a prediction holds
        ("train", [[8], [48]]),
        ("explain", [[8]]),  # a second explainer would lie beside what the allocator keeps of the first
        ("explain", [[8, "vgg11_bn"]]),  # linear layers hold nine tenths of its weights, and have no tiles
        pytest.param("explain", [[64]], marks=pytest.mark.nightly),  # the same at another size
        ("cluster", [[1000], [3000]]),  # LAPACK, and iteration
        pytest.param("cluster", [[800, 32], [1600, 45]], marks=pytest.mark.nightly),  # more pixels than maps
        # Nearest neighbours alone: a few libraries are most of it.
        pytest.param("cluster", [[3000, 8, 1000]], marks=pytest.mark.nightly),
    ],
)
def test_a_process_takes_what_was_planned(stage: str, sizes: list[list[int | str]]) -> None:
    """The peak is never above the plan, and at the larger size at least two fifths of it.

    A process's peak only rises, so sizes rise too. The plan of an explanation counts the kernels of Winograd tiles,
    which are made only where the processor gains by tiles; for a ResNet18 they are most of the weights.
    """
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, stage, json.dumps(sizes)],
        cwd=ROOT,
        env={**os.environ, "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert all(used < planned for used, planned in found), found
    used, planned = found[-1]
    assert planned < (3.5 if stage == "explain" else 2.5) * used, found


def test_kernels_of_tiles_and_windows_are_held_more_often_than_other_weights() -> None:
    """A linear layer is held four times or six, a 1x1 kernel six times, and a 3x3 kernel up to 22 times."""
    nothing = replace(RESNET18, weight_bytes=0, kernel_bytes=0, tiled_bytes=0)
    held: dict[Method, tuple[int, int, int]] = {"gradcam": (4, 4, 12), "lime": (6, 6, 22), "occlusion": (4, 6, 14)}
    for method, copies in held.items():
        base = explain_memory(workload(network=nothing), method).passes
        for sizes, n in zip(((1, 0, 0), (1, 1, 0), (1, 1, 1)), copies, strict=True):
            fields = dict(zip(("weight_bytes", "kernel_bytes", "tiled_bytes"), sizes, strict=True))
            assert explain_memory(workload(network=replace(nothing, **fields)), method).passes - base == n


def test_affinity_of_all_pairs_goes_with_the_square_and_of_the_nearest_does_not() -> None:
    """12,000 maps have 1.15 GB of affinities."""
    few, many = (
        cluster_bytes(workload(dates=(replace(DATES[0], n_validation=n),)), "gradcam") for n in (12_000, 12_001)
    )
    assert few > 3 * 8 * 12_000**2 and many < few / 5
    raised = ClusterParams(max_exact=24_000)
    twice = cluster_bytes(workload(dates=(replace(DATES[0], n_validation=24_000),), cluster=raised), "gradcam")
    assert twice == pytest.approx(4 * few, rel=0.1)


def test_maps_with_more_pixels_than_there_are_maps_need_all_pairs_anyway() -> None:
    date = replace(DATES[0], n_validation=14_000)
    lime = cluster_bytes(workload(dates=(date,), cluster=ClusterParams(max_exact=2)), "lime")
    assert lime > 4 * 8 * 14_000**2


def test_a_gpu_hides_more_windows_at_once_up_to_all_of_a_map() -> None:
    """At the default batch of 32, a pass has 128 or 1,024 windows; a map has 15,129. An H200 took 3.06 MB for each."""
    of_window = 0.8 * RESNET18.largest_bytes

    def planned(device: str, batch: int) -> int:
        runtime = Runtime(batch_size=batch)
        network = replace(RESNET18, kernel_bytes=0, tiled_bytes=0, device=device)  # their copies differ too
        work = workload(network=network, runtime=runtime)
        batches = replace(work, network=replace(work.network, is_incremental=False))
        return explain_memory(work, "occlusion").passes - explain_memory(batches, "occlusion").passes

    base = 2 * RESNET18.total_bytes
    assert [round((planned(*each) - base) / of_window) for each in (("cpu", 32), ("cuda", 32), ("cuda", 512))] == [
        128,
        1024,
        15129,
    ]
    assert of_window > 3.06e6


def test_stages_run_side_by_side_as_far_as_there_are_tasks_and_workers() -> None:
    stages = {stage.stage: stage for stage in plan_memory(workload())}
    assert (stages["predict"].n_at_once, stages["train"].n_at_once, stages["cluster"].n_at_once) == (2, 1, 1)


def test_training_holds_the_images_twice() -> None:
    few, many = (
        next(stage for stage in plan_memory(workload(n_training=n)) if stage.stage == "train").host
        for n in (541, 100_541)
    )
    assert many - few == 2 * 100_000 * 256 * 256 * 3
    assert RESNET18.total_bytes > RESNET18.largest_bytes
