"""What tests share."""

from collections.abc import Generator

import pytest
import torch


@pytest.fixture(scope="module")
def one_thread() -> Generator[None]:
    """Small networks are slower on several threads, and another process sums in the same order on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
