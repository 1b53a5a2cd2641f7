"""Tests of the commands for new dates and many seasons: what they refuse without a server or a fitted campaign."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from storage.artifacts import Store
from storage.records.campaigns import CampaignRecord, write_record
from tests.unit.flows.cli.test_main import harvest, is_one_message, main

SEASONS = '[[seasons]]\ncampaign = "field2"\n'


class TestWrongUse:
    @pytest.mark.parametrize(
        "arguments",
        [
            ("score", "field2"),
            ("score", "--date", "2021-08-30"),
            ("score", "field2", "--date", "30.8.2021"),
            ("score", "field2", "--date", "2021-08-32"),
            ("announce", "field2"),
            ("announce", "field2", "--date", "today"),
            ("announce", "field2", "--date", "2021-08-30", "--store", "x"),
            ("backfill",),
        ],
    )
    def test_exit_code(
        self, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(monkeypatch, *arguments) == 2
        said = capsys.readouterr()
        assert said.out == "" and "Usage" in said.err and "Traceback" not in said.err

    @pytest.mark.parametrize("command", ["score", "announce", "backfill"])
    def test_help(self, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(monkeypatch, command, "--help") == 0
        said = capsys.readouterr().out
        assert f"harvest {command}" in said and "--json" in said
        assert ("--date" in said) == (command != "backfill") and ("--store" in said) == (command != "announce")


class TestScore:
    def test_an_unknown_campaign(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_record(Store(tmp_path), CampaignRecord(campaign="known", params={}, artifacts={}, report=""))
        assert main(monkeypatch, "score", "other", "--date", "2021-08-30", "--store", tmp_path) == 2
        said = capsys.readouterr()
        assert said.out == "" and is_one_message(said.err) and "campaigns there: known" in said.err

    def test_a_store_of_another_kind(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(monkeypatch, "score", "x", "--date", "2021-08-30", "--store", "gs://bucket") == 2
        assert is_one_message(capsys.readouterr().err)


class TestBackfill:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (None, "no file"),
            ("[[seasons\n", "Expected"),
            ("", "seasons: missing"),
            ("at_mots = 3\n" + SEASONS, "at_mots: unknown key; did you mean at_most?"),
            (SEASONS.replace("field2", "../field2"), "seasons.0.campaign: "),
        ],
    )
    def test_a_bad_file_is_one_message(
        self,
        text: str | None,
        said: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        file = tmp_path / "seasons.toml"
        if text is not None:
            file.write_text(text)
        assert main(monkeypatch, "backfill", file, "--store", tmp_path / "store") == 2
        shown = capsys.readouterr()
        assert shown.out == "" and is_one_message(shown.err) and said in shown.err
        assert not (tmp_path / "store").exists()


class TestAnnounce:
    def test_without_a_server(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Run the command in a process of its own, as this one may have a server's address from other tests."""
        for name in [name for name in os.environ if name.startswith("PREFECT_")]:
            monkeypatch.delenv(name)
        home = {"PREFECT_HOME": str(tmp_path)}
        ended = harvest("announce", "field2", "--date", "2021-08-30", "--json", environment=home)
        assert ended.returncode == 2 and is_one_message(ended.stderr)
        assert json.loads(ended.stdout)["error"]["found"] == "PREFECT_API_URL is not set"
        assert "PREFECT_API_URL is not set" in ended.stderr and "harvest score" in ended.stderr

    def test_a_server_that_lets_nobody_in(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in os.environ if name.startswith("PREFECT_")]:
            monkeypatch.delenv(name)
        with HTTPServer(("127.0.0.1", 0), Refusing) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            where = {"PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": f"http://127.0.0.1:{server.server_port}/api"}
            ended = harvest("announce", "field2", "--date", "2021-08-30", environment=where)
            server.shutdown()
        assert (ended.returncode, ended.stdout) == (1, "") and "Traceback" not in ended.stderr
        (said,) = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
        assert said.startswith("error: the Prefect server did not accept the announcement: ") and "401" in said


class Refusing(BaseHTTPRequestHandler):
    """Server that answers every request with 401, as one does without the right password."""

    def do_GET(self) -> None:
        self.send_error(401)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""
