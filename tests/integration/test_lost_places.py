"""Disks that are full and servers that die during `harvest run`: one message, and the same command goes on."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import psutil
import pytest

from flows.cli.server import own
from flows.cli.server.own import OwnServer
from flows.cli.server.settings import ServerError
from storage.artifacts import Store
from storage.verify import verify_store
from tests.support.commands import start, wait_for_file


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder that is a disk of its own, in memory, with one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a disk, and not everywhere")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def resize(disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)


def failed_at(disk: Path, home: Path, method: str = "gradcam") -> str:
    """Run the command on a disk that is too small, and return what it could not write."""
    code, said = start(disk, (method,), home=home).end()
    assert code == 1 and "Traceback" not in said and said.count("error: ") == 1, said
    assert "the disk is full (" in said and "run the same command again" in said
    assert verify_store(Store(disk / "store")).problems == []
    return said[said.index("error: ") :].split()[2].split("/")[0]


@pytest.mark.nightly  # the unit tests of `storage.places.faults` let the system refuse files
def test_a_full_disk_is_told_in_every_stage_and_the_command_goes_on(small_disk: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    stages: list[str] = []
    for size in ("200k", "50m"):
        resize(small_disk, size)
        stages.append(failed_at(small_disk, home))
    assert stages == ["images", "checkpoint.pt"]
    resize(small_disk, "300m")
    assert start(small_disk, home=home).end()[0] == 0
    filler = small_disk / "filler"
    for free in (16_000, 120_000):
        filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - free))
        stages.append(failed_at(small_disk, home, "occlusion"))
        filler.unlink()
    assert len(set(stages)) == 4, stages
    code, said = start(small_disk, ("occlusion",), home=home).end()
    assert code == 0, said
    assert verify_store(Store(small_disk / "store")).problems == []


def test_a_full_disk_of_prefects_database_is_told(small_disk: Path, tmp_path: Path) -> None:
    code, said = start(tmp_path, home=small_disk).end()
    assert code == 1 and "Traceback" not in said and said.count("error: ") == 1, said
    assert "full" in said and "PREFECT_HOME" in said


def test_a_server_that_dies_is_one_message_at_once(tmp_path: Path) -> None:
    running = start(tmp_path)
    wait_for_file(running, tmp_path, "work/classifier-*/*")
    begun = time.monotonic()
    for child in running.children():
        child.kill()
    code, said = running.end()
    assert code == 1 and "Traceback" not in said and said.count("error: ") == 1, said
    assert "The Prefect server of this command ended during the run: " in said
    assert "run the same command again to go on" in said and time.monotonic() - begun < 10
    assert verify_store(Store(tmp_path / "store")).problems == []


@pytest.mark.nightly  # it waits for most of a minute
class TestSlowServer:
    """The command's own server on a machine that is too busy for it: a process that is suspended."""

    @pytest.fixture
    def server(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnServer]:
        monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
        server = OwnServer()
        psutil.Process(server.process.pid).suspend()
        yield server
        server.process.kill()
        server.process.wait()

    def test_it_is_waited_for_and_the_wait_is_told_once(
        self, server: OwnServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(own, "SLOW_SECONDS", 0.5)
        Timer(1.5, psutil.Process(server.process.pid).resume).start()
        server.wait()
        assert capsys.readouterr().err == "waiting for the Prefect server of this command, for up to 600 s\n"

    def test_one_that_never_answers_is_given_up(self, server: OwnServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(own, "START_SECONDS", 0.5)
        with pytest.raises(ServerError, match="remedy: run again when the machine is less busy"):
            server.wait()
        assert server.process.poll() is not None
