"""The numbers for Prometheus, read back by its own parser, and what /healthz says."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import yaml
from prefect.client.schemas.objects import FlowRun
from prefect.states import AwaitingRetry, Running, Scheduled
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from deployments.metrics import Health, gauge, health_app, server_gauges, store_gauges
from storage.artifacts import Store
from storage.records.notices import keep_notice
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
    found = {one.name: one for one in store_gauges(history.store)}
    dates = {(one.labels["campaign"], one.labels["made_by"]): one.value for one in found["harvest_dates"].samples}
    assert dates == {("field", "fitted"): 1, ("field", "scored"): 1}  # by the present fit
    assert [one.value for one in found["harvest_notices"].samples] == [1]
    assert [one.value for one in found["harvest_promises_broken"].samples] == [0]
    (latest,) = found["harvest_latest_date_timestamp_seconds"].samples
    assert datetime.fromtimestamp(latest.value, UTC).date() in DAYS
    assert found["harvest_store_free_bytes"].samples[0].value > 0


def test_when_a_store_was_verified_and_what_is_damaged(tmp_path: Path) -> None:
    state = Upkeep(
        completed=NOW.isoformat(), damaged={"reports/field": Damage(problems=["file x is missing"], found="")}
    )
    for one, expected in ((Upkeep(), (0.0, 0.0)), (state, (NOW.timestamp(), 1.0))):
        write_upkeep(Store(tmp_path), one)
        found = {gauge.name: gauge.samples[0].value for gauge in store_gauges(Store(tmp_path)) if gauge.samples}
        assert (found["harvest_last_verify_timestamp_seconds"], found["harvest_damaged"]) == expected


def test_a_store_without_a_campaign_is_no_fault(tmp_path: Path) -> None:
    found = {one.name: [sample.value for sample in one.samples] for one in store_gauges(Store(tmp_path))}
    assert found["harvest_dates"] == [] and found["harvest_notices"] == [0]


def test_runs_by_state_and_since_when_the_oldest_is_due() -> None:
    def run(minutes: float, state: object) -> FlowRun:
        due = NOW - timedelta(minutes=minutes)
        return FlowRun(flow_id=uuid4(), state=state, state_name=state.name, expected_start_time=due)  # type: ignore[attr-defined]

    runs = {"score": [run(5, Running()), run(60, AwaitingRetry()), run(-30, Scheduled())], "fit": []}
    counts, oldest = server_gauges(runs, NOW)
    assert {(one.labels["deployment"], one.labels["state"]): one.value for one in counts.samples} == {
        ("score", "Running"): 1,
        ("score", "AwaitingRetry"): 1,
        ("score", "Scheduled"): 1,
    }
    assert {one.labels["deployment"]: one.value for one in oldest.samples} == {"score": 3600, "fit": 0}


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
    health = Health(Store(tmp_path))
    known = {one.name for one in (*health.collect(), *store_gauges(health.store), *server_gauges({}, NOW))}
    assert len(rules) == 3 and named <= known
