"""How a host starts the service: its secrets, another user than root, the files for systemd."""

import os
import shutil
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.service import ROOT, without_rights

DEPLOYMENTS = ROOT / "deployments"
UNITS = [path.name for path in (DEPLOYMENTS / "systemd").iterdir()]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder for the service, of the user who may run it."""
    folder = tmp_path / "home"
    folder.mkdir()
    if os.getuid() == 0:
        shutil.chown(folder, "nobody")
    return folder


def said_by_env(home: Path, command: str, **settings: str) -> str:
    """Standard output of a shell command that runs with the settings of the service."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "HARVEST_"))}
    return subprocess.run(
        [*without_rights(), DEPLOYMENTS / "env", "bash", "-c", command],
        env={**outside, "HARVEST_HOME": str(home), **settings},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be refused as root")
@pytest.mark.parametrize("name", ["start", "env"])
def test_root_is_refused(name: str, tmp_path: Path) -> None:
    command = [DEPLOYMENTS / name, "true"]
    done = subprocess.run(command, env={**os.environ, "HARVEST_HOME": str(tmp_path / "home")}, capture_output=True)
    assert done.returncode == 2
    assert done.stderr.decode().startswith("You are root\n  rule: ") and b"\n  remedy: useradd" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_secrets_are_made_once_however_many_come_first(home: Path) -> None:
    show = "echo $HARVEST_DATABASE_PASSWORD $PREFECT_API_AUTH_STRING $PREFECT_SERVER_ENCRYPTION_KEY"
    with ThreadPoolExecutor(16) as threads:
        found = set(threads.map(lambda _: said_by_env(home, show), range(16)))
    (same,) = found
    assert len(set(same.split())) == 3
    assert {path.name for path in home.iterdir()} == {"secrets.env", "tmp"}
    kept = home / "secrets.env"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [line.split("=", 1)[1] for line in kept.read_text().splitlines()] == same.split()


@pytest.mark.parametrize("given", [None, "/srv/programs"])
def test_the_service_names_the_folder_of_programs(home: Path, given: str | None) -> None:
    said = said_by_env(home, "echo $HARVEST_PROGRAMS", **({} if given is None else {"HARVEST_PROGRAMS": given}))
    assert said.strip() == (given or str(home / "programs"))


def test_commands_of_the_operator_are_not_confined(home: Path) -> None:
    given = {"HARVEST_STORES": "/srv/other", "HARVEST_SOURCES": "/srv/images", "HARVEST_SCHEDULERS": "tcp://head:8786"}
    assert "HARVEST_HOME=" in (said := said_by_env(home, "env", **given))
    assert not [line for line in said.splitlines() if line.split("=")[0] in given]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here to read its files")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_wrong_with_its_files(name: str, tmp_path: Path) -> None:
    text = (DEPLOYMENTS / "systemd" / name).read_text()
    assert "/opt/harvest-reliability/deployments/" in text
    unit = tmp_path / name.replace("@", "@gpu")
    unit.write_text(text.replace("/opt/harvest-reliability", str(ROOT)))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
