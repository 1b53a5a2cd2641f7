"""A plan beside a campaign that runs: what the classifier is asked, task runs, and what lies in the store."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from flows.plan.plan import Plan, plan_campaign
from storage.artifacts import Store
from tasks.cluster.params import ClusterParams
from tasks.explain.engine.packed import PackedConvolution
from tasks.explain.lime import LimeParams
from tasks.explain.methods import ExplainParams
from tasks.explain.occlusion import OcclusionParams
from tasks.parameters import Runtime
from tasks.plan.rehearsal import rehearse
from tests.support.campaigns import RESNET18, Finished, run_small, small_campaign

METHODS = ("gradcam", "occlusion", "occlusion_preview", "lime")
# The unit tests of `tasks.plan` count passes of each method by themselves.
pytestmark = pytest.mark.nightly
SMALL = ExplainParams(
    methods=METHODS,
    occlusion=OcclusionParams(stride=16),
    lime=LimeParams(n_samples=130, segments="slic", regressor="ridge"),
)


@contextmanager
def counting() -> Generator[Counter[str]]:
    """Images that pass a ResNet18, those whose gradient is taken from its first layer on, and those computed in part.

    Counted are those of all threads. Every way to run the network, whole or in parts, calls its last layer as a module,
    and all but two its first convolution: hidden windows and samples that share layers enter the network behind it.
    """
    counts: Counter[str] = Counter()

    def passed(module: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, torch.Tensor) or not isinstance(inputs[0], torch.Tensor):
            return  # a trace of the network, which computes nothing
        if isinstance(module, nn.Linear):
            counts["partial"] += len(inputs[0])
        elif isinstance(module, (nn.Conv2d, PackedConvolution)) and inputs[0].shape[1] == 3:
            counts["forward"] += len(inputs[0])
            counts["partial"] -= len(inputs[0])
            counts["backward"] += len(inputs[0]) * output.requires_grad

    handle = nn.modules.module.register_module_forward_hook(passed)
    try:
        yield counts
    finally:
        handle.remove()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Finished, Counter[str], Path]:
    """A small campaign by all methods, planned and run, with what it asked of the classifier."""
    cluster = ClusterParams(n_clusters=3, n_seeds=2, allow_preview=True)
    params = small_campaign("planned", explain=SMALL, train=RESNET18, cluster=cluster)
    store = tmp_path_factory.mktemp("planned") / "store"
    plan = plan_campaign(params, str(store), Runtime(batch_size=8))
    assert not store.exists()  # planning leaves nothing
    with counting() as rehearsed:
        rehearse(["not_ready", "ready"], params.train, None, SMALL, params.ingest.image_size, Runtime(batch_size=8))
    with counting() as counts:
        finished = run_small(params, store, Runtime(batch_size=8))
    counts.subtract(rehearsed)
    return plan, finished, counts, store


def test_the_classifier_is_asked_exactly_as_often_as_planned(
    run: tuple[Plan, Finished, Counter[str], Path],
) -> None:
    plan, _, counts, _ = run
    planned = {name: sum(getattr(stage, name) for stage in plan.stages) for name in ("forward", "backward", "partial")}
    assert planned == dict(counts) and min(planned.values()) > 0


def test_there_are_as_many_task_runs_as_planned(run: tuple[Plan, Finished, Counter[str], Path]) -> None:
    plan, finished, _, _ = run
    assert sum(stage.n_tasks for stage in plan.stages) == len(finished.tasks)


def test_the_store_holds_what_was_planned(run: tuple[Plan, Finished, Counter[str], Path]) -> None:
    """Within a tenth for what does not compress; all files together within a tenth less and a third more."""
    plan, finished, _, folder = run
    store, found = Store(folder), Counter[str]()
    for role, ref in finished.record.artifacts.items():
        found[role.split()[0]] += sum(file.size for file in store.open(ref).manifest.files.values())
    planned = Counter[str]()
    for size in plan.sizes:
        planned[size.kind] += size.bytes
    assert found["classifier"] == pytest.approx(planned["classifier"], rel=0.01)
    assert found["images"] == pytest.approx(planned["images"] + planned["listings"] / 2, rel=0.1)
    assert 0.5 * planned["saliency"] < found["saliency"] < 1.1 * planned["saliency"]
    files = {path.stat().st_ino: path for path in folder.rglob("*") if path.is_file()}  # shards are links
    whole = sum(path.stat().st_size for path in files.values())
    kept = sum(size.bytes for size in plan.sizes if size.kind != "checkpoint")
    assert 0.9 * whole < kept < 1.3 * whole


def test_rows_of_a_date_lie_by_plant(run: tuple[Plan, Finished, Counter[str], Path]) -> None:
    """Rows keep the order of the source's list, so statistics of the files tell a reader where a plant is."""
    _, finished, _, folder = run
    for table in ("observations", "predictions"):
        for path in (folder / "tables" / table).rglob("*.parquet"):
            assert pq.read_metadata(path).row_group(0).sorting_columns, path
    assert len(list((folder / "tables/predictions").rglob("*.parquet"))) == len(finished.record.params["dates"])
