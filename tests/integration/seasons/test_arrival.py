"""Dates whose files are still being copied, and turns."""

import shutil
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency

from flows.acquisition import SCORING_SLOTS, score_acquisition
from storage.artifacts import Store
from storage.records.acquisitions import AcquisitionRecord
from storage.records.arrivals import arrival_path
from storage.records.campaigns import CampaignRecord
from tasks.ingest.arrival import ArrivalParams, NotSettled
from tasks.sources.growliflower.source import GrowliFlowerSource
from tests.support.campaigns import wait_until
from tests.support.local_stores import local
from tests.support.season_fields import AT_ONCE, LATE, NEW, TINY, YEAR_LATER, arrive, day_folder, write_field
from tests.support.season_runs import Scored, flow_runs, one_slot_of, rows, score


@pytest.fixture
def late(tmp_path: Path) -> tuple[Path, Path]:
    """A whole date of a small field, and the same field before its images arrive."""
    whole = write_field(tmp_path / "whole", dates=YEAR_LATER[:1], **TINY)
    root = tmp_path / "root"
    shutil.copytree(whole, root)
    shutil.rmtree(root / "GrowliFlowerR")
    return whole, root


class TestArrival:
    DAY = YEAR_LATER[0]

    def score(self, store: Path, campaign: str, root: Path, **arrival: Any) -> AcquisitionRecord:
        source = GrowliFlowerSource(root=str(root))
        return score_acquisition(campaign, self.DAY, str(store), "small", source, ArrivalParams(**arrival))

    def n_seen(self, store: Path, record: AcquisitionRecord) -> int:
        """Images and left-out plants of the scored date."""
        tables = (rows(store, name, record.fit, record.campaign, self.DAY) for name in ("observations", "rejected"))
        return sum(len(table["plant_id"]) for table in tables)

    def n_looks(self, campaign: str) -> int:
        (run,) = flow_runs(f"score {campaign} {self.DAY}")
        with get_client(sync_client=True) as client:
            of_run = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
            found = wait_until(
                lambda: [one for one in client.read_task_runs(flow_run_filter=of_run) if one.name.startswith("await ")]
            )
        return found[0].run_count

    def test_half_a_date_waits_for_the_other_half(
        self, fitted: CampaignRecord, store: Path, late: tuple[Path, Path]
    ) -> None:
        """Half of the images are there and one is being copied, until the date has been looked at."""
        whole, root = late
        *_, last = arrive(whole, root, self.DAY, slice(0, 4))
        partial = last.rename(last.with_name(f".{last.name}.Ab3dEf"))

        def copy_the_rest() -> None:
            wait_until(lambda: local(arrival_path(Store(store), "half", self.DAY)).exists())
            arrive(whole, root, self.DAY, slice(4, None))
            partial.rename(last)

        copying = threading.Thread(target=copy_the_rest)
        copying.start()
        record = self.score(store, "half", root, settle_seconds=1, patience_minutes=2)
        copying.join()
        assert self.n_seen(store, record) == len(list(day_folder(whole, self.DAY).iterdir())) == 8
        assert self.n_looks("half") >= 3  # one saw half of it, one the whole, one that it stayed

    def test_a_marker_decides(self, fitted: CampaignRecord, store: Path, late: tuple[Path, Path]) -> None:
        whole, root = late
        arrive(whole, root, self.DAY)
        marker = {"marker": "_COMPLETE", "settle_seconds": 0, "patience_minutes": 0}
        with pytest.raises(NotSettled, match=f"marked {self.DAY} are not known to be complete: waits for the marker"):
            self.score(store, "marked", root, **marker)
        assert not (store / "tables/observations/campaign=marked").exists()
        (day_folder(root, self.DAY) / "_COMPLETE").touch()
        assert self.n_seen(store, self.score(store, "marked", root, **marker)) == 8

    def test_patience_ends(self, fitted: CampaignRecord, store: Path, late: tuple[Path, Path]) -> None:
        """The error names what is missing."""
        whole, root = late
        last = arrive(whole, root, self.DAY)[-1]
        last.rename(last.with_suffix(".png.part"))
        with pytest.raises(NotSettled, match=f"a file is being copied: .*{last.name}.part"):
            self.score(store, "never", root, settle_seconds=0, patience_minutes=0.02)
        assert self.n_looks("never") == 3  # 1.2 s of patience, a look a second
        assert not (store / "tables/observations/campaign=never").exists()


@pytest.fixture
def one_slot() -> Generator[None]:
    """One date at a time."""
    with one_slot_of(SCORING_SLOTS):
        yield


class TestTurn:
    def test_a_date_that_waits_for_files_takes_no_slot(self, deployed: None, scored: Scored, store: Path) -> None:
        """The server has none, so that who takes one fails by that."""
        with pytest.raises(NotSettled):
            score_acquisition("small", LATE, str(store), arrival=AT_ONCE)
        with pytest.raises(ConcurrencySlotAcquisitionError, match=SCORING_SLOTS):
            score_acquisition("small", NEW, str(store), arrival=AT_ONCE)

    def test_one_with_files_waits_for_its_turn(
        self, deployed: None, one_slot: None, scored: Scored, store: Path
    ) -> None:
        n_before = len(flow_runs(f"score small {NEW}"))

        def began() -> list[FlowRun]:
            return [run for run in flow_runs(f"score small {NEW}")[n_before:] if seen(run).get(f"await small {NEW}")]

        with ThreadPoolExecutor(1) as thread:
            with concurrency(SCORING_SLOTS, strict=True):
                scoring = thread.submit(copy_context().run, score, store)
                (run,) = wait_until(began)
                time.sleep(1)
                freed = datetime.now(UTC)
            assert scoring.result().record == scored.record
        states = wait_until(lambda: (found := seen(run)).get(f"survey small {NEW}") and found)
        assert states[f"await small {NEW}"] < freed < states[f"survey small {NEW}"]
        with get_client(sync_client=True) as client:
            assert client.read_global_concurrency_limit_by_name(SCORING_SLOTS).active_slots == 0


def seen(run: FlowRun) -> dict[str, datetime]:
    """When the task runs of a flow run began, by name, as far as the server knows."""
    with get_client(sync_client=True) as client:
        found = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])))
    return {task.name: task.start_time for task in found if task.start_time}
