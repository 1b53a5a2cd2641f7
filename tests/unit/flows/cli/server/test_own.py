"""Test how a command with a Prefect server of its own looks for garbage."""

import os
import subprocess
import sys
from pathlib import Path

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


def test_what_is_imported_is_not_looked_at_and_the_program_ends_quietly(tmp_path: Path) -> None:
    """Libraries print thousands of lines where their types are still frozen when Python ends."""
    root = Path(__file__).parents[5]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": "", "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["False", "True", "True", "True"]
