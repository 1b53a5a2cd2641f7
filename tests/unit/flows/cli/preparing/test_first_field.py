"""The way of a new user: `harvest init`, `harvest look`, `harvest run` with the installed command, the exports."""

import os
import subprocess
from pathlib import Path
from typing import Any

import geopandas
import pytest

from tests.support.campaigns import HARVEST
from tests.support.first_field import DAYS, PLANTS, SPOTS, write_first_field
from tests.unit.flows.cli.test_main import main

pytestmark = pytest.mark.slow

LITTLE = """
[ingest]
image_size = 64
[augment]
copies = [1]
[train]
architecture = "shufflenet_v2_x0_5"
epochs = 1
learning_rate = 1e-3
[cluster]
n_clusters = 3
n_seeds = 1
"""


def run_command(folder: Path, command: str) -> str:
    """Return what a command line prints that `harvest init` has told."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "HARVEST_"))}
    done = subprocess.run(
        [HARVEST, *command.split()[1:], "--store", "store"],
        cwd=folder,
        env={**outside, "PREFECT_HOME": str(folder / "prefect")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_from_a_folder_to_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file needs no change to run; the keys that are added make its run short."""
    monkeypatch.chdir(tmp_path)
    write_first_field(tmp_path / "field7")
    assert main(monkeypatch, "init", "field7") == 0
    look, run = (line.strip() for line in capsys.readouterr().out.partition("next:\n")[2].splitlines())
    assert (look, run) == ("harvest look field7/campaign.toml", "harvest run field7/campaign.toml")
    with Path("field7/campaign.toml").open("a") as file:
        file.write(LITTLE)
    assert main(monkeypatch, *look.split()[1:]) == 0
    assert "field7: 60 images of 2 dates" in capsys.readouterr().out  # without those that are cut
    assert "report:" in run_command(tmp_path, run)
    files = sorted((tmp_path / "store/exports/field7").rglob("*.parquet"))
    assert [path.parent.name for path in files] == [day.isoformat() for day in DAYS]
    spots = dict(zip(PLANTS, SPOTS, strict=True))
    for path, n in zip(files, (24, 16), strict=True):  # of two beds; eight plants are cut before the second date
        found: Any = geopandas.read_parquet(path)
        assert len(found) == n and set(found.decision) <= {"harvest", "leave", "check"}
        assert all(spots[one.plant_id] == pytest.approx((one.geometry.x, one.geometry.y)) for one in found.itertuples())
