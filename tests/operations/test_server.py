"""The service on one host: PostgreSQL, access, secrets, set-up, recovery from what dies, a clean end."""

import json
import os
import signal
import stat
import time
from collections.abc import Generator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from uuid import UUID

import httpx
import pytest
import yaml
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId

from deployments.automations import PREFIX, RESTART_SECONDS, RESTARTED
from deployments.pools import POOLS
from flows.restarts import MAX_RUNS
from tests.integration.conftest import small_campaign
from tests.operations.service import PROGRAMS, ROOT, ZOMBIE_SECONDS, Service, processes, wait_until

DEPLOYMENTS: dict[str, dict[str, Any]] = {
    made["name"]: made for made in yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())["deployments"]
}


def analyse(service: Service, name: str) -> UUID:
    """Start a run that lasts long enough to be killed."""
    return service.run("analyse-campaign", params=small_campaign(name).model_dump(mode="json"))


def test_the_database_is_postgresql(service: Service) -> None:
    said = service.command("psql", "-Atc", "select extname from pg_extension; select count(*) > 0 from flow_run")
    assert "pg_trgm" in said.split()
    assert "PostgreSQL" in service.command("psql", "-Atc", "select version()")
    roles = service.command("psql", "-Atc", "select rolsuper from pg_roles where rolname = current_user")
    assert roles.split() == ["f"]


def test_the_api_answers_only_with_the_right_credentials(service: Service) -> None:
    user, password = service.auth_string.split(":")
    version = f"{service.api_url}/admin/version"
    assert httpx.get(version).status_code == 401
    assert httpx.get(version, auth=(user, "wrong")).status_code == 401
    assert httpx.get(version, auth=(user, password)).status_code == 200
    assert httpx.get(f"{service.api_url}/health").status_code == 200


def test_other_sites_cannot_use_a_browser_that_is_logged_in(service: Service) -> None:
    user, password = service.auth_string.split(":")
    flows = f"{service.api_url}/flows/"
    assert httpx.post(flows, json={"name": "x"}, auth=(user, password)).status_code == 403  # no CSRF token

    def preflight(origin: str) -> httpx.Response:
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        return httpx.options(flows, headers=headers, auth=(user, password))

    assert preflight("http://other.example").status_code == 400
    assert preflight(service.url).headers["access-control-allow-origin"] == service.url


def test_the_ui_is_the_one_that_calls_nobody(service: Service) -> None:
    settings = httpx.get(f"{service.url}/ui-settings").json()
    assert settings["default_ui"] == "v1"
    assert settings["api_url"] == service.api_url


def test_reports_are_served_on_this_host_only(service: Service) -> None:
    (service.store / "reports" / "page.html").write_text("a report")
    assert httpx.get(f"{service.reports_url}/page.html").text == "a report"
    assert httpx.get(f"{service.reports_url}/../secrets.env").status_code == 404
    listening = service.command("bash", "-c", "cat /proc/net/tcp")
    for name in ("HARVEST_PORT", "HARVEST_DATABASE_PORT", "HARVEST_REPORTS_PORT"):
        assert f"0100007F:{int(service.environment[name]):04X} 00000000:0000 0A" in listening


def test_secrets_are_in_one_file_and_the_environment_only(service: Service) -> None:
    found = service.home / "secrets.env"
    assert stat.S_IMODE(found.stat().st_mode) == 0o600
    values = list(service.secrets.values())
    assert len(values) == 3 and len(set(values)) == 3
    with service.client() as client:
        on_server = [thing.model_dump_json() for thing in (*client.read_deployments(), *client.read_automations())]
    project = [path for folder in ("deployments", "flows", ".ci") for path in (ROOT / folder).rglob("*")]
    texts = {
        "logs": "".join(path.read_text() for path in (service.home / "logs").iterdir()),
        "output": (service.home / "start.log").read_text(),
        "server": "".join(on_server),
        "command lines": "".join(line.decode(errors="replace") for _, line in processes("cmdline")),
        "project": "".join(path.read_text(errors="replace") for path in project if path.is_file()),
    }
    assert not [(where, value[:4]) for where, text in texts.items() for value in values if value in text]


def test_workers_know_no_secret_of_the_server(service: Service) -> None:
    pid = service.status("worker-cpu")["pid"]
    (environ,) = [content.decode() for found, content in processes("environ") if found == pid]
    assert f"PREFECT_API_AUTH_STRING={service.auth_string}" in environ
    assert service.secrets["HARVEST_DATABASE_PASSWORD"] not in environ
    assert service.secrets["PREFECT_SERVER_ENCRYPTION_KEY"] not in environ


def test_every_deployment_is_there_with_its_form(service: Service) -> None:
    with service.client() as client:
        made = {name: client.read_deployment_by_name(f"{name}/{name}") for name in DEPLOYMENTS}
        limit = client.read_global_concurrency_limit_by_name("gpu")
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
    service.command("python", "-m", "deployments.watch", "field", "--minutes", "7")
    assert described(service) == before
    (schedule,) = before["schedules"]
    assert (schedule["parameters"], schedule["active"]) == ({"campaign": "field"}, True)
    assert schedule["schedule"]["interval"] == 7 * 60
    service.command("python", "-m", "deployments.watch", "field", "--stop")
    assert described(service) == {**before, "schedules": []}


SET_ARRIVAL = """
from prefect import get_client
from deployments.setup import set_arrival
with get_client(sync_client=True) as client:
    set_arrival(client)
"""


def test_the_host_s_settings_say_when_a_date_is_complete(service: Service) -> None:
    def of_deployments() -> list[Any]:
        with service.client() as client:
            names = ("score-acquisition", "discover-acquisitions")
            made = [client.read_deployment_by_name(f"{name}/{name}") for name in names]
        assert [each.parameters["store"] for each in made] == [str(service.store)] * 2
        return [each.parameters["arrival"] for each in made]

    settle = {"settle_seconds": int(service.environment["HARVEST_SETTLE_SECONDS"])}
    assert of_deployments() == [settle] * 2
    service.command("python", "-c", SET_ARRIVAL, HARVEST_MARKER="{date}.complete")
    assert of_deployments() == [{**settle, "marker": "{date}.complete"}] * 2
    service.command("python", "-c", SET_ARRIVAL)
    assert of_deployments() == [settle] * 2


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


@pytest.fixture
def receiver() -> Generator[tuple[str, list[Any]]]:
    """A web server that keeps what is posted to it, and its address, which is a secret."""
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/secret-hook", received
        server.shutdown()
        thread.join()


def notices(service: Service) -> list[dict[str, str]]:
    """Notices that were written until now."""
    path = service.store / "notices.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


SET_AUTOMATIONS = """
from prefect import get_client
from deployments.setup import set_automations
with get_client(sync_client=True) as client:
    set_automations(client)
"""


def test_an_announced_date_is_looked_at_and_its_failure_told(
    service: Service, receiver: tuple[str, list[Any]], failed: UUID
) -> None:
    url, received = receiver
    service.command("python", "-c", SET_AUTOMATIONS, HARVEST_NOTIFY_URL=url)
    run = announce_nowhere(service, "2022-09-04")
    service.wait_for_state(run, "Failed")
    wait_until(lambda: any(str(run) in each["text"] for each in received), 30, service.logs)
    (told,) = [each["text"] for each in received if str(run) in each["text"]]
    assert told.startswith("Failed: discover nowhere\n")
    assert f"{service.url}/runs/flow-run/{run}" in told
    for each in (failed, run):
        notice = wait_for_notice(service, each)
        assert (notice["state"], notice["flow_run"]) == ("Failed", "discover nowhere")
        assert "nowhere" in notice["message"] and notice["url"] == f"{service.url}/runs/flow-run/{each}"
    assert "secret-hook" not in service.command("psql", "-Atc", "select data from block_document")
    assert "secret-hook" not in service.logs()
    service.command("python", "-c", SET_AUTOMATIONS)
    with service.client() as client:
        (automation,) = [found for found in client.read_automations() if found.name == f"{PREFIX}notices"]
    assert [action.type for action in automation.actions] == ["run-deployment"]


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
    service.command("harvest", "announce", "nowhere", "--date", day)
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
        return len(pools) == len(POOLS) and httpx.get(service.reports_url).status_code == 200
    except (httpx.HTTPError, OSError):
        return False


HOLD_SLOT = """
import os, signal
from prefect.concurrency.sync import concurrency
with concurrency("gpu", strict=True, lease_duration=60):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_run_survives_its_own_death_the_servers_and_the_databases(service: Service) -> None:
    # Who held the GPU's slot is dead, and so is the server that knew it: the run gets the slot all the same, but not
    # before everything else has died.
    with pytest.raises(AssertionError):
        service.command("python", "-c", HOLD_SLOT)
    assert slots_in_use(service) == 1
    run = analyse(service, "survivor")
    service.wait_for_state(run, "Running")
    kill_flow_run(service, run)
    service.wait_for_state(run, "Running", n_runs=2)
    for program in ("server", "database"):
        service.kill(program)
        wait_until(lambda: answers(service), 60, service.logs)
        assert service.flow_run(run).state_name == "Running", messages(service, run)
    service.wait_for_state(run, "Completed", "Failed", seconds=240)
    assert service.flow_run(run).state_name == "Completed", messages(service, run)
    assert service.flow_run(run).run_count == 2
    assert service.state_names(run).count("AwaitingRetry") == 1
    assert slots_in_use(service) == 0
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
        return client.read_global_concurrency_limit_by_name("gpu").active_slots


def test_a_run_survives_the_death_of_everything(service: Service) -> None:
    run = analyse(service, "interrupted")
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


def test_a_stop_leaves_no_process(service: Service) -> None:
    run = analyse(service, "stopped")
    service.wait_for_state(run, "Running")
    assert service.flow_run_pids(run)
    service.stop()
