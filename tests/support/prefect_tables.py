"""The database that Prefect's own changes make, as statements of SQL; run as a program, it writes them anew.

The statements are to be written when constraints.txt names another version of Prefect.
"""

import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from flows.cli.server.tables import HEAD, TABLES

FIRST, LAST = " \n\tCONSTRAINT ", "\n);"  # what stands before a table's constraints, and after them
MIGRATE = """
import asyncio
from prefect.server.database import provide_database_interface
asyncio.run(provide_database_interface().create_db())
"""


def migrated_statements(folder: Path) -> list[str]:
    """Have Prefect make a new database in a folder, in a process of its own, and return its statements and rows."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    own = {**outside, "PREFECT_HOME": str(folder)}
    subprocess.run([sys.executable, "-c", MIGRATE], env=own, cwd=folder, check=True)
    return statements(folder / "prefect.db")


def statements(path: Path) -> list[str]:
    """Return the statements that make a database's tables, indexes, views and triggers, and fill in its rows.

    Tables come first, then each kind in the order of the alphabet: the changes make indexes in another order each time.
    """
    with closing(sqlite3.connect(path)) as database:
        found = [in_order(one) for one in database.iterdump() if one not in ("BEGIN TRANSACTION;", "COMMIT;")]
    return sorted(found, key=lambda one: (not one.startswith("CREATE TABLE"), one))


def in_order(statement: str) -> str:
    """Sort the constraints of a table, whose order means nothing and differs between two runs of the changes."""
    others, first, constraints = statement.partition(FIRST)
    if not first or not statement.startswith("CREATE TABLE"):
        return statement
    parts = constraints.removesuffix(LAST).split(f",{FIRST}")
    return others + first + f",{FIRST}".join(sorted(parts)) + LAST


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        lines = migrated_statements(Path(name))
    TABLES.write_text(HEAD.format(version("prefect")) + "".join(f"{line}\n" for line in lines), encoding="utf-8")
