"""Tests of the addresses under which the Prefect UI links to reports."""

from pathlib import Path

import pytest

from flows.report.links import REPORTS_URL, explorer_link, report_link
from storage.artifacts import Store
from storage.records.campaigns import CampaignRecord

RECORD = CampaignRecord(campaign="field2", params={}, artifacts={}, report="reports/field2/index.html")


@pytest.mark.parametrize("address", ["https://fields.example/reports", "https://fields.example/reports/"])
def test_a_page_where_reports_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv(REPORTS_URL, address)
    assert report_link(Store(tmp_path), RECORD) == "https://fields.example/reports/field2/index.html"


@pytest.mark.parametrize("address", [None, ""])
def test_else_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    monkeypatch.delenv(REPORTS_URL, raising=False)
    if address is not None:
        monkeypatch.setenv(REPORTS_URL, address)
    folder = tmp_path / "my store"
    assert report_link(Store(folder), RECORD) == f"file://{tmp_path}/my%20store/reports/field2/index.html"


def test_a_cluster_in_the_plant_explorer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REPORTS_URL, "https://fields.example/reports")
    address = "https://fields.example/reports/field2/analysis.html#cluster=3&method=lime"
    assert explorer_link(Store(tmp_path), RECORD, "lime", 3) == address
