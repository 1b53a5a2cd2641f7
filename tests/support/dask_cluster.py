"""A Dask scheduler and workers as processes of their own, also each worker in a network of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import uuid
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.campaigns import wait_until

DASK = str(Path(sysconfig.get_path("scripts")) / "dask")
FORWARD = """
import asyncio, sys
host, port = sys.argv[1], int(sys.argv[2])

async def copy(reader, writer):
    try:
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()

async def forward(reader, writer):
    there = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.gather(copy(reader, there[1]), copy(there[0], writer))

async def main():
    server = await asyncio.start_server(forward, host, port)
    await server.serve_forever()

asyncio.run(main())
"""


@dataclass(frozen=True)
class Cluster:
    """A running scheduler, its process and that of each worker by name, and the address of this host that it has."""

    address: str
    host: str
    processes: dict[str, subprocess.Popen[bytes]]

    def kill(self, name: str) -> None:
        """Kill a process, which nobody starts again."""
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()


@contextmanager
def running(command: Sequence[str], folder: Path) -> Generator[subprocess.Popen[bytes]]:
    """A process that knows nothing of this one's Prefect server."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    with (folder / "processes.log").open("ab") as log:
        process = subprocess.Popen(
            command, env={**outside, "PREFECT_HOME": str(folder / "home")}, stdout=log, stderr=log, cwd=folder
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def cluster(folder: Path, host: str = "127.0.0.1", places: Sequence[Sequence[str]] = ((), ())) -> Generator[Cluster]:
    """A scheduler and a worker for each command that says where it runs."""
    file = folder / "scheduler.json"
    common = ("--scheduler-file", str(file), "--no-dashboard")
    with ExitStack() as stack:
        command = [DASK, "scheduler", "--host", host, "--port", "0", *common]
        processes = {"scheduler": stack.enter_context(running(command, folder))}
        address = wait_until(lambda: file.is_file() and file.read_text() and json.loads(file.read_text())["address"])
        for i, place in enumerate(places):
            command = [*place, DASK, "worker", *common, "--nthreads", "1", "--no-nanny", "--name", f"worker-{i}"]
            processes[f"worker-{i}"] = stack.enter_context(running(command, folder))
        yield Cluster(address, host, processes)


def ip(*arguments: str) -> None:
    """Run `ip` as root."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def why_no_namespaces() -> str:
    """Why processes cannot be given networks of their own here; empty where they can."""
    if sys.platform != "linux" or shutil.which("ip") is None:
        return "networks of processes need Linux and iproute2"
    if os.geteuid() != 0:
        return "networks of processes need root"
    name = f"harvest-{uuid.uuid4().hex[:6]}"
    try:
        ip("netns", "add", name)
        ip("link", "add", name[:15], "type", "bridge")
    except subprocess.CalledProcessError as error:
        return f"networks of processes: {error.stderr.decode().strip()}"
    finally:
        for kind in (("netns",), ("link",)):
            with suppress(subprocess.CalledProcessError):
                ip(*kind, "del", name)
    return ""


@contextmanager
def namespaces(n: int) -> Generator[tuple[str, list[list[str]]]]:
    """Networks joined by a bridge: this host's address there, and the commands that run something in each."""
    tag = uuid.uuid4().hex[:6]
    subnet = f"10.77.{int(tag[:2], 16)}"
    with ExitStack() as stack:
        bridge = f"hr-{tag}"
        ip("link", "add", bridge, "type", "bridge")
        stack.callback(ip, "link", "del", bridge)
        ip("addr", "add", f"{subnet}.1/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        for i in range(n):
            name, outer, inner = f"harvest-{tag}-{i}", f"hr-{tag}-{i}", f"hi-{tag}-{i}"
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
            ip("link", "add", outer, "type", "veth", "peer", "name", inner)
            ip("link", "set", inner, "netns", name)
            ip("link", "set", outer, "master", bridge, "up")
            ip("-n", name, "addr", "add", f"{subnet}.{i + 2}/24", "dev", inner)
            ip("-n", name, "link", "set", inner, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield f"{subnet}.1", [["ip", "netns", "exec", f"harvest-{tag}-{i}"] for i in range(n)]


@contextmanager
def forwarded(host: str, port: int, folder: Path) -> Generator[None]:
    """A port of the loopback interface, also open at another address of this host."""
    with running([sys.executable, "-c", FORWARD, host, str(port)], folder):
        yield
