"""The numbers for Prometheus, read back by its own parser, and what /healthz says."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import AwaitingConcurrencySlot, AwaitingRetry, Running, Scheduled
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from deployments.metrics import Health, gauge, health_app, server_gauges, store_gauges
from deployments.runs import Ended
from deployments.setup import work_queues
from storage.artifacts import Recipe, Store
from storage.records.acquisitions import list_acquisitions, read_acquisition, write_acquisition
from storage.records.notices import keep_notice
from storage.records.obstacles import SOURCE, Obstacle, write_obstacles
from storage.records.upkeep import Damage, Upkeep, write_upkeep
from tests.support.repository import ROOT
from tests.support.store_history import DAYS, History

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def values(health: Health) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every number by its name and labels, as Prometheus reads the page."""
    text = TestClient(health_app(health)).get("/metrics").text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for one in samples}


def test_dates_notices_and_room_of_a_store(tmp_path: Path) -> None:
    history = History(tmp_path, 0)
    history.fit()
    for _ in range(6):
        history.score()
    history.fit()
    history.score()
    keep_notice(history.store, {"time": "2026-11-30T10:00:00", "id": "1", "message": "it failed"})
    bad = Obstacle(since=NOW, why="bad files", is_passing=False, needs_person=True)
    away = Obstacle(since=NOW, why="no folder", is_passing=True, needs_person=False)
    source = bad.model_copy(update={"why": "two dates of one name"})
    write_obstacles(history.store, "field", {"2026-11-29": bad, "2026-11-30": away, SOURCE: source})
    found = {one.name: one for one in store_gauges(history.store)}
    waiting = [(one.labels, one.value) for one in found["harvest_dates_waiting_for_person"].samples]
    assert waiting == [({"campaign": "field"}, 1)]
    dates = {(one.labels["campaign"], one.labels["made_by"]): one.value for one in found["harvest_dates"].samples}
    assert dates == {("field", "fitted"): 1, ("field", "scored"): 1}  # by the present fit
    assert [one.value for one in found["harvest_notices"].samples] == [1]
    assert [one.value for one in found["harvest_promises_broken"].samples] == [0]
    (latest,) = found["harvest_latest_date_timestamp_seconds"].samples
    assert datetime.fromtimestamp(latest.value, UTC).date() in DAYS
    assert found["harvest_store_free_bytes"].samples[0].value > 0


def test_dates_with_far_fewer_plants_than_expected(tmp_path: Path) -> None:
    history = History(tmp_path, 0)
    history.fit()
    history.score()
    (path,) = list_acquisitions(history.store)
    scored = read_acquisition(path)
    recipe = Recipe("acquisition", 1)
    with history.store.create(recipe) as draft:
        draft.summary = {"n_plants": 21, "n_expected": 120}
    artifacts = {**scored.artifacts, f"acquisition {scored.date}": recipe.ref}
    write_acquisition(history.store, scored.model_copy(update={"artifacts": artifacts}))

    def counted() -> dict[tuple[str, ...], float]:
        return by_labels(next(one for one in store_gauges(history.store) if one.name == "harvest_dates_incomplete"))

    assert counted() == {("field",): 1}
    history.fit()  # results of the earlier fit no longer count
    assert counted() == {("field",): 0}


def test_when_a_store_was_verified_and_what_is_damaged(tmp_path: Path) -> None:
    state = Upkeep(
        completed=NOW.isoformat(), damaged={"reports/field": Damage(problems=["file x is missing"], found="")}
    )
    for one, expected in ((Upkeep(), (0.0, 0.0)), (state, (NOW.timestamp(), 1.0))):
        write_upkeep(Store(tmp_path), one)
        found = {gauge.name: gauge.samples[0].value for gauge in store_gauges(Store(tmp_path)) if gauge.samples}
        assert (found["harvest_last_verify_timestamp_seconds"], found["harvest_damaged"]) == expected


def test_a_store_without_a_campaign_is_no_fault_but_one_that_is_not_mounted_is(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(OSError, match="missing or empty"):
            list(store_gauges(Store(folder)))
    (tmp_path / "reports").mkdir()
    found = {one.name: [sample.value for sample in one.samples] for one in store_gauges(Store(tmp_path))}
    assert found["harvest_dates"] == [] and found["harvest_notices"] == [0]


def test_runs_by_state_and_since_when_the_oldest_is_due() -> None:
    def run(minutes: float, state: object) -> FlowRun:
        due = NOW - timedelta(minutes=minutes)
        return FlowRun(flow_id=uuid4(), state=state, state_name=state.name, expected_start_time=due)  # type: ignore[attr-defined]

    runs = {"score": [run(5, Running()), run(60, AwaitingRetry()), run(-30, Scheduled())], "fit": []}
    counts, oldest, *_ = server_gauges(runs, (), (), NOW)
    assert {(one.labels["deployment"], one.labels["state"]): one.value for one in counts.samples} == {
        ("score", "Running"): 1,
        ("score", "AwaitingRetry"): 1,
        ("score", "Scheduled"): 1,
    }
    assert {one.labels["deployment"]: one.value for one in oldest.samples} == {"score": 3600, "fit": 0}


def scoring(campaign: str, day: str, minutes: float, state: State[object], due: float | None = None) -> FlowRun:
    """A scoring run that was made some minutes ago, and that is due after, or since, some others."""
    at = NOW - timedelta(minutes=minutes if due is None else -due)
    queue = {"work_pool_name": "cpu", "work_queue_name": "arrivals"}
    run = FlowRun(flow_id=uuid4(), parameters={"campaign": campaign, "date": day}, state=state, **queue)  # type: ignore[arg-type]
    return run.model_copy(
        update={
            "created": NOW - timedelta(minutes=minutes),
            "state_name": state.name,
            "state_type": state.type,
            "next_scheduled_start_time": at,
        }
    )


def by_labels(family: Metric) -> dict[tuple[str, ...], float]:
    """Values of a family by the values of its labels."""
    return {tuple(one.labels.values()): one.value for one in family.samples}


def test_dates_that_wait_or_failed_queues_and_last_runs_by_campaign() -> None:
    runs = [
        scoring("north", "2021-09-06", 50, Running()),
        scoring("north", "2021-09-06", 20, Scheduled()),  # sent for once more: one date
        scoring("north", "2021-09-08", 10, AwaitingRetry(), due=3),
        scoring("south", "2021-09-06", 5, AwaitingConcurrencySlot(), due=1),
    ]
    ended = [
        Ended("score-acquisition", "north", "2021-09-06", NOW - timedelta(hours=3), "Failed", True),  # waits again
        Ended("score-acquisition", "west", "2021-09-01", NOW - timedelta(hours=2), "Crashed", True),
        Ended("score-acquisition", "west", "2021-09-02", NOW - timedelta(hours=1), "Completed", False),
        Ended("analyse-campaign", "west", "", NOW - timedelta(hours=5), "Failed", True),  # no date
    ]
    queues = [("cpu", "arrivals"), ("gpu", "default")]
    found = {one.name: by_labels(one) for one in server_gauges({"score-acquisition": runs}, ended, queues, NOW)}
    assert found["harvest_dates_waiting"] == {("north",): 2, ("south",): 1, ("west",): 0}
    assert found["harvest_oldest_date_seconds"] == {("north",): 3000, ("south",): 300, ("west",): 0}
    assert found["harvest_dates_failed"] == {("north",): 0, ("south",): 0, ("west",): 1}
    assert found["harvest_queue_length"] == {("cpu", "arrivals"): 2, ("gpu", "default"): 0}
    assert found["harvest_last_run_timestamp_seconds"] == {
        ("score-acquisition", "north", "Failed"): (NOW - timedelta(hours=3)).timestamp(),
        ("score-acquisition", "west", "Completed"): (NOW - timedelta(hours=1)).timestamp(),
        ("analyse-campaign", "west", "Failed"): (NOW - timedelta(hours=5)).timestamp(),
    }


def test_notices_are_counted_by_campaign_and_earlier_ones_without(tmp_path: Path) -> None:
    history = History(tmp_path, 0)
    history.fit()
    for notice in ({"campaign": "field", "date": ""}, {"campaign": "field", "date": "2026-08-20"}, {}):
        keep_notice(history.store, {"time": "2026-11-30T10:00:00", "id": "1", **notice})
    found = {one.name: by_labels(one) for one in store_gauges(history.store)}
    assert found["harvest_notices"] == {("",): 1, ("field",): 2}


def test_every_work_queue_has_a_length() -> None:
    assert work_queues() == {("cpu", "campaigns"), ("cpu", "arrivals"), ("gpu", "default")}


def test_what_healthz_says(tmp_path: Path) -> None:
    health = Health(Store(tmp_path))
    client = TestClient(health_app(health))
    answer = client.get("/healthz")
    assert (answer.status_code, answer.text) == (503, "no answer of the server\n")
    health.seen, health.problem = datetime.now(UTC), ""
    assert (client.get("/healthz").status_code, client.get("/healthz").text) == (200, "ok\n")
    health.problem = "the store does not answer: [Errno 116] Stale file handle"
    assert client.get("/healthz").text.startswith("the store does not answer")
    health.seen, health.problem = datetime.now(UTC) - timedelta(minutes=10), ""
    assert client.get("/healthz").status_code == 503 and "has not answered since" in client.get("/healthz").text


def test_labels_are_escaped(tmp_path: Path) -> None:
    health = Health(Store(tmp_path))
    health._of_store = [gauge("harvest_dates", "dates", {('odd "name"\n',): 2.0}, ("campaign",))]  # pyright: ignore[reportPrivateUsage]
    assert values(health)["harvest_dates", (("campaign", 'odd "name"\n'),)] == 2


def test_alerts_name_numbers_that_are_there(tmp_path: Path) -> None:
    rules = yaml.safe_load((ROOT / "deployments" / "alerts.yaml").read_text())["groups"][0]["rules"]
    named = set(re.findall(r"harvest_\w+", " ".join(rule["expr"] for rule in rules)))
    (tmp_path / "reports").mkdir()
    health = Health(Store(tmp_path))
    known = {one.name for one in (*health.collect(), *store_gauges(health.store), *server_gauges({}, (), (), NOW))}
    assert len(rules) == 3 and named <= known
