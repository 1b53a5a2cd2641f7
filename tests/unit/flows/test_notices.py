"""Tests of posted notices: what arrives, and that no error reveals the address."""

import json
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from flows.notices import post


class Receiver(BaseHTTPRequestHandler):
    """Server that stores what is posted to it, and answers with the status at the end of the path."""

    received: list[tuple[str | None, bytes]]

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((self.headers["Content-Type"], content))
        self.send_response(int(self.path.rsplit("/", 1)[1]))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def address() -> Generator[str]:
    Receiver.received = []
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/secret"
        server.shutdown()
        thread.join()


def test_a_notice_is_posted_as_json(address: str) -> None:
    assert post(f"{address}/204", "Failed: score field2\nwhy ü") is None
    ((kind, content),) = Receiver.received
    assert kind == "application/json" and json.loads(content) == {"text": "Failed: score field2\nwhy ü"}


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_refusal_is_told_by_its_status(address: str, status: int) -> None:
    assert post(f"{address}/{status}", "x") == f"it answered {status}"


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ("http://127.0.0.1:1/secret", "URLError"),
        ("http://127.0.0.1:port/secret", "InvalidURL"),
        ("http://127.0.0.1/secret place", "InvalidURL"),
        ("secret", "ValueError"),
    ],
)
def test_an_address_that_cannot_be_reached_is_told_by_the_kind_of_error(wrong: str, problem: str) -> None:
    assert post(wrong, "x") == problem
