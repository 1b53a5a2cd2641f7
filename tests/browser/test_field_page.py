"""The page for the field in a browser: lists, cards, what people find; on a phone, by keyboard, in print."""

import csv
import io
import json
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from tasks.report.field import days
from tests.browser.test_report_page import OUTSIDE
from tests.support.exported import HOSTILE_ID, exported
from tests.support.field_rows import large, page_of
from tests.support.local_stores import local
from tests.support.report_campaign import DAYS, FakeCampaign

LATER, LABEL = "2021-09-06", "6 September 2021"
N_PLANTS, MOST_BYTES = 10_000, 3_000_000
MOST_NODES, MOST_HEAP, MOST_LAYOUTS = 20_000, 40_000_000, 100  # a layout for every plant would be as many as plants
PHONE: ViewportSize = {"width": 360, "height": 740}
READY = "html[data-ready=yes]"
NAMES = "button.plant .about b"


def field_file(fake: FakeCampaign) -> Path:
    return local(fake.store.open(fake.report()).file("index.html"))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with three plots of fifty plants on its last date."""
    root = tmp_path_factory.mktemp("store")
    return field_file(FakeCampaign(root, has_places=True, scored_days=(LATER,), n_scored=120, n_plots=3))


def open_page(context: BrowserContext, path: Path, address: str = "") -> Page:
    page = context.new_page()
    page.goto(path.as_uri() + address)
    page.wait_for_selector(READY)
    return page


@pytest.fixture(scope="module")
def shared(browser: Browser, path: Path) -> Generator[Page]:
    """One page on a large screen, and what it asked for and complained of."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    asked, said = list[str](), list[str]()
    context.on("request", lambda request: asked.append(request.url))
    context.on("console", lambda message: said.append(message.text))
    context.on("weberror", lambda error: said.append(str(error.error)))
    yield open_page(context, path)
    context.close()
    pages = {url.partition("#")[0] for url in asked if not url.startswith(("data:", "blob:"))}
    assert pages == {path.as_uri()} and said == []


@pytest.fixture
def page(shared: Page, path: Path) -> Page:
    """The shared page, opened again without what was kept in the browser."""
    shared.evaluate("localStorage.clear()")
    shared.goto("about:blank")
    shared.goto(path.as_uri())
    shared.wait_for_selector(READY)
    return shared


def content(page: Page) -> Any:
    return json.loads(page.locator("#field-data").text_content() or "")


def names(page: Page, group: str) -> list[str]:
    return page.locator(f"[data-group={group}] {NAMES}").all_inner_texts()


def test_a_date_has_an_address(page: Page, path: Path) -> None:
    assert page.url.endswith(f"#{LATER}") and "plants to harvest" in page.inner_text("#lead")
    page.select_option("#day", "1")
    assert page.url.endswith(f"#{DAYS[1]}")
    before = page.inner_text("#lead"), page.locator(".tile .count").all_inner_texts()
    page.goto(f"{path.as_uri()}#{DAYS[0]}")
    expect(page.locator("#day")).to_have_value("0")
    day = content(page)["days"][0]
    assert page.inner_text("#lead") == day["head"]["lead"]
    assert page.locator(".tile .count").all_inner_texts() == [str(n) for n in day["counts"]]
    assert (page.inner_text("#lead"), page.locator(".tile .count").all_inner_texts()) != before
    assert names(page, "harvest")[0] not in ("", None) and len(names(page, "harvest")) == min(50, day["counts"][0])


def test_a_plant_has_an_address(page: Page, path: Path) -> None:
    name = "2021_Ref_Plot2_B60"
    page.goto(f"{path.as_uri()}#{DAYS[1]}")
    page.goto(f"{path.as_uri()}#{LATER}/{name}")
    expect(page.locator("#card")).to_be_visible()
    assert page.inner_text("#card-name") == name and page.inner_text("#card-place") == "plot 2, row B, plant 60"
    link = page.get_attribute("#card-explorer", "href")
    assert link == f"analysis.html#plant={name}@{LATER}"


def test_lists_are_those_of_the_exports(browser: Browser, tmp_path: Path) -> None:
    """The plants to harvest stand on the page as on a navigation device, and none is missing."""
    files = exported(tmp_path / "one")
    fake = FakeCampaign(tmp_path / "other", first_plant=HOSTILE_ID, n_plants=60, has_places=True)
    page = open_page(context := browser.new_context(), field_file(fake), f"#{DAYS[0]}")
    for group in ("harvest", "check"):
        assert page.locator(f"[data-group={group}] .more").count() == 0
        page.select_option("#sort", "walk")
        stops = re.findall(r"<name>(.*?)</name>", files.file(f"{group}.gpx").read_text().partition("<wpt")[2])
        listed = [name for name in names(page, group) if name in files.places]
        assert listed == stops and len(stops) > 3
        rows = csv.DictReader(io.StringIO(files.file("decisions.csv").read_text(encoding="utf-8-sig")))
        assert sorted(names(page, group)) == sorted(plain(row) for row in rows if row["decision"] == group)
    context.close()


def plain(row: dict[str, str]) -> str:
    """Return the id of a plant without the apostrophe by which spreadsheets take it for text."""
    return row["plant_id"].removeprefix("'")


def test_lists_can_be_filtered_and_sorted(page: Page) -> None:
    day, plants = content(page)["days"][-1], content(page)["plants"]
    whole = names(page, "harvest")
    page.evaluate("document.addEventListener('harvest:filter', (event) => { window.told = event.detail.shown.size; })")
    page.select_option("#filter-plot", label="2")
    of_plot = names(page, "harvest")
    assert of_plot == [name for name in whole if "Plot2" in name] and 0 < len(of_plot) < len(whole)
    assert page.evaluate("window.told") == sum(plants["plot"][plant] == "2" for plant in day["plant"])
    page.fill("#filter-text", of_plot[3].lower())
    assert names(page, "harvest") == [of_plot[3]] and names(page, "check") == []
    assert "No plant here has what you look for." in page.inner_text("[data-group=check]")
    page.fill("#filter-text", "")
    page.select_option("#filter-plot", label="all plots")
    page.select_option("#filter-group", "leave")
    assert page.locator(".group").count() == 1 and len(names(page, "leave")) == day["counts"][1]
    assert page.evaluate("window.told") == day["counts"][1]
    page.select_option("#filter-group", "")
    for order, is_rising in (("unsure", True), ("sure", False)):
        page.select_option("#sort", order)
        shares = [day["reliability"][i] for i in rows_of(page, day, plants, "check")]
        assert shares == sorted(shares, reverse=not is_rising) and len(set(shares)) > 3
    page.select_option("#sort", "listed")
    assert rows_of(page, day, plants, "check") == day["checks"][:50]


def rows_of(page: Page, day: Any, plants: Any, group: str) -> list[int]:
    """Rows of the date that a list shows now."""
    row = {plants["id"][plant]: i for i, plant in enumerate(day["plant"])}
    return [row[name] for name in names(page, group)]


def test_a_card_tells_a_plant_and_the_next(page: Page) -> None:
    first, second = names(page, "harvest")[:2]
    page.locator(NAMES).first.click()
    page.wait_for_selector("#card-picture[data-drawn]")
    assert page.inner_text("#card-name") == first and page.url.endswith(f"#{LATER}/{first}")
    assert re.fullmatch(r"harvest: ready (\d+|over 99) %", page.inner_text("#card-decision"))
    plain = picture(page)
    page.check("#card-overlay")
    page.wait_for_selector("#card-picture[data-drawn]")
    assert (shade := picture(page)) != plain and shade[0] > plain[0] + 3  # red speaks for the class
    page.click("#card-next")
    assert page.inner_text("#card-name") == second
    assert page.locator("#card-earlier li").count() > 0 and "2021:" in page.inner_text("#card-earlier")
    page.keyboard.press("Escape")
    assert page.locator("#card").is_hidden() and page.url.endswith(f"#{LATER}")


def picture(page: Page) -> list[float]:
    """Mean red, green and blue of the card's picture, once it is drawn."""
    page.wait_for_selector("#card-picture[data-drawn]")
    with Image.open(io.BytesIO(page.locator("#card-picture").screenshot())) as shown:
        mean: list[float] = np.asarray(shown.convert("RGB"), float).mean(axis=(0, 1)).tolist()
    assert min(mean) > 10
    return mean


def find(page: Page, number: int, found: str, remark: str = "") -> str:
    """Open a plant to check and keep what was found there; returns its id."""
    page.locator(f"[data-group=check] {NAMES}").nth(number).click()
    page.check(f"#found [value={found}]")
    page.fill("#found-remark", remark)
    page.click("#found button[type=submit]")
    return page.inner_text("#card-name")


def test_what_was_found_is_kept_counted_undone_and_saved(page: Page, path: Path) -> None:
    page.locator(f"[data-group=check] {NAMES}").first.click()
    page.click("#found button[type=submit]")
    assert page.inner_text("#found-said") == "Choose what you found first."
    page.check("#found [value=yes]")
    page.click("#found button[type=submit]")
    assert "Give your name first" in page.inner_text("#found-said") and page.locator("#checks").is_hidden()
    page.fill("#found-name", "Ann O’Grady")
    one = find(page, 0, "yes", '=torn, "badly"')
    other, undone = find(page, 1, "no"), find(page, 2, "yes")
    assert page.inner_text("#checks-count") == "3 looks recorded on this date, 3 not saved to a file yet."
    page.click("#card-close")
    page.click("#checks-undo")
    assert page.inner_text("#checks-count").startswith("2 looks recorded")
    page.goto("about:blank")
    page.goto(path.as_uri())  # the browser was closed in between
    page.wait_for_selector(READY)
    assert page.locator("button.plant.found").count() == 2
    with page.expect_download() as waited:
        page.click("#checks-save")
    assert waited.value.suggested_filename == f"checks-field2-2021-{LATER}.csv"
    head, *rows = csv.reader(io.StringIO(Path(waited.value.path()).read_text(), newline=""))
    assert head == ["campaign", "date", "plant_id", "decision", "checked_ready", "checked_by", "checked_at", "remark"]
    assert [row[:6] for row in rows] == [
        ["field2-2021", LATER, one, "check", "yes", "Ann O’Grady"],
        ["field2-2021", LATER, other, "check", "no", "Ann O’Grady"],
    ]
    assert [row[7] for row in rows] == ['\'=torn, "badly"', ""] and undone not in (one, other)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", row[6]) for row in rows)
    assert page.inner_text("#checks-count") == "2 looks recorded on this date, 0 not saved to a file yet."
    page.select_option("#day", "0")
    assert page.locator("#checks").is_hidden()  # all of the other date is saved


def test_what_is_not_saved_on_other_dates_is_told(page: Page) -> None:
    page.locator(f"[data-group=check] {NAMES}").first.click()
    page.fill("#found-name", "Ann")
    find(page, 0, "yes")
    page.select_option("#day", "0")
    assert page.inner_text("#checks-count") == "1 more on another date is not saved yet."


def test_a_browser_that_keeps_nothing_says_so(browser: Browser, path: Path) -> None:
    context = browser.new_context()
    context.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('blocked'); }})")
    page = open_page(context, path)
    page.locator(f"[data-group=check] {NAMES}").first.click()
    page.fill("#found-name", "Ann")
    find(page, 0, "yes")
    assert "This browser keeps nothing: save before you close the page." in page.inner_text("#checks-count")
    context.close()


def test_other_classes_are_found_by_their_names(browser: Browser, tmp_path: Path) -> None:
    fake = FakeCampaign(tmp_path, classes=("healthy", "black_rot"), n_plants=36)
    page = open_page(context := browser.new_context(), field_file(fake))
    assert re.fullmatch(r"\d+ of \d+ plants have an answer to act on", page.inner_text("#lead"))
    page.locator(NAMES).first.click()
    assert page.locator("#found-choices label").all_inner_texts() == ["healthy", "black rot"]
    page.fill("#found-name", "Ann")
    page.check("#found [value=black_rot]")
    page.click("#found button[type=submit]")
    with page.expect_download() as waited:
        page.click("#checks-save")
    lines = Path(waited.value.path()).read_text().splitlines()
    assert lines[0].split(",")[4] == "checked_class" and lines[1].split(",")[4] == "black_rot"
    greens = [tile.get_attribute("style") for tile in page.locator(".tile").all()]
    assert not any("#00805E" in (style or "") for style in greens)  # green would say that all is well
    context.close()


def test_lists_and_cards_by_keyboard(page: Page) -> None:
    page.focus("#filter-text")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "plant"
    name = page.evaluate("document.activeElement.querySelector('b').textContent")
    page.keyboard.press("Enter")
    assert page.inner_text("#card-name") == name and page.evaluate("document.activeElement.id") == "card"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.querySelector('b').textContent") == name


def test_a_phone_shows_the_whole_width_by_touch(browser: Browser, path: Path) -> None:
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page = open_page(context, path)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"] and page.evaluate(OUTSIDE) == []
    plant = page.locator("button.plant").first
    box = plant.bounding_box()
    assert box is not None and box["height"] >= 44 and box["width"] > 300
    plant.tap()
    page.wait_for_selector("#card-picture[data-drawn]")
    card = page.locator("#card").bounding_box()
    assert card is not None and card["width"] <= PHONE["width"] and card["y"] >= 0 and page.evaluate(OUTSIDE) == []
    small = "[...document.querySelectorAll('#card button, #filter select, #day')].map((one) => one.offsetHeight)"
    assert min(height for height in page.evaluate(small) if height) >= 40
    context.close()


def test_print_is_one_plot_a_page_behind_the_head(browser: Browser, path: Path, tmp_path: Path) -> None:
    page = open_page(context := browser.new_context(), path)
    assert pages(page) == 1 + 3
    page.select_option("#filter-plot", label="2")
    assert pages(page) == 1 + 1
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    rows = page.locator("#sheets tbody tr")
    day, plants = content(page)["days"][-1], content(page)["plants"]
    wanted = [i for i in range(len(day["plant"])) if plants["plot"][day["plant"][i]] == "2" and day["decision"][i] != 1]
    wanted += [i for i in day["extra"] if plants["plot"][day["plant"][i]] == "2"]
    assert rows.count() == len(wanted) and "Plot 2, 6 September 2021" in (page.text_content("#sheets h2") or "")
    ticks = page.locator("#sheets tr:first-child .tick").all_text_contents()
    assert ticks[:3] == ["done", "ready", "not ready"]
    context.close()


def pages(page: Page) -> int:
    """Pages of the page's PDF on A4."""
    return len(re.findall(rb"/Type\s*/Page[^s]", page.pdf(format="A4")))


def test_without_scripts_lists_and_map_can_be_read(browser: Browser, path: Path) -> None:
    context = browser.new_context(java_script_enabled=False, viewport=PHONE)
    page = context.new_page()
    page.goto(path.as_uri())
    cards = page.locator("[data-group=harvest] .plant")
    assert page.locator("#lead").is_visible() and cards.count() > 20 and cards.first.is_visible()
    assert page.locator("#map .print-only img").is_visible() and not page.locator("#filter").is_visible()
    assert not page.locator("#day").is_visible() and not page.locator("#card").is_visible()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(browser: Browser, path: Path, scheme: Any) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page = open_page(context, path)
    page.locator(NAMES).first.click()
    page.wait_for_selector("#card-picture[data-drawn]")
    found = Axe().run(page).response["violations"]
    context.close()
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in serious] == []


def test_ten_thousand_plants_are_a_page_of_bounded_size(browser: Browser, tmp_path: Path) -> None:
    """What opening costs whatever the machine: bytes to read, nodes and memory that the page takes, layouts."""
    path = tmp_path / "index.html"
    path.write_text(page_of(large(N_PLANTS))[1], encoding="utf-8")
    context = browser.new_context()
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Performance.enable")
    page.goto(path.as_uri())
    page.wait_for_selector(READY)
    metrics: list[dict[str, Any]] = session.send("Performance.getMetrics")["metrics"]
    found = {metric["name"]: metric["value"] for metric in metrics}
    assert path.stat().st_size < MOST_BYTES
    assert found["Nodes"] < MOST_NODES and found["JSHeapUsedSize"] < MOST_HEAP and found["LayoutCount"] < MOST_LAYOUTS
    assert len(names(page, "harvest")) == 50
    page.locator("[data-group=harvest] .more").click()
    assert len(names(page, "harvest")) == 250
    context.close()


def test_addresses_of_earlier_dates_lead_to_their_pages(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open a plant on a date that the page no longer has, and go back to the latest date from there."""
    monkeypatch.setattr(days, "N_LATEST", 1)
    index, plant = field_file(FakeCampaign(tmp_path, n_plants=12, size=8)), "2021_Ref_Plot1_B04"
    with browser.new_context() as context:
        page = open_page(context, index, f"#{DAYS[0]}/{plant}")
        page.wait_for_url(f"**/{DAYS[0]}.html#{DAYS[0]}/{plant}")
        page.wait_for_selector(READY)
        assert page.inner_text("#card-name") == plant and page.locator("#day option").count() == 1
        page.keyboard.press("Escape")
        page.get_by_role("link", name="To the latest dates").click()
        page.wait_for_selector(READY)
        assert page.input_value("#day") == "0" and page.inner_text("#day option") == "3 September 2021"
        page.get_by_text("1 earlier date").click()
        expect(page.get_by_role("link", name="23 August 2021")).to_be_visible()
