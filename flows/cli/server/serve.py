"""Serve Prefect's API on a port of this machine: the program that the command's own server runs."""

import gc
import sys
from socket import socket
from typing import TYPE_CHECKING

gc.disable()  # until the server has started: imports make hardly any garbage, and looking for it takes a tenth of them

import uvicorn  # noqa: E402 - the first of these imports

if TYPE_CHECKING:
    from fastapi import FastAPI


class Server(uvicorn.Server):
    """A server that looks for garbage from its start on."""

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Make Prefect's app, with its tables and services, and listen."""
        await super().startup(sockets)
        gc.freeze()  # what is imported stays
        gc.enable()


def make_app() -> "FastAPI":
    """Make Prefect's app; meanwhile Prefect looks for garbage, but not among what is imported."""
    from prefect.server.api.server import create_app

    gc.freeze()
    return create_app()


def main() -> None:
    """Serve on the port that the command line names, until a signal ends the process."""
    config = uvicorn.Config(make_app, factory=True, port=int(sys.argv[1]), log_level="error", lifespan="on")
    server = Server(config)
    server.run()
    sys.exit(0 if server.started else 1)


if __name__ == "__main__":
    main()
