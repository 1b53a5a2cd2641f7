"""`python -m tests.browser.pictures PAGE`: pictures of a report for the documentation, into docs/pictures."""

import sys
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.support.chromium import DRAWN, find_chromium, running_chromium

FOLDER = Path("docs/pictures")
FIRST_SCREEN, PHONE = (1180, 620), (360, 720)


def main() -> None:
    """Take the pictures of the report whose page is named."""
    program = find_chromium() or sys.exit("apt-get install chromium")
    (page,) = sys.argv[1:] or sys.exit("name the report's index.html")
    with running_chromium(str(program)) as browser:
        take_pictures(browser, Path(page).absolute())


def take_pictures(browser: Browser, report: Path) -> None:
    """The first screen, the map of the first date with a plant chosen by keyboard, and a phone in the dark."""
    page = opened(browser, report, *FIRST_SCREEN)
    page.screenshot(path=FOLDER / "report-first.png")
    page.set_viewport_size({"width": FIRST_SCREEN[0], "height": 760})
    page.focus("#map-date")
    page.keyboard.press("Home")
    page.focus("#harvest-map")
    page.keyboard.press("ArrowRight")
    page.locator(".screen-only").screenshot(path=FOLDER / "report-map.png")
    opened(browser, report, *PHONE, is_dark=True).screenshot(path=FOLDER / "report-phone.png")


def opened(browser: Browser, report: Path, width: int, height: int, is_dark: bool = False) -> Page:
    """The report in a window of this size, its map drawn."""
    scheme = "dark" if is_dark else "light"
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.goto(report.as_uri())
    page.wait_for_selector(DRAWN)
    return page


if __name__ == "__main__":
    main()
