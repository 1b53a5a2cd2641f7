"""Whole campaigns with their store in a bucket: the same tables as in a folder, also where the server fails."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import date

import pytest
from distributed import Client

from flows.acquisition import score_acquisition
from flows.campaign import analyse_campaign
from storage.artifacts import MANIFEST, Store
from storage.places.files import list_files
from storage.records.campaigns import read_record
from storage.verify import verify_store
from tasks.classify.training import TrainParams
from tasks.parameters import Runtime
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.source import SyntheticSource
from tests.support.campaigns import DATES, HARVEST, run_small, small_campaign, wait_until
from tests.support.dask_cluster import cluster
from tests.support.object_servers import CREDENTIALS, ObjectServer, faulty_line, running_server

NEW_DATE = date(2022, 8, 29)  # of the same season, scored and not fitted on
SEASON = SeasonParams(dates=(DATES[0], NEW_DATE, DATES[1]), n_plots=2, rows=3, plants_per_row=10, image_size=64, seed=1)
CAMPAIGN = small_campaign(source=SyntheticSource(season=SEASON), train=TrainParams(epochs=1, learning_rate=1e-3))


@pytest.fixture(autouse=True, scope="module")
def credentials() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> dict[str, bytes]:
    """What a store in a folder publishes, the date that is scored included."""
    store = tmp_path_factory.mktemp("folder") / "store"
    analyse_campaign(CAMPAIGN, str(store), Runtime(workers=1))
    score_acquisition("small", NEW_DATE, str(store))
    return published(Store(store))


def published(store: Store) -> dict[str, bytes]:
    """Tables and exports by name; reports hold the time at which they were made."""
    return {
        f"{kind}/{name}": path.read_bytes()
        for kind in ("tables", "exports")
        for name, path in list_files(store.root / kind).items()
        if not name.endswith(".json")
    }


def only_own_dates(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if NEW_DATE.isoformat() not in name}


@pytest.fixture(scope="module", params=[pytest.param("moto", marks=pytest.mark.nightly), "rclone"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with running_server(request.param, tmp_path_factory.mktemp(request.param) / "objects") as running:
        yield running


def test_tables_are_those_of_a_folder(expected: dict[str, bytes], server: ObjectServer) -> None:
    address = server.address("season")
    run_small(CAMPAIGN, address)
    score_acquisition("small", NEW_DATE, address)
    store = Store(address)
    assert published(store) == expected
    assert verify_store(store).problems == [] and verify_store(store).unfinished == []
    again = run_small(CAMPAIGN, address)
    stages = [state for name, state in again.states().items() if name.split()[0] in ("ingest", "train", "explain")]
    assert set(stages) == {"Cached"}
    told = subprocess.run([HARVEST, "verify", address], env={**os.environ}, capture_output=True, text=True, check=True)
    assert "no problem found" in told.stdout


def test_a_deleted_object_is_made_again(server: ObjectServer) -> None:
    store = Store(server.address("season"))
    one, other = (read_record(store, "small").artifacts[f"predictions {day}"] for day in DATES)
    store.open(one).file("predictions.parquet").unlink()
    (store.folder(other) / MANIFEST).unlink()
    problems = "\n".join(verify_store(store).problems)
    assert f"artifacts/{one}: file predictions.parquet" in problems
    assert f"campaigns/small.json: the artefact predictions {DATES[1]}, {other}, is missing" in problems
    run_small(CAMPAIGN, store.address)
    assert verify_store(store).problems == []


@pytest.mark.nightly  # tests/unit/storage/places/test_objects.py lets requests fail
def test_a_server_that_is_killed_and_started_again(
    expected: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, one_thread: None
) -> None:
    with running_server("rclone", tmp_path_factory.mktemp("restarted") / "objects") as server:
        store, killed = Store(server.address("restarted")), list[str]()

        def kill_thrice() -> None:
            for kind in ("images", "predictions", "assignments"):
                folder = server.folder / "harvest/restarted/artifacts" / kind
                while not folder.is_dir():
                    time.sleep(0.01)
                server.kill()
                killed.append(kind)
                time.sleep(2)
                server.start()

        killer = threading.Thread(target=kill_thrice, daemon=True)
        killer.start()
        analyse_campaign(CAMPAIGN, store.address)
        killer.join()
        assert killed == ["images", "predictions", "assignments"]
        assert published(store) == only_own_dates(expected)
        assert verify_store(store).problems == []


@pytest.mark.nightly  # the tests above kill a server, and test_dask.py a worker
def test_a_worker_a_server_and_requests_fail_in_one_run(
    expected: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, one_thread: None
) -> None:
    """On two workers of Dask: one is killed at its first task, and the server when the first answers are there."""
    folder, killed = tmp_path_factory.mktemp("all"), list[str]()
    with (
        running_server("rclone", folder / "objects") as server,
        faulty_line(server.url, share=0.05) as line,
        cluster(folder) as workers,
    ):

        def kill_both() -> None:
            with Client(workers.address, set_as_default=False) as client:
                name = wait_until(lambda: busy_worker(client), seconds=120)
            workers.kill(name)
            killed.append(name)
            wait_until(lambda: list(server.folder.glob("harvest/all/artifacts/predictions/*")), seconds=120)
            server.kill()
            killed.append("server")
            time.sleep(2)
            server.start()

        killer = threading.Thread(target=kill_both, daemon=True)
        killer.start()
        runtime = Runtime(device="cpu", task_runner="dask", scheduler=workers.address)
        analyse_campaign(CAMPAIGN, f"s3://harvest/all?endpoint={line.url}", runtime)
        killer.join()
        store = Store(server.address("all"))
        assert len(killed) == 2 and min(line.counts[fault] for fault in ("500", "503", "cut", "cut after")) > 0
        assert published(store) == only_own_dates(expected)
        assert verify_store(store).problems == []


def busy_worker(client: Client) -> str | None:
    """Name of a worker that has a task of the campaign."""
    known = client.scheduler_info()["workers"]
    busy = [address for address, keys in client.processing().items() if keys]  # pyright: ignore[reportAttributeAccessIssue]
    return str(known[busy[0]]["name"]) if busy and busy[0] in known else None
