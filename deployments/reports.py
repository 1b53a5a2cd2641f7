"""Serve the published reports to browsers on this host: `python -m deployments.reports FOLDER --port PORT`.

It asks for the user and password of the API (`PREFECT_API_AUTH_STRING`). It serves files of the folder alone: no file
that a link leads to outside it, and no list of its files. A reverse proxy with TLS may stand before it.
"""

import argparse
import base64
import binascii
import os
import secrets
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The pages hold everything that they show and send nothing. No other page may show them in a frame.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data: blob:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-cache",  # a browser asks each time whether the page has changed
}


class Doors:
    """Ask every request for the user and password, and add `HEADERS` to every answer.

    Parameters
    ----------
    app : what answers the requests that are let in.
    credentials : `user:password`.
    """

    def __init__(self, app: ASGIApp, credentials: str) -> None:
        self.app = app
        self.credentials = credentials.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
            await send(message)

        if scope["type"] != "http" or self._lets_in(dict(scope["headers"]).get(b"authorization", b"")):
            await self.app(scope, receive, send_with_headers)
            return
        asks = [(b"www-authenticate", b'Basic realm="reports", charset="UTF-8"'), (b"content-length", b"0")]
        await send_with_headers({"type": "http.response.start", "status": 401, "headers": asks})
        await send({"type": "http.response.body"})

    def _lets_in(self, header: bytes) -> bool:
        scheme, _, said = header.partition(b" ")
        try:
            found = base64.b64decode(said.strip(), validate=True)
        except binascii.Error:
            return False
        return scheme.lower() == b"basic" and secrets.compare_digest(found, self.credentials)


def reports_app(folder: Path, credentials: str) -> Starlette:
    """Return the application that serves the files of a folder to those who know the credentials.

    Parameters
    ----------
    credentials : `user:password`; neither part may be empty.

    Raises
    ------
    ValueError : the credentials have no user or no password.
    """
    user, _, password = credentials.partition(":")
    if not user or not password:
        raise ValueError("PREFECT_API_AUTH_STRING must be user:password; without it, everybody could read the reports")
    # A page is found under its folder's name, as `field2-2021/`; a folder without one is not found.
    files = StaticFiles(directory=folder, html=True)
    return Starlette(routes=[Mount("/", files)], middleware=[Middleware(Doors, credentials=credentials)])


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(prog="python -m deployments.reports", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    app = reports_app(given.folder, os.environ.get("PREFECT_API_AUTH_STRING", ""))
    uvicorn.run(app, host="127.0.0.1", port=given.port, server_header=False, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
