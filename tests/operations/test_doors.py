"""Who gets in, and what the service gives away: passwords, other sites, reports, descriptions, secrets, users."""

import os
from base64 import b64encode
from datetime import date
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tasks.sources.folder.source import FolderSource
from tests.support.campaigns import small_campaign
from tests.support.service import PROGRAMS, Service, processes, wait_until


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


def test_nothing_describes_the_api_to_everybody(service: Service) -> None:
    for path in ("/docs", "/redoc", "/openapi.json", "/api/docs", "/api/openapi.json"):
        said = httpx.get(f"{service.url}{path}").text
        assert "swagger" not in said and "redoc" not in said and "flow_runs" not in said


def test_no_program_runs_as_root(service: Service) -> None:
    """They can read files, because the tests' Python may lie in root's home, and do nothing else that root can."""
    pids = [service.status(program)["pid"] for program in PROGRAMS]
    assert 0 not in {Path(f"/proc/{pid}").stat().st_uid for pid in pids}
    assert 0 not in {path.stat().st_uid for path in (service.home / "logs").iterdir()}


def test_reports_and_nothing_else_are_served_on_this_host_only(service: Service) -> None:
    reports = service.store / "reports"
    (reports / "page.html").write_text("a report")
    assert get_raw(service, "/page.html") == (200, "a report")
    assert httpx.get(f"{service.reports_url}/page.html").status_code == 401
    above = os.path.relpath(service.home / "secrets.env", reports)
    assert above == "../../secrets.env" and (reports / above).exists()
    for path in (f"/{above}", f"/{above}".replace("..", "%2e%2e"), str(service.home / "secrets.env"), f"/{above}/"):
        status, said = get_raw(service, path)
        assert status == 404 and "HARVEST" not in said
    listening = service.command("bash", "-c", "cat /proc/net/tcp")
    for name in ("HARVEST_PORT", "HARVEST_DATABASE_PORT", "HARVEST_REPORTS_PORT"):
        assert f"0100007F:{int(service.environment[name]):04X} 00000000:0000 0A" in listening
    assert {line.split("=", 1)[0] for line in environ(service, "reports").split("\0") if line} == {
        "PATH",
        "PREFECT_API_AUTH_STRING",
    }


def get_raw(service: Service, path: str) -> tuple[int, str]:
    """Status and text of a page of the reports, whose path goes over the wire as it stands here."""
    connection = HTTPConnection("127.0.0.1", int(service.environment["HARVEST_REPORTS_PORT"]), timeout=10)
    asked = b64encode(service.auth_string.encode()).decode()
    try:
        connection.request("GET", path, headers={"Authorization": f"Basic {asked}"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_analytics_are_off(service: Service) -> None:
    user, password = service.auth_string.split(":")
    settings = httpx.get(f"{service.api_url}/admin/settings", auth=(user, password)).json()
    assert settings["server"]["analytics_enabled"] is False
    for program in ("server", "worker-cpu", "worker-gpu"):
        variables = environ(service, program)
        assert {"DO_NOT_TRACK=1", "PREFECT_SERVER_ANALYTICS_ENABLED=false"} <= set(variables.split("\0"))


def environ(service: Service, program: str) -> str:
    """Environment of a program's own process."""
    pid = service.status(program)["pid"]
    (found,) = [content.decode() for each, content in processes("environ") if each == pid]
    return found


def test_workers_know_no_secret_of_the_server(service: Service) -> None:
    variables = environ(service, "worker-cpu")
    assert f"PREFECT_API_AUTH_STRING={service.auth_string}" in variables
    assert service.secrets["HARVEST_DATABASE_PASSWORD"] not in variables
    assert service.secrets["PREFECT_SERVER_ENCRYPTION_KEY"] not in variables


def test_numbers_for_prometheus_and_health_are_for_this_host(service: Service) -> None:
    wait_until(lambda: httpx.get(f"{service.metrics_url}/healthz").status_code == 200, 120, service.logs)
    said = httpx.get(f"{service.metrics_url}/metrics").text
    families = {one.name for one in text_string_to_metric_families(said)}
    assert {"harvest_runs", "harvest_oldest_run_seconds", "harvest_store_free_bytes", "harvest_notices"} <= families
    assert "harvest_store_answers 1.0" in said
    listening = service.command("bash", "-c", "cat /proc/net/tcp")
    assert f"0100007F:{int(service.environment['HARVEST_METRICS_PORT']):04X} 00000000:0000 0A" in listening


def test_runs_use_no_place_that_the_operator_does_not_allow(service: Service) -> None:
    """Another store, which the service's user may write, and another source, which it may read."""
    sources = service.environment["HARVEST_SOURCES"]
    assert {"HARVEST_STORES=", f"HARVEST_SOURCES={sources}", "HARVEST_SCHEDULERS="} <= set(
        environ(service, "worker-cpu").split("\0")
    )
    other = service.home / "other"
    source = FolderSource(root=f"{service.home}/sources/{'../' * len(service.home.parents)}../etc")
    notice = dict.fromkeys(("flow_run_id", "name", "state", "message", "url"), "x")
    asked: dict[str, tuple[dict[str, Any], str]] = {
        "note-failure": ({"store": str(other), **notice}, f"The store {other} is not one of this service"),
        "analyse-campaign": ({"params": small_campaign(source=source).model_dump(mode="json")}, "source.root leads to"),
        "score-acquisition": (
            {"campaign": "x", "date": date(2024, 5, 1).isoformat(), "source": source.model_dump(mode="json")},
            "source.root leads to",
        ),
    }
    runs = {name: service.run(name, **parameters) for name, (parameters, _) in asked.items()}
    for name, (_, said) in asked.items():
        state = service.wait_for_state(runs[name], "Failed", "Completed", "Crashed").state
        assert state is not None and state.name == "Failed" and said in (state.message or ""), (name, state)
    assert not other.exists()
