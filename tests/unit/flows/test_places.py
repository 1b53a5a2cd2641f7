"""Every deployed flow refuses a place that its service does not allow, before it looks at anything."""

from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.acquisition import score_acquisition
from flows.backfill import backfill_seasons
from flows.campaign import analyse_campaign, has_places_of
from flows.dates import score_dates
from flows.parameters import BackfillParams, CampaignParams, Season
from flows.running.dask.workers import DaskWorkers
from storage.errors import InputError
from storage.records.campaigns import CampaignRecord
from tasks.classify.params import GivenClassifier
from tasks.parameters import Runtime
from tasks.sources import AnySource
from tasks.sources.folder.source import FolderSource
from tasks.sources.synthetic.source import SyntheticSource
from tests.support.repository import ROOT

DAY, DRAWN = date(2024, 5, 1), SyntheticSource()
ELSEWHERE = FolderSource(root="/etc")
DEPLOYED: dict[str, str] = {
    made["name"]: made["entrypoint"]
    for made in yaml.safe_load((ROOT / "deployments/prefect.yaml").read_text())["deployments"]
    if made["name"] != "note-failure"  # it begins with the log of its run; tests/operations/test_doors.py runs it
}


@pytest.fixture(autouse=True)
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"STORE": tmp_path / "store", "STORES": "", "SOURCES": tmp_path, "SCHEDULERS": ""}.items():
        monkeypatch.setenv(f"HARVEST_{name}", str(value))


def campaign(source: AnySource = DRAWN, path: str | None = None) -> CampaignParams:
    return CampaignParams(
        campaign="x", source=source, dates=(DAY,), classifier=None if path is None else GivenClassifier(path=path)
    )


def backfill(source: AnySource | None = None) -> BackfillParams:
    return BackfillParams(name="x", seasons=(Season(campaign="y"), Season(campaign="x", source=source, dates=(DAY,))))


PARAMETERS: dict[str, dict[str, Any]] = {
    "analyse-campaign": {"params": campaign()},
    "fit-and-explain": {"params": campaign(), "artifacts": {}},
    "score-acquisition": {"campaign": "x", "date": DAY},
    "score-dates": {"campaign": "x", "dates": [DAY]},
    "discover-acquisitions": {"campaign": "x"},
    "backfill-seasons": {"params": backfill()},
}


@pytest.mark.parametrize("name", DEPLOYED)
def test_every_deployed_flow_refuses_another_store(name: str, tmp_path: Path) -> None:
    module, _, function = DEPLOYED[name].rpartition(".")
    flow = getattr(import_module(module), function)
    with pytest.raises(InputError, match=r"The store .*elsewhere is not one of this service"):
        flow.fn(store=str(tmp_path / "elsewhere"), **PARAMETERS.get(name, {}))
    assert list(tmp_path.iterdir()) == []


def test_flows_that_are_given_sources_refuse_other_places(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    with pytest.raises(InputError, match=r"source\.root leads to /etc"):
        analyse_campaign.fn(campaign(ELSEWHERE), store)
    with pytest.raises(InputError, match=r"classifier\.path leads to /etc/passwd"):
        analyse_campaign.fn(campaign(path="/etc/passwd"), store)
    with pytest.raises(InputError, match=r"source\.root leads to /etc"):
        score_acquisition.fn("x", DAY, store, source=ELSEWHERE)
    with pytest.raises(InputError, match=r"source\.root leads to /etc"):
        score_dates.fn("x", [DAY], store, source=ELSEWHERE)
    with pytest.raises(InputError, match=r"source\.root leads to /etc"):
        backfill_seasons.fn(backfill(ELSEWHERE), store)
    assert list(tmp_path.iterdir()) == []


def test_a_campaign_on_record_may_run_again_with_its_own_source_and_no_other() -> None:
    own = campaign(ELSEWHERE)
    record = CampaignRecord(campaign="x", params=own.model_dump(mode="json"), artifacts={}, report="index.html")
    assert has_places_of(record, own)
    assert not has_places_of(record, campaign(FolderSource(root="/root")))
    assert not has_places_of(record, campaign())
    assert not has_places_of(record, own.model_copy(update={"classifier": GivenClassifier(path="/etc/passwd")}))
    assert not has_places_of(record.model_copy(update={"params": {"campaign": "x"}}), own)


def test_a_run_connects_to_no_other_scheduler_of_dask() -> None:
    with pytest.raises(InputError, match=r"tcp://127\.0\.0\.1:1 is not one of this service"):
        DaskWorkers(Runtime(task_runner="dask", scheduler="tcp://127.0.0.1:1"))
