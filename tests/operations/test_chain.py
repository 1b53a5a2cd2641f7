"""New dates, seasons and campaigns through deployments, events and schedules, on the whole service."""

import json
import os
import signal
import subprocess
from collections.abc import Generator
from datetime import date, datetime
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import FlowRun, TaskRun

from deployments.watch import unwatch, watch
from flows.fit import GPU_LIMIT
from storage.artifacts import Store
from storage.records.acquisitions import find_acquisition, fit_digest
from storage.records.campaigns import read_record
from storage.records.notices import DAMAGED
from storage.tables import BACKFILL
from storage.tables.parquet import load_table
from storage.verify import verify_store
from tasks.explain.methods import ExplainParams
from tasks.explain.occlusion import OcclusionParams
from tasks.sources.synthetic.layouts import write_season
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.season import grow_season
from tasks.sources.synthetic.source import SyntheticSource
from tests.operations.killer import FITTING, OTHERS, Killer
from tests.support.campaigns import HARVEST, RESNET18, most_at_once, small_campaign
from tests.support.field import FITTED, NEW, Field, tables
from tests.support.prefect_api import api_in_this_process
from tests.support.service import Service, wait_until

FOUND, ANNOUNCED = NEW


pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture(scope="module")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """Prefect's API for what runs in this process, to compare the service's tables with."""
    with api_in_this_process(tmp_path_factory.mktemp("prefect")):
        yield


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Field:
    return Field(tmp_path_factory.mktemp("field"), "field")


@pytest.fixture(scope="module")
def fit(service: Service, field: Field) -> str:
    """Digest of the fit that the deployment `analyse-campaign` made of the field."""
    run = service.run("analyse-campaign", params=field.params.model_dump(mode="json"))
    service.wait_for_state(run, "Completed", seconds=240)
    return fit_digest(read_record(Store(service.store), "field").artifacts)


def runs_of(service: Service, deployment: str) -> list[FlowRun]:
    """Flow runs of a deployment, earliest first."""
    only = DeploymentFilter(name=DeploymentFilterName(any_=[deployment]))
    with service.client() as client:
        found = client.read_flow_runs(deployment_filter=only)
    return sorted(found, key=lambda run: run.created or datetime.min)


def scoring_runs(service: Service, campaign: str, day: date) -> list[FlowRun]:
    """Flow runs that score a date."""
    return [run for run in runs_of(service, "score-acquisition") if run.name == f"score {campaign} {day}"]


def task_states(service: Service, run: UUID) -> dict[str, str]:
    """State names of a flow run's task runs, by name."""
    return {task.name: task.state_name or "" for task in task_runs(service, run)}


def task_runs(service: Service, run: UUID) -> list[TaskRun]:
    """Task runs of a flow run."""
    with service.client() as client:
        return client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])))


def test_a_campaign_is_fitted_on_the_gpu_pool_with_the_same_tables(service: Service, field: Field, fit: str) -> None:
    (run,) = (run for run in runs_of(service, "analyse-campaign") if run.name.startswith("field "))
    (fitted,) = (run for run in runs_of(service, "fit-and-explain") if run.name.startswith("field "))
    assert (fitted.work_pool_name, fitted.state_name) == ("gpu", "Completed")

    def verbs(state: str) -> set[str]:  # the server learns of task runs a little later than of their flow run's end
        return {name.split()[0] for name, found in task_states(service, run.id).items() if found == state}

    wait_until(lambda: {"send", "publish"} <= verbs("Completed"), 60, service.logs)
    assert verbs("Cached") == {"train", "predict", "explain", "gather"}
    field.analyse()
    assert read_record(Store(field.in_place), "field").artifacts == read_record(Store(service.store), "field").artifacts
    assert tables(field.in_place, "field") == tables(service.store, "field")


@pytest.mark.nightly  # in one process, tests/integration/seasons/test_arrival.py and test_discovery.py show this
def test_a_half_copied_date_that_is_announced_twice_is_scored_once(service: Service, field: Field, fit: str) -> None:
    field.copy_half(ANNOUNCED)
    n_before, before = len(runs_of(service, "discover-acquisitions")), tables(service.store, "field")
    service.command("harvest", "announce", "field", "--date", str(ANNOUNCED))
    service.announce("field", str(ANNOUNCED))

    def all_looked() -> bool:
        runs = runs_of(service, "discover-acquisitions")[n_before:]
        return len(runs) == 2 and all(run.state_name == "Completed" for run in runs)

    wait_until(all_looked, 180, service.logs)
    (scoring,) = scoring_runs(service, "field", ANNOUNCED)
    wait_until(
        lambda: task_states(service, scoring.id).get(f"await field {ANNOUNCED}") == "AwaitingRetry", 60, service.logs
    )
    field.copy(ANNOUNCED)
    assert service.wait_for_state(scoring.id, "Completed", seconds=180).run_count == 1
    assert find_acquisition(Store(service.store), "field", ANNOUNCED, fit) is not None
    assert [run.id for run in scoring_runs(service, "field", ANNOUNCED)] == [scoring.id]
    made = {run.name for run in runs_of(service, "fit-and-explain") if run.state_name == "Completed"}
    assert f"field {ANNOUNCED}" in made
    assert not [name for name in task_states(service, scoring.id) if name.split()[0] in ("train", "cluster")]
    field.analyse()  # cached where the test of the GPU pool ran before
    field.score(ANNOUNCED)
    after = tables(service.store, "field")
    assert tables(field.in_place, "field") == after
    new = after.keys() - before.keys()
    assert new and {name.split("/")[1] for name in new} == {f"date={ANNOUNCED}"}
    assert {name: after[name] for name in before} == before
    assert verify_store(Store(service.store)).problems == []


@pytest.mark.nightly  # in one process, tests/integration/seasons/test_discovery.py shows this
def test_a_date_that_is_copied_in_is_found_by_the_schedule(service: Service, field: Field, fit: str) -> None:
    field.copy(FOUND)
    with service.client() as client:
        watch(client, "field", minutes=0.5)
        try:
            wait_until(lambda: bool(scoring_runs(service, "field", FOUND)), 180, service.logs)
        finally:
            unwatch(client, "field")
    (scoring,) = scoring_runs(service, "field", FOUND)
    service.wait_for_state(scoring.id, "Completed", seconds=180)
    assert find_acquisition(Store(service.store), "field", FOUND, fit) is not None
    assert len(scoring_runs(service, "field", ANNOUNCED)) <= 1  # what was scored is not scored again


SEASON = (date(2022, 8, 23), date(2022, 8, 26))


def seasons(folder: Path) -> dict[str, Any]:
    """Two seasons, one of a single date; the files of one date of the other cannot be read."""
    sources: list[dict[str, Any]] = []
    for seed, dates in ((2, SEASON[:1]), (3, SEASON)):
        season = SeasonParams(dates=dates, n_plots=2, rows=2, plants_per_row=5, image_size=64, seed=seed)
        sources.append({"kind": "synthetic", "season": season.model_dump(mode="json")})
    season = SeasonParams.model_validate(sources[1]["season"])
    write_season(grow_season(season), folder, "growliflower")
    for image in (folder / "GrowliFlowerR" / "Field2" / "2022_08_26").iterdir():
        image.write_bytes(b"half a picture")
    sources[1] = {"kind": "growliflower", "root": str(folder)}
    listed = [
        {"campaign": f"season{i}", "fitted_by": "field", "source": source, "dates": None}
        for i, source in enumerate(sources)
    ]
    return {"name": "years", "at_most": 2, "seasons": listed}


@pytest.mark.nightly  # in one process, tests/integration/seasons/test_backfill.py shows this
def test_a_backfill_goes_on_after_a_broken_date(
    service: Service, fit: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    params = seasons(tmp_path_factory.mktemp("season"))
    ended = service.wait_for_state(service.run("backfill-seasons", params=params), "Failed", seconds=800)
    assert ended.state is not None and "1 of 3 dates failed" in (ended.state.message or "")
    first = load_table(service.store / "tables/backfill/backfill=years/part-0.parquet", BACKFILL).to_pylist()
    failed = {(row["season"], str(row["acquired"])) for row in first if row["state"] == "failed"}
    assert failed == {("season1", "2022-08-26")}
    assert sum(row["state"] == "scored" for row in first) == 2 and {row["fit"] for row in first} == {fit}
    scored = [run for run in runs_of(service, "score-acquisition") if run.name.startswith("score season")]
    assert 1 < most_at_once(scored) <= 2
    assert len(scored) == 3 and {run.run_count for run in scored} == {1}
    assert verify_store(Store(service.store)).problems == []


@pytest.mark.nightly  # in one process, the slot is taken in tests/integration/seasons/test_fit.py
def test_two_campaigns_never_share_the_gpu(service: Service) -> None:
    """Both fits run at once, for the pool has room; the slot lets one after the other compute."""
    names = ("one", "two")
    runs: list[UUID] = []

    def fits() -> list[FlowRun]:
        return [run for run in runs_of(service, "fit-and-explain") if run.name.split()[0] in names]

    with service.client() as client:
        client.increment_concurrency_slots([GPU_LIMIT], 1, "concurrency")
        try:
            for seed, name in enumerate(names):
                season = SeasonParams(dates=FITTED, n_plots=2, rows=3, plants_per_row=10, image_size=64, seed=seed + 5)
                params = small_campaign(name, source=SyntheticSource(season=season), train=RESNET18)
                runs.append(service.run("analyse-campaign", params=params.model_dump(mode="json")))
            wait_until(lambda: [run.state_name for run in fits()] == ["Running"] * 2, 240, service.logs)
        finally:
            client.release_concurrency_slots([GPU_LIMIT], 1, occupancy_seconds=1)
    for run in runs:
        service.wait_for_state(run, "Completed", seconds=300)
    spans = [computing(service, run.id) for run in fits()]
    (_, first_end), (second_start, _) = sorted(spans)
    assert first_end <= second_start


def computing(service: Service, run: UUID) -> tuple[datetime, datetime]:
    """From when until when the tasks of a flow run ran."""
    wait_until(lambda: all(task.end_time for task in task_runs(service, run)), 30, service.logs)
    found = task_runs(service, run)
    assert len(found) > 4
    return min(task.start_time for task in found if task.start_time), max(t.end_time for t in found if t.end_time)


@pytest.mark.nightly  # in one process, tests/integration/test_faults.py shows this; `make chaos` kills every stage
def test_a_killed_fit_does_not_train_again(service: Service) -> None:
    slow = ExplainParams(methods=("occlusion",), occlusion=OcclusionParams(stride=3))
    run = service.run(
        "analyse-campaign", params=small_campaign("killed-fit", explain=slow, train=RESNET18).model_dump(mode="json")
    )

    def fits() -> list[FlowRun]:
        return [fit for fit in runs_of(service, "fit-and-explain") if fit.name.startswith("killed-fit ")]

    def is_trained() -> bool:
        return any(task_states(service, fit.id).get("train killed-fit") == "Completed" for fit in fits())

    wait_until(is_trained, 120, service.logs)
    (fit,) = fits()
    pids = service.flow_run_pids(fit.id)
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert service.wait_for_state(run, "Completed", seconds=300).run_count == 1
    killed, another = fits()
    assert (killed.id, killed.state_name, another.state_name) == (fit.id, "Crashed", "Completed")
    assert [task_states(service, run.id)["train killed-fit"] for run in fits()] == ["Completed", "Cached"]


@pytest.mark.nightly  # `make chaos` does this in every stage
@pytest.mark.timeout(1200)  # pytest ends it where the stage is missed
@pytest.mark.parametrize(("stage", "seed"), [("explain", 8), ("report", 9)])  # one seed's fit serves both campaigns
def test_a_flow_that_is_killed_with_all_it_started_makes_the_same_tables(
    service: Service, stage: str, seed: int, tmp_path: Path
) -> None:
    plot = Field(tmp_path, f"killed-{stage}", seed)
    run = service.run("analyse-campaign", params=plot.params.model_dump(mode="json"))
    killer = Killer(service, None, plot.root, Random(0), 1, {stage})
    killer.run()
    (killed,) = killer.faults
    assert (killed.stage, killed.is_aimed) == (stage, True) and killed.victim.startswith((*FITTING, *OTHERS))
    ended = service.wait_for_state(run, "Completed", seconds=400)
    fits = [fit.state_name for fit in runs_of(service, "fit-and-explain") if fit.name.startswith(f"{plot.name} ")]
    assert (ended.run_count, fits) == ((1, ["Crashed", "Completed"]) if stage == "explain" else (2, ["Completed"]))
    plot.analyse()
    assert tables(plot.in_place, plot.name) == tables(service.store, plot.name)
    assert verify_store(Store(service.store)).problems == []


def test_nothing_is_announced_with_wrong_credentials(service: Service) -> None:
    variables = {"PREFECT_API_URL": service.api_url, "PREFECT_API_AUTH_STRING": "harvest:wrong"}
    done = subprocess.run(
        [HARVEST, "announce", "field", "--date", "2022-09-10"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert done.stderr.startswith("error: ") and "401 Unauthorized" in done.stderr
    assert "announced" not in done.stdout


@pytest.mark.nightly  # `make chaos` kills everything, and compares tables
@pytest.mark.timeout(1200)  # it waits for a start, two fits, and for silence to be noticed
def test_a_stopped_service_takes_up_its_runs(service: Service, tmp_path: Path) -> None:
    """Stopped in the midst of a fit as systemd does it, which leaves no process, and started again."""
    plot = Field(tmp_path, "stopped", seed=7)
    run = service.run("analyse-campaign", params=plot.params.model_dump(mode="json"))

    def is_fitting() -> bool:
        fits = [fit for fit in runs_of(service, "fit-and-explain") if fit.name.startswith("stopped ")]
        return any("train stopped" in task_states(service, fit.id) for fit in fits)

    wait_until(is_fitting, 240, service.logs)
    assert service.flow_run_pids(run)
    service.stop()
    service.start()
    plot.analyse()
    assert service.wait_for_state(run, "Completed", seconds=400).run_count == 2
    stores = [Store(plot.in_place), Store(service.store)]
    in_place, taken_up = (read_record(store, "stopped").artifacts for store in stores)
    assert in_place == taken_up
    assert tables(plot.in_place, "stopped") == tables(service.store, "stopped")
    assert verify_store(Store(service.store)).problems == []


@pytest.mark.nightly  # in one process, tests/integration/seasons/test_upkeep.py shows this
def test_what_rots_is_made_again_in_the_night(service: Service, field: Field, fit: str) -> None:
    field.copy(ANNOUNCED)
    scoring = service.run("score-acquisition", campaign="field", date=str(ANNOUNCED))
    service.wait_for_state(scoring, "Completed", seconds=240)
    store, before = Store(service.store), tables(service.store, "field")
    record = find_acquisition(store, "field", ANNOUNCED, fit)
    assert record is not None
    learned, decided = (record.artifacts[role] for role in ("clusters gradcam", f"decided gradcam {ANNOUNCED}"))
    for ref, name in ((learned, "pca_mean/zarr.json"), (decided, "decided.parquet")):
        path = service.store / "artifacts" / str(ref) / name
        path.write_bytes(b"X" + path.read_bytes()[1:])  # neither its size nor its owner changes
    run = service.run("keep-store")
    service.wait_for_state(run, "Completed", seconds=400)
    assert tables(service.store, "field") == before and verify_store(store).problems == []
    notices = [json.loads(line) for line in (service.store / "notices.jsonl").read_text().splitlines()]
    (told,) = (one["message"] for one in notices if one["state"] == DAMAGED)
    assert f"artifacts/{learned}: file pca_mean/zarr.json has changed content" in told
    assert f"artifacts/{decided}: file decided.parquet has changed content" in told
    assert f"field {ANNOUNCED} was scored again" in told and "field was run again" in told
    assert told.startswith("2 damaged, 2 of them whole again, 0 for a person")
