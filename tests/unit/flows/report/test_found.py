"""Check that a planted broken promise is measured, published and told once, and that a kept one marks nothing."""

import json
import shutil
from collections.abc import Sequence
from copy import copy
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from flows.cli.listing import kept_notices
from flows.cli.results import results
from flows.parameters import CampaignParams
from flows.report.found import broken_promises, measure_checks, publish_found
from flows.report.renewal import what_to_show
from storage.artifacts import ArtifactRef, Store
from storage.published.publish import partition, published_rows
from storage.records.campaigns import CampaignRecord, write_record
from storage.records.notices import BROKEN
from storage.tables import DECIDED, FOUND
from storage.tables.rows import rows_of
from storage.verify import verify_store
from tasks.decide.audit_plants import audit_plants, audit_seed
from tasks.explain.params import ExplainParams
from tasks.export.params import FieldParams
from tasks.sources.folder.source import FolderSource
from tests.support.checks import keep_found
from tests.support.local_stores import local
from tests.support.report_campaign import DAYS, FakeCampaign
from tests.unit.flows.cli.test_main import main

OWN, SCORED = date.fromisoformat(DAYS[0]), date(2021, 9, 10)
SHARE = 0.3


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> FakeCampaign:
    folder = tmp_path_factory.mktemp("template") / "store"
    return FakeCampaign(folder, n_plants=120, size=8, scored_days=(SCORED.isoformat(),))


@pytest.fixture
def campaign(template: FakeCampaign, tmp_path: Path) -> FakeCampaign:
    """Return a copy of the campaign with a store of its own."""
    made = copy(template)
    made.root = tmp_path / "store"
    made.store = Store(shutil.copytree(template.root, made.root))
    return made


def params_of(fake: FakeCampaign) -> CampaignParams:
    return CampaignParams(
        campaign=fake.campaign,
        source=FolderSource(root="images"),
        dates=tuple(map(date.fromisoformat, DAYS)),
        explain=ExplainParams(methods=("gradcam",)),
        field=FieldParams(audit_share=SHARE),
    )


def decided(fake: FakeCampaign, day: date) -> list[dict[str, Any]]:
    return rows_of(fake.store.open({**fake.roles, **fake.scored}[f"decided gradcam {day}"]), DECIDED)


def drawn(fake: FakeCampaign, day: date) -> list[dict[str, Any]]:
    ids = audit_plants(decided(fake, day), SHARE, audit_seed(fake.campaign, day))
    return [row for row in decided(fake, day) if row["plant_id"] in ids]


def look(fake: FakeCampaign, day: date, rows: Sequence[dict[str, Any]], is_wrong: bool, hour: int = 9) -> None:
    """Keep checks that find all these answers wrong, or all right."""
    found = {row["plant_id"]: fake.classes[row["answer"] ^ is_wrong] for row in rows}
    keep_found(fake.store, fake.campaign, day, found, rows, fake.classes, hour)


def publish(fake: FakeCampaign) -> tuple[dict[str, ArtifactRef], list[str]]:
    found = measure_checks(fake.store, params_of(fake), {**fake.roles, **fake.scored})
    return found, publish_found(fake.store, fake.campaign, found)


def test_without_checks_nothing_is_measured_or_published(campaign: FakeCampaign) -> None:
    assert publish(campaign) == ({}, [])
    assert published_rows(campaign.store, FOUND, campaign.campaign) == []


@pytest.mark.parametrize("day", [OWN, SCORED])
def test_a_kept_promise_is_published_and_marks_nothing(campaign: FakeCampaign, day: date) -> None:
    look(campaign, day, drawn(campaign, day), is_wrong=False)
    _, said = publish(campaign)
    rows = {(row["acquired"], row["answers"]): row for row in published_rows(campaign.store, FOUND, campaign.campaign)}
    acted_on = [row for row in decided(campaign, day) if row["decision"] != "check"]
    told = rows[day, "all"]
    assert (told["n"], told["n_drawn"]) == (len(acted_on), len(drawn(campaign, day)))
    assert (told["n_drawn_checked"], told["n_drawn_wrong"]) == (told["n_drawn"], 0)
    assert told["tolerated_error"] == 0.15 and told["error_share"] == 0 and not told["is_broken"]
    assert {acquired for acquired, _ in rows} == {day}
    assert said == [] and list(kept_notices(campaign.store)) == []
    assert verify_store(campaign.store).problems == []


def test_a_planted_broken_promise_is_told_once_and_taken_back_when_looked_at_again(campaign: FakeCampaign) -> None:
    look(campaign, SCORED, drawn(campaign, SCORED), is_wrong=True)
    found, said = publish(campaign)
    assert len(said) == 1 and f"A promise is broken on {SCORED}" in said[0] and "about 100 of 100" in said[0]
    assert publish(campaign) == (found, [])
    (notice,) = kept_notices(campaign.store)
    assert (notice["state"], notice["message"], notice["flow_run"]) == (BROKEN, said[0], campaign.campaign)
    assert (notice["campaign"], notice["date"]) == (campaign.campaign, "")
    table = local(partition(campaign.store, FOUND, campaign.campaign, None)) / "part-0.parquet"
    whole = table.read_bytes()
    table.write_bytes(b"")  # what it showed is lost, so the promise is told again
    assert publish(campaign) == (found, said) and table.read_bytes() == whole
    look(campaign, SCORED, drawn(campaign, SCORED), is_wrong=False, hour=10)
    again, said = publish(campaign)
    assert again != found and said == [] and broken_promises(campaign.store, campaign.campaign) == {}


def test_wrong_answers_of_plants_to_check_break_nothing(campaign: FakeCampaign) -> None:
    doubtful = [row for row in decided(campaign, SCORED) if row["decision"] == "check"]
    assert doubtful
    look(campaign, SCORED, doubtful, is_wrong=True)
    look(campaign, SCORED, drawn(campaign, SCORED), is_wrong=False, hour=10)
    _, said = publish(campaign)
    assert said == []


def test_what_a_report_shows_changes_with_every_check_and_only_then(campaign: FakeCampaign) -> None:
    params = params_of(campaign)
    before = what_to_show(campaign.store, params, campaign.roles)
    look(campaign, OWN, drawn(campaign, OWN)[:5], is_wrong=False)
    first = what_to_show(campaign.store, params, campaign.roles)
    assert before.found == {} and set(first.found) == {"found gradcam"}
    assert what_to_show(campaign.store, params, campaign.roles) == first
    look(campaign, OWN, drawn(campaign, OWN)[5:], is_wrong=False, hour=10)
    assert what_to_show(campaign.store, params, campaign.roles).found != first.found


def test_checks_of_a_date_that_is_not_shown_do_not_count(campaign: FakeCampaign) -> None:
    look(campaign, date(2021, 9, 30), drawn(campaign, OWN), is_wrong=True)
    assert publish(campaign) == ({}, [])


def test_checks_that_are_gone_take_their_table_with_them(campaign: FakeCampaign) -> None:
    look(campaign, OWN, drawn(campaign, OWN), is_wrong=False)
    publish(campaign)
    table = partition(campaign.store, FOUND, campaign.campaign, None)
    assert local(table).is_dir()
    publish_found(campaign.store, campaign.campaign, {})
    assert not local(table).exists() and verify_store(campaign.store).problems == []


def test_list_status_and_results_name_a_broken_promise(
    campaign: FakeCampaign, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    params, page = params_of(campaign).model_dump(mode="json"), "reports/field2-2021/index.html"
    record = CampaignRecord(campaign=campaign.campaign, params=params, artifacts=campaign.roles, report=page)
    write_record(campaign.store, record)
    look(campaign, OWN, drawn(campaign, OWN), is_wrong=True)
    _, (said,) = publish(campaign)
    told = results(campaign.store, record)
    assert told["warnings"][-1] == said and {row["acquired"] for row in told["found"]} == {str(OWN)}
    texts: dict[str, str] = {}
    for name, arguments in {"list": ["list"], "status": ["status", campaign.campaign]}.items():
        assert main(monkeypatch, *arguments, "--store", local(campaign.store.root)) == 0
        texts[name] = capsys.readouterr().out
        assert f"  BROKEN {said}" in texts[name]
    assert "promise broken: " in texts["list"]
    assert main(monkeypatch, "list", "--json", "--store", local(campaign.store.root)) == 0
    assert json.loads(capsys.readouterr().out)["broken"] == {campaign.campaign: [said]}
