"""Looks for dates that nobody announced."""

import json
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Completed, Failed

from flows import discover
from flows.acquisition import score_acquisition
from flows.discover import IN_PLACE, DiscoveryError, discover_acquisitions, scoring_key
from flows.running.obstacles import AGAIN, PERSON
from flows.running.sending import find_runs
from storage.artifacts import Store
from storage.records.acquisitions import (
    AcquisitionRecord,
    find_acquisition,
    fit_digest,
    write_acquisition,
)
from storage.records.campaigns import CampaignRecord
from storage.records.obstacles import waiting_for_person
from storage.tables import ACQUISITIONS, PLANTS
from storage.tables.rows import rows_of
from storage.verify import verify_store
from tasks.ingest.arrival import Arrival, ArrivalParams, look_again
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.source import SyntheticSource
from tests.support.campaigns import DATES
from tests.support.season_fields import AT_ONCE, BAD, LATE, NEW, TINY, arrive, day_folder, own_dates, spoil, write_field
from tests.support.season_runs import Scored, artifacts_of, copy_of, flow_runs


class TestDiscovery:
    def look(self, store: Path, **changes: Any) -> list[tuple[str, str]]:
        """Date and state of every new date; what each says is in the last `details`."""
        parameters: Any = {"campaign": "watched", "store": str(store), "arrival": AT_ONCE, **changes}
        try:
            found: Any = discover_acquisitions(**parameters)
        except DiscoveryError as error:
            found = error.rows
        self.details = {row["date"]: row["detail"] for row in found}
        return [(row["date"], row["state"]) for row in found]

    def test_unseen_dates_are_scored_once(self, fitted: CampaignRecord, store: Path, tmp_path: Path) -> None:
        whole = write_field(tmp_path / "whole", dates=sorted((*DATES, BAD, NEW, LATE)), seed=2, **TINY)
        root = own_dates(whole, tmp_path / "root")
        copy_of(fitted, store, "watched", source={"kind": "growliflower", "root": str(root)})
        assert self.look(store) == [] and shown_dates() == [{"date": "", "state": "no new date", "detail": ""}]
        # One date is complete, one half-copied, and one, the first, cannot be read.
        for day in (BAD, NEW):
            arrive(whole, root, day)
        spoil(root, BAD)
        *_, last = arrive(whole, root, LATE, slice(0, 4))
        partial = last.rename(last.with_suffix(".png.part"))
        assert self.look(store) == [(str(BAD), PERSON), (str(NEW), "scored"), (str(LATE), "waiting")]
        assert "may be bad" in self.details[str(BAD)] and "in place" in self.details[str(NEW)]
        assert self.details[str(LATE)].startswith("a file is being copied") and partial.name in self.details[str(LATE)]
        assert shown_dates()[1:] == [
            {"date": str(day), "state": state, "detail": self.details[str(day)]}
            for day, state in ((NEW, "scored"), (LATE, "waiting"))
        ]
        # What is scored is not scored again; what has only just become whole must rest.
        partial.rename(last)
        arrive(whole, root, LATE, slice(4, None))
        arrive(whole, root, BAD)
        resting = ArrivalParams(settle_seconds=1, patience_minutes=0)
        assert self.look(store, arrival=resting) == [
            (str(BAD), "waiting"),
            (str(NEW), "scored"),
            (str(LATE), "waiting"),
        ]
        assert self.details[str(NEW)].startswith(f"by the fit {fit_digest(fitted.artifacts)}")
        assert "unchanged for 0 of 1 s" in self.details[str(LATE)]
        time.sleep(1)
        assert self.look(store, arrival=resting) == [(str(day), "scored") for day in (BAD, NEW, LATE)]
        assert self.look(store, date=LATE) == [(str(LATE), "scored")]  # announced once more
        runs = Counter(run.name for run in flow_runs("score watched"))
        assert runs == {f"score watched {BAD}": 2, f"score watched {NEW}": 1, f"score watched {LATE}": 1}
        assert verify_store(Store(store)).problems == []

        # A damaged record stops no other date.
        (record,) = (store / "acquisitions/watched" / str(BAD)).iterdir()
        whole_record = record.read_bytes()
        record.write_bytes(b"{")
        for state in ("Failed", "Completed"):  # it is told once
            assert self.look(store) == [(str(BAD), PERSON), (str(NEW), "scored"), (str(LATE), "scored")]
            assert self.details[str(BAD)].startswith(f"{record} cannot be read as the record of a scored date")
            *_, last = flow_runs("discover watched")
            assert last.state_name == state and last.state is not None
            said = f"1 of 3 dates have begun to wait for a person:\n{BAD}: {record} cannot be read"
            assert (said in (last.state.message or "")) == (state == "Failed")
            assert [row["date"] for row in waiting_for_person(Store(store)) if row["campaign"] == "watched"] == [
                str(BAD)
            ]
        record.write_bytes(whole_record)

        # Files of a scored date that a loss of power left empty are made again.
        found = find_acquisition(Store(store), "watched", NEW, fit_digest(fitted.artifacts))
        assert found is not None
        decided = store / "artifacts" / str(found.artifacts[f"decided gradcam {NEW}"])
        table = store / f"tables/decided/campaign=watched/date={NEW}/part-0.parquet"
        for path in (table, *decided.iterdir()):
            path.write_bytes(b"")
        assert self.look(store) == [(str(day), "scored") for day in (BAD, NEW, LATE)]
        assert [self.details[str(day)] == IN_PLACE for day in (BAD, NEW, LATE)] == [False, True, False]
        assert verify_store(Store(store)).problems == []

    def test_half_a_date_is_marked_and_scored_again_with_the_rest(
        self, scored: Scored, fitted: CampaignRecord, store: Path, whole: Path, tmp_path: Path
    ) -> None:
        root, name, day, fit = own_dates(whole, tmp_path / "root"), "halved", str(NEW), scored.record.fit
        copy_of(fitted, store, name, source={"kind": "growliflower", "root": str(root)})
        plants = rows_of(Store(store).open(fitted.artifacts["plants"]), PLANTS)
        n = sum(row["harvest_by"] is None or row["harvest_by"] >= NEW for row in plants)
        first = arrive(whole, root, NEW, slice(0, n // 2))

        def shown() -> dict[str, bytes]:
            """Everything that is published about the date."""
            folders = [store / f"exports/{name}/{day}", *(store / "tables").glob(f"*/campaign={name}/date={day}")]
            files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
            return {str(path.relative_to(store)): path.read_bytes() for path in files}

        assert self.look(store, campaign=name) == [(day, "scored")]
        (row,) = rows_of_date(store, fit, name)
        mark = f"{row['n_plants']} of {n} expected plants"
        assert row["n_expected"] == n and 0 < row["n_plants"] <= len(first)
        assert self.look(store, campaign=name) == [(day, "scored")]
        assert self.details[day] == f"by the fit {fit}; incomplete: {mark}"
        half, page = shown(), store / f"reports/{name}/analysis.html"
        assert mark in page.read_text() and mark in (page.parent / "index.html").read_text()
        assert any(mark.encode() in content for file, content in half.items() if file.endswith(".gpkg"))

        arrive(whole, root, NEW, slice(n // 2, None))
        resting = ArrivalParams(settle_seconds=1, patience_minutes=0)
        assert self.look(store, campaign=name, arrival=resting) == [(day, "waiting")]
        assert shown() == half
        time.sleep(1)
        for said in (IN_PLACE, f"by the fit {fit}", f"by the fit {fit}"):
            assert self.look(store, campaign=name, arrival=resting) == [(day, "scored")]
            assert self.details[day] == said
        assert [run.name for run in flow_runs(f"score {name}")] == [f"score {name} {day}"] * 2
        assert (found := rows_of_date(store, fit, name)) == rows_of_date(store, fit, "small")
        assert [(row["n_plants"], row["n_expected"]) for row in found] == [(n, n)]
        again = shown()
        of_whole = {file.replace("=small", f"={name}"): content for file, content in scored.after.items()}
        tables = {file: content for file, content in again.items() if file.startswith("tables")}
        assert tables == {file: content for file, content in of_whole.items() if f"={name}/date={day}" in file}
        assert "of these plants alone" not in (page.parent / "index.html").read_text().split("<script")[0]

        # The exports are those of a date that has never been scored before.
        for folder in (f"exports/{name}", f"acquisitions/{name}", *map(str, store.glob(f"tables/*/campaign={name}"))):
            shutil.rmtree(store / folder)
        score_acquisition(name, NEW, str(store), arrival=AT_ONCE)
        assert shown() == again and len(again) > len(tables)

        # Files that are only gone leave the results as they are.
        for path in first:
            (day_folder(root, NEW) / path.name).unlink()
        assert self.look(store, campaign=name) == [(day, "scored")]
        assert self.details[day].startswith(f"by the fit {fit}; ") and self.details[day].endswith("scored are left")
        assert shown() == again and verify_store(Store(store)).problems == []

    def test_a_worker_s_date_is_sent_for_once(
        self, deployed: None, fitted: CampaignRecord, store: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = SyntheticSource(season=SeasonParams(dates=(*DATES[:1], NEW, *DATES[1:]), **TINY))
        copy_of(fitted, store, "sent", source=source.model_dump(mode="json"))
        fit = fit_digest(fitted.artifacts)

        def runs() -> list[FlowRun]:
            return [run for _, run in sorted(find_runs(scoring_key(Store(store), "sent", NEW, fit, source)).items())]

        def end(run: FlowRun, state: State[Any]) -> None:
            with get_client(sync_client=True) as client:
                client.set_flow_run_state(run.id, state, force=True)

        for _ in range(2):
            assert self.look(store, campaign="sent") == [(str(NEW), "Scheduled")]
        (first,) = runs()
        assert {"campaign:sent", f"date:{NEW}"} <= {*first.tags} and first.name == f"score sent {NEW}"
        assert str(first.id) in self.details[str(NEW)]
        end(first, Failed(message="Flow run encountered an exception: InputError: bad files"))
        for _ in range(2):  # its own run has told it
            assert self.look(store, campaign="sent") == [(str(NEW), PERSON)]
            assert self.details[str(NEW)] == f"InputError: bad files\nflow run {first.name} ({first.id})\n{AGAIN}"
            assert flow_runs("discover sent")[-1].state_name == "Completed"
        assert self.look(store, campaign="sent", date=NEW) == [(str(NEW), "Scheduled")]
        _, second = runs()

        def look_while_it_ends(*looked: Any) -> Arrival:
            """The run writes its record, and ends, while the date's files are looked at."""
            scored = AcquisitionRecord(campaign="sent", date=NEW, fitted_by="sent", fit=fit, params={}, artifacts={})
            write_acquisition(Store(store), scored)
            end(second, Completed())
            return look_again(*looked)

        monkeypatch.setattr(discover, "look_again", look_while_it_ends)
        assert self.look(store, campaign="sent") == [(str(NEW), "scored")]
        assert [run.id for run in runs()] == [first.id, second.id]


def rows_of_date(store: Path, fit: str, campaign: str) -> list[dict[str, Any]]:
    """The rows of the table `acquisitions` about the date `NEW`."""
    found = find_acquisition(Store(store), campaign, NEW, fit)
    assert found is not None
    return rows_of(Store(store).open(found.artifacts[f"acquisition {NEW}"]), ACQUISITIONS)


def shown_dates() -> Any:
    """The table that the last look for new dates shows."""
    *_, last = flow_runs("discover watched")
    shown = artifacts_of(last.id)["watched--dates"]
    return json.loads(shown) if isinstance(shown, str) else shown
