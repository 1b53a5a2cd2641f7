"""Test that a new Prefect database is the one that Prefect's own changes make, and that no other one is touched."""

from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import pytest

from flows.cli.server import tables
from flows.cli.server.settings import is_current
from flows.cli.server.tables import HEAD, TABLES, make_database
from tests.support.prefect_tables import migrated_statements, statements


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, and return the path of the database of a Prefect home that does not exist yet."""
    for name in ("PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("PREFECT_PROFILES_PATH", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home/prefect.db"


@pytest.mark.slow
def test_a_new_database_is_that_of_all_changes(database: Path, tmp_path: Path) -> None:
    assert TABLES.read_text().startswith(HEAD.format(version("prefect"))), "python -m tests.support.prefect_tables"
    make_database()
    (tmp_path / "changed").mkdir()
    assert statements(database) == migrated_statements(tmp_path / "changed")


def test_a_server_need_not_look_for_changes(database: Path) -> None:
    make_database()
    assert is_current()


def test_one_of_several_commands_makes_it(database: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: make_database(), range(4)))
    made = statements(database)
    make_database()
    assert statements(database) == made and is_current()


def test_another_version_of_prefect_makes_its_own_changes(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "tables.sql"
    other.write_text(TABLES.read_text().replace(version("prefect"), "3.0.0", 1))
    monkeypatch.setattr(tables, "TABLES", other)
    make_database()
    assert not database.exists()


def test_what_cannot_be_made_whole_is_left_to_the_server(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "tables.sql"
    broken.write_text(TABLES.read_text() + "create table agent (id);\n")  # which is there already
    monkeypatch.setattr(tables, "TABLES", broken)
    make_database()
    assert not statements(database) and not is_current()
    monkeypatch.setattr(tables, "TABLES", TABLES)
    database.unlink()
    database.parent.rmdir()
    database.parent.write_text("no folder")
    make_database()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("prefect.toml", '[server.database]\nname = "other"\n'),
        ("prefect.toml", 'home = "other"\n'),
        (".env", "PREFECT_HOME=other\n"),
        ("pyproject.toml", '[tool.prefect]\nhome = "other"\n'),
    ],
)
def test_a_database_elsewhere_is_left_to_the_server(database: Path, tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.other]\nhome = "other"\ndatabase = "of others"\n')
    make_database()
    assert is_current()
    database.unlink()
    (tmp_path / file).write_text(text)
    make_database()
    assert not database.exists() and not is_current()
