"""The service on one host: PostgreSQL, access, secrets, set-up, recovery from what dies, a clean end."""

import json
import os
import signal
import stat
import time
from base64 import b64encode
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from threading import Thread
from typing import Any
from uuid import UUID

import httpx
import pytest
import yaml
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Scheduled
from prometheus_client.parser import text_string_to_metric_families
from pydantic import TypeAdapter

from deployments.automations import PREFIX, RESTART_SECONDS, RESTARTED
from deployments.pools import POOLS
from deployments.setup import NIGHTLY, set_arrival, set_upkeep
from deployments.watch import schedules_of, unwatch, watch
from deployments.webhook import set_webhook
from flows.fit import GPU_LIMIT, SLOT_LEASE
from flows.running.faults import PUT_OFF
from flows.running.restarts import FIRST_PAUSE, MAX_RUNS
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.source import SyntheticSource
from tests.support.campaigns import DATES, RESNET18, small_campaign
from tests.support.service import PROGRAMS, ROOT, ZOMBIE_SECONDS, Service, processes, wait_until
from tests.support.shares import unmounted

DEPLOYMENTS: dict[str, dict[str, Any]] = {
    made["name"]: made for made in yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())["deployments"]
}


def analyse(service: Service, name: str, seed: int) -> UUID:
    """Start a run that lasts long enough to be killed: of a season that no other test's artefacts are of."""
    season = SeasonParams(dates=DATES, n_plots=2, rows=3, plants_per_row=10, image_size=64, seed=seed)
    params = small_campaign(name, source=SyntheticSource(season=season), train=RESNET18)
    return service.run("analyse-campaign", params=params.model_dump(mode="json"))


def test_the_database_is_postgresql(service: Service) -> None:
    said = service.command("psql", "-Atc", "select extname from pg_extension; select count(*) > 0 from flow_run")
    assert "pg_trgm" in said.split()
    assert "PostgreSQL" in service.command("psql", "-Atc", "select version()")
    roles = service.command("psql", "-Atc", "select rolsuper from pg_roles where rolname = current_user")
    assert roles.split() == ["f"]


def test_ended_runs_are_kept_for_a_stated_time(service: Service) -> None:
    user, password = service.auth_string.split(":")
    settings = httpx.get(f"{service.api_url}/admin/settings", auth=(user, password)).json()
    vacuum = settings["server"]["services"]["db_vacuum"]
    assert set(vacuum["enabled"]) == {"events", "flow_runs"}
    assert TypeAdapter(timedelta).validate_python(vacuum["retention_period"]) == timedelta(days=400)


def test_secrets_are_in_one_file_and_the_environment_only(service: Service, failed: UUID) -> None:
    found = service.home / "secrets.env"
    assert stat.S_IMODE(found.stat().st_mode) == 0o600
    values = list(service.secrets.values())
    assert len(values) == 3 and len(set(values)) == 3
    values += [service.auth_string.split(":")[1], b64encode(service.auth_string.encode()).decode()]
    # Parameters of flow runs, their logs and the server's events are in the database.
    database = service.command("pg_dump")
    assert str(failed) in database and "COPY public.log " in database and "COPY public.events " in database
    project = [path for folder in ("deployments", "flows", ".ci") for path in (ROOT / folder).rglob("*")]
    texts = {
        "logs": "".join(service.whole_logs().values()),
        "database": database,
        "command lines": "".join(line.decode(errors="replace") for _, line in processes("cmdline")),
        "project": "".join(path.read_text(errors="replace") for path in project if path.is_file()),
    }
    assert not [(where, value[:4]) for where, text in texts.items() for value in values if value in text]


def test_every_deployment_is_there_with_its_form(service: Service) -> None:
    with service.client() as client:
        made = {name: client.read_deployment_by_name(f"{name}/{name}") for name in DEPLOYMENTS}
        limit = client.read_global_concurrency_limit_by_name(GPU_LIMIT)
    assert limit.limit == 1
    for name, deployment in made.items():
        wanted = DEPLOYMENTS[name]["work_pool"]
        assert (deployment.work_pool_name, deployment.work_queue_name) == (wanted["name"], wanted["work_queue_name"])
        assert deployment.parameters["store"] == str(service.store)
        assert deployment.description and deployment.tags
    form = made["analyse-campaign"].parameter_openapi_schema
    assert form is not None
    batch = form["definitions"]["Runtime"]["properties"]["batch_size"]
    assert (batch["minimum"], batch["maximum"]) == (1, 4096) and batch["description"]


def test_parameters_out_of_bounds_are_refused_before_a_run(service: Service) -> None:
    params = small_campaign("wrong").model_dump(mode="json")
    params["cluster"]["n_clusters"] = 0
    with pytest.raises(httpx.HTTPStatusError, match="n_clusters"):
        service.run("analyse-campaign", params=params)


def test_another_set_up_changes_nothing(service: Service) -> None:
    service.command("python", "-m", "deployments.watch", "field", "--minutes", "7")
    before = described(service)
    service.command("python", "-m", "deployments.setup")
    with service.client() as client:
        watch(client, "field", minutes=7)
    assert described(service) == before
    (watched,) = (each for each in before["schedules"] if "interval" in each["schedule"])
    (nightly,) = (each for each in before["schedules"] if "cron" in each["schedule"])
    assert (watched["parameters"], watched["active"]) == ({"campaign": "field"}, True)
    assert watched["schedule"]["interval"] == 7 * 60
    assert (nightly["schedule"]["cron"], nightly["active"]) == (NIGHTLY, True)
    with service.client() as client:
        unwatch(client, "field")
    assert described(service) == {**before, "schedules": [nightly]}


def test_the_host_s_settings_say_when_a_date_is_complete(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def of_deployments() -> list[Any]:
        with service.client() as client:
            names = ("score-acquisition", "discover-acquisitions")
            made = [client.read_deployment_by_name(f"{name}/{name}") for name in names]
        assert [each.parameters["store"] for each in made] == [str(service.store)] * 2
        return [each.parameters["arrival"] for each in made]

    def settings(marker: str) -> list[Any]:
        monkeypatch.setenv("HARVEST_MARKER", marker)
        with service.client() as client:
            set_arrival(client)
        return of_deployments()

    monkeypatch.setenv("HARVEST_SETTLE_SECONDS", service.environment["HARVEST_SETTLE_SECONDS"])
    settle = {"settle_seconds": int(service.environment["HARVEST_SETTLE_SECONDS"])}
    assert of_deployments() == [settle] * 2
    assert settings("{date}.complete") == [{**settle, "marker": "{date}.complete"}] * 2
    assert settings("") == [settle] * 2


def test_the_store_is_kept_as_the_host_s_settings_say(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARVEST_VERIFY_GB", "0.5")
    monkeypatch.setenv("HARVEST_GC_DAYS", "0")
    with service.client() as client:
        assert client.read_deployment_by_name("keep-store/keep-store").parameters["params"] == {}
        set_upkeep(client)
        found = client.read_deployment_by_name("keep-store/keep-store").parameters
        assert found == {"store": str(service.store), "params": {"verify_gb": 0.5, "gc_days": 0}}
        monkeypatch.delenv("HARVEST_VERIFY_GB")
        monkeypatch.delenv("HARVEST_GC_DAYS")
        set_upkeep(client)


def test_a_run_whose_store_is_away_is_put_off_and_goes_on_when_it_is_back(service: Service) -> None:
    with unmounted(service.store):
        run = service.run("keep-store")
        state = service.wait_for_state(run, "AwaitingRetry").state
        wait_until(lambda: not service.flow_run_pids(run), 60, service.logs)
    assert state is not None and (state.message or "").startswith(PUT_OFF) and "start 2 of" in (state.message or "")
    assert state.state_details.scheduled_time is not None
    assert timedelta() < state.state_details.scheduled_time - state.timestamp <= FIRST_PAUSE
    with service.client() as client:
        client.set_flow_run_state(run, Scheduled(), force=True)  # as if the pause were over
    assert service.wait_for_state(run, "Completed").run_count == 2
    assert not {"Failed", "Crashed", "Cancelled"} & set(service.state_names(run))


def test_the_scheduler_inserts_the_runs_of_a_schedule(service: Service) -> None:
    """A scheduler whose inserts the database refuses says so in the server's log alone, and tries again for ever."""
    with service.client() as client:
        deployment, _ = schedules_of(client, "planned")
        only = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment]))

        def planned() -> list[FlowRun]:
            runs = [run for run in client.read_flow_runs(flow_run_filter=only) if run.auto_scheduled]
            return [run for run in runs if run.parameters["campaign"] == "planned"]

        watch(client, "planned", minutes=24 * 60)
        try:
            wait_until(lambda: len(planned()) >= 3, 120, service.logs)  # as many as Prefect plans ahead at least
            runs = planned()
        finally:
            unwatch(client, "planned")
    assert {run.state_name for run in runs} == {"Scheduled"}
    starts = sorted(run.next_scheduled_start_time for run in runs if run.next_scheduled_start_time)
    assert {(later - earlier).total_seconds() for earlier, later in pairwise(starts)} == {24 * 60 * 60}


def described(service: Service) -> dict[str, Any]:
    """What the set-up makes, as the server describes it."""
    with service.client() as client:
        deployments = client.read_deployments()
        automations = [found for found in client.read_automations() if found.name.startswith(PREFIX)]
        made: dict[str, list[Any]] = {
            "pools": client.read_work_pools(),
            "limits": client.read_global_concurrency_limits(),
            "deployments": deployments,
            "automations": automations,
            "schedules": [schedule for found in deployments for schedule in found.schedules],
        }
    ignored = {"updated", "schedules", "status", "last_polled", "version_id"}
    return {
        kind: sorted((thing.model_dump(mode="json", exclude=ignored) for thing in things), key=lambda each: each["id"])
        for kind, things in made.items()
    } | {"automations": sorted((found.model_dump() for found in automations), key=lambda each: str(each["id"]))}


def test_crash_recovery_leaves_fits_to_who_waits_for_them(service: Service) -> None:
    with service.client() as client:
        fit = client.read_deployment_by_name("fit-and-explain/fit-and-explain").id
        automations = {found.name.removeprefix(PREFIX): found.trigger for found in client.read_automations()}
    watching = {name for name, trigger in automations.items() if str(fit) in trigger.model_dump_json()}
    assert watching == {"silent runs crash", "stuck runs begin again", "notices"}
    assert len(RESTARTED) == MAX_RUNS - 1


@dataclass
class Receiver:
    """A web server that keeps what is posted to it; its address is a secret."""

    url: str
    status: int = 204
    received: list[str] = field(default_factory=list)

    def told_of(self, run: UUID) -> list[str]:
        """Texts about a flow run."""
        return [text for text in self.received if str(run) in text]


@pytest.fixture
def receiver() -> Generator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(made.status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Receiver(f"http://127.0.0.1:{server.server_port}/secret-hook")
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def post_notices_to(service: Service, url: str | None) -> None:
    """Set up where notices are posted to."""
    with (
        temporary_settings({PREFECT_API_URL: service.api_url, PREFECT_API_AUTH_STRING: service.auth_string}),
        get_client(sync_client=True) as client,
    ):
        set_webhook(client, url)


def test_an_announced_date_is_looked_at_and_its_failure_told(
    service: Service, receiver: Receiver, failed: UUID
) -> None:
    post_notices_to(service, receiver.url)
    run = announce_nowhere(service, "2022-09-04")
    service.wait_for_state(run, "Failed")
    wait_until(lambda: bool(receiver.told_of(run)), 60, service.logs)
    address = f"{service.url}/runs/flow-run/{run}"
    (told,) = receiver.told_of(run)
    assert told.startswith("Failed: discover nowhere 2022-09-04\n") and told.endswith(address)
    for each, day in ((failed, "2022-09-03"), (run, "2022-09-04")):
        notice = wait_for_notice(service, each)
        assert (notice["state"], notice["flow_run"]) == ("Failed", f"discover nowhere {day}")
        assert (notice["campaign"], notice["date"]) == ("nowhere", day)
        assert "nowhere" in notice["message"] and notice["url"] == f"{service.url}/runs/flow-run/{each}"
    key = "nowhere--notice-2022-09-04"
    shown = service.command("psql", "-Atc", f"select data from artifact where key = '{key}'")
    assert f"[discover nowhere 2022-09-04]({address}): **Failed**" in shown


def test_a_webhook_s_address_is_told_to_nobody_also_where_it_refuses(service: Service, receiver: Receiver) -> None:
    receiver.status = 404
    post_notices_to(service, receiver.url)
    run = announce_nowhere(service, "2022-09-05")
    wait_until(lambda: bool(receiver.told_of(run)), 120, service.logs)
    refused = "the webhook did not accept this notice: it answered 404"
    wait_until(lambda: refused in service.command("pg_dump", "--table", "log"), 60, service.logs)
    assert wait_for_notice(service, run)["state"] == "Failed"
    with service.client() as client:
        notes = client.read_deployment_by_name("note-failure/note-failure").id
        made = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[notes]))
        )
    (note,) = [each for each in made if each.parameters["flow_run_id"] == str(run)]
    service.wait_for_state(note.id, "Completed")
    texts = {**service.whole_logs(), "database": service.command("pg_dump")}
    assert [name for name, text in texts.items() if "secret-hook" in text] == []
    # What is encrypted is so by the key of the environment: there is none beside it in the database.
    assert "gAAAA" in service.command("psql", "-Atc", "select data from block_document where name = 'harvest-notices'")
    assert "ENCRYPTION_KEY" not in service.command("psql", "-Atc", "select key from configuration").split()
    post_notices_to(service, None)
    assert service.command("psql", "-Atc", "select name from block_document where name = 'harvest-notices'") == ""


def test_what_waits_has_its_name_and_numbers_tell_of_campaigns(service: Service, failed: UUID) -> None:
    """A run that waits is named before it begins; the sweep does its work at once when it is started again."""
    wait_for_notice(service, failed)
    later = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(hours=1))
    with service.client() as client:
        scoring = client.read_deployment_by_name("score-acquisition/score-acquisition").id
        given = {"campaign": "no.where", "date": "2022-09-03"}
        waits = client.create_flow_run_from_deployment(scoring, parameters=given, state=later).id
    service.kill("sweep")
    wait_until(lambda: service.flow_run(waits).name == "score no.where 2022-09-03", 120, service.logs)
    assert {"campaign:no.where", "date:2022-09-03", "acquisition"} <= {*service.flow_run(waits).tags}
    assert service.flow_run(waits).run_count == 0
    told = numbers(service)
    last = {(one["campaign"], one["state"]) for one, _ in told["harvest_last_run_timestamp_seconds"]}
    assert ("nowhere", "Failed") in last
    assert ({"campaign": "no.where"}, 1) in told["harvest_dates_waiting"]
    with service.client() as client:
        client.delete_flow_run(waits)


def numbers(service: Service) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Labels and values of the numbers for Prometheus, by name."""
    families = text_string_to_metric_families(httpx.get(f"{service.metrics_url}/metrics").text)
    return {one.name: [(sample.labels, sample.value) for sample in one.samples] for one in families}


def wait_for_notice(service: Service, run: UUID) -> dict[str, str]:
    """The only notice of a flow run, when it has been written."""
    path = service.store / "notices.jsonl"

    def notices() -> list[dict[str, str]]:
        found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [notice for notice in found if notice["id"] == str(run)]

    wait_until(lambda: bool(notices()), 60, service.logs)
    (notice,) = notices()
    return notice


@pytest.fixture(scope="module")
def failed(service: Service) -> UUID:
    """A flow run that fails at once, of a date announced for a campaign that was never run."""
    run = announce_nowhere(service, "2022-09-03")
    service.wait_for_state(run, "Failed")
    return run


def announce_nowhere(service: Service, day: str) -> UUID:
    """Announce a date of a campaign that is not there; returns the flow run that looks for it."""
    service.announce("nowhere", day)
    found: list[UUID] = []

    def is_looked_at() -> bool:
        with service.client() as client:
            only = client.read_deployment_by_name("discover-acquisitions/discover-acquisitions").id
            runs = client.read_flow_runs(
                flow_run_filter=FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[only]))
            )
        asked = {"campaign": "nowhere", "date": day}
        found[:] = [run.id for run in runs if asked.items() <= run.parameters.items()]
        return bool(found)

    wait_until(is_looked_at, 60, service.logs)
    (run,) = found
    return run


def test_programs_that_are_killed_come_back(service: Service) -> None:
    killed_at = datetime.now(UTC)
    before = {program: service.kill(program) for program in PROGRAMS}

    def are_back() -> bool:
        found = {program: service.status(program) for program in PROGRAMS}
        return all(each["statename"] == "RUNNING" and each["pid"] != before[program] for program, each in found.items())

    wait_until(are_back, 60, service.logs)
    wait_until(lambda: answers(service), 60, service.logs)
    wait_until(lambda: min(last_heartbeat(service, pool) for pool in POOLS) > killed_at, 90, service.logs)
    assert all(service.status(program)["pid"] != pid for program, pid in before.items())


def last_heartbeat(service: Service, pool: str) -> datetime:
    """When a worker of a pool last said that it lives."""
    with service.client() as client:
        times = [worker.last_heartbeat_time for worker in client.read_workers_for_work_pool(pool)]
    return max(time for time in times if time)


def answers(service: Service) -> bool:
    """Whether the API, with the database behind it, and the reports are there."""
    try:
        with service.client() as client:
            pools = client.read_work_pools()
        user, password = service.auth_string.split(":")
        reports = httpx.get(f"{service.reports_url}/page.html", auth=(user, password))
        return len(pools) == len(POOLS) and reports.status_code in (200, 404)
    except (httpx.HTTPError, OSError):
        return False


@pytest.mark.nightly  # `make chaos` kills everything, and compares tables
def test_a_run_survives_its_own_death_the_servers_and_the_databases(service: Service) -> None:
    # A slot that nobody gives back or renews is that of a killed run. It is let expire when all else has died and come
    # back, however long that takes: until then the run waits, and afterwards the server still knows of the lease.
    with service.client() as client:
        leased = client.increment_concurrency_slots_with_lease([GPU_LIMIT], 1, "concurrency", lease_duration=1800)
    run = analyse(service, "survivor", seed=11)
    service.wait_for_state(run, "Running")
    kill_flow_run(service, run)
    service.wait_for_state(run, "Running", n_runs=2)
    for program in ("server", "database"):
        service.kill(program)
        wait_until(lambda: answers(service), 60, service.logs)
        assert service.flow_run(run).state_name == "Running", messages(service, run)
    with service.client() as client:
        client.renew_concurrency_lease(leased.json()["lease_id"], SLOT_LEASE)
    service.wait_for_state(run, "Completed", "Failed", seconds=240)
    assert service.flow_run(run).state_name == "Completed", messages(service, run)
    assert service.flow_run(run).run_count == 2
    assert service.state_names(run).count("AwaitingRetry") == 1
    # What is released while the server is away is free when its lease is over.
    wait_until(lambda: slots_in_use(service) == 0, SLOT_LEASE + 30, service.logs)
    assert wait_for_notice(service, run)["state"] == "Crashed"


def kill_flow_run(service: Service, run: UUID) -> None:
    """Kill the processes of a flow run."""
    pids = service.flow_run_pids(run)
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def messages(service: Service, run: UUID) -> list[tuple[str | None, str | None]]:
    """Name and message of every state of a flow run until now."""
    with service.client() as client:
        return [(state.name, state.message) for state in client.read_flow_run_states(run)]


def kill_supervisor(service: Service) -> None:
    """Kill what keeps the programs running, and wait until they are gone too; only flow runs outlive them."""
    assert service.process is not None
    service.process.kill()
    service.process.wait()
    service.process = None

    def only_flow_runs() -> bool:
        flow_runs = {pid for pid, environ in processes("environ") if b"PREFECT__FLOW_RUN_ID=" in environ}
        return set(service.pids()) <= flow_runs

    wait_until(only_flow_runs, 60, lambda: f"processes left: {service.pids()}\n{service.logs()}")


def slots_in_use(service: Service) -> int:
    """How many hold a slot of the GPU, dead or alive."""
    with service.client() as client:
        return client.read_global_concurrency_limit_by_name(GPU_LIMIT).active_slots


@pytest.mark.nightly  # `make chaos` kills everything, and compares tables
def test_a_run_survives_the_death_of_everything(service: Service) -> None:
    run = analyse(service, "interrupted", seed=12)
    service.wait_for_state(run, "Running")
    kill_supervisor(service)
    kill_flow_run(service, run)
    service.start()
    service.wait_for_state(run, "Completed", seconds=240 + ZOMBIE_SECONDS, n_runs=2)
    assert service.state_names(run).count("AwaitingRetry") == 1


def test_a_failed_run_does_not_begin_again(service: Service, failed: UUID) -> None:
    # Its heartbeat may have come after its end: it then looks like a run that is silent.
    ended = service.flow_run(failed).end_time
    assert ended is not None
    time.sleep(max(0.0, ended.timestamp() + ZOMBIE_SECONDS + RESTART_SECONDS + 5 - time.time()))
    assert service.state_names(failed)[-2:] == ["Running", "Failed"]
    assert service.flow_run(failed).run_count == 1
