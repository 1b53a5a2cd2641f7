"""A headless Chromium for the tests of a file, which are skipped where there is none."""

from collections.abc import Generator

import pytest
from playwright.sync_api import Browser

from tests.support.chromium import find_chromium, running_chromium


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    """The browser, no longer than that: while it is open, Prefect takes every call for one of a coroutine."""
    program = find_chromium()
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with running_chromium(program) as opened:
        yield opened
