"""Runs of other deployments: one for a key, waited for, followed by another; the test plays worker and automations."""

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
from prefect.states import AwaitingRetry, Cancelled, Completed, Crashed, Failed, Pending, Running, Scheduled

from flows.running import sending
from flows.running.errors import RunFailedError
from flows.running.restarts import MAX_RUNS, refuse_endless_restarts
from flows.running.sending import find_runs, is_deployed, run_elsewhere, run_here, send
from storage.errors import InputError
from tests.support.campaigns import wait_until
from tests.support.deployments import deployment_without_worker

NAME = "weigh-heads/weigh-heads"


@flow(name="weigh-heads")
def weigh_heads(plant: str) -> str:
    refuse_endless_restarts()
    return plant


@pytest.fixture(scope="module", autouse=True)
def deployment() -> Generator[UUID]:
    with deployment_without_worker("weigh-heads") as made:
        yield made


@pytest.fixture
def key() -> str:
    return f"weigh {uuid4()}"


def set_states(run: FlowRun, *states: State[Any]) -> None:
    with get_client(sync_client=True) as client:
        for state in states:
            client.set_flow_run_state(run.id, state, force=True)


def read(run: FlowRun) -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run.id)


def sent(key: str, plant: str = "A1", **options: Any) -> FlowRun:
    return send(NAME, {"plant": plant}, key, **options)


def crash(run: FlowRun, n_times: int) -> None:
    """Have a run begin and crash so often, and begin again between as automations have it."""
    set_states(run, Running(), Crashed())
    for _ in range(n_times - 1):
        set_states(run, AwaitingRetry(), Running(), Crashed())


class TestSend:
    def test_whether_there_is_a_deployment(self) -> None:
        assert is_deployed(NAME)
        assert not is_deployed("weigh-heads/other") and not is_deployed("other/weigh-heads")

    def test_one_run_for_a_key(self, key: str) -> None:
        assert find_runs(key) == {}
        first, again, other = sent(key), sent(key, plant="B2"), sent(f"{key} other")
        assert first.id == again.id == find_runs(key)[1].id != other.id
        assert again.parameters == {"plant": "A1"} and again.state is not None and again.state.is_scheduled()

    def test_one_run_also_where_many_send_at_once(self, key: str) -> None:
        with ThreadPoolExecutor(5) as pool:
            runs = list(pool.map(lambda _: sent(key), range(5)))
        assert len({run.id for run in runs}) == 1

    @pytest.mark.parametrize("state", [Running(), Scheduled(), AwaitingRetry(), Crashed(), Failed(), Cancelled()])
    def test_what_failed_stays_so_for_a_schedule_and_what_is_going_on_goes_on(
        self, key: str, state: State[Any]
    ) -> None:
        first = sent(key)
        set_states(first, state)
        again = sent(key, after_failure=False)
        assert again.id == first.id and read(first).state_name == state.name == (again.state and again.state.name)

    @pytest.mark.parametrize("state", [Failed(), Cancelled(), Completed()])
    def test_after_its_end_another_is_made_when_somebody_asks(self, key: str, state: State[Any]) -> None:
        """With the parameters of now; the earlier run stays as it is."""
        first = sent(key)
        set_states(first, Running(), state)
        second = sent(key, plant="B2")
        assert second.parameters == {"plant": "B2"} and second.run_count == 0
        assert second.state is not None and second.state.is_scheduled()
        assert read(first).state_name == state.name
        assert {number: run.id for number, run in find_runs(key).items()} == {1: first.id, 2: second.id}
        assert sent(key).id == second.id

    def test_what_is_complete_is_done_again_also_for_a_schedule_when_its_results_are_gone(self, key: str) -> None:
        first = sent(key)
        set_states(first, Completed())
        assert sent(key, after_failure=False).id != first.id

    def test_many_who_send_after_a_failure_get_one_run(self, key: str) -> None:
        first = sent(key)
        set_states(first, Failed())
        with ThreadPoolExecutor(5) as pool:
            runs = list(pool.map(lambda _: sent(key), range(5)))
        assert {run.id for run in runs} == {find_runs(key)[2].id} and len(find_runs(key)) == 2

    def test_failures_use_up_no_restart(self, key: str) -> None:
        """More of them than a run may begin; what was wrong is mended, and the next run completes."""
        for _ in range(MAX_RUNS + 1):
            set_states(sent(key), Running(), Failed())
        last = sent(key)
        assert run_flow(weigh_heads, flow_run=last, parameters=last.parameters) == "A1"
        assert read(last).state_name == "Completed" and len(find_runs(key)) == MAX_RUNS + 2

    def test_numbers_go_on_after_those_that_somebody_deleted(self, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sending, "NUMBERS_AT_ONCE", 2)
        runs: list[FlowRun] = []
        for _ in range(4):
            runs.append(sent(key))
            set_states(runs[-1], Failed())
        with get_client(sync_client=True) as client:
            client.delete_flow_run(runs[0].id)
            client.delete_flow_run(runs[2].id)
        assert sorted(find_runs(key)) == [2, 4]
        fifth = sent(key)
        assert sorted(find_runs(key)) == [2, 4, 5] and fifth.id not in {run.id for run in runs}


class TestCrashed:
    @pytest.mark.parametrize("n_times", [1, MAX_RUNS - 1])
    def test_what_begins_again_by_itself_gets_no_second_process(self, key: str, n_times: int) -> None:
        first = sent(key)
        crash(first, n_times)
        assert sent(key).id == first.id and read(first).state_name == "Crashed"

    def test_what_has_used_up_its_restarts_is_followed_by_another(self, key: str) -> None:
        first = sent(key)
        crash(first, MAX_RUNS)
        assert sent(key, after_failure=False).id == first.id and read(first).state_name == "Crashed"
        second = sent(key)
        assert second.id != first.id and second.run_count == 0

    def test_what_nobody_begins_again_is_followed_by_another(self, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """On a server without automations, say; should they come back, the old run stays where it is."""
        first = sent(key)
        crash(first, 1)
        monkeypatch.setattr(sending, "FORSAKEN_SECONDS", 0)
        second = sent(key)
        assert second.id != first.id and read(first).state_name == "Cancelled"

    def test_what_lost_the_server_begins_again_by_itself_too(self, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another run of the same date would be a second process beside it."""
        first = sent(key)
        lost = "Flow run encountered an exception: ConnectError: All connection attempts failed"
        set_states(first, Running(), Failed(message=lost))
        assert sent(key).id == first.id and read(first).state_name == "Failed"
        monkeypatch.setattr(sending, "FORSAKEN_SECONDS", 0)
        assert sent(key).id != first.id and read(first).state_name == "Cancelled"

    def test_reported_twice_it_is_followed_once(self, key: str) -> None:
        """A deployment's crashed runs do not begin again; a late report finds the old run alone."""
        first = sent(key, begins_again=False)
        crash(first, 1)
        second = sent(key, begins_again=False)
        set_states(second, Running())
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(first.id, Crashed(message="its worker says so too"))
        assert sent(key, begins_again=False).id == second.id != first.id
        assert read(second).state_name == "Running" and len(find_runs(key)) == 2


@flow
def wait_for_heads(key: str, begins_again: bool = True) -> str:
    """A run that needs another's results."""
    return run_elsewhere.with_options(retry_delay_seconds=0)(
        deployment=NAME,
        parameters={"plant": "A1"},
        key=key,
        begins_again=begins_again,
    )


class Worker(threading.Thread):
    """Takes the latest run of a key each time that it is scheduled, and has it go through the next of some states."""

    def __init__(self, key: str, *ends: list[State[Any]]) -> None:
        super().__init__(daemon=True)
        self.key, self.ends = key, ends
        self.taken: list[UUID] = []

    def scheduled(self) -> FlowRun | None:
        """The run that is to be taken."""
        runs = find_runs(self.key)
        latest = runs[max(runs)] if runs else None
        return latest if latest and latest.state and latest.state.is_scheduled() else None

    def run(self) -> None:
        for states in self.ends:
            found = wait_until(self.scheduled)
            self.taken.append(found.id)
            set_states(found, Running(), *states)


@pytest.fixture
def worker(key: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Worker]:
    """Starts a worker; who waits for it looks often."""
    monkeypatch.setattr(sending, "POLL_SECONDS", 0.1)

    def start(*ends: list[State[Any]]) -> Worker:
        made = Worker(key, *ends)
        made.start()
        return made

    return start


KILLED = Crashed(message="killed")


class TestRunElsewhere:
    def test_waits_for_the_end(self, key: str, worker: Callable[..., Worker]) -> None:
        made = worker([Completed()])
        run_id = wait_for_heads(key)
        made.join()
        assert [UUID(run_id)] == made.taken
        assert find_runs(key)[1].parent_task_run_id is not None  # the graph leads from one to the other

    def test_a_crash_is_waited_for_where_the_run_begins_again(self, key: str, worker: Callable[..., Worker]) -> None:
        made = worker([KILLED, AwaitingRetry()], [KILLED, AwaitingRetry()], [Completed()])
        run_id = wait_for_heads(key)
        made.join()
        assert made.taken == [UUID(run_id)] * 3 and len(find_runs(key)) == 1

    def test_where_it_does_not_another_is_sent_for(self, key: str, worker: Callable[..., Worker]) -> None:
        made = worker([KILLED], [KILLED], [Completed()])
        run_id = wait_for_heads(key, begins_again=False)
        made.join()
        assert made.taken == [run.id for _, run in sorted(find_runs(key).items())]
        assert len(made.taken) == 3 and made.taken[-1] == UUID(run_id)

    @pytest.mark.parametrize("state", [Failed(message="too few heads"), Cancelled(message="too few heads")])
    def test_after_a_failure_it_is_not(self, key: str, worker: Callable[..., Worker], state: State[Any]) -> None:
        made = worker([state])
        with pytest.raises(RunFailedError, match=rf"flow run .* ended as {state.name}: too few heads") as failure:
            wait_for_heads(key)
        made.join()
        (run,) = find_runs(key).values()
        assert [UUID(failure.value.flow_run)] == made.taken == [run.id] and run.state_name == state.name

    def test_nor_after_all_restarts(self, key: str) -> None:
        """It would crash as often again; who starts anew knows why."""
        crash(sent(key), MAX_RUNS - 1)
        run = sent(key)
        ending = threading.Timer(1, set_states, (run, AwaitingRetry(), Running(), KILLED))
        ending.start()
        with pytest.raises(RunFailedError, match=r"flow run .* ended as Crashed: killed"):
            wait_for_heads(key)
        ending.join()
        assert len(find_runs(key)) == 1


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
            with pytest.raises(InputError, match=rf"(?s)This is start {MAX_RUNS + 1} .*at most {MAX_RUNS} times"):
                run_flow(begin, flow_run=run)
            assert read(run).state_name == "Failed"
        else:
            assert run_flow(begin, flow_run=run) == n_before + 1

    def test_outside_a_run_nothing_is_counted(self) -> None:
        assert flow_run.run_count == 0
        refuse_endless_restarts()


class TestRunHere:
    def test_the_run_is_the_one_that_a_worker_would_take(self, key: str) -> None:
        waiting = sent(key)
        run_here(weigh_heads, NAME, {"plant": "A1"}, key)
        found = find_runs(key)
        assert {number: (run.id, run.state_name, run.run_count) for number, run in found.items()} == {
            1: (waiting.id, "Completed", 1)
        }

    @pytest.mark.parametrize("state", [Pending(), Running(), Crashed()])
    def test_a_run_that_another_process_has_or_automations_restart_is_left(self, key: str, state: State[Any]) -> None:
        other = sent(key)
        set_states(other, state)
        run_here(weigh_heads, NAME, {"plant": "A1"}, key)
        (left,) = find_runs(key).values()
        assert (left.id, left.state_name) == (other.id, state.name)

    def test_a_failure_is_told_by_the_run_alone(self, key: str) -> None:
        run_here(weigh_heads, NAME, {"plant": ["none"]}, key)
        (run,) = find_runs(key).values()
        assert run.state_name == "Failed" and run.deployment_id is not None
