"""What tests share."""

from collections.abc import Generator
from pathlib import Path

import pytest
import torch

SERVICE = Path(__file__).with_name("operations")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests that share fixtures in one process where several run them (`make test`): a file's, and the service's.

    The service comes first, as the longest: its tests mostly wait, and others compute meanwhile.
    """
    items.sort(key=lambda item: SERVICE not in item.path.parents)
    for item in items:
        item.add_marker(pytest.mark.xdist_group("service" if SERVICE in item.path.parents else str(item.path)))


@pytest.fixture(scope="module")
def one_thread() -> Generator[None]:
    """Small networks are slower on several threads, and another process sums in the same order on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
