"""Compare tables made in threads and on workers of Dask: killed workers, a run's own, and workers in other networks."""

import asyncio
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import dask.config
import numpy as np
import pytest
from distributed import Client, LocalCluster
from prefect import flow, get_client, task
from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterId
from prefect.client.schemas.objects import TaskRunResult
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.parameters import CampaignParams
from flows.running.dask import workers
from flows.running.dask.worker_checks import gives_memory_back, worker_problem
from flows.running.dask.workers import DaskWorkers, LostWorkersError, WorkerFuture
from storage.arrays.specs import PEAK, ROWS, SALIENCY
from storage.arrays.zarr_files import read_array
from storage.artifacts import ArtifactRef, Store
from storage.errors import InputError
from tasks.classify.architectures import build_model
from tasks.classify.model import save_weights
from tasks.classify.params import GivenClassifier
from tasks.cluster.params import ClusterParams
from tasks.explain.methods import ExplainParams
from tasks.explain.occlusion import OcclusionParams
from tasks.parameters import Runtime
from tasks.stage import versions
from tests.support.campaigns import Finished, contents, run_small, small_campaign, wait_until
from tests.support.dask_cluster import Cluster, cluster, forwarded, namespaces, why_no_namespaces

pytestmark = pytest.mark.usefixtures("one_thread")
SPREAD = ("predict ", "explain ", "assign ", "reliability ", "adjust ", "drift ")
THREADS = Runtime(device="cpu")
RELEASED = threading.Event()


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
    """Maps may differ by float rounding: each process measures which way to compute is faster at that moment."""
    for name in ("tables", "exports", "artifacts/predictions"):
        assert contents(ours / name) and contents(ours / name) == contents(theirs / name), name
    refs = [ArtifactRef(kind="saliency", digest=path.name) for path in (ours / "artifacts/saliency").iterdir()]
    assert refs
    for ref in refs:
        own, other = (Store(store).open(ref) for store in (ours, theirs))
        assert np.array_equal(read_array(own, ROWS), read_array(other, ROWS))
        assert np.allclose(read_array(own, PEAK), read_array(other, PEAK), rtol=1e-4, atol=0), ref
        steps = 2 * np.finfo(np.float16).eps
        assert np.allclose(read_array(own, SALIENCY), read_array(other, SALIENCY), rtol=0, atol=steps), ref


def edges(run: Finished) -> set[tuple[str, str, str]]:
    """What the graph shows of spread tasks: whose result each takes, as which parameter.

    Prefect also draws edges to values that lie where in memory a result has lain, so parameters without results are
    left out; and a second one, `__parents__`, to an input that runs at the moment at which its taker is submitted.
    """
    plain = {"params", "runtime", "campaign", "date", "store", "__parents__"}
    names = {one.id: name for name, one in run.tasks.items()}
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
        from tasks.classify import loading

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


def test_those_workers_are_in_networks_of_their_own() -> None:
    """Where this is skipped, the machine does not allow it, and they were in this process's."""
    if reason := why_no_namespaces():
        pytest.skip(reason)
    look = ["readlink", "/proc/self/ns/net"]
    with namespaces(2) as (_, places):
        found = [subprocess.run([*place, *look], capture_output=True, check=True).stdout for place in ([], *places)]
    assert len({*found}) == 3


@pytest.mark.nightly  # the other tests send tasks to the workers of a cluster
def test_a_run_starts_workers_of_its_own(params: CampaignParams, threads: Run, tmp_path: Path) -> None:
    """What is lost they make anew, and what is there they find."""
    store = tmp_path / "store"
    shutil.copytree(threads.store, store)
    for kind in ("predictions", "saliency", "saliency_shard"):
        shutil.rmtree(store / "artifacts" / kind)
    run = run_small(params, store, Runtime(device="cpu", task_runner="dask", workers=2))
    same(store, threads.store)
    states = {(name.split()[0], state) for name, state in run.states().items() if name.startswith(SPREAD)}
    made, found = {("predict", "Completed"), ("explain", "Completed")}, ("assign", "reliability", "adjust", "drift")
    assert states == made | {(verb, "Cached") for verb in found}


@pytest.fixture
def scheduler() -> Generator[LocalCluster]:
    """A scheduler with one worker in threads of this process."""
    found = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, protocol="tcp://", dashboard_address=":0")
    RELEASED.clear()
    with found:
        yield found
        RELEASED.set()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "NO_WORKER_SECONDS", 1)
    monkeypatch.setattr(workers, "CHECK_SECONDS", 0.2)


def connected(address: str) -> DaskWorkers:
    return DaskWorkers(Runtime(task_runner="dask", scheduler=address))


def wait_for_release() -> None:
    """What a worker in a thread of this process does."""
    RELEASED.wait()


def begun(found: DaskWorkers) -> WorkerFuture:
    """A task that has begun, and ends when it is released."""
    future = WorkerFuture(uuid4(), found.client.submit(wait_for_release), found)
    wait_until(lambda: any(found.client.processing().values()))  # pyright: ignore[reportAttributeAccessIssue]
    return future


def states(task_runs: list[UUID]) -> list[tuple[str, str]]:
    """Name and message of the state of each of some task runs that the server knows."""
    only = TaskRunFilter(id=TaskRunFilterId(any_=task_runs))
    with get_client(sync_client=True) as client:
        found = {run.id: run.state for run in client.read_task_runs(task_run_filter=only)}
    known = [state for one in task_runs if (state := found.get(one))]
    return [(state.name or "", state.message or "") for state in known]


def test_a_task_that_kills_its_workers_is_shown_as_crashed(tmp_path: Path) -> None:
    """What another worker was at when that ended the run is not shown as running for ever either."""
    ids: list[UUID] = []

    def kill(store: str) -> None:  # in here, as all that travels: workers do not know this module
        while not (Path(store) / "all run").exists():
            time.sleep(0.1)
        os._exit(1)

    def last(store: str, seconds: float) -> None:
        time.sleep(seconds)

    @flow
    def deadly() -> None:
        with DaskWorkers(Runtime(task_runner="dask", workers=2)) as found:
            there = {"store": str(tmp_path)}
            done = found.submit(task(last), {**there, "seconds": 0})
            done.result()
            sent = [found.submit(task(last), {**there, "seconds": 600}), found.submit(task(kill), there)]
            ids.extend(future.task_run_id for future in (done, *sent))
            sent[-1].result()

    def say_when_all_run() -> None:
        wait_until(lambda: [name for name, _ in states(ids)] == ["Completed", "Running", "Running"], 200)
        (tmp_path / "all run").touch()

    waiting = threading.Thread(target=say_when_all_run)
    waiting.start()
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), pytest.raises(LostWorkersError, match="died"):
        deadly()
    waiting.join()
    assert [name for name, _ in states(ids)] == ["Completed", "Crashed", "Crashed"]
    assert "The usual cause is too little memory" in states(ids)[-1][1]


@pytest.mark.usefixtures("impatient")
def test_workers_that_do_not_come_back_are_given_up(scheduler: LocalCluster) -> None:
    with connected(scheduler.scheduler_address) as found:
        future = begun(found)
        with pytest.raises(TimeoutError):
            future.result(timeout=0.1)
        scheduler.scale(0)
        with pytest.raises(LostWorkersError, match="no worker for 1 seconds"):
            future.result()
        with pytest.raises(LostWorkersError, match="no worker came"):
            found.check({})


@pytest.mark.usefixtures("impatient")
def test_a_lost_scheduler_ends_the_wait(scheduler: LocalCluster) -> None:
    with connected(scheduler.scheduler_address) as found:
        future = begun(found)
        threading.Timer(2, RELEASED.set).start()  # closing waits for the worker's task
        scheduler.close()
        with pytest.raises(LostWorkersError, match="is gone, or has no workers"):
            future.result()


def test_a_scheduler_that_is_not_there_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "CONNECT_SECONDS", 1)
    with pytest.raises(LostWorkersError, match=r"tcp://127\.0\.0\.1:1 .*dask scheduler"):
        connected("tcp://127.0.0.1:1").__enter__()


def test_workers_of_a_run_s_own_keep_memory() -> None:
    with DaskWorkers(Runtime(task_runner="dask", workers=1)) as found:
        assert [*found.client.run(gives_memory_back).values()] == [False]  # pyright: ignore[reportAttributeAccessIssue]


async def cpu_of_waiting(seconds: float) -> float:
    """Return the CPU seconds that this process takes while it waits."""
    begun = time.process_time()
    await asyncio.sleep(seconds)
    return time.process_time() - begun


def test_processes_of_a_run_s_own_rest_while_they_wait() -> None:
    with DaskWorkers(Runtime(task_runner="dask", workers=1)) as found:
        found.client.wait_for_workers(1)
        assert max(found.client.run(cpu_of_waiting, 5.0).values()) < 0.05  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.skipif(sys.platform != "linux", reason="an allocator of Linux")
def test_workers_that_give_memory_back_are_told_of(
    scheduler: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")  # as Dask sets it; this worker lives in this process

    @flow
    def check() -> None:
        with connected(scheduler.scheduler_address) as found:
            found.check({"store": str(tmp_path)})

    check()
    (told,) = (record.getMessage() for record in caplog.records if "give memory back" in record.getMessage())
    assert told.startswith("1 of 1 workers") and "docs/dask.md" in told


def test_workers_elsewhere_need_a_server_that_they_can_reach() -> None:
    with temporary_settings({PREFECT_API_URL: None}), pytest.raises(InputError, match="PREFECT_API_URL is not set"):
        connected("tcp://127.0.0.1:1").__enter__()


def test_a_worker_tells_what_it_lacks(tmp_path: Path) -> None:
    server, ref = str(PREFECT_API_URL.value()), ArtifactRef(kind="images", digest="0" * 24)
    assert worker_problem(server, str(tmp_path), [], versions()) == ""
    assert "cannot read this run's artefacts in the store" in worker_problem(server, str(tmp_path), [ref], versions())
    assert "cannot reach" in worker_problem("http://127.0.0.1:1/api", str(tmp_path), [], versions())
    assert "where this run has 9.9" in worker_problem(server, str(tmp_path), [], {**versions(), "numpy": "9.9"})
