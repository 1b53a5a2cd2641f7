"""A server that speaks the Hugging Face hub's protocol, and a tiny real release for it."""

import hashlib
import json
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tasks.sources.synthetic.layouts import write_season
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.season import grow_season

REPOSITORY = "Voxel51/GrowliFlower"
REVISION = "0123456789abcdef0123456789abcdef01234567"
PAPER_DATES = (date(2021, 8, 23), date(2021, 8, 25), date(2021, 8, 30), date(2021, 9, 3))
LATER = date(2021, 9, 8)
CARD = """---
license: unknown
tags:
- fiftyone
---
# Dataset Card for GrowliFlower

- **License:** unknown \x1b[31m
- **Paper:** 10.1002/rob.22122
"""


@dataclass
class Release:
    """Files of a data set by name; images lie in large-file storage, the others in git.

    Attributes
    ----------
    licence : licence in the metadata of the card; None if there is none.
    """

    files: dict[str, bytes]
    licence: str | None = "unknown"

    def image_names(self, field_name: str, *days: date) -> set[str]:
        """Names of the images of a field and some dates, as samples.json tells them."""
        samples = json.loads(self.files["samples.json"])["samples"]
        wanted = {str(day) for day in days}
        return {
            one["filepath"]
            for one in samples
            if one["task"] == "reference" and one["field"] == field_name and one["acquisition_date"] in wanted
        }


def small_release(folder: Path) -> Release:
    """Draw six plants on five dates in the release's layout, and add the other field with images of its own."""
    season = grow_season(SeasonParams(n_plots=1, rows=3, plants_per_row=2, image_size=32, dates=(*PAPER_DATES, LATER)))
    write_season(season, folder, "fiftyone")
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    listed = json.loads(files["samples.json"])
    for number, one in enumerate(sample for sample in listed["samples"] if sample["field"] == "Field1"):
        content = files[one["filepath"]]
        one["filepath"] = f"data/data_20/2020_Ref_Plot1_A{number}-{number}.png"
        files[one["filepath"]] = content
    files["samples.json"] = json.dumps(listed).encode()
    files["README.md"] = CARD.encode()
    return Release(files)


def is_large(name: str) -> bool:
    """Whether a file lies in large-file storage, by its suffix, as on the hub."""
    return name.endswith((".png", ".jpg"))


def git_name(content: bytes) -> str:
    """Name of a content in git, as `git hash-object` prints it."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@dataclass
class Faults:
    """What goes wrong, until it is emptied.

    Attributes
    ----------
    statuses : HTTP status by the beginning of a path; it is sent in place of an answer.
    damaged : names whose bytes are sent with one bit flipped.
    passing : HTTP statuses of the next requests for files, one each.
    passing_api : HTTP statuses of the next requests for descriptions, one each; 0 closes the connection.
    cut : names whose next answer ends after half of the bytes, one each.
    hanging : names whose answer stops after half of the bytes, until the server ends; `stopped` is set then.
    unasked : names that are described though nobody asked for them.
    page : an HTML page is sent in place of every answer, as a login page of a network does.
    """

    statuses: dict[str, int] = field(default_factory=dict[str, int])
    damaged: set[str] = field(default_factory=set[str])
    passing: list[int] = field(default_factory=list[int])
    passing_api: list[int] = field(default_factory=list[int])
    cut: list[str] = field(default_factory=list[str])
    hanging: set[str] = field(default_factory=set[str])
    unasked: list[str] = field(default_factory=list[str])
    page: bool = False


class HubServer(ThreadingHTTPServer):
    """A hub with one data set on this machine.

    Attributes
    ----------
    asked : method and path of every request, in order.
    sent : bytes of content that were sent, by name.
    tokens : the header `Authorization` of every request, by host.
    stopped : set when the answer of a hanging file stands still.
    """

    daemon_threads = True

    def __init__(self, release: Release) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.release, self.faults = release, Faults()
        self.asked: list[tuple[str, str]] = []
        self.sent: dict[str, int] = {}
        self.tokens: set[tuple[str, str]] = set()
        self.stopped, self.ended = threading.Event(), threading.Event()

    @property
    def url(self) -> str:
        """Address of the hub."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def storage(self) -> str:
        """Address of the large-file storage: another host of the same machine, as on the hub."""
        return f"http://localhost:{self.server_address[1]}"

    def fetched(self) -> set[str]:
        """Names of the files whose content was sent since `forget`."""
        return set(self.sent)

    def forget(self) -> None:
        """Forget what was asked and sent so far."""
        self.asked.clear()
        self.sent.clear()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that are killed are what it is about."""


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> HubServer:
        assert isinstance(self.server, HubServer)
        return self.server

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.asked.append((self.command, path))
        self.hub.tokens.add((self.headers["Host"].split(":")[0], self.headers.get("Authorization", "")))
        api, files = f"/api/datasets/{REPOSITORY}", f"/datasets/{REPOSITORY}/resolve/{REVISION}/"
        statuses = [status for begin, status in self.hub.faults.statuses.items() if path.startswith(begin)]
        if self.hub.faults.page:
            self._send(200, {"Content-Type": "text/html"}, b"<html>Please log in</html>")
        elif path.startswith(files) and self.hub.faults.passing:
            self._send(self.hub.faults.passing.pop(0), {}, b"")
        elif path.startswith(api) and self.hub.faults.passing_api:
            self._refuse(self.hub.faults.passing_api.pop(0))
        elif statuses:
            self._send(statuses[0], {"X-Error-Code": "RepoNotFound"} if statuses[0] == 404 else {}, b"")
        elif path == api:
            card = {} if self.hub.release.licence is None else {"license": self.hub.release.licence}
            self._send_json({"id": REPOSITORY, "sha": REVISION, "cardData": card})
        elif path == f"{api}/paths-info/{REVISION}":
            names = [*parse_qs(body.decode())["paths"], *self.hub.faults.unasked]
            self._send_json([self._describe(name) for name in names if self._has(name)])
        elif path.startswith(files) and self._has(path.removeprefix(files)):
            self._send_file(path.removeprefix(files))
        elif path.startswith("/storage/"):
            self._send_content(path.removeprefix("/storage/"), {})
        else:
            self._send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": REVISION}, b"")

    def _refuse(self, status: int) -> None:
        if status:
            self._send(status, {}, b"")
        else:
            self.close_connection = True

    def _has(self, name: str) -> bool:
        return name in self.hub.release.files

    def _describe(self, name: str) -> dict[str, Any]:
        content = self.hub.release.files[name]
        found: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": git_name(content)}
        if is_large(name):
            found["oid"] = git_name(name.encode())  # of the pointer, not of the content
            found["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 129}
        return found

    def _send_file(self, name: str) -> None:
        content = self.hub.release.files[name]
        headers = {"X-Repo-Commit": REVISION}
        if is_large(name):
            linked = {"X-Linked-Size": str(len(content)), "X-Linked-ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
            self._send(302, {**headers, **linked, "Location": f"{self.hub.storage}/storage/{name}?Signature=x"}, b"")
        else:
            self._send_content(name, {**headers, "ETag": f'"{git_name(content)}"'})

    def _send_content(self, name: str, headers: Mapping[str, str]) -> None:
        content, faults = self.hub.release.files[name], self.hub.faults
        if self.command == "HEAD":
            self._send(200, headers, content)
            return
        if name in faults.damaged:
            content = bytes([content[0] ^ 1]) + content[1:]
        begin, status, more = self._begin_of_range(len(content))
        self.send_response(status)
        for key, value in {**headers, **more, "Content-Length": str(len(content) - begin)}.items():
            self.send_header(key, value)
        self.end_headers()
        content = content[begin:]
        is_cut = name in faults.cut or name in faults.hanging
        if name in faults.cut:
            faults.cut.remove(name)
        self._write(name, content[: len(content) // 2] if is_cut else content)
        if name in faults.hanging:
            self.hub.stopped.set()
            self.hub.ended.wait(60)
        self.close_connection = self.close_connection or is_cut

    def _begin_of_range(self, size: int) -> tuple[int, int, dict[str, str]]:
        """First byte that is asked for, and the status and header that say so."""
        asked = self.headers.get("Range")
        if asked is None:
            return 0, 200, {}
        begin = int(asked.removeprefix("bytes=").partition("-")[0])
        return begin, 206, {"Content-Range": f"bytes {begin}-{size - 1}/{size}"}

    def _write(self, name: str, content: bytes) -> None:
        self.hub.sent[name] = self.hub.sent.get(name, 0) + len(content)
        self.wfile.write(content)
        self.wfile.flush()

    def _send_json(self, found: object) -> None:
        self._send(200, {"Content-Type": "application/json"}, json.dumps(found).encode())

    def _send(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = _answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def running_hub(release: Release) -> Generator[HubServer]:
    """A hub with this release while the block lasts."""
    hub = HubServer(release)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        if "huggingface_hub" in sys.modules:  # it reads its settings when it is imported, so nothing else may do that
            from huggingface_hub.utils import close_session

            close_session()  # it keeps connections for the next request
        hub.ended.set()
        hub.shutdown()
        hub.server_close()
        thread.join()
