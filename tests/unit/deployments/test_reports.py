"""Who gets a report from the service's server, and what else it gives away: nothing."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from deployments.reports import reports_app

PASSWORD = "harvest:a secret: with a colon"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of reports beside a secret, with links that lead out of it."""
    reports = tmp_path / "reports"
    (reports / "field-2022").mkdir(parents=True)
    (reports / "field-2022" / "index.html").write_text("the report")
    (tmp_path / "secrets.env").write_text("the secret")
    (reports / "link").symlink_to(tmp_path / "secrets.env")
    (reports / "folder").symlink_to(tmp_path)
    return reports


@pytest.fixture
def client(folder: Path) -> TestClient:
    return TestClient(reports_app(folder, PASSWORD), follow_redirects=False)


AUTH = ("harvest", "a secret: with a colon")


def test_a_page_for_who_knows_the_password(client: TestClient) -> None:
    answer = client.get("/field-2022/index.html", auth=AUTH)
    assert (answer.status_code, answer.text) == (200, "the report")
    assert client.get("/field-2022/", auth=AUTH).text == "the report"
    headers = answer.headers
    assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "private, no-cache" and headers["etag"]
    assert client.get("/field-2022/", auth=AUTH, headers={"If-None-Match": headers["etag"]}).status_code == 304


@pytest.mark.parametrize(
    "header",
    [None, "", "Basic", "Basic !", "Basic aGFydmVzdDo=", "Bearer aGFydmVzdDph", "Basic aGFydmVzdDp3cm9uZw=="],
)
def test_nothing_for_others(client: TestClient, header: str | None) -> None:
    for path in ("/field-2022/index.html", "/", "/nowhere"):
        answer = client.get(path, headers={} if header is None else {"Authorization": header})
        assert (answer.status_code, answer.text) == (401, "")
        assert answer.headers["www-authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize(
    "path", ["/link", "/folder/secrets.env", "/../secrets.env", "/%2e%2e/secrets.env", "//etc/passwd"]
)
def test_nothing_outside_the_folder(client: TestClient, path: str) -> None:
    answer = client.get(path, auth=AUTH)
    assert answer.status_code == 404 and "secret" not in answer.text and "root:" not in answer.text


@pytest.mark.parametrize("path", ["/", "/folder/"])
def test_no_list_of_files(client: TestClient, path: str) -> None:
    answer = client.get(path, auth=AUTH)
    assert answer.status_code == 404 and "field-2022" not in answer.text


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_nobody_writes(client: TestClient, method: str) -> None:
    assert client.request(method, "/field-2022/index.html", auth=AUTH).status_code == 405


@pytest.mark.parametrize("credentials", ["", "harvest", "harvest:", ":password"])
def test_no_server_without_a_password(folder: Path, credentials: str) -> None:
    with pytest.raises(ValueError, match="everybody could read"):
        reports_app(folder, credentials)
