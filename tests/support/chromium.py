"""Debian's Chromium in the background, driven by Playwright."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

# Nothing that a browser does on its own account: a request is then the page's.
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DRAWN = "#harvest-map[data-drawn=yes]"  # a report whose map can be used


def find_chromium() -> str | None:
    """The browser's program; None where there is none."""
    return shutil.which("chromium") or shutil.which("google-chrome")


@contextmanager
def running_chromium(program: str) -> Generator[Browser]:
    """A browser with an empty folder of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=QUIET)
        yield browser
        browser.close()
