"""Start a Prefect server for one command while the command imports Prefect and its tasks, and name it to Prefect.

Prefect would start one itself, later. It gives up when the server's first answer takes longer than five seconds, and
starts a server whose database fails again and again, without end.
"""

import atexit
import gc
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

from flows.cli.server.settings import ServerError, check_address, check_database, find_address, home, is_current
from flows.cli.server.tables import make_database
from flows.cli.stopping import end_now
from flows.running.servers import OWN_SERVER
from storage.places.faults import free_bytes, size_text

START_SECONDS = 600  # longest wait for a server's first answer; a busy machine with a slow disk has taken minutes
AGAIN = "run the same command again to go on; if that fails too, set PREFECT_HOME to a new folder on a disk with room"
FULL_BYTES = 1_000_000  # free bytes with which SQLite can no longer be relied on to write
SLOW_SECONDS = 20  # wait after which a person is told what the command waits for
CTRL_C_SECONDS = 0.5  # head start of a Ctrl-C, which a terminal sends to the server too
STOP_SECONDS = 3  # time that a server has to end by itself
# Settings of a server that serves one command: no pages, no automations, and no kinds of blocks beside those that a run
# registers itself. To look for them, the server would import every Prefect collection, Dask among them. States of task
# runs are written together once a second, not each in a transaction of its own, and events every five seconds, not by
# twenties; what is left is written at the end.
OF_OWN_SERVER = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "0",
    "PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION": "0",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "0",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "500",
}
KNOWN_DATABASE = {"PREFECT_API_DATABASE_MIGRATE_ON_START": "0"}  # of one that the installed Prefect has made or changed


class OwnServer:
    """A Prefect server on a free port of this machine, in a process of its own."""

    def __init__(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.log = tempfile.TemporaryFile("w+", prefix="harvest-server-")  # noqa: SIM115 - lives as long as the server
        self.process = subprocess.Popen(
            # -P: modules in the working folder that have the names of Prefect's are not taken for them.
            [sys.executable, "-P", Path(__file__).with_name("serve.py"), str(self.port)],
            env={**os.environ, **OF_OWN_SERVER, **(KNOWN_DATABASE if is_current() else {})},
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        atexit.register(self.stop)

    def wait(self) -> None:
        """Wait until the server answers.

        Raises
        ------
        ServerError : the server ended, or did not answer within `START_SECONDS`.
        """
        begun, is_told = time.monotonic(), False
        while not self._answers():
            waited = time.monotonic() - begun
            if self.process.poll() is not None:
                raise ServerError(
                    f"The Prefect server of this command ended while starting: {self._last_words()}\n  remedy: {AGAIN}"
                )
            if waited > START_SECONDS:
                self.stop()
                raise ServerError(
                    f"The Prefect server of this command did not answer within {START_SECONDS / 60:.0f} minutes\n"
                    "  remedy: run again when the machine is less busy, or start a server: prefect server start"
                )
            if waited > SLOW_SECONDS and not is_told:
                is_told = True
                print(
                    f"waiting for the Prefect server of this command, for up to {START_SECONDS:.0f} s", file=sys.stderr
                )
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
                connection.request("GET", "/api/health")
                return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False

    def _last_words(self) -> str:
        self.log.seek(0)
        said = [line.strip() for line in self.log.read().splitlines() if line.strip()]
        errors = [line for line in said if "Error" in line or "error" in line]
        last = (errors or said or [f"exit code {self.process.returncode}"])[-1]
        return f"{last}\n  {its_files()}"

    def set_address(self) -> None:
        """Name the server to Prefect, which has yet to be imported, and to the processes that this one starts.

        Prefect's way to take over a running server would import the whole server into this process, in two seconds.
        """
        url = f"http://127.0.0.1:{self.port}/api"
        os.environ[OWN_SERVER] = os.environ["PREFECT_API_URL"] = url
        os.environ["PREFECT_CLIENT_CSRF_SUPPORT_ENABLED"] = "0"  # else every client asks for a token first

    def watch(self) -> None:
        """End the command as soon as the server ends, from now on."""
        threading.Thread(target=self._watch, daemon=True, name="server").start()

    def _watch(self) -> None:
        """End the command if its server ends first: Prefect would ask it again and again, for minutes."""
        self.process.wait()
        time.sleep(CTRL_C_SECONDS)
        if threading.main_thread().is_alive():  # or the command is ending, and its server with it
            found = f"The Prefect server of this command ended during the run: {self._last_words()}"
            end_now(1, "server", f"error: {found}\n  remedy: {AGAIN}", "--json" in sys.argv)

    def stop(self) -> None:
        """End the server; it has `STOP_SECONDS` to do so by itself."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def its_files() -> str:
    """Say where the server's database is, and whether its disk is full."""
    free = free_bytes(home())
    return f"its files: {home()} ({size_text(free)} free{'' if free > FULL_BYTES else ': the disk is full'})"


def begin_server() -> OwnServer | None:
    """Start the command's own server, or check the one that Prefect's settings name.

    The command imports while its server starts. Until `await_server` Python does not look for garbage, of which imports
    make hardly any.

    Returns
    -------
    The started server, which does not answer yet; None where another one is used.

    Raises
    ------
    ServerError : the server of the settings does not answer, or the database cannot be used.
    """
    if address := find_address():
        check_address(address)
        return None
    allowed = ("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "PREFECT_SERVER_EPHEMERAL_ENABLED")
    if any(os.environ.get(name, "").lower() in ("0", "false", "no", "off") for name in allowed) or _has_server():
        return None
    check_database()
    make_database()
    server = OwnServer()
    server.set_address()
    gc.disable()
    return server


def _has_server() -> bool:
    """Tell whether Prefect is imported and has a server, as in a program that calls a command."""
    if "prefect" not in sys.modules:
        return False
    from prefect.settings import PREFECT_API_URL

    return bool(PREFECT_API_URL.value())


def await_server(server: OwnServer | None) -> None:
    """Wait until the command's own server answers, and watch it from then on."""
    if server is not None:
        # What is imported stays. A look for garbage among it, torch and Prefect, takes a third of a second, and a
        # campaign has half a dozen.
        gc.freeze()
        atexit.register(gc.unfreeze)  # else libraries report their own types as leaked when Python ends
        gc.enable()
        server.wait()
        server.watch()
