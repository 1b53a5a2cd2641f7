"""Test how a command with a Prefect server of its own looks for garbage, and what the server keeps."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
PROGRAM = """
import gc
from flows.cli.server.own import await_server, begin_server
server = begin_server()
import prefect
import tasks.classify.architectures
print(gc.isenabled())
await_server(server)
print(gc.isenabled(), gc.get_freeze_count() > 100_000, len(gc.get_objects()) < 10_000)
server.stop()
"""
RUN = """
from flows.cli.server.own import await_server, begin_server
server = begin_server()
from prefect import flow, task
await_server(server)
@task
def work(number):
    return number
@flow
def many():
    return [work(number) for number in range(30)]
many()
"""


def output_of(program: str, folder: Path) -> list[str]:
    """Run a program in a new Prefect home, and return the words that it prints; it must not complain."""
    root = Path(__file__).parents[5]
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={
            **os.environ,
            "PREFECT_HOME": str(folder),
            "PREFECT_API_URL": "",
            "PREFECT_LOGGING_LEVEL": "ERROR",
            "PYTHONPATH": str(root),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_what_is_imported_is_not_looked_at_and_the_program_ends_quietly(tmp_path: Path) -> None:
    """Libraries print thousands of lines where their types are still frozen when Python ends."""
    assert output_of(PROGRAM, tmp_path) == ["False", "True", "True", "True"]


def test_states_and_events_up_to_the_end_are_in_the_database(tmp_path: Path) -> None:
    output_of(RUN, tmp_path)
    with closing(sqlite3.connect(tmp_path / "prefect.db")) as database:
        states = database.execute("select count(*) from task_run where state_type = 'COMPLETED'").fetchone()
        events = database.execute("select count(*) from events where event = 'prefect.task-run.Completed'").fetchone()
    assert (states, events) == ((30,), (30,))
