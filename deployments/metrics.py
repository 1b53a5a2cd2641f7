"""Tell Prometheus how the service and its store are (`/metrics`), and whether they answer at all (`/healthz`).

The program `sweep` serves both on this host, because it looks at the server once a minute anyway. It looks at the store
every ten minutes, and reads records and drift tables, and no array.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import uvicorn
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, StateType
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from deployments.runs import runs_in
from flows.cli.listing import list_store
from storage.artifacts import Store
from storage.errors import InputError
from storage.places.faults import free_bytes
from storage.records.upkeep import read_upkeep

STORE_SECONDS = 600  # least time between two looks at the store
STALE_SECONDS = 300  # age of the last look at the server from which the service counts as ill
WAITING = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED]  # states before the end


class Health(Collector):
    """What was last seen of server and store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.seen: datetime | None = None  # when the server last answered
        self.problem = "not looked at yet"  # with the store; empty without one
        self._looked: datetime | None = None  # when the store was last looked at
        self._of_server: list[GaugeMetricFamily] = []
        self._of_store: list[GaugeMetricFamily] = []

    def look(self, client: SyncPrefectClient, deployments: Mapping[str, UUID], now: datetime) -> None:
        """Look at the server, and at the store if its turn has come.

        Raises
        ------
        httpx.HTTPError : the server does not answer.
        """
        self._of_server = list(server_gauges(unended(client, deployments), now))
        self.seen = now
        if self._looked is None or now - self._looked >= timedelta(seconds=STORE_SECONDS):
            self._looked = now
            try:
                self._of_store, self.problem = list(store_gauges(self.store)), ""
            except OSError as error:  # a share that is away
                self.problem = f"the store does not answer: {error}"

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield the numbers for Prometheus."""
        seen = self.seen.timestamp() if self.seen else 0.0
        yield gauge("harvest_seen_timestamp_seconds", "when the server last answered", {(): seen})
        yield gauge("harvest_store_answers", "whether the store could be read", {(): float(not self.problem)})
        yield from self._of_server
        yield from self._of_store

    def illness(self, now: datetime) -> str:
        """Return what is wrong now; empty if nothing is."""
        if self.seen is None or now - self.seen > timedelta(seconds=STALE_SECONDS):
            return f"the server has not answered since {self.seen:%H:%M:%S}" if self.seen else "no answer of the server"
        return self.problem


def gauge(
    name: str, meaning: str, values: Mapping[tuple[str, ...], float], labels: tuple[str, ...] = ()
) -> GaugeMetricFamily:
    """Make a family of gauges from its values by the values of its labels."""
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def store_gauges(store: Store) -> Iterator[GaugeMetricFamily]:
    """Yield the gauges of a store: dates, dates outside, broken promises, notices, damaged records, and free space."""
    try:
        found = list_store(store)
    except InputError:  # no campaign yet
        found = dict[str, Any](dates=[], broken={}, failures=[], problems=[])
    current = [row for row in found["dates"] if row["is_current"]]
    dates = Counter((row["campaign"], row["made_by"]) for row in current)
    outside = Counter((row["campaign"],) for row in current if row["outside"])
    campaigns = {(row["campaign"],) for row in current}
    days = {key: max(row["date"] for row in current if (row["campaign"],) == key) for key in campaigns}
    latest = {key: datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() for key, day in days.items()}
    of_campaigns = {key: outside[key] for key in campaigns}
    by = ("campaign",)
    yield gauge("harvest_dates", "dates fitted and scored by the present fit", dates, ("campaign", "made_by"))
    yield gauge("harvest_dates_outside", "of these, outside what was validated", of_campaigns, by)
    yield gauge("harvest_latest_date_timestamp_seconds", "latest acquisition date with results", latest, by)
    broken = {key: float(len(found["broken"].get(key[0], []))) for key in campaigns}
    yield gauge("harvest_promises_broken", "promises that people found to be broken", broken, by)
    yield gauge("harvest_notices", "notices of runs that went wrong", {(): float(len(found["failures"]))})
    yield gauge("harvest_records_damaged", "records that cannot be read", {(): float(len(found["problems"]))})
    state = read_upkeep(store)
    verified = datetime.fromisoformat(state.completed).timestamp() if state.completed else 0.0
    yield gauge("harvest_last_verify_timestamp_seconds", "when the store was last verified as a whole", {(): verified})
    yield gauge("harvest_damaged", "folders and records that are damaged", {(): float(len(state.damaged))})
    if isinstance(store.root, Path):
        yield gauge("harvest_store_free_bytes", "free space of the store's disk", {(): float(free_bytes(store.root))})


def unended(client: SyncPrefectClient, deployments: Mapping[str, UUID]) -> dict[str, list[FlowRun]]:
    """Return the flow runs of each deployment that have not ended, by its name."""
    found: dict[str, list[FlowRun]] = {name: [] for name in deployments}
    names = {one: name for name, one in deployments.items()}
    for run in runs_in(client, names, WAITING):
        if run.deployment_id is not None:
            found[names[run.deployment_id]].append(run)
    return found


def server_gauges(runs: Mapping[str, list[FlowRun]], now: datetime) -> Iterator[GaugeMetricFamily]:
    """Yield the gauges of flow runs that have not ended: how many, by state, and how long the oldest is due."""
    states = Counter((name, run.state_name or "unknown") for name, several in runs.items() for run in several)
    due = {(name,): max((seconds_due(run, now) for run in several), default=0.0) for name, several in runs.items()}
    yield gauge("harvest_runs", "flow runs that have not ended", states, ("deployment", "state"))
    yield gauge("harvest_oldest_run_seconds", "since when the oldest of them is due or runs", due, ("deployment",))


def seconds_due(run: FlowRun, now: datetime) -> float:
    """Return for how long a run is due, or runs, in seconds; 0 before its time."""
    since = run.expected_start_time or run.created or now
    return max(0.0, (now - since).total_seconds())


def health_app(health: Health) -> Starlette:
    """Return the application with `/metrics` and `/healthz`."""
    registry = CollectorRegistry()
    registry.register(health)

    def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    def healthz(_: Request) -> Response:
        illness = health.illness(datetime.now(UTC))
        return PlainTextResponse(f"{illness or 'ok'}\n", status_code=503 if illness else 200)

    return Starlette(routes=[Route("/metrics", metrics), Route("/healthz", healthz)])


def serve(health: Health, port: int) -> None:
    """Serve `/metrics` and `/healthz` on this host, in a thread that ends with the process."""
    config = uvicorn.Config(health_app(health), host="127.0.0.1", port=port, server_header=False, log_level="warning")
    threading.Thread(target=uvicorn.Server(config).run, daemon=True).start()
