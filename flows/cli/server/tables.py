"""Make the tables of Prefect's own database in one step, where there is no database yet.

Prefect makes them by the changes that they have had since its first version, one after another. Its server spends as
much time on these as on the rest of its start. `tables.sql` is the database that the changes of one version of Prefect
make. With another version, or another database, the server makes the changes.
"""

import sqlite3
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path

from flows.cli.server.settings import home, names_database

TABLES = Path(__file__).with_name("tables.sql")  # its first line names the version of Prefect
HEAD = "-- Prefect {}, written by: python -m tests.support.prefect_tables\n"


def make_database() -> None:
    """Make Prefect's own database, if there is none and the script is of the installed Prefect.

    SQLite makes the whole of it or nothing, whatever is killed, and one of several commands at a time. What fails here
    is left to the server, which makes the tables itself and says what is wrong.
    """
    path = home() / "prefect.db"
    if names_database() or (path.is_file() and path.stat().st_size > 0):
        return
    head, script = TABLES.read_text(encoding="utf-8").split("\n", 1)
    if head != HEAD.format(version("prefect")).rstrip():
        return
    with suppress(OSError, sqlite3.Error):
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as database:
            database.executescript(f"begin immediate;\n{script}commit;")
