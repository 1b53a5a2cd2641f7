"""What tests share."""

from collections.abc import Generator

import pytest
import torch
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

SERVICE, EMBEDDED = "tests/operations/", "tests/integration/"


class FilesTogether(LoadFileScheduling):
    """Where several processes run the tests (`make test`), those that share fixtures run in one.

    A file's tests do, and all of the service. The service is handed out first, as the longest: its tests mostly wait,
    and others compute meanwhile.
    """

    def _split_scope(self, nodeid: str) -> str:
        return SERVICE if nodeid.startswith(SERVICE) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FilesTogether:
    """The scheduler of xdist; its marks for groups do nothing with pytest 9.2, whose tests' ids cannot be changed."""
    return FilesTogether(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the service first, and those last whose Prefect server leaves threads in the process.

    They draw random numbers, which Hypothesis takes for a fault of what it tests.
    """
    items.sort(key=lambda item: (not item.nodeid.startswith(SERVICE), item.nodeid.startswith(EMBEDDED)))


@pytest.fixture(scope="module")
def one_thread() -> Generator[None]:
    """Small networks are slower on several threads, and another process sums in the same order on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
