"""Find the Prefect server that a command will use, and check it before Prefect is imported.

Prefect itself finds out after seconds of importing, and tells it in a traceback of some screens.
"""

import os
import re
import socket
import sqlite3
import tomllib
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from flows.running.servers import OWN_SERVER

OTHER_DATABASE = re.compile(r"database|prefect_home|^\s*home\s*=|'home'", re.IGNORECASE | re.MULTILINE)  # in settings
CONNECT_SECONDS = 5  # longest wait for the first connection to a server


class ServerError(ConnectionError):
    """Report a Prefect server that cannot be used: what was found, and what to do."""


@dataclass(frozen=True)
class Address:
    """Address of a Prefect server, and the setting that names it."""

    url: str
    where: str

    @property
    def remedy(self) -> str:
        """Say what to do about a server that does not answer."""
        cloud = urlsplit(self.url).hostname in ("api.prefect.cloud", "app.prefect.cloud")
        start = "connect to the internet" if cloud else "start the server"
        return (
            f"{start}, or remove PREFECT_API_URL there to use a server of the command's own "
            "(once: PREFECT_API_URL= harvest ...)"
        )


def find_address() -> Address | None:
    """Return the server that Prefect's settings name; None if the command starts one of its own.

    The order is Prefect's: environment, `.env`, `prefect.toml`, `pyproject.toml`, the active profile. An empty setting
    overrules those that follow.
    """
    if os.environ.get(OWN_SERVER):  # started already
        return None
    first = next((Address(url, where) for url, where in _settings() if url is not None), None)
    return first if first and first.url else None


def _settings() -> Iterator[tuple[str | None, str]]:
    yield os.environ.get("PREFECT_API_URL"), "the environment variable PREFECT_API_URL"
    yield _dotenv(Path(".env")), str(Path(".env").absolute())
    for name, keys in (("prefect.toml", ("api", "url")), ("pyproject.toml", ("tool", "prefect", "api", "url"))):
        yield _value(Path(name), *keys), str(Path(name).absolute())
    profiles = _profiles()
    active = os.environ.get("PREFECT_PROFILE") or _value(profiles, "active")
    if active:
        yield _value(profiles, "profiles", active, "PREFECT_API_URL"), f"the profile {active} in {profiles}"


def home() -> Path:
    """Return the folder of Prefect's settings and database."""
    return Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()


def _value(path: Path, *keys: str) -> str | None:
    found = _found(path, *keys)
    return found if isinstance(found, str) else None


def _found(path: Path, *keys: str) -> Any:
    """Return what a TOML file has under some keys, or None."""
    try:
        found: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # Prefect tells of a file that it cannot read
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _dotenv(path: Path) -> str | None:
    try:
        said = re.search(r"^\s*(?:export\s+)?PREFECT_API_URL\s*=\s*(.*?)\s*$", path.read_text("utf-8"), re.MULTILINE)
    except (OSError, ValueError):
        return None
    return said[1].strip("\"'") if said else None


def check_address(address: Address) -> None:
    """Refuse a server that nothing listens for.

    Raises
    ------
    ServerError : the address is none, or no connection can be made.
    """
    parts = urlsplit(address.url)
    rule = f"  set in: {address.where}\n  remedy: {address.remedy}"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ServerError(f"The Prefect server's address is {address.url!r}, without http:// and a host\n{rule}")
    if parts.scheme in getproxies() and not proxy_bypass(parts.hostname):
        return  # only the proxy can tell
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname, port), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise ServerError(f"The Prefect server {address.url} does not answer: {error}\n{rule}") from None


def check_database() -> None:
    """Refuse a database that the installed Prefect cannot open, before a server of the command's own is started.

    Only Prefect's own file is looked at; other databases are left to the server.

    Raises
    ------
    ServerError : a newer version of Prefect wrote the database, or the file is no database.
    """
    path = own_database()
    if path is None:
        return
    remedy = "  remedy: set PREFECT_HOME to a new folder, or {}; results are in the store, so nothing is computed again"
    try:
        found = _versions(path)
    except sqlite3.OperationalError:
        return  # an empty or a busy database: the server waits for it, or makes its tables
    except sqlite3.DatabaseError as error:
        raise ServerError(
            f"The Prefect database {path} cannot be read: {error}\n{remedy.format('move the file away')}"
        ) from None
    known = revisions()
    if known and (unknown := [one for one in found if one not in known]):
        raise ServerError(
            f"The Prefect database {path} was written by a newer version of Prefect (revision {unknown[0]})\n"
            + remedy.format("install that version")
        )


def own_database() -> Path | None:
    """Return the database file of Prefect's own kind; None where there is none yet, or another database is set."""
    path = home() / "prefect.db"
    others = ("PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL")
    return None if any(os.environ.get(name) for name in others) or not path.is_file() else path


def is_current() -> bool:
    """Tell whether the database has the tables of the installed Prefect, so that a server need not look for changes.

    To look, a server imports Alembic and every change that Prefect's tables have had.
    """
    path = own_database()
    if path is None or names_database():
        return False
    try:
        return _versions(path) == revisions()[-1:]
    except sqlite3.Error:
        return False


def names_database() -> bool:
    """Tell whether a setting may name another database, in the environment or in one of Prefect's files.

    One of Prefect's files may also name another home, and so the database in it.
    """
    names = (name for name in os.environ if name.startswith("PREFECT_"))
    return any("DATABASE" in name for name in names) or any(OTHER_DATABASE.search(text) for text in _texts())


def _texts() -> Iterator[str]:
    """Yield the texts of Prefect's files of settings; of `pyproject.toml`, which others use too, only its table."""
    for path in (Path(".env"), Path("prefect.toml"), _profiles()):
        with suppress(OSError):
            yield path.read_text(encoding="utf-8", errors="replace")
    yield repr(_found(Path("pyproject.toml"), "tool", "prefect"))


def _profiles() -> Path:
    return Path(os.environ.get("PREFECT_PROFILES_PATH") or home() / "profiles.toml")


def _versions(path: Path) -> list[str]:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as database:
        return [str(one) for (one,) in database.execute("select version_num from alembic_version")]


def revisions() -> list[str]:
    """Return the database revisions of the installed Prefect in order, from the names of its files, not importing it.

    A name begins with the time of the change.
    """
    package = find_spec("prefect")
    places = (package.submodule_search_locations or ()) if package else ()
    folders = [Path(place) / "server/database/_migrations/versions/sqlite" for place in places]
    files = sorted(file.stem for folder in folders for file in folder.glob("*.py"))
    return [part for name in files for part in name.split("_") if len(part) == 12]
