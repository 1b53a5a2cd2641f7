"""Tests of what is told of a Prefect server before Prefect is imported: its address, where it is set, its database."""

import re
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import prefect
import pytest
from prefect.settings import PREFECT_API_URL
from prefect.settings.context import temporary_settings

from flows.cli.server.settings import (
    Address,
    ServerError,
    check_address,
    check_database,
    find_address,
    is_current,
    revisions,
)
from flows.running.servers import shared_server

CHAIN = ("revision", "down_revision")  # names of a change of the database, and of the one before it
URL = "http://127.0.0.1:4200/api"
PROFILES = 'active = "{active}"\n[profiles.work]\nPREFECT_API_URL = "http://127.0.0.1:4200/api"\n[profiles.local]\n'


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with an empty Prefect home and without Prefect's environment variables."""
    for name in ("PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name in ("PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "text", "where"),
    [
        (".env", f"A=1\nPREFECT_API_URL={URL}\n", ".env"),
        (".env", f'export PREFECT_API_URL="{URL}"\n', ".env"),
        ("prefect.toml", f'[api]\nurl = "{URL}"\n', "prefect.toml"),
        ("pyproject.toml", f'[tool.prefect.api]\nurl = "{URL}"\n', "pyproject.toml"),
        ("home/profiles.toml", PROFILES.format(active="work"), "the profile work in "),
    ],
)
def test_where_an_address_is_set(place: Path, file: str, text: str, where: str) -> None:
    (place / file).write_text(text)
    found = find_address()
    assert found is not None and found.url == URL and where in found.where


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("home/profiles.toml", PROFILES.format(active="local")),
        ("home/profiles.toml", "[profiles\n"),
        ("prefect.toml", "[server]\n"),
        ("pyproject.toml", "[project]\n"),
    ],
)
def test_no_address(place: Path, file: str, text: str) -> None:
    (place / file).write_text(text)
    assert find_address() is None


def test_the_environment_comes_first_and_an_empty_one_switches_the_others_off(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "home/profiles.toml").write_text(PROFILES.format(active="work"))
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere:1/api")
    assert find_address() == Address("http://elsewhere:1/api", "the environment variable PREFECT_API_URL")
    monkeypatch.setenv("PREFECT_API_URL", "")
    assert find_address() is None


def test_prefect_reads_the_settings_alike() -> None:
    with temporary_settings({PREFECT_API_URL: URL}):
        assert PREFECT_API_URL.value() == URL


class TestAddress:
    def test_a_server_that_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            check_address(Address(f"http://127.0.0.1:{server.getsockname()[1]}/api", "here"))

    def test_nothing_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/api"
        with pytest.raises(ServerError) as refused:
            check_address(Address(url, "the profile work in /home/profiles.toml"))
        said = str(refused.value)
        assert url in said and "set in: the profile work in /home/profiles.toml" in said
        assert "start the server" in said and "PREFECT_API_URL=" in said

    @pytest.mark.parametrize("url", ["127.0.0.1:4200/api", "localhost", "ftp://x/api", "http://", "http://h:port/api"])
    def test_no_address_at_all(self, url: str) -> None:
        with pytest.raises(ServerError, match="here"):
            check_address(Address(url, "here"))

    def test_the_cloud_needs_the_internet(self) -> None:
        assert Address("https://api.prefect.cloud/api/accounts/1", "x").remedy.startswith("connect to the internet")


def test_a_server_of_its_own_is_no_address_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", URL)
    assert find_address() is not None
    monkeypatch.setenv("HARVEST_OWN_SERVER", URL)
    assert find_address() is None
    for address, shared in ((URL, None), ("http://service:4200/api", "http://service:4200/api"), (None, None)):
        with temporary_settings({PREFECT_API_URL: address}):
            assert shared_server() == shared


class TestDatabase:
    def write(self, place: Path, revision: str) -> None:
        with closing(sqlite3.connect(place / "home/prefect.db")) as database, database:
            database.execute("create table alembic_version (version_num text)")
            database.execute("insert into alembic_version values (?)", [revision])

    def test_none_and_an_empty_one(self, place: Path) -> None:
        check_database()
        (place / "home/prefect.db").touch()
        check_database()

    def test_one_of_the_installed_version(self, place: Path) -> None:
        self.write(place, "9725c1cbee35")  # Prefect's first revision
        check_database()

    def test_one_of_a_newer_version(self, place: Path) -> None:
        self.write(place, "ffffffffffff")
        with pytest.raises(ServerError, match="newer version of Prefect") as refused:
            check_database()
        assert str(place / "home/prefect.db") in str(refused.value) and "PREFECT_HOME" in str(refused.value)

    def test_tables_of_the_installed_version_need_no_look(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        migrations = Path(prefect.__file__).parent / "server/database/_migrations/versions/sqlite"
        texts = "".join(file.read_text() for file in migrations.glob("*.py"))
        made, follows = (set(re.findall(rf'^{name} = "(.*)"', texts, re.MULTILINE)) for name in CHAIN)
        assert made - follows == {revisions()[-1]}  # no change follows the newest
        assert not is_current()
        self.write(place, revisions()[-1])
        assert is_current()
        monkeypatch.setenv("PREFECT_SERVER_DATABASE_NAME", "other")
        assert not is_current()
        monkeypatch.delenv("PREFECT_SERVER_DATABASE_NAME")
        (place / "prefect.toml").write_text('[server.database]\nname = "other"\n')
        assert not is_current()

    def test_no_database(self, place: Path) -> None:
        (place / "home/prefect.db").write_bytes(b"not a database" * 100)
        with pytest.raises(ServerError, match="cannot be read"):
            check_database()

    def test_a_database_elsewhere_is_left_to_the_server(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.write(place, "ffffffffffff")
        monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "postgresql+asyncpg://x/y")
        check_database()
