"""Tests of `harvest plan`: figures before anything runs, and exit code 2 for a campaign that cannot fit."""

import json
from pathlib import Path

import psutil
import pytest

from flows.cli import plan as cli_plan
from flows.plan import plan as planning
from storage.places.faults import size_text
from tests.unit.flows.cli.test_main import main

CAMPAIGN = """
dates = ["2022-08-25", "2022-09-03"]

[source]
kind = "synthetic"

[source.season]
dates = ["2022-08-25", "2022-09-03"]
n_plots = 2
rows = 3
plants_per_row = 10
image_size = 64
seed = 1

[ingest]
image_size = 64

[augment]
copies = [1]

[train]
epochs = 2

[explain]
methods = ["gradcam", "occlusion"]

[cluster]
n_clusters = 3
"""


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(CAMPAIGN)
    return path


@pytest.mark.slow
def test_figures(campaign: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    store = campaign.parent / "store"
    assert main(monkeypatch, "plan", campaign, "--store", store, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert not store.exists()
    stages = {" ".join(filter(None, (row["stage"], row["method"]))): row for row in found["stages"]}
    n = sum(day["n_images"] for day in found["dates"])
    assert stages["predict"]["forward"] == n and stages["train"]["backward"] > 0
    assert found["seconds"] == pytest.approx(sum(row["seconds"] or 0 for row in stages.values()))
    # The time is a rate times a count.
    assert stages["train"]["seconds"] == pytest.approx(
        stages["train"]["backward"] * found["rates"]["train"]
        + (stages["train"]["forward"] - stages["train"]["backward"]) * found["rates"]["forward"]
    )
    windows = stages["explain occlusion"]
    assert windows["seconds"] >= windows["partial"] * found["rates"]["window"] / found["rates"]["speedup"] > 0
    cli_plan.print_plan(found)
    said = capsys.readouterr().out
    assert size_text(found["store_bytes"]) in said and f"{windows['partial']:,}" in said and "estimates" in said


def test_what_does_not_fit_is_refused_before_it_is_measured(
    campaign: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign.write_text(CAMPAIGN + "\n[runtime]\nbatch_size = 4096\nworkers = 8\n")
    limit = psutil.Process().memory_info().rss + 3 * 10**9  # besides what earlier tests have left in this process
    monkeypatch.setattr(planning, "memory_limit", lambda: limit)
    monkeypatch.setattr(planning, "measure_rates", None)
    assert main(monkeypatch, "plan", campaign) == 2
    said = capsys.readouterr().err
    assert f"this machine has {size_text(limit)}" in said and "set runtime.batch_size = " in said


def test_a_full_disk(campaign: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "free_disk", lambda _store: 10**6)
    assert main(monkeypatch, "plan", campaign) == 2
    assert "the store's disk has 1.0 MB free" in capsys.readouterr().err


def test_a_hopeless_campaign(campaign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse it by the source's lists alone, as a run does."""
    campaign.write_text(CAMPAIGN.replace("n_clusters = 3", "n_clusters = 100"))
    monkeypatch.setattr(planning, "sample_images", None)
    assert main(monkeypatch, "plan", campaign) == 2


@pytest.mark.parametrize(
    ("seconds", "said"), [(3.2, "3 s"), (300, "5 min"), (12_000, "3 h 20 min"), (360_000, "100 h")]
)
def test_times_for_people(seconds: float, said: str) -> None:
    assert cli_plan.time_text(seconds) == said
