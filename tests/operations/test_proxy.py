"""The documented reverse proxy with TLS before the service: what it lets through, and what it adds."""

import os
import shutil
import ssl
import subprocess
from collections.abc import Generator
from dataclasses import dataclass

import httpx
import pytest

from tests.support.repository import ROOT
from tests.support.service import Service, free_ports, wait_until

pytestmark = pytest.mark.skipif(not shutil.which("caddy"), reason="no caddy here (apt-get install caddy)")


@dataclass(frozen=True)
class Proxy:
    """Addresses behind the proxy, and a client that trusts its certificate."""

    prefect: str
    reports: str
    plain: str
    client: httpx.Client


@pytest.fixture(scope="module")
def proxy(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Generator[Proxy]:
    folder = tmp_path_factory.mktemp("caddy")
    plain, tls, reports = free_ports(3)
    environment = {
        **os.environ,
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "HARVEST_HTTP_PORT": plain,
        "HARVEST_TLS_PORT": tls,
        "HARVEST_REPORTS_TLS_PORT": reports,
        **{name: service.environment[name] for name in ("HARVEST_PORT", "HARVEST_REPORTS_PORT")},
    }
    command = ["caddy", "run", "--config", str(ROOT / "deployments" / "proxy" / "Caddyfile")]
    log, authority = folder / "log", folder / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    with log.open("wb") as stream, subprocess.Popen(command, env=environment, stdout=stream, stderr=stream) as caddy:
        try:
            wait_until(authority.exists, 30, log.read_text)
            with httpx.Client(verify=ssl.create_default_context(cafile=str(authority))) as client:
                host = "localhost"
                made = Proxy(f"https://{host}:{tls}", f"https://{host}:{reports}", f"http://{host}:{plain}", client)
                wait_until(lambda: is_up(made), 30, log.read_text)
                yield made
        finally:
            caddy.terminate()


def is_up(proxy: Proxy) -> bool:
    """Whether the proxy answers with a certificate that the client trusts."""
    try:
        return proxy.client.get(f"{proxy.prefect}/api/health").status_code == 200
    except httpx.HTTPError:
        return False


def test_the_api_asks_for_the_password_behind_tls(proxy: Proxy, service: Service) -> None:
    user, password = service.auth_string.split(":")
    pools = f"{proxy.prefect}/api/work_pools/filter"
    token = proxy.client.get(f"{proxy.prefect}/api/csrf-token?client=test", auth=(user, password)).json()["token"]
    headers = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "test"}
    assert proxy.client.post(pools, json={}, headers=headers).status_code == 401
    answer = proxy.client.post(pools, json={}, headers=headers, auth=(user, password))
    assert {pool["name"] for pool in answer.json()} >= {"cpu", "gpu"}
    assert answer.headers["strict-transport-security"] and "Caddy" not in answer.headers.get("server", "")


def test_reports_ask_for_it_too(proxy: Proxy, service: Service) -> None:
    user, password = service.auth_string.split(":")
    (service.store / "reports" / "page.html").write_text("a report")
    page = f"{proxy.reports}/page.html"
    assert proxy.client.get(page).status_code == 401
    answer = proxy.client.get(page, auth=(user, password))
    assert answer.text == "a report"
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["strict-transport-security"]


def test_plain_http_is_sent_to_tls(proxy: Proxy) -> None:
    answer = httpx.get(f"{proxy.plain}/api/health", follow_redirects=False)
    assert answer.status_code == 308 and answer.headers["location"].startswith("https://localhost")
