"""The command line of new dates."""

import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client

from flows.acquisition import acquisition_rows
from flows.cli import main as cli
from storage.artifacts import Store
from storage.records.campaigns import CampaignRecord
from tests.support.campaigns import DATES, wait_until
from tests.support.season_fields import LATE, NEW, TINY, YEAR_LATER, write_field
from tests.support.season_runs import Scored

SET_BY_COMMANDS = (
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL",
    "PREFECT_SERVER_ANALYTICS_ENABLED",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS",
    "DO_NOT_TRACK",
)


def harvest(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Exit code of the command line, in this process."""
    for name in SET_BY_COMMANDS:
        monkeypatch.setenv(name, "")  # so that what the command sets ends with this test
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "argv", ["harvest", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


SEASONS = """
[[seasons]]
campaign = "west"
fitted_by = "small"
dates = [{dates}]
[seasons.source]
kind = "growliflower"
root = "field"
"""


class TestCommands:
    def test_score(
        self, scored: Scored, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        command = ("score", "small", "--date", str(NEW), "--store", store)
        assert harvest(monkeypatch, *command, "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["campaign"], found["date"], found["fit"]) == ("small", str(NEW), scored.record.fit)
        assert found["rows"] == acquisition_rows(Store(store), scored.record)
        places = {"folder": str(store / "exports/small"), "n_rows": found["rows"][0]["n_explained"]}
        assert found["exports"] == {**places, "n_without_position": 0, "n_without_workbook": 0}
        assert harvest(monkeypatch, *command) == 0
        head, *said = capsys.readouterr().out.splitlines()
        assert head == f"small {NEW}, scored by the fit {scored.record.fit}:"
        n = found["rows"][0]["n_images"]
        assert said[0].startswith(f"- gradcam: {n} of {n} images explained, ")
        assert said[1:] == [f"exports: {store}/exports/small"]

    @pytest.mark.parametrize(
        ("campaign", "day", "said"),
        [
            ("small", DATES[0], "is one of the dates of small"),
            ("small", LATE, f"The source has no image for {LATE}"),
            ("absent", NEW, "no record of 'absent'"),
            ("../campaigns/small", NEW, "'../campaigns/small'"),
        ],
    )
    def test_score_refuses_in_one_message(
        self,
        fitted: CampaignRecord,
        store: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        campaign: str,
        day: date,
        said: str,
    ) -> None:
        assert harvest(monkeypatch, "score", campaign, "--date", str(day), "--store", store) == 2
        shown = capsys.readouterr()
        messages = [line for line in shown.err.splitlines() if line.startswith("error: ")]
        assert shown.out == "" and len(messages) == 1 and said in shown.err

    def test_backfill(
        self,
        fitted: CampaignRecord,
        store: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """One date of the field, and one that it does not have."""
        write_field(tmp_path / "field", dates=YEAR_LATER[:1], **TINY)
        file = tmp_path / "western.toml"
        command = ("backfill", file, "--store", store)
        file.write_text(SEASONS.format(dates=f"'{YEAR_LATER[0]}', '{YEAR_LATER[1]}'"))
        assert harvest(monkeypatch, *command) == 1
        table = capsys.readouterr().out
        assert "scored" in table and "failed" in table and "no file of this date yet" in " ".join(table.split())
        file.write_text(SEASONS.format(dates=f"'{YEAR_LATER[0]}'"))
        assert harvest(monkeypatch, *command, "--json") == 0
        (row,) = json.loads(capsys.readouterr().out)
        assert (row["season"], row["acquired"], row["state"]) == ("west", str(YEAR_LATER[0]), "present")
        assert (store / "tables/backfill/backfill=western/part-0.parquet").exists()

    def test_announce(
        self,
        fitted: CampaignRecord,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert harvest(monkeypatch, "announce", "small", "--date", str(NEW)) == 0
        first = capsys.readouterr().out
        assert first.startswith(f"announced small {NEW}: event ")
        assert harvest(monkeypatch, "announce", "small", "--date", str(NEW), "--json") == 0
        ids = {first.split()[-1], json.loads(capsys.readouterr().out)["event"]}
        found = wait_until(lambda: {one["id"]: one for one in arrivals() if one["id"] in ids})
        for one in found.values():
            assert one["payload"] == {"campaign": "small", "date": str(NEW)}
            assert one["resource"]["prefect.resource.id"] == "harvest.campaign.small"
        assert len(ids) == 2


def arrivals() -> list[dict[str, Any]]:
    """Events that announce a date, as the server has them."""
    asked = {"filter": {"event": {"name": ["acquisition.arrived"]}}, "limit": 50}
    with get_client(sync_client=True) as client:
        return client.request("POST", "/events/filter", json=asked).json()["events"]
