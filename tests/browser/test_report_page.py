"""The report in a browser, opened from disk: it asks the network for nothing, and everybody can use it."""

import json
import re
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize

from storage.tables import DECIDED
from storage.tables.rows import rows_of
from tests.support.chromium import DRAWN
from tests.support.local_stores import local
from tests.support.report_campaign import DAYS, FakeCampaign

LATER = ("2021-09-06", "2021-09-09", "2021-09-12")
LABELS = ("23 August 2021", "3 September 2021", "6 September 2021", "9 September 2021", "12 September 2021")
N_PLANTS = 10_000
MOST_BYTES, MOST_HEAP = 15_000_000, 40_000_000
MOST_NODES, MOST_LAYOUTS = 6 * N_PLANTS, 100  # a layout for every plant would be as many as plants
DECISIONS = ("harvest", "leave", "check")
FITS = """() => {
    const map = document.getElementById("harvest-map"), drawn = map.querySelector(".main-svg").getBoundingClientRect();
    return Math.abs(drawn.width - map.clientWidth) < 2 && Math.abs(drawn.height - map.clientHeight) < 2;
}"""
# What lies beyond the right edge of the window, other than what scrolls in a box of its own.
OUTSIDE = """() => [...document.querySelectorAll("body *")]
    .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .filter((one) => !one.closest(".scroll") && !one.closest("#harvest-map"))
    .map((one) => one.outerHTML.slice(0, 100))"""
PHONE: ViewportSize = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> FakeCampaign:
    """Ten thousand plants on each of three scored dates: as many as a field has."""
    return FakeCampaign(
        tmp_path_factory.mktemp("store"),
        methods=("gradcam", "lime"),
        has_places=True,
        scored_days=LATER,
        n_scored=N_PLANTS,
        outside=(LATER[0],),
    )


@pytest.fixture(scope="module")
def path(campaign: FakeCampaign) -> Path:
    return local(campaign.store.open(campaign.report()).file("index.html"))


@dataclass
class Opened:
    """A page that has drawn its map, and everything that it asked for and complained of."""

    page: Page
    requests: list[str] = field(default_factory=list[str])
    complaints: list[str] = field(default_factory=list[str])

    def counts(self) -> list[int]:
        """Plants by decision, as the legend of the map has them."""
        return [int(text) for text in self.page.locator("#map-legend b").all_inner_texts()]


def open_page(context: BrowserContext, path: Path) -> Opened:
    page = context.new_page()
    opened = Opened(page)
    page.on("request", lambda request: opened.requests.append(request.url))
    page.on("console", lambda message: opened.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_selector(DRAWN)
    return opened


@pytest.fixture(scope="module")
def opened(browser: Browser, path: Path) -> Generator[Opened]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield open_page(context, path)
    context.close()


def decided(campaign: FakeCampaign, day: str) -> list[int]:
    """Plants by decision, counted anew from the date's table."""
    rows = rows_of(campaign.store.open({**campaign.roles, **campaign.scored}[f"decided gradcam {day}"]), DECIDED)
    words = ["check" if row["check_reason"] else ("leave", "harvest")[row["ready_probability"] >= 0.5] for row in rows]
    return [words.count(decision) for decision in DECISIONS]


def test_ten_thousand_plants_are_a_page_of_bounded_size(browser: Browser, path: Path) -> None:
    """What opening costs whatever the machine: bytes to read, nodes and memory that the page takes, layouts."""
    context = browser.new_context()
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Performance.enable")
    page.goto(path.as_uri())
    page.wait_for_selector(DRAWN)
    metrics: list[dict[str, Any]] = session.send("Performance.getMetrics")["metrics"]
    context.close()
    found = {metric["name"]: metric["value"] for metric in metrics}
    assert path.stat().st_size < MOST_BYTES
    assert N_PLANTS < found["Nodes"] < MOST_NODES
    assert found["JSHeapUsedSize"] < MOST_HEAP
    assert found["LayoutCount"] < MOST_LAYOUTS


def test_the_map_follows_the_slider_by_keyboard(campaign: FakeCampaign, opened: Opened) -> None:
    page, slider = opened.page, opened.page.locator("#map-date")
    slider.focus()
    for day, label in reversed([*zip((*DAYS, *LATER), LABELS, strict=True)]):
        said = f"{label}: " + ", ".join(f"{n} {word}" for n, word in zip(opened.counts(), DECISIONS, strict=True))
        assert slider.get_attribute("aria-valuetext") == said
        assert page.inner_text("#map-date-text") == label and opened.counts() == decided(campaign, day)
        assert (opened.counts()[:2] == [0, 0]) == (day == LATER[0])  # nothing is acted on where the date is outside
        assert marks(page) == placed(page, day)
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("End")
    assert page.inner_text("#map-date-text") == LABELS[-1]


def marks(page: Page) -> int:
    """Plants with an answer that are drawn; the first trace has those without."""
    drawn: list[int] = page.evaluate("document.getElementById('harvest-map').data.map((trace) => trace.x.length)")
    assert page.locator("#harvest-map .scatterlayer .point").count() == sum(drawn)
    return sum(drawn[1:])


def placed(page: Page, day: str) -> int:
    """Plants of a date that have a position, by the page's own data."""
    found = json.loads(page.locator("#harvest-data").text_content() or "")
    (numbers,) = (one["plant"] for one in found["days"] if one["date"] == day)
    return len(numbers)


def test_plants_are_told_by_keyboard_and_by_pointer(opened: Opened) -> None:
    page, told = opened.page, opened.page.locator("#map-plant")
    page.focus("#harvest-map")
    seen: list[str] = []
    for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
        seen.append(told.inner_text())
    assert all(
        re.match(r"2021_Ref_Plot1_B\d+: (harvest|leave|check)\. Answer .*, reliability 0\.\d\d", one) for one in seen
    )
    assert len(set(seen)) == 3
    page.keyboard.press("Escape")
    assert told.inner_text() == ""
    box = page.locator("#harvest-map .scatterlayer .trace:last-child .point").nth(500).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function("document.getElementById('map-plant').textContent.includes(': check.')")
    line = told.bounding_box()
    assert line is not None and line["y"] + line["height"] <= 900  # in the window, wherever the map is scrolled to
    assert re.search(r"is not certain enough|is unlike every validation map", told.inner_text())


def test_the_headline_is_the_number_to_act_on(campaign: FakeCampaign, opened: Opened) -> None:
    n_harvest, _, n_check = decided(campaign, LATER[-1])
    assert opened.page.inner_text("#field h2") == f"{LABELS[-1]}\n{n_harvest} plants to harvest, {n_check} to check."


def test_no_plant_on_the_map_contradicts_its_answer(opened: Opened) -> None:
    """Choose plants by keyboard, and read what the page says of each."""
    page, told = opened.page, opened.page.locator("#map-plant")
    page.focus("#harvest-map")
    seen: set[tuple[str, str]] = set()
    for key in 20 * ("ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
        found = re.match(r"\S+: (\w+)\. Answer (not ready|ready), reliability ([01]\.\d\d)", told.inner_text())
        assert found and float(found[3]) >= 0.5
        seen.add((found[1], found[2]))
    page.keyboard.press("Escape")
    assert seen <= {("harvest", "ready"), ("leave", "not ready"), ("check", "ready"), ("check", "not ready")}
    assert len(seen) > 2


def test_decisions_can_be_hidden_and_the_map_enlarged(opened: Opened) -> None:
    page = opened.page
    shown = page.locator("#harvest-map .scatterlayer .point")
    before, size = shown.count(), mark_width(page)
    page.locator("#map-legend label", has_text="leave").click()
    assert shown.count() < before
    page.locator("#map-legend label", has_text="leave").click()
    page.locator("#map-in").click()
    assert mark_width(page) > size
    page.locator("#map-whole").click()
    assert shown.count() == before and mark_width(page) == pytest.approx(size, abs=0.1)


def mark_width(page: Page) -> float:
    box = page.locator("#harvest-map .scatterlayer .trace:last-child .point").first.bounding_box()
    assert box is not None
    return box["width"]


def test_nothing_is_asked_for_and_nothing_complains(opened: Opened, path: Path) -> None:
    assert opened.requests[0] == path.as_uri()
    assert all(url.startswith("data:") for url in opened.requests[1:])
    assert opened.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(browser: Browser, small: Path, scheme: Any) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    found = Axe().run(open_page(context, small).page).response["violations"]
    context.close()
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in serious] == []


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with every part, and few enough plants for axe to look at each."""
    fake = FakeCampaign(
        tmp_path_factory.mktemp("small"),
        methods=("gradcam", "lime"),
        has_places=True,
        scored_days=LATER[:1],
        n_scored=150,
    )
    return local(fake.store.open(fake.report()).file("index.html"))


def test_a_phone_shows_the_whole_width(browser: Browser, small: Path) -> None:
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page = open_page(context, small).page
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for width, height in ((PHONE["height"], PHONE["width"]), (PHONE["width"], PHONE["height"])):  # turned and back
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_function(FITS)
    point = page.locator("#harvest-map .scatterlayer .trace:last-child .point").nth(3)
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    assert box is not None
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function("document.getElementById('map-plant').textContent.includes(': ')")
    context.close()


@pytest.mark.parametrize("width", [PHONE["width"], 1280])
def test_nothing_widens_the_page_and_tables_scroll_in_their_own_box(browser: Browser, small: Path, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 740}, is_mobile=width < 1000)
    page = open_page(context, small).page
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


def test_captions_of_tables_are_read_without_scrolling(browser: Browser, small: Path) -> None:
    context = browser.new_context(viewport=PHONE, is_mobile=True)
    page = open_page(context, small).page
    captions = [one.bounding_box() for one in page.locator(".scroll caption").all() if one.is_visible()]
    context.close()
    assert len(captions) > 5 and all(box and box["x"] + box["width"] <= PHONE["width"] for box in captions)


def test_print_has_a_picture_of_every_date_in_place_of_the_map(browser: Browser, small: Path) -> None:
    context = browser.new_context()
    page = open_page(context, small).page
    assert page.locator("#harvest-map").is_visible() and not page.locator(".print-only img").first.is_visible()
    page.emulate_media(media="print")
    assert not page.locator("#harvest-map").is_visible()
    assert [one.is_visible() for one in page.locator(".print-only img").all()] == [True] * 3
    context.close()


def test_without_scripts_the_pictures_stand_in(browser: Browser, small: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(small.as_uri())
    assert page.locator(".print-only img").first.is_visible() and not page.locator("#map-date").is_visible()
    context.close()
