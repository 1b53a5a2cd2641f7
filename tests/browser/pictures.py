"""`python -m tests.browser.pictures PAGE`: pictures of a report for the documentation, into docs/pictures."""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

from tests.support.chromium import DRAWN, find_chromium, running_chromium

FOLDER = Path("docs/pictures")
FIRST_SCREEN, PHONE = (1180, 620), (360, 720)
SHEET = (718, 1032)  # an A4 sheet within margins of 12 mm, at 96 dots per inch


def main() -> None:
    """Take the pictures of the report whose field page is named."""
    program = find_chromium() or sys.exit("apt-get install chromium")
    (page,) = sys.argv[1:] or sys.exit("name the report's index.html")
    with running_chromium(str(program)) as browser:
        take_pictures(browser, Path(page).absolute())


def take_pictures(browser: Browser, report: Path) -> None:
    """The first screen, a list, a plant, the map, a work sheet, a phone in the dark, and the analysis page."""
    page = opened(browser, report, *FIRST_SCREEN)
    page.screenshot(path=FOLDER / "report-first.png")
    page.evaluate("document.getElementById('lists').scrollIntoView()")
    keep(page.screenshot(), "report-lists.webp")
    page.locator("button.plant").first.click()
    page.check("#card-overlay")
    page.wait_for_selector("#card-picture[data-drawn]")
    keep(page.screenshot(), "report-plant.webp")
    page.keyboard.press("Escape")
    keep(page.locator("#map .screen-only").screenshot(), "report-map.webp")
    page.set_viewport_size({"width": SHEET[0], "height": SHEET[1]})
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    keep(page.locator(".sheet").first.screenshot(), "report-sheet.webp")
    opened(browser, report, *PHONE, is_dark=True).screenshot(path=FOLDER / "report-phone.png")
    analysis = browser.new_page(viewport={"width": FIRST_SCREEN[0], "height": FIRST_SCREEN[1]})
    analysis.goto((report.parent / "analysis.html").as_uri())
    keep(analysis.screenshot(), "report-analysis.webp")
    analysis.set_viewport_size({"width": FIRST_SCREEN[0], "height": 900})
    analysis.locator("#explorer-list button").nth(3).click()
    analysis.evaluate("document.getElementById('explorer-scatter').scrollIntoView()")
    analysis.wait_for_timeout(500)  # pictures are decoded when they come into view
    keep(analysis.screenshot(), "report-explorer.webp")


def keep(picture: bytes, name: str) -> None:
    """Write a picture with photographs in it as WebP, which takes a fifth of the room."""
    Image.open(io.BytesIO(picture)).save(FOLDER / name, "WEBP", quality=80, method=6)


def opened(browser: Browser, report: Path, width: int, height: int, is_dark: bool = False) -> Page:
    """The field page in a window of this size, its map drawn."""
    scheme = "dark" if is_dark else "light"
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.goto(report.as_uri())
    page.wait_for_selector(DRAWN)
    return page


if __name__ == "__main__":
    main()
