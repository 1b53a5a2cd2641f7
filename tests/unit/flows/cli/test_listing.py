"""Tests of `harvest list`, `status` and `open`."""

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from flows.cli.failures import kept_failures
from flows.cli.listing import differences
from storage.artifacts import Recipe
from storage.errors import ArtifactError, InputError
from storage.records.acquisitions import AcquisitionRecord, fit_digest, write_acquisition
from storage.records.campaigns import CampaignRecord, write_record
from storage.records.notices import keep_notice
from storage.records.obstacles import Obstacle, write_obstacles
from tests.support.local_stores import local
from tests.support.report_campaign import DAYS, FakeCampaign
from tests.unit.flows.cli.test_main import main


@pytest.fixture
def campaign(tmp_path: Path) -> FakeCampaign:
    made = FakeCampaign(tmp_path / "store", outside=(DAYS[0],), n_plants=12)
    page = "reports/field2-2021/index.html"
    record = CampaignRecord(campaign="field2-2021", params=made.params, artifacts=made.roles, report=page)
    write_record(made.store, record)
    return made


def shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], campaign: FakeCampaign, *arguments: str
) -> str:
    assert main(monkeypatch, *arguments, "--store", local(campaign.store.root)) == 0
    return capsys.readouterr().out


def test_dates_fits_and_failures(
    campaign: FakeCampaign, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import datetime

    fit = fit_digest(campaign.roles)
    sums = Recipe("acquisition", 1)
    with campaign.store.create(sums) as draft:
        draft.summary = {"n_plants": 21, "n_expected": 120}
    for which in (fit, "0" * 24):
        scored = AcquisitionRecord(
            campaign="field2-2021",
            date=datetime.date(2021, 9, 10),
            fitted_by="field2-2021",
            fit=which,
            params={},
            artifacts={"acquisition 2021-09-10": sums.ref} if which == fit else {},
        )
        write_acquisition(campaign.store, scored)
    keep_notice(campaign.store, {"time": "2021-09-11", "id": "1", "flow_run": "score x", "message": "no disk"})
    since = datetime.datetime(2021, 9, 12, tzinfo=datetime.UTC)
    bad = Obstacle(since=since, why="bad files\nannounce it", is_passing=False, needs_person=True)
    write_obstacles(campaign.store, "field2-2021", {"2021-09-12": bad})
    found = json.loads(shown(monkeypatch, capsys, campaign, "list", "--json"))
    waiting = {"campaign": "field2-2021", "date": "2021-09-12", "since": "2021-09-12T00:00:00+00:00", "why": bad.why}
    assert found["waiting"] == [waiting]
    rows = [(row["date"], row["made_by"], row["fit"], row["is_current"], row["outside"]) for row in found["dates"]]
    assert rows == [
        (DAYS[0], "fitted", fit, True, ["gradcam"]),
        (DAYS[1], "fitted", fit, True, []),
        ("2021-09-10", "scored", "0" * 24, False, []),
        ("2021-09-10", "scored", fit, True, []),
    ]
    marks = [row["incomplete"] for row in found["dates"]]
    assert marks == ["", "", "", "21 of 120 expected plants"]
    text = shown(monkeypatch, capsys, campaign, "list")
    assert f"2021-09-10  scored  fit {fit[:8]}  incomplete: 21 of 120 expected plants" in text
    assert f"{DAYS[0]}  fitted  fit {fit[:8]}  outside by gradcam" in text and "(an earlier fit)" in text
    assert "failed: 2021-09-11 score x: no disk" in text
    said = "WAITING FOR A PERSON field2-2021 2021-09-12 since 2021-09-12T00:00:00+00:00: bad files\n    announce it\n"
    assert said in text


def test_a_damaged_record_is_told(
    campaign: FakeCampaign, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (local(campaign.store.root) / "campaigns/other.json").write_text("{")
    assert "DAMAGED" in shown(monkeypatch, capsys, campaign, "list")


def test_failures_of_commands_are_listed_without_a_complete_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError), kept_failures(str(tmp_path), "field2"):
        raise InputError("nothing ran", "rule", "remedy")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ExceptionGroup), kept_failures(str(tmp_path), "field2", "2021-09-06"):
        raise ExceptionGroup("tasks", [OSError("the share is gone\nmore"), KeyError("second")])
    assert main(monkeypatch, "list", "--store", tmp_path) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("failed: ") and last.endswith(" field2 2021-09-06: the share is gone")
    assert main(monkeypatch, "list", "--json", "--store", tmp_path) == 0
    (notice,) = json.loads(capsys.readouterr().out)["failures"]
    assert (notice["campaign"], notice["date"]) == ("field2", "2021-09-06")


def test_an_empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(monkeypatch, "list", "--store", tmp_path) == 2
    assert "There is no campaign in" in capsys.readouterr().err


def test_what_is_cached_and_what_is_missing(
    campaign: FakeCampaign, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = json.loads(shown(monkeypatch, capsys, campaign, "status", "field2-2021", "--json"))
    assert found["would_compute"] == [] and all(row["n"] == row["n_cached"] for row in found["artifacts"])
    kinds = [row["kind"] for row in found["artifacts"]]
    assert kinds.index("images") < kinds.index("saliency") < kinds.index("clusters") < kinds.index("metrics")
    artifact = campaign.store.open(campaign.roles["metrics gradcam"])
    name = next(iter(artifact.manifest.files))
    (local(artifact.folder) / name).write_bytes(b"cut off")
    text = shown(monkeypatch, capsys, campaign, "status", "field2-2021")
    assert "metrics        0 of 1 cached" in text
    assert "a run would compute: metrics\n" in text
    said = f"made by version unknown, this is version {version('harvest-reliability')}: "
    assert text.splitlines()[-1].startswith(said)


def test_artefacts_of_this_version_are_not_called_others(
    campaign: FakeCampaign, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = Recipe("images", 1, {"made": "now"})
    with campaign.store.create(recipe, {"harvest-reliability": version("harvest-reliability")}):
        pass
    record = CampaignRecord(campaign="now", params={}, artifacts={"images": recipe.ref}, report="index.html")
    write_record(campaign.store, record)
    assert shown(monkeypatch, capsys, campaign, "status", "now").endswith("a run would compute: nothing\n")


def test_a_record_that_names_no_dates_is_listed_without(
    campaign: FakeCampaign, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_record(campaign.store, CampaignRecord(campaign="undated", params={}, artifacts={}, report="index.html"))
    dates = json.loads(shown(monkeypatch, capsys, campaign, "list", "--json"))["dates"]
    assert {row["campaign"] for row in dates} == {"field2-2021"}


def test_a_report_that_is_opened(
    campaign: FakeCampaign, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import webbrowser

    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    assert main(monkeypatch, "open", "field2-2021", "--store", local(campaign.store.root)) == 1
    assert "harvest report field2-2021" in capsys.readouterr().err and opened == []
    page = local(campaign.store.root) / "reports/field2-2021/index.html"
    page.parent.mkdir(parents=True)
    page.write_text("<html>")
    assert shown(monkeypatch, capsys, campaign, "open", "field2-2021") == f"{page}\n"
    assert opened == [page.as_uri()]


def test_differences_name_every_changed_key() -> None:
    was = {"dates": ["a"], "train": {"epochs": 3, "seed": 0}, "classifier": None}
    now = {"dates": ["a", "b"], "train": {"epochs": 4, "seed": 0}, "classifier": {"path": "x"}}
    assert differences(was, now) == ["classifier", "dates", "train.epochs"]
    assert differences(now, now) == []


def test_an_artefact_that_is_gone_is_not_cached(campaign: FakeCampaign) -> None:
    with pytest.raises(ArtifactError):
        campaign.store.open(Recipe("images", 1, {"never": "made"}).ref)
