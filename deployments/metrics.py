"""Tell Prometheus how the service and its store are (`/metrics`), and whether they answer at all (`/healthz`).

The program `sweep` serves both on this host, because it looks at the server once a minute anyway. It looks at the store
every ten minutes, and reads records and drift tables, and no array.
"""

import errno
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

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

from deployments.runs import Ended, LastRuns
from flows.cli.listing import list_store
from flows.running.names import subject_of
from storage.artifacts import Store
from storage.errors import InputError
from storage.places.faults import free_bytes, is_away
from storage.records.obstacles import SOURCE
from storage.records.upkeep import read_upkeep

STORE_SECONDS = 600  # least time between two looks at the store
STALE_SECONDS = 300  # age of the last look at the server from which the service counts as ill
SCORE = "score-acquisition"  # deployment that scores dates


class Health(Collector):
    """What was last seen of server and store."""

    def __init__(self, store: Store, queues: Iterable[tuple[str, str]] = ()) -> None:
        self.store, self.queues = store, tuple(queues)
        self.last_runs = LastRuns()
        self.seen: datetime | None = None  # when the server last answered
        self.problem = "not looked at yet"  # with the store; empty without one
        self._looked: datetime | None = None  # when the store was last looked at
        self._of_server: list[GaugeMetricFamily] = []
        self._of_store: list[GaugeMetricFamily] = []

    def look(self, client: SyncPrefectClient, runs: Mapping[str, list[FlowRun]], now: datetime) -> None:
        """Look at the server, and at the store if its turn has come.

        Parameters
        ----------
        runs : flow runs that have not ended, by deployment.

        Raises
        ------
        httpx.HTTPError : the server does not answer.
        """
        ended = self.last_runs.look(client, runs, now)
        self._of_server = list(server_gauges(runs, ended, self.queues, now))
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
    """Yield the gauges of a store: dates and what is wrong with them, notices, damaged records, and free space.

    Raises
    ------
    OSError : the store does not answer, or its folder is missing or empty, as where a share is not mounted.
    """
    if isinstance(store.root, Path) and is_away(store.root):
        raise FileNotFoundError(errno.ENOENT, "the folder is missing or empty", str(store.root))
    try:
        found = list_store(store)
    except InputError:  # no campaign yet
        found = dict[str, Any](dates=[], waiting=[], broken={}, failures=[], problems=[])
    current = [row for row in found["dates"] if row["is_current"]]
    dates = Counter((row["campaign"], row["made_by"]) for row in current)
    outside = Counter((row["campaign"],) for row in current if row["outside"])
    incomplete = Counter((row["campaign"],) for row in current if row["incomplete"])
    campaigns = {(row["campaign"],) for row in current}
    days = {key: max(row["date"] for row in current if (row["campaign"],) == key) for key in campaigns}
    latest = {key: datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() for key, day in days.items()}
    by = ("campaign",)
    yield gauge("harvest_dates", "dates fitted and scored by the present fit", dates, ("campaign", "made_by"))
    for name, meaning, counts in (
        ("harvest_dates_outside", "of these, outside what was validated", outside),
        ("harvest_dates_incomplete", "of these, with far fewer plants than expected", incomplete),
    ):
        yield gauge(name, meaning, {key: counts[key] for key in campaigns}, by)
    yield gauge("harvest_latest_date_timestamp_seconds", "latest acquisition date with results", latest, by)
    broken = {key: float(len(found["broken"].get(key[0], []))) for key in campaigns}
    yield gauge("harvest_promises_broken", "promises that people found to be broken", broken, by)
    waiting = Counter((row["campaign"],) for row in found["waiting"] if row["date"] != SOURCE)
    held_up = {key: float(waiting[key]) for key in campaigns | waiting.keys()}
    yield gauge("harvest_dates_waiting_for_person", "dates that are not scored until a person acts", held_up, by)
    notices = Counter({("",): 0})
    notices.update((str(one.get("campaign", "")),) for one in found["failures"])
    yield gauge("harvest_notices", "notices of runs that went wrong", notices, by)
    yield gauge("harvest_records_damaged", "records that cannot be read", {(): float(len(found["problems"]))})
    state = read_upkeep(store)
    verified = datetime.fromisoformat(state.completed).timestamp() if state.completed else 0.0
    yield gauge("harvest_last_verify_timestamp_seconds", "when the store was last verified as a whole", {(): verified})
    yield gauge("harvest_damaged", "folders and records that are damaged", {(): float(len(state.damaged))})
    if isinstance(store.root, Path):
        yield gauge("harvest_store_free_bytes", "free space of the store's disk", {(): float(free_bytes(store.root))})


def server_gauges(
    runs: Mapping[str, list[FlowRun]], ended: Sequence[Ended], queues: Iterable[tuple[str, str]], now: datetime
) -> Iterator[GaugeMetricFamily]:
    """Yield the gauges of flow runs: those that have not ended, the queues, dates that wait or failed, and last runs.

    Parameters
    ----------
    runs : flow runs that have not ended, by deployment.
    ended : last ended run of each deployment, campaign and date.
    queues : work pools and work queues, so that empty ones have a length too.
    """
    states = Counter((name, run.state_name or "unknown") for name, several in runs.items() for run in several)
    due = {(name,): max((seconds_due(run, now) for run in several), default=0.0) for name, several in runs.items()}
    lengths = Counter(dict.fromkeys(queues, 0))
    lengths.update(queue_of(run) for several in runs.values() for run in several if is_queued(run, now))
    yield gauge("harvest_runs", "flow runs that have not ended", states, ("deployment", "state"))
    yield gauge("harvest_oldest_run_seconds", "since when the oldest of them is due or runs", due, ("deployment",))
    yield gauge("harvest_queue_length", "flow runs that are due and wait for a worker", lengths, ("pool", "queue"))
    yield from date_gauges(runs.get(SCORE, []), [one for one in ended if one.flow == SCORE], now)
    latest = {(one.flow, one.campaign): one for one in sorted(ended, key=lambda one: one.at)}
    last = {(*key, one.state): one.at.timestamp() for key, one in latest.items()}
    by = ("deployment", "campaign", "state")
    yield gauge("harvest_last_run_timestamp_seconds", "when the last run of a campaign ended, and how", last, by)


def date_gauges(scoring: Sequence[FlowRun], ended: Sequence[Ended], now: datetime) -> Iterator[GaugeMetricFamily]:
    """Yield the gauges of dates that are being scored, and of dates whose last scoring failed, by campaign."""
    since: dict[tuple[str, str], float] = {}
    for run in scoring:
        of = subject_of(run.parameters)
        key = (of.campaign, of.date)
        since[key] = max(since.get(key, 0.0), (now - (run.created or now)).total_seconds())
    campaigns = {*(campaign for campaign, _ in since), *(one.campaign for one in ended)}
    waiting = Counter(campaign for campaign, _ in since)
    oldest = {
        one: max((age for (campaign, _), age in since.items() if campaign == one), default=0.0) for one in campaigns
    }
    failed = Counter(one.campaign for one in ended if one.went_wrong and (one.campaign, one.date) not in since)
    meanings = {
        "harvest_dates_waiting": ("dates that wait for files, a worker or a slot, or are being scored", waiting),
        "harvest_oldest_date_seconds": ("age of the oldest of these", oldest),
        "harvest_dates_failed": ("dates whose last scoring failed or crashed", failed),
    }
    for name, (meaning, found) in meanings.items():
        yield gauge(name, meaning, {(one,): float(found.get(one, 0)) for one in campaigns}, ("campaign",))


def seconds_due(run: FlowRun, now: datetime) -> float:
    """Return for how long a run is due, or runs, in seconds; 0 before its time."""
    since = run.expected_start_time or run.created or now
    return max(0.0, (now - since).total_seconds())


def is_queued(run: FlowRun, now: datetime) -> bool:
    """Tell whether a run is due, and no worker has taken it."""
    is_due = run.next_scheduled_start_time is None or run.next_scheduled_start_time <= now
    # A run that its deployment's limit holds up is looked at every half minute, and so always due a little later.
    return run.state_type == StateType.SCHEDULED and (is_due or run.state_name == "AwaitingConcurrencySlot")


def queue_of(run: FlowRun) -> tuple[str, str]:
    """Return work pool and work queue of a run."""
    return run.work_pool_name or "", run.work_queue_name or ""


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
