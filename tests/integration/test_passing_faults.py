"""Runs that a passing fault stops: put off, begun again by who plays the worker, and given up; the faults are real."""

import shutil
import subprocess
from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect import Flow, flow, get_client
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions, FlowRun
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from prefect.states import Crashed, Pending, Running, Scheduled

from flows.running.faults import PUT_OFF, put_off_by_faults
from flows.running.restarts import FIRST_PAUSE, MAX_RUNS, PATIENCE
from flows.running.sending import find_runs, send
from flows.upkeep.keep import keep_store
from storage.artifacts import ArtifactRef, Recipe, Store
from storage.errors import ArtifactError, AwayError, InputError
from storage.places import addresses
from storage.records.upkeep import read_upkeep
from tasks.sources.files import find_root
from tests.support.deployments import deployment_without_worker
from tests.support.object_servers import CREDENTIALS, running_server
from tests.support.store_history import History

RECIPE = Recipe("weights", 1, {})


@flow(name="weigh-plots")
@put_off_by_faults
def weigh_plots(store: str, source: str) -> str:
    """Read a source, or an artefact of the store, and write an artefact of 600 kB."""
    opened = Store(store)
    opened.check()
    if source == "store":
        opened.open(ArtifactRef(kind="weights", digest="0"))
    if not find_root(source).joinpath("weights.csv").is_file():
        raise InputError("no weights", "b", "c")
    with opened.create(RECIPE) as draft:
        draft.write_bytes("weights.pt", bytes(600_000))
    return "weighed"


@pytest.fixture(scope="module", autouse=True)
def deployments() -> Generator[None]:
    """Both as the service has them: of the store, one run at a time, and a second one is cancelled."""
    one = ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    with (
        deployment_without_worker("weigh-plots"),
        deployment_without_worker("keep-store", concurrency_limit=1, concurrency_options=one),
    ):
        yield


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/weights.csv").touch()
    return tmp_path / "source"


class Run:
    """A run of the deployment of a flow."""

    def __init__(self, of: Flow[..., Any], **parameters: Any) -> None:
        self.key, self.flow, self.parameters = f"{of.name} {uuid4()}", of, parameters
        self.id = self.send().id

    def send(self, **options: Any) -> FlowRun:
        """Ask for the run, as often as it is wanted."""
        return send(f"{self.flow.name}/{self.flow.name}", self.parameters, self.key, **options)

    def now(self) -> FlowRun:
        with get_client(sync_client=True) as client:
            return client.read_flow_run(self.id)

    def start(self) -> Any:
        """Take it as a worker does."""
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(self.id, Pending())
        return run_flow(self.flow, flow_run=self.now(), parameters=self.parameters)

    def is_put_off(self, found: str) -> timedelta:
        """Start it, which puts it off with what was found; returns for how long."""
        with pytest.raises(Pause):
            self.start()
        run = self.now()
        assert run.state is not None and run.state.name == "AwaitingRetry"
        assert (run.state.message or "").startswith(PUT_OFF) and found in (run.state.message or "")
        assert run.state.state_details.scheduled_time is not None
        return run.state.state_details.scheduled_time - datetime.now(UTC)

    def begin_at_once(self) -> None:
        """Let the pause be over."""
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(self.id, Scheduled(), force=True)


def weighing(store: Path | str, source: Path | str) -> Run:
    return Run(weigh_plots, store=str(store), source=str(source))


def nearly(pause: timedelta, expected: timedelta) -> bool:
    return expected - timedelta(seconds=30) < pause <= expected


def test_a_source_that_is_away_is_waited_for_longer_and_longer(source: Path, tmp_path: Path) -> None:
    run, unmounted = weighing(tmp_path / "store", source), source.rename(tmp_path / "unmounted")
    assert nearly(run.is_put_off("There is no folder"), FIRST_PAUSE)
    run.begin_at_once()
    source.mkdir()  # the mount point
    assert nearly(run.is_put_off("is empty"), 2 * FIRST_PAUSE)
    # A schedule leaves it alone. Who asks for it has it begin at once, and no second run beside it.
    assert run.send(after_failure=False).id == run.id and run.now().state_name == "AwaitingRetry"
    source.rmdir()
    unmounted.rename(source)
    asked = run.send()
    assert asked.id == run.id and asked.state is not None and asked.state.is_scheduled()
    assert run.start() == "weighed"
    assert (run.now().state_name, run.now().run_count, len(find_runs(run.key))) == ("Completed", 3, 1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that is a disk of its own, in memory, with one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a disk, and not everywhere")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_is_waited_for_until_there_is_room(small_disk: Path, source: Path) -> None:
    run, filler = weighing(small_disk / "store", source), small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - 100_000))
    run.is_put_off("the disk is full (")
    filler.unlink()
    run.begin_at_once()
    assert run.start() == "weighed" and Store(small_disk / "store").holds(RECIPE.ref)


def test_a_bucket_is_waited_for_until_its_server_is_there(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(addresses, "FIRST_SECONDS", 1)
    with running_server("rclone", tmp_path / "objects") as server:
        store = server.address("store")
        server.kill()
        run = weighing(store, source)
        run.is_put_off("s3://harvest/store: ")
        server.start()
        run.begin_at_once()
        assert run.start() == "weighed" and Store(store).holds(RECIPE.ref)


def test_a_store_that_is_unmounted_during_a_run_has_no_damaged_artefact(tmp_path: Path) -> None:
    run = weighing(tmp_path / "store", "store")
    run.is_put_off("never finished, or deleted")
    (tmp_path / "store/reports").mkdir(parents=True)
    run.begin_at_once()
    with pytest.raises(ArtifactError):
        run.start()
    assert run.now().state_name == "Failed"


def test_a_store_that_is_away_at_night_is_kept_when_it_is_back(tmp_path: Path) -> None:
    root = tmp_path / "store"
    history = History(root, 0)
    history.fit()
    run, unmounted = Run(keep_store, store=str(root), params={"gc_days": 0}), root.rename(tmp_path / "unmounted")
    assert nearly(run.is_put_off("has no folder `artifacts`"), FIRST_PAUSE)
    root.mkdir()  # the mount point
    run.begin_at_once()
    assert nearly(run.is_put_off("has no folder `artifacts`"), 2 * FIRST_PAUSE)
    assert list(root.iterdir()) == []
    root.rmdir()
    unmounted.rename(root)
    run.begin_at_once()
    assert "the round is complete" in run.start()["Read again"][0]
    assert (run.now().state_name, run.now().run_count) == ("Completed", 3) and read_upkeep(history.store).completed


def test_what_needs_a_person_fails_at_once(source: Path, tmp_path: Path) -> None:
    (source / "weights.csv").rename(source / "other.csv")
    run = weighing(tmp_path / "store", source)
    with pytest.raises(InputError):
        run.start()
    assert (run.now().state_name, run.now().run_count) == ("Failed", 1)


def test_the_patience_ends(tmp_path: Path) -> None:
    """The pauses up to the last start are the patience."""
    assert sum((FIRST_PAUSE * 2**n for n in range(MAX_RUNS - 1)), timedelta()) == PATIENCE == timedelta(minutes=1022)
    run = weighing(tmp_path / "store", tmp_path / "gone")
    with get_client(sync_client=True) as client:
        for _ in range(MAX_RUNS - 2):
            for state in (Running(), Crashed(), Scheduled()):
                client.set_flow_run_state(run.id, state, force=True)
    assert nearly(run.is_put_off("There is no folder"), FIRST_PAUSE * 2 ** (MAX_RUNS - 2))
    run.begin_at_once()
    with pytest.raises(AwayError):
        run.start()
    assert (run.now().state_name, run.now().run_count) == ("Failed", MAX_RUNS)


def test_a_run_that_no_worker_takes_again_fails(tmp_path: Path) -> None:
    with pytest.raises(AwayError):
        weigh_plots(str(tmp_path / "store"), str(tmp_path / "gone"))
