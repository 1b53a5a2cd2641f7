"""The page for the reviewer in a browser: it asks the network for nothing, and everybody can use it."""

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize

from tests.support.local_stores import local
from tests.support.report_campaign import FakeCampaign

# What lies beyond the right edge of the window, other than what scrolls in a box of its own.
OUTSIDE = """() => [...document.querySelectorAll("body *")]
    .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .filter((one) => !one.closest(".scroll") && !one.closest("#harvest-map"))
    .map((one) => one.outerHTML.slice(0, 100))"""
PHONE: ViewportSize = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with every part."""
    fake = FakeCampaign(
        tmp_path_factory.mktemp("small"),
        methods=("gradcam", "lime"),
        has_places=True,
        scored_days=("2021-09-06",),
        n_scored=150,
        outside=("2021-09-06",),
    )
    return local(fake.store.open(fake.report()).file("analysis.html"))


def open_page(context: BrowserContext, path: Path) -> Page:
    page = context.new_page()
    page.goto(path.as_uri())
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(browser: Browser, path: Path, scheme: Any) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    asked, said = list[str](), list[str]()
    context.on("request", lambda request: asked.append(request.url))
    context.on("console", lambda message: said.append(message.text))
    found = Axe().run(open_page(context, path)).response["violations"]
    context.close()
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in serious] == []
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()] and said == []


def test_the_pages_link_to_each_other(browser: Browser, path: Path) -> None:
    context = browser.new_context()
    page = open_page(context, path)
    (path.parent / "index.html").resolve(strict=True)
    page.locator("header a[href='index.html']").click()
    page.wait_for_selector("html[data-ready=yes]")
    assert page.url.startswith((path.parent / "index.html").as_uri())
    page.locator("nav a[href='analysis.html']").click()
    page.wait_for_selector("#provenance")
    assert page.url == path.as_uri()
    context.close()


@pytest.mark.parametrize("width", [PHONE["width"], 1280])
def test_nothing_widens_the_page_and_tables_scroll_in_their_own_box(browser: Browser, path: Path, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 740}, is_mobile=width < 1000)
    page = open_page(context, path)
    for one in page.locator("details").all():
        one.evaluate("(folded) => { folded.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.querySelectorAll('table')].every((table) => table.closest('.scroll'))")
    wide: list[str] = page.evaluate(OUTSIDE)
    assert wide == []
    inside = page.locator("table.calibration").first
    box, table = (inside.locator("xpath=..").bounding_box(), inside.bounding_box())
    assert box is not None and table is not None and box["width"] < width
    assert (table["width"] > box["width"]) == (width < 1000)  # or nothing was there to scroll
    context.close()


def test_captions_of_tables_are_read_without_scrolling(browser: Browser, path: Path) -> None:
    context = browser.new_context(viewport=PHONE, is_mobile=True)
    page = open_page(context, path)
    captions = [one.bounding_box() for one in page.locator(".scroll caption").all() if one.is_visible()]
    context.close()
    assert len(captions) > 5 and all(box and box["x"] + box["width"] <= PHONE["width"] for box in captions)
