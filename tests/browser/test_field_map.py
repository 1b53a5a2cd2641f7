"""The map of the field page in a browser: touch, keyboard, marks, filter, the orthophoto behind it, own position."""

import io
import json
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, ViewportSize, expect

from storage.artifacts import Recipe
from tests.support.campaigns import wait_until
from tests.support.local_stores import local
from tests.support.report_campaign import FakeCampaign

PHONE: ViewportSize = {"width": 360, "height": 740}
DAY, NO_PHOTO = "2021-09-06", "2021-09-03"
PLACED = 294  # of 300 plants, every fiftieth has no position
CORNER = (365_000.0, 5_609_000.0)  # easting and northing of the first plant, which is the map's origin
BOUNDS = (-2.0, -3.0, 52.0, 9.0)  # of the picture behind the map, metres from that corner
COLOURS = (
    (220, 20, 20),
    (20, 200, 20),
    (20, 20, 220),
    (220, 200, 20),
)  # north-west, north-east, south-west, south-east
FAULT = "ortho.tif: it is damaged <b>"
TARGET = 24  # pixels
READY = "#harvest-map[data-drawn=yes]"
MARKS = """() => Object.fromEntries([...document.querySelectorAll("#harvest-map .map-mark")].map((one) => {
    const {x, y, width, height} = one.getBoundingClientRect();
    return [one.dataset.plant, [x + width / 2, y + height / 2, width, height]];
}))"""

# Seconds to draw a date, and to zoom in step by step from the whole field; and nodes of the map after each.
STEPS = """async () => {
    const {map} = harvestMap, found = [];
    for (const step of [0, ...Array(10).fill(0.75)]) {
        const start = performance.now();
        if (step) map.setZoom(map.getZoom() + step, {animate: false});
        else harvest.tell("filter", {shown: harvest.data.days[0].plant.keys()});
        await null;  // marks are drawn when all scripts have followed
        map.getContainer().getBoundingClientRect();  // the browser lays the map out
        found.push([(performance.now() - start) / 1000, document.querySelectorAll("#harvest-map *").length]);
    }
    return found;
}"""


def four_quarters() -> bytes:
    """Return a picture whose quarters have different colours, as WebP without loss."""
    pixels = np.zeros((120, 540, 3), np.uint8)
    for k, colour in enumerate(COLOURS):
        pixels[60 * (k // 2) :, 270 * (k % 2) :] = colour
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with three rows of a hundred plants on its last date, and an orthophoto behind them."""
    fake = FakeCampaign(tmp_path_factory.mktemp("store"), has_places=True, scored_days=(DAY,), n_scored=300)
    west, south, east, north = BOUNDS
    where = {"bounds": [CORNER[0] + west, CORNER[1] + south, CORNER[0] + east, CORNER[1] + north]}
    for day, summary in ((DAY, {"fault": "", "picture": "background.webp", **where}), (NO_PHOTO, {"fault": FAULT})):
        recipe = Recipe("background", 1, {"day": day})
        with fake.store.create(recipe) as draft:
            draft.summary = summary
            if "picture" in summary:
                draft.write_bytes("background.webp", four_quarters())
        (fake.scored if day == DAY else fake.roles)[f"background {day}"] = recipe.ref
    return local(fake.store.open(fake.report()).file("index.html"))


def open_map(context: BrowserContext, path: Path) -> Page:
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector(READY)
    page.locator("#harvest-map").scroll_into_view_if_needed()
    return page


@pytest.fixture(scope="module")
def page(browser: Browser, path: Path) -> Generator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    asked: list[str] = []
    said: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    context.on("console", lambda message: said.append(message.text))
    context.on("weberror", lambda error: said.append(str(error.error)))
    yield open_map(context, path)
    context.close()
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()] and said == []


@pytest.fixture(scope="module")
def phone(browser: Browser, path: Path) -> Generator[Page]:
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True, reduced_motion="reduce")
    yield open_map(context, path)
    context.close()


@pytest.fixture(autouse=True)
def whole_field(request: pytest.FixtureRequest) -> None:
    """Begin each test with the last date, the whole field, every decision, and no plant."""
    for name in {"page", "phone"} & set(request.fixturenames):
        one: Page = request.getfixturevalue(name)
        one.evaluate("harvest.state.day = harvest.data.days.length - 1, harvest.tell('day', {day: harvest.state.day})")
        one.evaluate("harvest.tell('filter', {shown: harvest.data.days.at(-1).plant.keys()})")
        one.evaluate("harvest.tell('plant', {plant: -1, from: 'map'})")
        one.locator("#map-whole").click()


def marks(page: Page) -> dict[str, list[float]]:
    """Centre, width and height in the window of every mark that is drawn, by plant."""
    return page.evaluate(MARKS)


def n_shown(page: Page) -> int:
    """Plants that the map tells of in its part that is drawn: single marks, and those in clusters."""
    clusters = page.locator("#harvest-map .map-cluster b").all_inner_texts()
    return len(marks(page)) + sum(int(text) for text in clusters)


def go_to(page: Page, plant: str, zoom: str) -> None:
    """Show a plant in the middle of the map at a zoom, such as `APART`."""
    page.evaluate(f"{{ const {{map, place, APART}} = harvestMap; map.setView(place({index(plant)}), {zoom}); }}")


def index(plant: str) -> str:
    """Return an expression for the index of a plant."""
    return f"harvest.data.plants.id.indexOf('2021_Ref_Plot1_B{plant}')"


def zoom_in(page: Page) -> None:
    """Go to the first zoom at which no marks are put together, around a plant in the middle row."""
    go_to(page, "150", "APART - 0.5")


def selected(page: Page) -> str:
    return page.evaluate("harvest.state.plant < 0 ? '' : harvest.data.plants.id[harvest.state.plant]")


def test_every_placed_plant_is_a_mark_or_counted_in_one(page: Page, phone: Page) -> None:
    assert n_shown(page) == n_shown(phone) == PLACED
    assert page.locator("#harvest-map .map-cluster").count() > 0 and phone.locator(".map-cluster").count() > 0


def test_marks_that_are_told_apart_are_targets_of_24_pixels(phone: Page) -> None:
    """Take the distance of neighbours from where the browser drew them."""
    zoom_in(phone)
    assert phone.locator("#harvest-map .map-cluster").count() == 0
    found = np.array(list(marks(phone).values()))
    assert len(found) > 20 and (found[:, 2:] >= TARGET).all()
    apart = np.hypot(*(found[:, None, :2] - found[None, :, :2]).transpose(2, 0, 1))
    assert apart[~np.eye(len(found), dtype=bool)].min() >= TARGET - 0.01
    assert phone.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def middle(page: Page) -> tuple[float, float]:
    box = page.locator("#harvest-map").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def touch(session: CDPSession, kind: str, *points: tuple[float, float]) -> None:
    held = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": held})


def test_one_finger_drags_the_map_and_not_the_page(phone: Page) -> None:
    session, (x, y) = phone.context.new_cdp_session(phone), middle(phone)
    zoom_in(phone)
    before, scrolled = marks(phone), phone.evaluate("scrollY")
    touch(session, "touchStart", (x, y))
    for k in range(1, 7):
        touch(session, "touchMove", (x - 10 * k, y + 5 * k))
    phone.wait_for_timeout(300)  # a finger that stands still before it is lifted throws the map no further
    touch(session, "touchMove", (x - 60, y + 30))
    touch(session, "touchEnd")
    phone.wait_for_timeout(100)
    after = marks(phone)
    both = sorted(before.keys() & after.keys())
    moved = np.array([np.subtract(after[one][:2], before[one][:2]) for one in both])
    assert len(both) > 5 and np.ptp(moved, axis=0).max() < 1  # all by the same
    np.testing.assert_allclose(moved[0], (-60, 30), atol=16)  # the finger moves some pixels before it counts as a drag
    assert phone.evaluate("scrollY") == scrolled and selected(phone) == ""


def test_two_fingers_enlarge_the_map(phone: Page) -> None:
    session, (x, y) = phone.context.new_cdp_session(phone), middle(phone)
    zoom = phone.evaluate("harvestMap.map.getZoom()")
    touch(session, "touchStart", (x - 20, y), (x + 20, y))
    for k in range(1, 9):
        touch(session, "touchMove", (x - 20 - 15 * k, y), (x + 20 + 15 * k, y))
        phone.wait_for_timeout(20)
    touch(session, "touchEnd")
    wait_until(lambda: phone.evaluate("harvestMap.map.getZoom()") > zoom + 1.5)
    assert phone.evaluate("visualViewport.scale") == 1  # the map, not the page


def test_a_tap_opens_the_plant_and_rings_it(phone: Page) -> None:
    zoom_in(phone)
    name, (x, y, _, _) = sorted(marks(phone).items(), key=lambda one: abs(one[1][0] - PHONE["width"] / 2))[0]
    phone.touchscreen.tap(x, y)
    wait_until(lambda: phone.evaluate("harvest.state.plant") >= 0)
    assert selected(phone) == name and phone.inner_text("#map-plant").startswith(f"{name}: ")
    ring = phone.locator("#harvest-map .map-ring").bounding_box()
    at = marks(phone)[name]
    assert ring is not None
    assert (ring["x"] + ring["width"] / 2, ring["y"] + ring["height"] / 2) == pytest.approx(at[:2], abs=1)


def test_a_plant_of_a_list_comes_into_view_by_itself(page: Page) -> None:
    page.evaluate(f"harvest.tell('plant', {{plant: {index('250')}, from: 'list'}})")
    x, y, _, _ = marks(page)["2021_Ref_Plot1_B250"]
    assert (x, y) == pytest.approx(middle(page), abs=2) and page.locator(".map-cluster").count() == 0


def test_the_keyboard_goes_from_plant_to_plant(page: Page) -> None:
    """Follow the positions of the plants: to the right, up to the next row of plants, and back by the way it came."""
    page.evaluate(f"harvest.tell('plant', {{plant: {index('120')}, from: 'list'}})")
    page.focus("#harvest-map")
    seen: list[str] = []
    for key in ("ArrowRight", "ArrowUp", "ArrowLeft", "ArrowDown"):
        page.keyboard.press(key)
        seen.append(selected(page).removeprefix("2021_Ref_Plot1_B"))
        assert page.inner_text("#map-plant").startswith(selected(page))
    assert seen == ["121", "221", "220", "120"]
    zoom = page.evaluate("harvestMap.map.getZoom()")
    page.keyboard.press("+")
    assert page.evaluate("harvestMap.map.getZoom()") == zoom + 1
    page.keyboard.press("0")
    assert page.evaluate("harvestMap.map.getZoom()") < zoom and selected(page) != ""
    page.keyboard.press("Escape")
    assert selected(page) == "" and page.inner_text("#map-plant") == ""
    stops = page.locator("#harvest-map, #harvest-map [tabindex='0'], #harvest-map button, #harvest-map a")
    assert stops.count() == 1  # ten thousand marks are no stops of the Tab key


def test_boxes_and_lists_filter_the_same_marks(page: Page) -> None:
    counts = [int(text) for text in page.locator("#map-legend b").all_inner_texts()]
    content = json.loads(page.locator("#field-data").text_content() or "")
    day, east = content["days"][-1], content["plants"]["east"]
    kept = sum(east[plant] is not None for plant, code in zip(day["plant"], day["decision"], strict=True) if code != 1)
    assert counts == day["counts"] and sum(counts) == 300
    page.evaluate("document.addEventListener('harvest:filter', (event) => { window.told = event.detail; })")
    box = page.locator("#map-legend input").nth(1)
    box.uncheck()
    assert n_shown(page) == kept < PLACED
    assert page.evaluate("[told.shown.size, told.from]") == [300 - day["counts"][1], "map"]
    two = [row for row, plant in enumerate(day["plant"]) if day["decision"][row] == 1 and east[plant] is not None][:2]
    page.evaluate("(rows) => harvest.tell('filter', {shown: new Set(rows), from: 'list'})", two)
    assert n_shown(page) == 2
    assert [one.is_checked() for one in page.locator("#map-legend input:not(#map-photo)").all()] == [False, True, False]


def only_mark(page: Page, plant: str) -> tuple[float, float]:
    """Show one plant alone, so that no cluster hides it, and return where it is drawn in the window."""
    page.evaluate(f"harvest.tell('filter', {{shown: [harvest.data.days.at(-1).plant.indexOf({index(plant)})]}})")
    (x, y, _, _), *others = marks(page).values()
    assert not others
    return x, y


def test_the_orthophoto_lies_where_its_bounds_say(page: Page) -> None:
    """Extrapolate from two drawn marks to the picture's corners, and look at the colours inside and outside of them."""
    (x0, y0), (x1, y1) = (0.5 * 2, 0.0), (0.5 * 97, 0.5 * 2)  # metres of 2021_Ref_Plot1_B02 and 2021_Ref_Plot1_B297
    (left0, top0), (left1, top1) = only_mark(page, "02"), only_mark(page, "297")
    scale = (left1 - left0) / (x1 - x0)
    assert top0 - top1 == pytest.approx(scale * (y1 - y0), abs=2)
    page.evaluate("harvest.tell('filter', {shown: []})")
    west, south, east, north = BOUNDS
    corners = [(west, north), (east, north), (west, south), (east, south)]
    screen = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)
    for (x, y), colour in zip(corners, COLOURS, strict=True):
        left, top = left0 + (x - x0) * scale, top0 - (y - y0) * scale
        inward = (3 if x == west else -3), (3 if y == north else -3)
        inside = screen[round(top + inward[1]), round(left + inward[0])]
        outside = screen[round(top - inward[1]), round(left - inward[0])]
        assert np.abs(inside - colour).max() < 12 and np.abs(outside - colour).max() > 12
    page.locator("#map-photo").uncheck()
    assert page.locator("#harvest-map img").count() == 0
    page.locator("#map-photo").check()


def test_a_date_whose_orthophoto_cannot_be_read_says_why(page: Page) -> None:
    page.evaluate(f"harvest.tell('day', {{day: harvest.data.days.findIndex((one) => one.date === '{NO_PHOTO}')}})")
    assert FAULT in page.inner_text("#map-no-photo") and page.locator("#harvest-map img").count() == 0
    page.evaluate("harvest.tell('day', {day: 0})")
    assert page.inner_text("#map-no-photo") == "" and not page.locator("#map-photo").is_visible()


def test_plots_and_rows_are_named_where_there_is_room(page: Page) -> None:
    go_to(page, "02", "APART")
    assert "Row B" in page.locator("#harvest-map .map-name").all_inner_texts()
    assert page.locator("#harvest-map .map-plot").count() == 1
    assert page.locator("#harvest-map .leaflet-control-scale-line").inner_text() == "1 m"
    go_to(page, "02", "12.5")
    bar = page.locator("#harvest-map .leaflet-control-scale-line")
    box, metre = bar.bounding_box(), page.evaluate("harvestMap.map.options.crs.scale(12.5)")
    assert box is not None and bar.inner_text().endswith(" cm")
    assert box["width"] / metre == pytest.approx(int(bar.inner_text()[:-3]) / 100, rel=0.03)  # in metres


@pytest.mark.parametrize("step", [(-30.0, 0.0), (20.0, 45.0), (0.3, -8.0)])
def test_own_position_with_distance_and_bearing(browser: Browser, path: Path, step: tuple[float, float]) -> None:
    """Stand some metres from a plant: distance and bearing are those of a geodesic on the ellipsoid."""
    plant = (CORNER[0] + 0.5 * 20, CORNER[1] + 0.5)  # 2021_Ref_Plot1_B120
    turned = pyproj.Transformer.from_crs("EPSG:25832", "EPSG:4326", always_xy=True)
    (lon, lat), goal = turned.transform(plant[0] + step[0], plant[1] + step[1]), turned.transform(*plant)
    geod = pyproj.Geod(ellps="WGS84")
    bearing, _, metres = geod.inv(lon, lat, *goal)
    context = browser.new_context(
        viewport=PHONE, geolocation={"longitude": lon, "latitude": lat, "accuracy": 4.0}, permissions=["geolocation"]
    )
    page = open_map(context, path)
    page.evaluate(f"harvest.tell('list', {{plants: [{index('120')}]}})")
    page.locator("#map-here").click()
    page.wait_for_selector("#map-position[data-metres]")
    said, found = page.inner_text("#map-position"), page.locator("#map-position")
    words = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")
    expected = f"{metres:.0f} m {words[round(bearing % 360 / 45) % 8]} to 2021_Ref_Plot1_B120. "
    assert said == f"{expected}This device knows its place to 4 m."
    assert float(found.get_attribute("data-metres") or 0) == pytest.approx(metres, abs=0.05)
    assert float(found.get_attribute("data-bearing") or 0) == pytest.approx(bearing % 360, abs=0.3)
    assert page.locator("#harvest-map .map-self").count() == 3  # accuracy, place, way
    assert page.evaluate("harvestMap.map.getZoom() <= harvestMap.APART")  # nothing but one plant would be seen
    assert "2021_Ref_Plot1_B120" in marks(page) or page.locator("#harvest-map .map-cluster").count() > 0
    context.set_geolocation({"longitude": 9.99, "latitude": 53.55})
    expect(page.locator("#map-position")).to_contain_text(" km ")
    told = re.fullmatch(r"You are about (\d+) km from the middle of this field\.", page.inner_text("#map-position"))
    assert told and int(told[1]) == pytest.approx(geod.inv(9.99, 53.55, *goal)[2] / 1000, rel=0.005)
    page.locator("#map-here").click()
    assert page.inner_text("#map-position") == "" and page.locator("#harvest-map .map-self").count() == 0
    context.close()


def test_a_refusal_to_tell_the_position_is_said(page: Page) -> None:
    page.locator("#map-here").click()
    expect(page.locator("#map-position")).to_contain_text("Allow it")
    assert page.get_attribute("#map-here", "aria-pressed") == "false"


def test_a_filter_of_a_date_may_come_before_the_date(page: Page) -> None:
    """Filter as the lists of the page do, which hear of a date before the map does; and choose a date by the page."""
    page.evaluate("harvest.state.day = 1, harvest.tell('filter', {shown: [0, 1, 2]})")
    assert n_shown(page) == 3
    page.select_option("#day", "0")
    content = json.loads(page.locator("#field-data").text_content() or "")
    day, east = content["days"][0], content["plants"]["east"]
    assert n_shown(page) == sum(east[plant] is not None for plant in day["plant"])
    assert [int(text) for text in page.locator("#map-legend b").all_inner_texts()] == day["counts"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(browser: Browser, path: Path, scheme: Any) -> None:
    context = browser.new_context(viewport=PHONE, color_scheme=scheme)
    page = open_map(context, path)
    zoom_in(page)
    found = Axe().run(page, context="#map").response["violations"]
    context.close()
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in serious] == []


def test_ten_thousand_plants_are_drawn_in_a_moment(browser: Browser, path: Path, tmp_path: Path) -> None:
    """Put a field of 25 plots into the page: the map holds what is seen, and a date is drawn at once."""
    before, after = path.read_text(encoding="utf-8").split('id="field-data">')
    text, rest = after.split("</script>", 1)
    content, n = json.loads(text), 10_000
    x, y = np.arange(n) % 100, np.arange(n) // 100
    plot = (1 + x // 20 + 5 * (y // 20)).tolist()
    columns: dict[str, Any] = {"id": [f"p{i}" for i in range(n)], "plot": list(map(str, plot))}
    columns |= {"row": [str(k) for k in y.tolist()], "number": x.tolist()}
    columns |= {"east": (0.6 * x + 2 * (x // 20)).tolist(), "north": (0.6 * y + 2 * (y // 20)).tolist()}
    content["plants"] = columns
    day = content["days"][-1]
    for name in ("decision", "reliability", "ready", "answer", "reason", "corrected", "audit", "picture"):
        day[name] = [day[name][i % 300] for i in range(n)]
    day |= {"plant": list(range(n)), "checks": [], "extra": []}
    content["days"], large = [day], tmp_path / "large.html"
    large.write_text(f'{before}id="field-data">{json.dumps(content)}</script>{rest}', encoding="utf-8")
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page = open_map(context, large)
    assert n_shown(page) == n
    found: list[list[float]] = page.evaluate(STEPS)
    context.close()
    for seconds, nodes in found:
        assert seconds < 2 and nodes < 5_000  # at most 0.2 s and 2,900 nodes on two shared cores
