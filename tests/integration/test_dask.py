"""The same tables from threads and from workers of Dask: killed ones, ones of the run's own, ones in other networks."""

import shutil
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from distributed import Client
from prefect import flow, task
from prefect.client.schemas.objects import TaskRunResult
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import workers
from flows.parameters import CampaignParams
from flows.stages import Stages
from flows.workers import LostWorkersError
from storage.errors import InputError
from tasks.classifier import GivenClassifier, build_model, save_weights
from tasks.cluster_checks import ClusterParams
from tasks.parameters import Runtime
from tasks.saliency.maps import ExplainParams
from tasks.saliency.occlusion import OcclusionParams
from tests.integration.cluster import Cluster, cluster, forwarded, namespaces, why_no_namespaces
from tests.integration.conftest import Finished, contents, run_small, small_campaign, wait_until

pytestmark = pytest.mark.usefixtures("one_thread")
SPREAD = ("predict ", "explain ", "assign ", "rate ", "adjust ", "drift ")
THREADS = Runtime(device="cpu")


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> CampaignParams:
    """A classifier that is given, and maps of which a shard takes about a second."""
    path = tmp_path_factory.mktemp("weights") / "weights.pt"
    path.write_bytes(save_weights(build_model("resnet18", 2, "none", seed=0)))
    return small_campaign(
        classifier=GivenClassifier(path=str(path)),
        explain=ExplainParams(methods=("occlusion",), occlusion=OcclusionParams(patch=8, stride=8)),
        cluster=ClusterParams(n_clusters=3, n_seeds=2),
    )


@dataclass(frozen=True)
class Run:
    store: Path
    finished: Finished


@pytest.fixture(scope="module")
def threads(params: CampaignParams, tmp_path_factory: pytest.TempPathFactory) -> Run:
    store = tmp_path_factory.mktemp("threads") / "store"
    return Run(store, run_small(params, store, THREADS))


@pytest.fixture
def two_workers(tmp_path: Path) -> Generator[Cluster]:
    """A scheduler and two workers: in networks of their own, where this machine allows it.

    From there they reach the Prefect server at an address of this host.
    """
    with ExitStack() as stack:
        if why_no_namespaces():
            yield stack.enter_context(cluster(tmp_path))
            return
        host, places = stack.enter_context(namespaces(2))
        server = urlsplit(str(PREFECT_API_URL.value()))
        assert server.port
        stack.enter_context(forwarded(host, server.port, tmp_path))
        stack.enter_context(temporary_settings({PREFECT_API_URL: f"http://{host}:{server.port}/api"}))
        yield stack.enter_context(cluster(tmp_path, host, places))


def same(ours: Path, theirs: Path) -> None:
    for name in ("tables", "exports", "artifacts/predictions", "artifacts/saliency"):
        assert contents(ours / name) and contents(ours / name) == contents(theirs / name), name


def edges(run: Finished) -> set[tuple[str, str, str]]:
    """What the graph shows of spread tasks: whose result each takes, as which parameter.

    Prefect also draws edges to values that lie where in memory a result has lain, so parameters without results are
    left out.
    """
    names, plain = {one.id: name for name, one in run.tasks.items()}, {"params", "runtime", "campaign", "date", "store"}
    return {
        (names[given.id], name, parameter)
        for name, one in run.tasks.items()
        if name.startswith(SPREAD)
        for parameter, inputs in one.task_inputs.items()
        if parameter not in plain
        for given in inputs
        if isinstance(given, TaskRunResult)
    }


def kill_explaining(found: Cluster, store: Path, killed: list[str]) -> None:
    """Kill a worker that explains, when the first shard is there."""
    wait_until(lambda: list(store.glob("artifacts/saliency_shard/[0-9a-f]*/manifest.json")), 120)
    with Client(found.address, set_as_default=False) as client:
        known = client.scheduler_info()["workers"]
        busy = [
            str(known[address]["name"])
            for address, keys in client.processing().items()  # pyright: ignore[reportAttributeAccessIssue]
            if any("explain_shards" in key for key in keys)
        ]
    killed.append(busy[0])
    found.kill(busy[0])


def test_a_killed_worker_changes_no_table(
    params: CampaignParams, threads: Run, two_workers: Cluster, tmp_path: Path
) -> None:
    def facts_of_worker() -> tuple[int, str]:  # in here, so that it travels by value: workers do not know this module
        from tasks import loading

        return loading.KEPT.n_loads, str(Path("/proc/self/ns/net").readlink())

    store, killed = tmp_path / "store", list[str]()
    killer = threading.Thread(target=kill_explaining, args=(two_workers, store, killed))
    killer.start()
    run = run_small(params, store, Runtime(device="cpu", task_runner="dask", scheduler=two_workers.address))
    killer.join()
    assert len(killed) == 1
    same(store, threads.store)
    assert run.record == threads.finished.record
    assert run.states() == threads.finished.states()
    assert edges(run) == edges(threads.finished)
    with Client(two_workers.address, set_as_default=False) as client:
        (facts,) = client.run(facts_of_worker).values()  # pyright: ignore[reportAttributeAccessIssue]
    assert facts[0] == 1  # it explained both dates, and predicted one of them at least
    is_elsewhere = two_workers.host != "127.0.0.1"
    assert (facts[1] != str(Path("/proc/self/ns/net").readlink())) == is_elsewhere


def test_a_run_starts_workers_of_its_own(params: CampaignParams, threads: Run, tmp_path: Path) -> None:
    """What is lost they make anew, and what is there they find."""
    store = tmp_path / "store"
    shutil.copytree(threads.store, store)
    for kind in ("predictions", "saliency", "saliency_shard"):
        shutil.rmtree(store / "artifacts" / kind)
    run = run_small(params, store, Runtime(device="cpu", task_runner="dask", workers=2))
    same(store, threads.store)
    states = {(name.split()[0], state) for name, state in run.states().items() if name.startswith(SPREAD)}
    made, found = {("predict", "Completed"), ("explain", "Completed")}, ("assign", "rate", "adjust", "drift")
    assert states == made | {(verb, "Cached") for verb in found}


def wait_on_worker(address: str, started: Path) -> None:
    """A flow of one task, which says that it has begun and then waits for a minute."""

    @task(task_run_name="wait")
    def wait(campaign: str, store: str) -> None:
        started.touch()
        time.sleep(60)

    @flow(name="waiting")
    def run() -> None:
        runtime = Runtime(task_runner="dask", scheduler=address)
        with Stages("small", str(started.with_name("store")), 1, runtime) as stages:
            stages.spread(wait).result()

    run()


def test_a_scheduler_without_workers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "NO_WORKER_SECONDS", 1)
    with cluster(tmp_path, places=()) as found, pytest.raises(LostWorkersError, match="no worker came"):
        wait_on_worker(found.address, tmp_path / "started")


@pytest.mark.parametrize(
    ("killed", "said"), [("worker-0", "no worker for 1 seconds"), ("scheduler", "is gone, or has no workers")]
)
def test_workers_that_do_not_come_back_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: str, said: str
) -> None:
    for name, seconds in (("NO_WORKER_SECONDS", 1), ("CHECK_SECONDS", 0.5), ("CONNECT_SECONDS", 2)):
        monkeypatch.setattr(workers, name, seconds)
    started = tmp_path / "started"

    def kill() -> None:
        wait_until(started.exists)
        found.kill(killed)

    with cluster(tmp_path, places=[()]) as found:
        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(LostWorkersError, match=said):
            wait_on_worker(found.address, started)
        killer.join()


def test_a_scheduler_that_is_not_there_is_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "CONNECT_SECONDS", 1)
    with pytest.raises(LostWorkersError, match=r"tcp://127\.0\.0\.1:1 .*dask scheduler"):
        wait_on_worker("tcp://127.0.0.1:1", tmp_path / "started")


def test_workers_elsewhere_need_a_server_that_they_can_reach(params: CampaignParams, tmp_path: Path) -> None:
    runtime = Runtime(task_runner="dask", scheduler="tcp://127.0.0.1:1")
    with temporary_settings({PREFECT_API_URL: None}), pytest.raises(InputError, match="PREFECT_API_URL is not set"):
        Stages("small", str(tmp_path), 1, runtime).__enter__()
