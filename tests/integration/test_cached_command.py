"""A command on a finished campaign: what it loads, what it asks of the store, and what its server keeps."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from flows.campaign import analyse_campaign
from flows.cli.run_file import load_run_file
from tests.support.commands import CAMPAIGN
from tests.support.repository import ROOT

# Libraries that compute, draw or write files, and Prefect's server, which has a process of its own.
NOT_LOADED = (
    "torch torchvision sklearn skimage scipy.stats scipy.optimize scipy.spatial scipy.linalg lime matplotlib pandas "
    "geopandas shapely zarr openpyxl jinja2 h5py dask distributed prefect.server alembic"
)
PROGRAM = f"""
import sys
from threading import current_thread
from flows.cli.main import main
from tasks.ingest import survey
made, surveyed_by = survey.survey, []
survey.survey = lambda *given, **more: (surveyed_by.append(current_thread().name), made(*given, **more))[1]
sys.argv[0] = "harvest"
try:
    main()
except SystemExit as ended:
    code = ended.code
print("surveyed by:", *surveyed_by, file=sys.stderr)
print("loaded:", *sorted(set({NOT_LOADED.split()!r}) & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """Write a campaign's file, and run the campaign in this process."""
    path = tmp_path / "field.toml"
    path.write_text(CAMPAIGN.format(methods=["gradcam"]).replace("epochs = 5", "epochs = 1"))
    params, runtime = load_run_file(path)
    analyse_campaign(params, str(tmp_path / "store"), runtime)
    return path


def test_a_finished_campaign_runs_again_without_what_computes(campaign: Path) -> None:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "run", campaign, "--store", campaign.parent / "store", "--json"],
        env={**outside, "PREFECT_HOME": str(campaign.parent / "home"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        cwd=campaign.parent,
    )
    assert done.returncode == 0, done.stderr
    surveyed, loaded = done.stderr.splitlines()[-2:]
    assert loaded == "loaded:"
    assert surveyed == "surveyed by: survey"  # once, in the thread that begins before the server answers
    with closing(sqlite3.connect(campaign.parent / "home" / "prefect.db")) as database:
        ended = database.execute("select state_type, count(*) from task_run group by state_type").fetchall()
        flows = database.execute("select state_type from flow_run").fetchall()
    assert [state for state, _ in ended] == ["COMPLETED"] and ended[0][1] > 20
    assert flows and {state for (state,) in flows} == {"COMPLETED"}
