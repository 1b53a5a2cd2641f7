"""What `make chaos` does to processes and shares is what it says."""

import subprocess
import sys
from pathlib import Path

import psutil

from tests.support.process_trees import kill_trees
from tests.support.shares import unmounted

# A process that starts another in a session of its own, which starts a third without its environment.
PARENT = """
import subprocess, sys
more = int(sys.argv[1])
if more:
    command = [sys.executable, "-c", sys.argv[2], str(more - 1), sys.argv[2]]
    subprocess.Popen(command, start_new_session=True, env={})
print(more, flush=True)
sys.stdin.read()
"""


def test_a_process_dies_with_all_that_it_started() -> None:
    command = [sys.executable, "-c", PARENT, "2", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert {running.stdout.readline().strip() for _ in range(3)} == {"0", "1", "2"}
        family = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
        assert len(family) == 3
        assert kill_trees([running.pid]) == 3
        assert running.wait(10) == -9
    _, alive = psutil.wait_procs(family, timeout=10)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    assert kill_trees([running.pid]) == 0


def test_a_share_is_empty_while_it_is_away_and_whole_afterwards(tmp_path: Path) -> None:
    share = tmp_path / "share"
    (share / "folder").mkdir(parents=True)
    (share / "folder" / "file").write_text("content")
    with (share / "open").open("w") as stream, unmounted(share):
        assert list(share.iterdir()) == [] and share.stat().st_mode & 0o777 == 0o555
        stream.write("written meanwhile")
        share.chmod(0o755)
        (share / "hidden").write_text("below the mount")
    found = {path.name: path.read_text() for path in share.rglob("*") if path.is_file()}
    assert found == {"file": "content", "open": "written meanwhile"}
    assert [path.name for path in tmp_path.iterdir()] == ["share"]
