"""How a host starts the service: its secrets, another user than root, the files for systemd."""

import os
import pwd
import shutil
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.service import PROGRAMS, ROOT, running_service, what_is_missing

DEPLOYMENTS = ROOT / "deployments"
UNITS = [path.name for path in (DEPLOYMENTS / "systemd").iterdir()]


def test_secrets_are_made_once_however_many_come_first(tmp_path: Path) -> None:
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "HARVEST_"))}

    def secrets(_: int) -> str:
        show = "echo $HARVEST_DATABASE_PASSWORD $PREFECT_API_AUTH_STRING $PREFECT_SERVER_ENCRYPTION_KEY"
        return subprocess.run(
            [DEPLOYMENTS / "env", "bash", "-c", show],
            env={**outside, "HARVEST_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    with ThreadPoolExecutor(16) as threads:
        found = set(threads.map(secrets, range(16)))
    (same,) = found
    assert len(set(same.split())) == 3
    assert {path.name for path in (tmp_path / "home").iterdir()} == {"secrets.env", "tmp"}
    kept = tmp_path / "home" / "secrets.env"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [line.split("=", 1)[1] for line in kept.read_text().splitlines()] == same.split()


@pytest.mark.parametrize("given", [None, "/srv/programs"])
def test_the_service_names_the_folder_of_programs(tmp_path: Path, given: str | None) -> None:
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "HARVEST_"))}
    home = {"HARVEST_HOME": str(tmp_path), **({} if given is None else {"HARVEST_PROGRAMS": given})}
    command = [DEPLOYMENTS / "env", "bash", "-c", "echo $HARVEST_PROGRAMS"]
    said = subprocess.run(command, env={**outside, **home}, capture_output=True, text=True, check=True).stdout
    assert said.strip() == (given or str(tmp_path / "programs"))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here to read its files")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_wrong_with_its_files(name: str, tmp_path: Path) -> None:
    text = (DEPLOYMENTS / "systemd" / name).read_text()
    assert "/opt/harvest-reliability/deployments/" in text
    unit = tmp_path / name.replace("@", "@gpu")
    unit.write_text(text.replace("/opt/harvest-reliability", str(ROOT)))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.nightly  # it starts a service of its own
@pytest.mark.skipif(os.getuid() != 0, reason="the tests do not run as root, so all of them show this")
def test_a_user_without_rights_can_run_everything() -> None:
    """Grant read rights alone, as the unit file does, for a Python that lies in root's home."""
    if missing := what_is_missing():
        pytest.skip(missing)
    user = pwd.getpwnam("nobody")
    sets = [f"--{name}=-all,+dac_read_search" for name in ("bounding-set", "inh-caps", "ambient-caps")]
    who = (f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--no-new-privs")
    with running_service(("setpriv", *who, *sets), owner=user.pw_uid) as service:
        run = service.run("discover-acquisitions", campaign="nowhere")
        service.wait_for_state(run, "Failed")
        pids = [service.status(program)["pid"] for program in PROGRAMS]
        assert {Path(f"/proc/{pid}").stat().st_uid for pid in pids} == {user.pw_uid}
        assert {path.stat().st_uid for path in (service.home / "logs").iterdir()} == {user.pw_uid}
