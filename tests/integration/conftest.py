"""One Prefect server for all tests of this folder."""

from collections.abc import Generator

import pytest
from prefect.testing.utilities import prefect_test_harness


@pytest.fixture(scope="session", autouse=True)
def prefect_server() -> Generator[None]:
    """Start one server with an empty database, for all tests of a process."""
    with prefect_test_harness(server_startup_timeout=120):
        yield
