"""The whole service as `deployments/start` runs it: PostgreSQL, server, workers, reports, on ports of its own."""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID
from xmlrpc.client import ServerProxy

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from flows.cli.seasons import emit_arrival
from tests.support.repository import ROOT

BIN = Path(sysconfig.get_path("scripts"))
DAC_READ_SEARCH = 2  # number of the right to read every file, among the capabilities of Linux
ZOMBIE_SECONDS = 40  # heartbeats cannot come more often than every 30 seconds
PROGRAMS = ("database", "server", "reports", "sweep", "worker-cpu", "worker-gpu")


@dataclass
class Service:
    """A running service; what tests do with it goes through its public sides.

    `before` is what stands before every command of it, so that it runs as another user than root.
    """

    home: Path
    environment: dict[str, str]
    before: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def store(self) -> Path:
        """Folder of artefacts and tables."""
        return Path(self.environment.get("HARVEST_STORE", self.home / "store"))

    @property
    def url(self) -> str:
        """Address of the Prefect UI; its API is at `api_url`."""
        return f"http://127.0.0.1:{self.environment['HARVEST_PORT']}"

    @property
    def api_url(self) -> str:
        """Address of the API."""
        return f"{self.url}/api"

    @property
    def reports_url(self) -> str:
        """Address of the published reports."""
        return f"http://127.0.0.1:{self.environment['HARVEST_REPORTS_PORT']}"

    @property
    def metrics_url(self) -> str:
        """Address of the numbers for Prometheus."""
        return f"http://127.0.0.1:{self.environment['HARVEST_METRICS_PORT']}"

    @property
    def secrets(self) -> dict[str, str]:
        """Secrets by the name of their variable."""
        lines = (self.home / "secrets.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    @property
    def auth_string(self) -> str:
        """User and password of the API."""
        return self.secrets["PREFECT_API_AUTH_STRING"]

    def client(self) -> SyncPrefectClient:
        """A client of this server, whatever settings the test process has."""
        return SyncPrefectClient(self.api_url, auth_string=self.auth_string)

    def command(self, *command: str, **variables: str) -> str:
        """Standard output of a command that runs with the settings and secrets of the service."""
        done = subprocess.run(
            [*self.before, ROOT / "deployments" / "env", *command],
            env={**self.environment, **variables},
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def restore(self, backup: Path) -> subprocess.CompletedProcess[str]:
        """Restore a backup as `deployments/restore` does, before the first start."""
        command = [*self.before, str(ROOT / "deployments" / "restore"), str(backup)]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True)

    def announce(self, campaign: str, day: str) -> None:
        """Announce a date as `harvest announce` does, from this process."""
        with temporary_settings({PREFECT_API_URL: self.api_url, PREFECT_API_AUTH_STRING: self.auth_string}):
            asyncio.run(emit_arrival(campaign, date.fromisoformat(day)))

    def start(self, seconds: float = 400) -> None:
        """Start everything, and wait for the end of the set-up."""
        with (self.home / "start.log").open("ab") as log:
            # Ends with the tests, even where they are killed. A change of the user would clear the signal.
            command = [*self.before, "setpriv", "--pdeathsig", "TERM", str(ROOT / "deployments" / "start")]
            self.process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self.is_set_up, seconds, self.logs)

    def is_set_up(self) -> bool:
        """Whether the set-up has ended well and every program runs."""
        assert self.process is not None
        assert self.process.poll() is None, self.logs()
        try:
            states = {name: self.status(name) for name in (*PROGRAMS, "setup")}
        except OSError:
            return False
        setup = states.pop("setup")
        done = setup["statename"] == "EXITED" and setup["exitstatus"] == 0
        return done and all(state["statename"] == "RUNNING" for state in states.values())

    def stop(self, how: signal.Signals = signal.SIGTERM, seconds: float = 180) -> None:
        """Stop it, as a service manager does or by killing supervisor, and wait until all its processes are gone."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(seconds)
            self.process = None
        wait_until(lambda: self.pids() == [], 60, lambda: f"processes left: {self.pids()}\n{self.logs()}")

    def status(self, program: str) -> dict[str, Any]:
        """What supervisor knows of a program: `statename`, `pid`, `exitstatus`."""
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(None, None, f"unix://{self.home}/supervisor.sock")
        with ServerProxy("http://127.0.0.1", transport=transport) as supervisor:
            found: Any = supervisor.supervisor.getProcessInfo(program)
        return found

    def kill(self, program: str) -> int:
        """Kill a program's own process with SIGKILL; returns the id that it had."""
        pid: int = self.status(program)["pid"]
        os.kill(pid, signal.SIGKILL)
        return pid

    def run(self, deployment: str, **parameters: Any) -> UUID:
        """Have a deployment run; flow and deployment have one name."""
        with self.client() as client:
            found = client.read_deployment_by_name(f"{deployment}/{deployment}")
            return client.create_flow_run_from_deployment(found.id, parameters=parameters).id

    def flow_run(self, flow_run_id: UUID) -> FlowRun:
        """A flow run as the server sees it."""
        with self.client() as client:
            return client.read_flow_run(flow_run_id)

    def state_names(self, flow_run_id: UUID) -> list[str]:
        """Every state of a flow run until now."""
        with self.client() as client:
            states = client.read_flow_run_states(flow_run_id)
        return [state.name or "" for state in sorted(states, key=lambda state: state.timestamp)]

    def wait_for_state(self, flow_run_id: UUID, *names: str, seconds: float = 120, n_runs: int = 0) -> FlowRun:
        """Wait until a flow run is in one of some states, having begun at least so often."""

        def is_there() -> bool:
            run = self.flow_run(flow_run_id)
            return run.state is not None and run.state.name in names and run.run_count >= n_runs

        wait_until(is_there, seconds, lambda: f"{self.state_names(flow_run_id)}\n{self.logs()}")
        return self.flow_run(flow_run_id)

    def flow_run_pids(self, flow_run_id: UUID) -> list[int]:
        """Processes that a flow run runs in."""
        variable = f"PREFECT__FLOW_RUN_ID={flow_run_id}".encode()
        return [pid for pid, environ in processes("environ") if variable in environ.split(b"\0")]

    def flow_run_processes(self) -> dict[str, list[int]]:
        """Processes of flow runs by the flow's name."""
        found: dict[str, list[int]] = {}
        for pid, environ in processes("environ"):
            lines = environ.decode(errors="replace").split("\0")
            variables = dict(line.split("=", 1) for line in lines if "=" in line)
            if variables.get("HARVEST_HOME") == str(self.home) and "PREFECT__FLOW_RUN_ID" in variables:
                found.setdefault(variables["PREFECT__FLOW_NAME"], []).append(pid)
        return found

    def pids(self) -> list[int]:
        """Every process that belongs to the service, by its environment or its command line."""
        home = str(self.home).encode()
        found = [*processes("environ"), *processes("cmdline")]
        return sorted({pid for pid, content in found if home in content})

    def kill_everything(self) -> None:
        """Leave no process, whatever state the service is in; supervisor first, which would start others again."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        while found := self.pids():
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)

    def logs(self) -> str:
        """The end of every log, for people who look for what went wrong."""
        return "\n".join(f"== {name}\n{text[-3000:]}" for name, text in self.whole_logs().items())

    def whole_logs(self) -> dict[str, str]:
        """All that was ever logged, by the file's name."""
        files = [self.home / "start.log", *sorted((self.home / "logs").iterdir())]
        return {path.name: path.read_text() for path in files if path.exists()}


def processes(content: str) -> Generator[tuple[int, bytes]]:
    """A file of `/proc` of every process that lives."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            yield int(folder.name), (folder / content).read_bytes()
        except OSError:
            continue


def wait_until(is_true: Callable[[], bool], seconds: float, said: Callable[[], str]) -> None:
    """Wait, and fail with what is said."""
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, said()
        time.sleep(0.5)


def free_ports(n: int) -> list[str]:
    """Ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def what_is_missing() -> str:
    """What this machine lacks for the service; empty where nothing is."""
    if not list(Path("/usr/lib/postgresql").glob("*/bin/postgres")) and "HARVEST_POSTGRES_BIN" not in os.environ:
        return "PostgreSQL is not installed"
    return "" if (BIN / "supervisord").exists() else "supervisor is not installed"


def without_rights() -> tuple[str, ...]:
    """What stands before a command, so that root runs it as `nobody`; nothing for others than root.

    The user may read every file, because the tests' Python and images may lie where root alone reads, and nothing else.
    Containers do not grant that right, but the one to read and write; there the user has this one.
    """
    if os.getuid() != 0:
        return ()
    user = pwd.getpwnam("nobody")
    granted = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapPrm"))
    right = "dac_read_search" if int(granted.split()[1], 16) & 1 << DAC_READ_SEARCH else "dac_override"
    sets = [f"--{name}=-all,+{right}" for name in ("bounding-set", "inh-caps", "ambient-caps")]
    return ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--no-new-privs", *sets)


@contextmanager
def running_service(**settings: str) -> Generator[Service]:
    """A running service in a folder of its own, never as root; everything of it is gone afterwards."""
    with new_service(**settings) as made:
        made.start()
        yield made
        made.stop()


@contextmanager
def new_service(**settings: str) -> Generator[Service]:
    """A service that was never started, in a folder of its own, never as root; all of it is gone afterwards."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "HARVEST_"))}
    if "HARVEST_POSTGRES_BIN" in os.environ:
        outside["HARVEST_POSTGRES_BIN"] = os.environ["HARVEST_POSTGRES_BIN"]
    port, database_port, reports_port, metrics_port = free_ports(4)
    home = Path(tempfile.mkdtemp(prefix="harvest-"))
    if os.getuid() == 0:
        shutil.chown(home, "nobody")
    outside["HOME"] = str(home)
    made = Service(
        home,
        {
            **outside,
            "HARVEST_HOME": str(home),
            "HARVEST_BIN": str(BIN),
            "HARVEST_SOURCES": f"{home}/sources,{tempfile.gettempdir()}",  # tests keep images there
            "HARVEST_PORT": port,
            "HARVEST_DATABASE_PORT": database_port,
            "HARVEST_REPORTS_PORT": reports_port,
            "HARVEST_METRICS_PORT": metrics_port,
            "HARVEST_ZOMBIE_SECONDS": str(ZOMBIE_SECONDS),
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "PREFECT_WORKER_HEARTBEAT_SECONDS": "5",
            **settings,
        },
        without_rights(),
    )
    try:
        yield made
    finally:
        made.kill_everything()
        shutil.rmtree(home)
