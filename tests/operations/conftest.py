"""One service for all tests of this folder."""

from collections.abc import Generator

import pytest

from tests.support.service import Service, running_service, what_is_missing


@pytest.fixture(scope="session")
def service() -> Generator[Service]:
    """PostgreSQL, server, workers and reports, on ports of their own."""
    if missing := what_is_missing():
        pytest.skip(missing)
    with running_service(HARVEST_SETTLE_SECONDS="4") as service:
        yield service
