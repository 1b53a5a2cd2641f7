"""Sources and stores that are away at a look for new dates, and files that change after a date has failed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from prefect.states import Failed, Running

from flows.acquisition import SCORING_SLOTS, score_acquisition
from flows.discover import DiscoveryError, discover_acquisitions
from flows.running.names import artifact_key
from flows.running.obstacles import AGAIN, PERSON, WAITING
from flows.running.restarts import PATIENCE
from storage.artifacts import Store
from storage.records.campaigns import CampaignRecord
from storage.records.obstacles import SOURCE, read_obstacles, waiting_for_person, write_obstacles
from tests.support.campaigns import DATES
from tests.support.season_fields import AT_ONCE, NEW, TINY, arrive, own_dates, write_field
from tests.support.season_runs import artifacts_of, copy_of, flow_runs, one_slot_of


class Watched:
    """A campaign whose source is looked at again and again."""

    def __init__(self, fitted: CampaignRecord, store: Path, name: str, folder: Path) -> None:
        self.name, self.store = name, store
        self.whole = write_field(folder / "whole", dates=sorted((*DATES, NEW)), seed=2, **TINY)
        self.root = own_dates(self.whole, folder / "root")
        copy_of(fitted, store, name, source={"kind": "growliflower", "root": str(self.root)})

    def look(self, **changes: Any) -> list[tuple[str, str, str]]:
        """Date and state of every row, and the state of the flow run; details are in `said`."""
        parameters: Any = {"campaign": self.name, "store": str(self.store), "arrival": AT_ONCE, **changes}
        try:
            rows = discover_acquisitions(**parameters)
        except DiscoveryError as error:
            rows = error.rows
        self.said = [row["detail"] for row in rows]
        *_, run = flow_runs(f"discover {self.name}")
        return [(row["date"], row["state"], run.state_name or "") for row in rows]

    def shown(self) -> Any:
        """Rows of the artifact `dates` of the last look."""
        *_, run = flow_runs(f"discover {self.name}")
        found = artifacts_of(run.id)[artifact_key("dates", self.name)]
        return json.loads(found) if isinstance(found, str) else found


@pytest.fixture
def watched(fitted: CampaignRecord, store: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Watched:
    return Watched(fitted, store, f"away{abs(hash(request.node.name)) % 10**6}", tmp_path)


def test_a_source_that_is_away_is_told_once_and_only_after_the_patience(watched: Watched) -> None:
    unmounted = watched.root.rename(watched.root.with_name("unmounted"))
    for _ in range(2):
        assert watched.look() == [("", WAITING, "Completed")]
    assert watched.said[0].startswith(f"There is no folder {watched.root}") and watched.shown()[0]["state"] == WAITING
    opened = Store(watched.store)
    (obstacle,) = read_obstacles(opened, watched.name).values()
    earlier = obstacle.model_copy(update={"since": obstacle.since - PATIENCE})
    write_obstacles(opened, watched.name, {SOURCE: earlier})
    assert [watched.look() for _ in range(2)] == [[("", PERSON, state)] for state in ("Failed", "Completed")]
    assert (watched.name, SOURCE) in {(row["campaign"], row["date"]) for row in waiting_for_person(opened)}
    unmounted.rename(watched.root)
    assert watched.look() == [] and read_obstacles(opened, watched.name) == {}


def test_a_store_that_is_away_is_waited_for(watched: Watched) -> None:
    unmounted = watched.store.rename(watched.store.with_name("unmounted"))
    try:
        watched.store.mkdir()  # the mount point
        assert watched.look() == [("", WAITING, "Completed")]
        assert watched.said[0].startswith("the store is away: There is no store in")
        assert not list(watched.store.iterdir())
        watched.store.rmdir()
    finally:
        unmounted.rename(watched.store)
    assert watched.look() == []


def test_an_announced_date_outlives_its_source(deployed: None, watched: Watched) -> None:
    """The whole way: announced while the share is away, put off, looked at by the schedule, and scored."""
    assert watched.look(date=NEW) == [(str(NEW), "Scheduled", "Completed")]
    unmounted = watched.root.rename(watched.root.with_name("unmounted"))
    with pytest.raises(Pause):
        start(watched)
    unmounted.rename(watched.root)
    arrive(watched.whole, watched.root, NEW)
    assert watched.look() == [(str(NEW), "AwaitingRetry", "Completed")] and "There is no folder" in watched.said[0]
    assert watched.look(date=NEW) == [(str(NEW), "AwaitingRetry", "Completed")]  # it begins at once
    with one_slot_of(SCORING_SLOTS):
        start(watched)
    assert watched.look() == [(str(NEW), "scored", "Completed")]
    (run,) = flow_runs(f"score {watched.name}")
    assert (run.state_name, run.run_count) == ("Completed", 2)


def start(watched: Watched) -> None:
    """Take the date's only run as a worker does."""
    (run,) = flow_runs(f"score {watched.name}")
    run_flow(score_acquisition, flow_run=run, parameters=run.parameters)


def test_changed_files_have_a_failed_date_scored_again(deployed: None, watched: Watched) -> None:
    arrive(watched.whole, watched.root, NEW)
    assert watched.look() == [(str(NEW), "Scheduled", "Completed")]
    bad = Failed(message="Flow run encountered an exception: InputError: too many bad files")
    end(watched, bad)
    for _ in range(2):
        assert watched.look() == [(str(NEW), PERSON, "Completed")]
    assert watched.said[0].startswith("InputError: too many bad files\n") and watched.said[0].endswith(AGAIN)
    shutil.copy(next(watched.whole.rglob("*.png")), watched.root / f"GrowliFlowerR/Field2/{NEW:%Y_%m_%d}/more.txt")
    assert watched.look() == [(str(NEW), "Scheduled", "Completed")]
    assert read_obstacles(Store(watched.store), watched.name) == {}
    # Files that had not settled within the patience of a run have by now.
    end(watched, Failed(message="Flow run encountered an exception: NotSettled: a file is being copied"))
    assert watched.look() == [(str(NEW), "Scheduled", "Completed")]
    assert len(flow_runs(f"score {watched.name}")) == 3


def end(watched: Watched, state: State[Any]) -> None:
    """Have the latest run of the date end."""
    runs: list[FlowRun] = [run for run in flow_runs(f"score {watched.name}") if run.state and run.state.is_scheduled()]
    (run,) = runs
    with get_client(sync_client=True) as client:
        for one in (Running(), state):
            client.set_flow_run_state(run.id, one, force=True)
