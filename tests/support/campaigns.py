"""A campaign small enough to run many times, and what a Prefect server knows of its runs."""

import os
import subprocess
import sysconfig
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.tasks import Task

from flows.campaign import DEFAULT_RUNTIME, analyse_campaign
from flows.parameters import CampaignParams
from flows.running.stages import n_tasks
from storage.artifacts import Store
from storage.records.campaigns import CampaignRecord
from tasks.classify.augment import AugmentParams
from tasks.classify.training import TrainParams
from tasks.cluster.params import ClusterParams
from tasks.explain.methods import map_groups
from tasks.ingest.survey import IngestParams
from tasks.parameters import Runtime
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.source import SyntheticSource

HARVEST = Path(sysconfig.get_path("scripts")) / "harvest"
DATES = (date(2022, 8, 25), date(2022, 9, 3))
RESNET18 = TrainParams(epochs=2, learning_rate=1e-3)  # where answers must be good, or a run is met at work


def small_campaign(name: str = "small", **changes: Any) -> CampaignParams:
    """Two dates of 60 plants, drawn in memory, and the least network and training that fill every table."""
    season = SeasonParams(dates=DATES, n_plots=2, rows=3, plants_per_row=10, image_size=64, seed=1)
    fields: dict[str, Any] = {
        "campaign": name,
        "source": SyntheticSource(season=season),
        "dates": DATES,
        "ingest": IngestParams(image_size=64),
        "augment": AugmentParams(copies=(1,)),
        "train": TrainParams(architecture="shufflenet_v2_x0_5", epochs=2, learning_rate=1e-3),
        "cluster": ClusterParams(n_clusters=3, n_seeds=2),
    }
    return CampaignParams(**{**fields, **changes})


@dataclass(frozen=True)
class Finished:
    """A finished flow run and its task runs by name."""

    record: CampaignRecord
    flow_run_id: UUID
    flow_run_name: str
    tasks: dict[str, TaskRun]

    def states(self) -> dict[str, str]:
        """Name of the state of every task run."""
        return {name: run.state_name or "" for name, run in self.tasks.items()}


def run_small(params: CampaignParams, store: Path | str, runtime: Runtime = DEFAULT_RUNTIME) -> Finished:
    """Run a campaign and read back what the server knows of it."""
    record = analyse_campaign(params, str(store), runtime)
    with get_client(sync_client=True) as client:
        (last,) = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)
    runs = task_runs(last.id, n_tasks(params) + n_more_tasks(record, store))
    return Finished(record, last.id, last.name, {run.name: run for run in runs})


def n_more_tasks(record: CampaignRecord, store: Path | str) -> int:
    """Tasks that explain maps beyond the one for a date and method that `n_tasks` counts on, and those that match."""
    n_matching = sum(role.startswith("matches ") for role in record.artifacts)
    saliency = [Store(store).open(ref).summary for role, ref in record.artifacts.items() if role.startswith("saliency")]
    return n_matching + sum(len(map_groups(summary["n_maps"], summary["method"])) - 1 for summary in saliency)


def explain_names(run: Finished, store: Path, method: str = "gradcam") -> set[str]:
    """Names of the task runs that explain every date's maps, where one does for all maps of a date."""
    roles = {day: run.record.artifacts[f"saliency {method} {day}"] for day in run.record.params["dates"]}
    last = {day: Store(store).open(ref).summary["n_maps"] - 1 for day, ref in roles.items()}
    return {f"explain {run.record.campaign} {day} {method} 0..{n}" for day, n in last.items()}


def task_runs(flow_run_id: UUID, n_expected: int) -> list[TaskRun]:
    """Task runs of a finished flow run; the server learns of them from events, a little later than the flow."""
    deadline = time.monotonic() + 60
    with get_client(sync_client=True) as client:
        while True:
            runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])))
            if len(runs) == n_expected and all(run.state is not None and run.state.is_final() for run in runs):
                return runs
            assert time.monotonic() < deadline, [(run.name, run.state_name) for run in runs]
            time.sleep(0.2)


def most_at_once(runs: Sequence[FlowRun | TaskRun]) -> int:
    """How many of some ended runs were running at the same time, at most."""
    spans = [(run.start_time, run.end_time) for run in runs if run.start_time and run.end_time]
    assert len(spans) == len(runs)
    return max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)


def wait_until(found: Callable[[], Any], seconds: float = 60) -> Any:
    """The first value that is not empty."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


def run_command(folder: Path, toml: str, home: str = "home", **variables: str) -> subprocess.Popen[str]:
    """Start `harvest run` on a TOML text with a Prefect home and environment variables of its own."""
    (folder / "field.toml").write_text(toml)
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return subprocess.Popen(
        [HARVEST, "run", str(folder / "field.toml"), "--store", str(folder / "store"), "--logs"],
        env={**outside, **variables, "PREFECT_HOME": str(folder / home), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the manifests, which hold the time of writing."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


def without_campaign(task: Task[..., Any], **options: Any) -> Task[..., Any]:
    """Return a task that runs outside a campaign, which would put its name into the name of the run."""
    return task.with_options(task_run_name=str(task.task_run_name).replace(" {campaign}", ""), **options)
