"""Runs of other deployments: one for a key, waited for, begun again; the test plays the worker."""

import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect import flow, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.flow_engine import run_flow
from prefect.runtime import flow_run
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Cancelled, Completed, Crashed, Failed, Running, Scheduled

from flows import sending
from flows.errors import RunFailedError
from flows.restarts import MAX_RUNS, refuse_endless_restarts
from flows.sending import find_run, is_deployed, run_elsewhere, send
from storage.errors import InputError
from tests.integration.conftest import wait_until

NAME = "weigh-heads/weigh-heads"


@flow(name="weigh-heads")
def weigh_heads(plant: str) -> str:
    return plant


@pytest.fixture(scope="module", autouse=True)
def deployment() -> Generator[UUID]:
    """A deployment of a pool without a worker."""
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}), get_client(sync_client=True) as client:
        made = client.create_flow_from_name("weigh-heads")
        yield client.create_deployment(flow_id=made, name="weigh-heads")


@pytest.fixture
def key() -> str:
    return f"weigh {uuid4()}"


def set_state(run_id: UUID, state: State[Any]) -> None:
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run_id, state, force=True)


def state_of(run: FlowRun) -> str:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run.id).state_name or ""


def sent(key: str, **options: Any) -> FlowRun:
    return send(NAME, {"plant": "A1"}, key, **options)


class TestSend:
    def test_whether_there_is_a_deployment(self) -> None:
        assert is_deployed(NAME)
        assert not is_deployed("weigh-heads/other") and not is_deployed("other/weigh-heads")

    def test_one_run_for_a_key(self, key: str) -> None:
        assert find_run(key) is None
        first, again, other = sent(key), sent(key), sent(f"{key} other")
        found = find_run(key)
        assert found is not None and first.id == again.id == found.id != other.id
        assert first.parameters == {"plant": "A1"} and state_of(first) == "Scheduled"

    def test_one_run_also_where_many_send_at_once(self, key: str) -> None:
        with ThreadPoolExecutor(5) as pool:
            runs = list(pool.map(lambda _: sent(key), range(5)))
        assert len({run.id for run in runs}) == 1

    @pytest.mark.parametrize("state", [Running(), Scheduled(), Crashed(), Failed(), Cancelled()])
    def test_what_failed_stays_so_for_a_schedule_and_what_is_going_on_goes_on(
        self, key: str, state: State[Any]
    ) -> None:
        first = sent(key)
        set_state(first.id, state)
        again = sent(key, after_failure=False)
        assert again.id == first.id and state_of(first) == state.name == (again.state and again.state.name)

    @pytest.mark.parametrize("state", [Crashed(), Failed(), Cancelled()])
    def test_what_failed_is_begun_again_when_somebody_asks(self, key: str, state: State[Any]) -> None:
        first = sent(key)
        set_state(first.id, state)
        again = sent(key)
        assert again.id == first.id and state_of(first) == "Scheduled"

    @pytest.mark.parametrize("after_failure", [True, False])
    def test_what_is_complete_is_begun_again_when_its_results_are_needed(self, key: str, after_failure: bool) -> None:
        first = sent(key)
        set_state(first.id, Completed())
        again = sent(key, after_failure=after_failure)
        assert again.id == first.id and state_of(first) == "Scheduled"
        assert again.state is not None and again.state.message == "its results are needed again"


@flow
def wait_for_heads(key: str) -> str:
    """A run that needs another's results."""
    return run_elsewhere.with_options(retry_delay_seconds=0)(
        campaign="field", store="store", deployment=NAME, parameters={"plant": "A1"}, key=key
    )


class Worker(threading.Thread):
    """Takes the run of a key each time that it is scheduled, and ends it in the next of some states."""

    def __init__(self, key: str, *ends: State[Any]) -> None:
        super().__init__(daemon=True)
        self.key, self.ends = key, ends
        self.taken: list[UUID] = []

    def run(self) -> None:
        for state in self.ends:
            found = wait_until(lambda: (run := find_run(self.key)) and run.state and run.state.is_scheduled() and run)
            set_state(found.id, Running())
            self.taken.append(found.id)
            set_state(found.id, state)


@pytest.fixture
def worker(key: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Worker]:
    """Starts a worker; who waits for it looks often."""
    monkeypatch.setattr(sending, "POLL_SECONDS", 0.1)

    def start(*ends: State[Any]) -> Worker:
        made = Worker(key, *ends)
        made.start()
        return made

    return start


class TestRunElsewhere:
    def test_waits_for_the_end(self, key: str, worker: Callable[..., Worker]) -> None:
        made = worker(Completed())
        run_id = wait_for_heads(key)
        made.join()
        assert [UUID(run_id)] == made.taken
        found = find_run(key)
        assert found is not None and found.parent_task_run_id is not None  # the graph leads from one to the other

    def test_a_crash_is_waited_for_again(self, key: str, worker: Callable[..., Worker]) -> None:
        made = worker(Crashed(message="killed"), Crashed(message="killed"), Completed())
        run_id = wait_for_heads(key)
        made.join()
        assert made.taken == [UUID(run_id)] * 3

    @pytest.mark.parametrize("state", [Failed(message="too few heads"), Cancelled(message="too few heads")])
    def test_a_failure_is_not(self, key: str, worker: Callable[..., Worker], state: State[Any]) -> None:
        made = worker(state)
        with pytest.raises(RunFailedError, match=rf"flow run .* ended as {state.name}: too few heads"):
            wait_for_heads(key)
        made.join()
        found = find_run(key)
        assert len(made.taken) == 1 and found is not None and state_of(found) == state.name


@flow
def begin() -> int:
    """Says which of its runs it is."""
    refuse_endless_restarts()
    return flow_run.run_count or 0


class TestRestarts:
    @pytest.mark.parametrize(("n_before", "is_refused"), [(0, False), (MAX_RUNS - 1, False), (MAX_RUNS, True)])
    def test_a_run_begins_so_often_and_no_more(self, n_before: int, is_refused: bool) -> None:
        with get_client(sync_client=True) as client:
            run = client.create_flow_run(begin)
            for _ in range(n_before):
                for state in (Running(), Crashed(), Scheduled()):
                    client.set_flow_run_state(run.id, state, force=True)
            run = client.read_flow_run(run.id)
        assert run.run_count == n_before
        if is_refused:
            with pytest.raises(InputError, match=rf"(?s)at most {MAX_RUNS} times.*this is its run {MAX_RUNS + 1}"):
                run_flow(begin, flow_run=run)
            assert state_of(run) == "Failed"
        else:
            assert run_flow(begin, flow_run=run) == n_before + 1

    def test_outside_a_run_nothing_is_counted(self) -> None:
        assert flow_run.run_count == 0
        refuse_endless_restarts()
