"""A Prefect API in a thread of this process, for tests that may start no process."""

import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from threading import Thread

import uvicorn
from prefect.events.worker import EventsWorker
from prefect.server.api.server import create_app
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_SERVER_ANALYTICS_ENABLED,
    PREFECT_SERVER_DATABASE_CONNECTION_URL,
    PREFECT_UI_ENABLED,
    temporary_settings,
)

START_SECONDS = 120  # on a machine that does other things too


@contextmanager
def api_in_this_process(folder: Path) -> Generator[str]:
    """Serve Prefect's API, with an empty SQLite database in a folder, while the block lasts; yields its address."""
    own_settings = temporary_settings(
        {
            PREFECT_SERVER_DATABASE_CONNECTION_URL: f"sqlite+aiosqlite:///{folder / 'prefect.db'}",
            PREFECT_SERVER_ANALYTICS_ENABLED: False,
            PREFECT_UI_ENABLED: False,
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,  # a flow run would wait for them at its end
        }
    )
    with own_settings, socket.create_server(("127.0.0.1", 0)) as listening:
        app = create_app(ephemeral=True, final=True, ignore_cache=True)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on"))
        # A thread has settings of its own unless it is given these.
        thread = Thread(target=copy_context().run, args=(server.run, [listening]), daemon=True)
        thread.start()
        try:
            wait_for_start(server, thread)
            address = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
            with temporary_settings({PREFECT_API_URL: address}):
                yield address
                # A process sends its events where it sent the first of them, whatever server a later test has.
                EventsWorker.drain_all(at_exit=False)
        finally:
            server.should_exit = True
            thread.join()


def wait_for_start(server: uvicorn.Server, thread: Thread) -> None:
    """Wait until the server answers."""
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline, "Prefect's API did not start"
        time.sleep(0.05)
