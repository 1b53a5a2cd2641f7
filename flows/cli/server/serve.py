"""Serve Prefect's API on a port of this machine: the program that the command's own server runs."""

import gc
import sys
from socket import socket

gc.disable()  # until the server has started: imports make hardly any garbage, and looking for it takes a tenth of them

import uvicorn  # noqa: E402 - the first of these imports


class Server(uvicorn.Server):
    """A server that looks for garbage from its start on."""

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Make Prefect's app, with its tables and services, and listen."""
        await super().startup(sockets)
        gc.freeze()  # what is imported stays
        gc.enable()


def main() -> None:
    """Serve on the port that the command line names, until a signal ends the process."""
    app = "prefect.server.api.server:create_app"
    config = uvicorn.Config(app, factory=True, port=int(sys.argv[1]), log_level="error", lifespan="on")
    server = Server(config)
    server.run()
    sys.exit(0 if server.started else 1)


if __name__ == "__main__":
    main()
