"""One Prefect server for all tests of this folder, flow runs that end at once, and reports without drawn figures."""

from collections.abc import Generator

import pytest
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.testing.utilities import prefect_test_harness

from tests.support.blank_pictures import blank_figures


@pytest.fixture(scope="session", autouse=True)
def prefect_server() -> Generator[None]:
    """Start one server with an empty database, for all tests of a process.

    Flow runs send no heartbeats: each would wait at its end for a thread that sleeps whole seconds between them.
    """
    with (
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
        prefect_test_harness(server_startup_timeout=120),
    ):
        yield


@pytest.fixture(scope="session", autouse=True)
def blank_pictures() -> Generator[None]:
    """Write figures as one pixel: tests of reports, and campaigns in processes of their own, draw them."""
    with blank_figures():
        yield
