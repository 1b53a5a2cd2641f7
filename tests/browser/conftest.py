"""A headless Chromium for all tests of this folder, which are skipped where there is none."""

from collections.abc import Generator

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import find_chromium, running_chromium


@pytest.fixture(scope="session")
def browser() -> Generator[Browser]:
    """The browser of the whole session."""
    program = find_chromium()
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with running_chromium(program) as opened:
        yield opened
