"""A server of http that gives ranges of the files of a folder, and counts what it gives."""

import re
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


class RangeServer(ThreadingHTTPServer):
    """Files of a folder.

    Attributes
    ----------
    counts : requests by method.
    n_bytes : bytes of files that were sent.
    refused : names of files that nobody may read.
    has_tags : whether answers say by ETag which content they have.
    is_down : whether connections are closed without an answer.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Ranges)
        self.folder, self.counts, self.n_bytes = folder, Counter[str](), 0
        self.refused, self.has_tags, self.is_down = set[str](), True, False
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """Address of the folder."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients may hang up."""


class _Ranges(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        assert isinstance(self.server, RangeServer)
        with self.server.lock:
            self.server.counts[self.command] += 1
        if self.server.is_down:
            self.close_connection = True
            return
        name = unquote(self.path).lstrip("/")
        path = self.server.folder / name
        if name in self.server.refused or not path.is_file():
            self._send(403 if name in self.server.refused else 404, {}, b"")
            return
        content, stat = path.read_bytes(), path.stat()
        tags = {"ETag": f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'} if self.server.has_tags else {}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self._send(200, {**tags, "Accept-Ranges": "bytes"}, content)
            return
        first, last = int(asked[1]), min(int(asked[2] or stat.st_size - 1), stat.st_size - 1)
        place = {"Content-Range": f"bytes {first}-{last}/{stat.st_size}"}
        self._send(206, {**tags, **place}, content[first : last + 1])

    def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
        assert isinstance(self.server, RangeServer)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            with self.server.lock:
                self.server.n_bytes += len(content)
            self.wfile.write(content)

    do_GET = do_HEAD = _answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def range_server(folder: Path) -> Generator[RangeServer]:
    """Serve a folder while the block lasts."""
    server = RangeServer(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
