"""Two real S3 servers for tests, and a connection to them that fails now and then."""

import os
import random
import select
import signal
import socket
import subprocess
import sysconfig
import threading
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import boto3

Kind = Literal["moto", "rclone"]

BIN = Path(sysconfig.get_path("scripts"))
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "harvest-tests",
    "AWS_SECRET_ACCESS_KEY": "no-secret-at-all",
    "AWS_REGION": "us-east-1",
    # Of boto3, which makes the bucket: neither server knows the checksums that it would else send.
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
}
BUCKET = "harvest"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class ObjectServer:
    """A server and its process.

    moto keeps objects in memory and loses them with its process; rclone keeps them as files of `folder`.
    """

    kind: Kind
    folder: Path
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """Address of the server."""
        return f"http://127.0.0.1:{self.port}"

    def address(self, prefix: str) -> str:
        """Address of a store in the server's bucket."""
        return f"s3://{BUCKET}/{prefix}?endpoint={self.url}"

    def start(self) -> None:
        """Start it, and make the bucket where there is none."""
        if self.kind == "moto":
            command = [str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", str(self.port)]
        else:
            keys = f"{CREDENTIALS['AWS_ACCESS_KEY_ID']},{CREDENTIALS['AWS_SECRET_ACCESS_KEY']}"
            place = ["--addr", f"127.0.0.1:{self.port}", "--auth-key", keys, "--config", os.devnull]
            (self.folder / BUCKET).mkdir(parents=True, exist_ok=True)
            command = [str(BIN / "rclone"), "serve", "s3", *place, str(self.folder)]
        log = self.folder.parent / f"{self.kind}.log"
        with log.open("ab") as stream:
            self.process = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)
        wait_for_port(self.port)
        if self.kind == "moto":
            boto3.client("s3", endpoint_url=self.url).create_bucket(Bucket=BUCKET)

    def kill(self) -> None:
        """Kill it, as a power cut does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def wait_for_port(port: int, seconds: float = 60) -> None:
    """Wait until somebody listens."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return


@contextmanager
def running_server(kind: Kind, folder: Path) -> Generator[ObjectServer]:
    """A server while the block lasts; credentials must be in the environment."""
    folder.mkdir(parents=True, exist_ok=True)
    server = ObjectServer(kind, folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


PASSING_FAULTS = "500", "503", "cut", "cut after"  # an answer, or none, before or after the request was served
SILENT_SECONDS = 60  # of the fault `silence`: for so long nothing answers, unless the client hangs up before


class FaultyLine(ThreadingHTTPServer):
    """A connection to a server on which a share of the requests fails, in the ways of `faults`.

    Attributes
    ----------
    counts : requests by what became of them; of silent ones also how often the client `hung up`.
    """

    daemon_threads = True

    def __init__(self, target: str, share: float, faults: Sequence[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Forwarding)
        self.target, self.share, self.faults = urlsplit(target).netloc, share, faults
        self.counts: Counter[str] = Counter()
        self._random, self._lock = random.Random(0), threading.Lock()

    @property
    def url(self) -> str:
        """Address to use in place of the server's."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def draw(self) -> str:
        """What becomes of the next request."""
        with self._lock:
            fault = self._random.choice(self.faults)
            drawn = fault if self._random.random() < self.share else "served"
            self.counts[drawn] += 1
            return drawn

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up are what it is about."""


class _Forwarding(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def line(self) -> FaultyLine:
        assert isinstance(self.server, FaultyLine)
        return self.server

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fate = self.line.draw()
        if fate in ("cut", "silence"):
            self.line.counts["hung up"] += fate == "silence" and self._is_hung_up(SILENT_SECONDS)
            self.close_connection = True
            return
        if fate in ("500", "503"):
            self.send_response(int(fate))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._answer(body, is_cut=fate == "cut after")

    def _is_hung_up(self, seconds: float) -> bool:
        """Whether the client closes the connection within some seconds, before it has an answer."""
        readable, _, _ = select.select([self.connection], [], [], seconds)
        return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""

    def _answer(self, body: bytes, is_cut: bool) -> None:
        connection = HTTPConnection(self.line.target, timeout=60)
        try:
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, HTTPException):
            self.close_connection = True
            return
        finally:
            connection.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                self.send_header(name, value)
        length = int(answer.getheader("Content-Length") or 0) if self.command == "HEAD" else len(content)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if is_cut:  # the client cannot know whether it was served
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            return
        self.wfile.write(content)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _forward  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def faulty_line(target: str, share: float, faults: Sequence[str] = PASSING_FAULTS) -> Generator[FaultyLine]:
    """Such a connection while the block lasts."""
    line = FaultyLine(target, share, faults)
    thread = threading.Thread(target=line.serve_forever, daemon=True)
    thread.start()
    try:
        yield line
    finally:
        line.shutdown()
        line.server_close()
        thread.join()
