"""S3 servers that the tests of one process share, and pages without drawn figures."""

from collections.abc import Iterator

import pytest

from tests.support.blank_pictures import blank_figures
from tests.support.object_servers import CREDENTIALS, ObjectServer, running_server

N_PREFIXES = iter(range(1_000_000))


@pytest.fixture(scope="session", params=["moto", "rclone"])
def object_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """Each of the two servers in turn, with credentials in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        with running_server(request.param, tmp_path_factory.mktemp(request.param) / "objects") as server:
            yield server


@pytest.fixture
def address(object_server: ObjectServer) -> str:
    """Address of a store in a prefix of its own."""
    return object_server.address(f"test/{next(N_PREFIXES)}")


@pytest.fixture(scope="module")
def blank_pictures() -> Iterator[None]:
    """Write figures as one pixel, for tests of what a page says."""
    with blank_figures():
        yield
