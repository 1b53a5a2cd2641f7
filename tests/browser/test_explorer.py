"""The plant explorer in a browser: filters, scatter, card, addresses, keyboard and small screens."""

import base64
import io
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from storage.arrays.specs import IMAGES, PCA_COMPONENTS, PCA_MEAN, ROWS, SALIENCY
from storage.arrays.zarr_files import read_array
from storage.tables import ASSIGNMENTS, DECIDED
from storage.tables.rows import rows_of
from tests.support.local_stores import local
from tests.support.report_campaign import DAYS, FakeCampaign

LATER = "2021-09-06"
DRAWN = "#explorer-body[data-drawn=yes]"
PHONE: ViewportSize = {"width": 360, "height": 740}
STRANGE = "A+1 & <b>@2"  # a plant whose id means something in addresses and in HTML


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> FakeCampaign:
    return FakeCampaign(
        tmp_path_factory.mktemp("store"),
        methods=("gradcam", "lime"),
        first_plant=STRANGE,
        scored_days=(LATER,),
        n_scored=150,
        has_scored_clusters=True,
        map_noise=0.5,
    )


@pytest.fixture(scope="module")
def path(campaign: FakeCampaign) -> Path:
    return local(campaign.store.open(campaign.report()).file("analysis.html"))


@pytest.fixture(scope="module")
def context(browser: Browser) -> Generator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1280, "height": 900})
    yield made
    made.close()


@pytest.fixture(scope="module")
def opened(context: BrowserContext, path: Path) -> Page:
    return open_page(context, path)


@pytest.fixture
def page(opened: Page) -> Page:
    """The page with every filter cleared and the first method."""
    opened.select_option("#explorer-method", "gradcam")
    opened.select_option("#explorer-sort", "novelty")
    opened.click("#explorer-all")
    return opened


def open_page(context: BrowserContext, path: Path, address: str = "") -> Page:
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.on("request", lambda request: None if request.url.startswith(("data:", "file:")) else pytest.fail(request.url))
    page.goto(path.as_uri() + address)
    page.wait_for_selector(DRAWN)
    return page


def table(campaign: FakeCampaign, kind: str, spec: Any) -> list[dict[str, Any]]:
    """Rows of a table of all dates, each with its date."""
    refs = {**campaign.roles, **campaign.scored}
    return [
        {**row, "day": day}
        for day in (*DAYS, LATER)
        for row in rows_of(campaign.store.open(refs[f"{kind} {day}"]), spec)
    ]


def names(page: Page, listed: str = "#explorer-list") -> list[str]:
    return page.locator(f"{listed} button").evaluate_all("all => all.map((one) => one.getAttribute('aria-label'))")


def count(page: Page) -> str:
    return page.inner_text("#explorer-count")


def test_every_filter_shows_what_the_tables_say(campaign: FakeCampaign, page: Page) -> None:
    decided = table(campaign, "decided gradcam", DECIDED)
    assigned = {(row["day"], row["plant_id"]): row for row in table(campaign, "assignments gradcam", ASSIGNMENTS)}
    n, wanted = len(decided), {
        ("date", LATER): [row["day"] == LATER for row in decided],
        ("cluster", "2"): [row["cluster"] == 2 for row in decided],
        ("decision", "2"): [row["decision"] == "check" for row in decided],
        ("truth", "wrong"): [row["label"] not in (None, row["predicted"]) for row in decided],
        ("truth", "right"): [row["label"] == row["predicted"] for row in decided],
        ("truth", "unknown"): [row["label"] is None for row in decided],
        ("new", "novel"): [assigned[row["day"], row["plant_id"]]["novelty"] < 0.02 for row in decided],
        ("new", "known"): [assigned[row["day"], row["plant_id"]]["novelty"] >= 0.02 for row in decided],
        ("plot", "0"): ["Plot1" in row["plant_id"] for row in decided],
    }  # fmt: skip
    assert n == 2 * 32 + 150 and count(page) == f"{n} of {n} images shown."
    for (name, value), kept in wanted.items():
        page.select_option(f"#explorer-{name}", value)
        assert count(page) == f"{sum(kept)} of {n} images shown." and 0 < sum(kept) < n, name
        page.click("#explorer-all")
    page.fill("#explorer-text", "b4")
    page.select_option("#explorer-date", DAYS[0])
    both = [row["day"] == DAYS[0] and "B4" in row["plant_id"] for row in decided]
    assert len(names(page)) == sum(both) > 1
    page.click("#explorer-all")
    page.locator("#explorer-most").fill("50")
    few = [assigned[row["day"], row["plant_id"]]["novelty"] <= 0.25 for row in decided]
    assert count(page) == f"{sum(few)} of {n} images shown." and page.inner_text("#explorer-most-text") == "0.25"


def test_pictures_come_in_the_order_asked_for_and_more_come_on_scrolling(campaign: FakeCampaign, page: Page) -> None:
    assigned = table(campaign, "assignments gradcam", ASSIGNMENTS)
    first = sorted(assigned, key=lambda row: (row["novelty"], row["day"], row["row"]))
    assert [name.split(", ")[:2] for name in names(page)] == [
        [r["plant_id"], r["day"]] for r in first[: len(names(page))]
    ]
    assert len(names(page)) < len(assigned)
    page.locator("#explorer-end").scroll_into_view_if_needed()
    page.locator("#explorer-list button").nth(len(assigned) - 1).wait_for(state="attached")
    assert len(names(page)) == len(assigned)
    page.select_option("#explorer-sort", "reliability")
    least = min(table(campaign, "decided gradcam", DECIDED), key=lambda row: round(row["answer_reliability"], 3))
    page.locator("#explorer-list button").first.click()
    assert f"reliability {least['answer_reliability']:.2f}" in page.inner_text("#explorer-facts")


def test_a_picture_is_that_of_its_plant(campaign: FakeCampaign, page: Page) -> None:
    """What the screen shows is the stored image, and no other, by the correlation of 8 x 8 means."""
    refs, found = {**campaign.roles, **campaign.scored}, list[float]()
    button = page.locator("#explorer-list button").nth(23)
    plant, day, *_ = (button.get_attribute("aria-label") or "").split(", ")
    shown = Image.open(io.BytesIO(button.locator(".explorer-tile").screenshot())).convert("RGB")
    pixels = deviations(shown)
    own = -1
    for row in rows_of(campaign.store.open(refs[f"assignments gradcam {day}"]), ASSIGNMENTS):
        own = len(found) if row["plant_id"] == plant else own
        image = read_array(campaign.store.open(refs[f"images {day}"]), IMAGES)[row["row"]]
        found.append(float(np.corrcoef(pixels, deviations(Image.fromarray(image)))[0, 1]))
    assert int(np.argmax(found)) == own and found[own] > 0.6 > sorted(found)[-2]


def deviations(image: Image.Image) -> Any:
    """Deviation of 8 x 8 means from the mean of their channel, without the border, on which the page writes."""
    means = np.asarray(image.resize((8, 8), Image.Resampling.BOX), float)[1:-1, 1:-1]
    return (means - means.mean(axis=(0, 1))).ravel()


def test_the_chosen_image_shows_map_answer_and_neighbours(campaign: FakeCampaign, page: Page) -> None:
    page.fill("#explorer-text", "B16")
    page.select_option("#explorer-date", DAYS[1])
    page.locator("#explorer-list button").first.click()
    (row,) = [r for r in table(campaign, "decided gradcam", DECIDED) if (r["plant_id"], r["day"]) == (B16, DAYS[1])]
    facts = page.inner_text("#explorer-facts")
    assert page.inner_text("#explorer-name") == f"{B16}, 3 September 2021"
    answer = campaign.classes[row["answer"]].replace("_", " ")
    assert f"{answer}, reliability {row['answer_reliability']:.2f}" in facts
    assert ("the classifier is right" in facts) == (row["label"] == row["predicted"])
    assert f"\n{row['cluster']}: " in facts
    assert page.get_attribute("#explorer-field", "href") == f"index.html#{DAYS[1]}/{B16}"
    assert page.url.endswith(f"#plant={B16}@{DAYS[1]}&method=gradcam")
    assert [name.split(", ")[:2] for name in names(page, "#explorer-alike")] == nearest(campaign, B16, DAYS[1])
    assert {name.split(", ")[0] for name in names(page, "#explorer-dates")} == {B16}
    other = names(page, "#explorer-alike")[0].split(", ")
    page.locator("#explorer-alike button").first.click()
    assert page.inner_text("#explorer-name").startswith(other[0]) and page.get_attribute(
        "#explorer-picture", "aria-label"
    )


B16 = "2021_Ref_Plot1_B16"


def nearest(campaign: FakeCampaign, plant: str, day: str, n: int = 6) -> list[list[str]]:
    """Plants and dates of the maps of other plants nearest on the stored axes; maps are taken at their own size."""
    clusters = campaign.store.open(campaign.roles["clusters gradcam"])
    refs, found = {**campaign.roles, **campaign.scored}, dict[tuple[str, str], Any]()
    for date in (*DAYS, LATER):
        saliency = campaign.store.open(refs[f"saliency gradcam {date}"])
        where, maps = read_array(saliency, ROWS).tolist(), read_array(saliency, SALIENCY).astype(float)
        for row in rows_of(campaign.store.open(refs[f"assignments gradcam {date}"]), ASSIGNMENTS):
            found[row["plant_id"], date] = (
                root(8, campaign.size) @ maps[where.index(row["row"])] @ root(8, campaign.size)
            )
    vectors = {key: one.ravel() / np.linalg.norm(one) for key, one in found.items()}
    axes, mean = read_array(clusters, PCA_COMPONENTS), read_array(clusters, PCA_MEAN)
    own = axes @ (vectors[plant, day] - mean)
    others = [key for key in vectors if key[0] != plant]
    return [[*key] for key in sorted(others, key=lambda key: np.linalg.norm(axes @ (vectors[key] - mean) - own))[:n]]


def root(native: int, size: int) -> Any:
    """Root of the Gram matrix of linear upsampling, worked out pixel by pixel."""
    weights = np.zeros((size, native))
    for pixel in range(size):
        place = min(max((pixel + 0.5) * native / size - 0.5, 0), native - 1)
        for cell in range(native):
            weights[pixel, cell] = max(0.0, 1 - abs(place - cell))
    values, vectors = np.linalg.eigh(weights.T @ weights)
    return vectors @ np.diag(np.sqrt(values)) @ vectors.T


def overlay(page: Page) -> Any:
    """Opacity of the overlay, 8 x 8 means."""
    values = page.evaluate(
        """() => {
            const canvas = document.getElementById("explorer-overlay");
            const side = canvas.width / 8, means = Array(64).fill(0);
            const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            for (let k = 0; k < canvas.width ** 2; k++) {
                const cell = 8 * Math.floor(k / canvas.width / side) + Math.floor(k % canvas.width / side);
                means[cell] += data[4 * k + 3] / side ** 2;
            }
            return means;
        }"""
    )
    return np.asarray(values).reshape(8, 8)


def test_the_overlay_is_the_map_and_can_be_switched_off(page: Page) -> None:
    content = json.loads(page.locator("#explorer-data").text_content() or "")
    maps = np.frombuffer(base64.b64decode(content["methods"][0]["maps"]), np.int8).reshape(-1, 8, 8)
    page.locator("#explorer-list button").nth(4).click()
    drawn = overlay(page)
    assert np.corrcoef(drawn.ravel(), np.abs(maps[4]).ravel())[0, 1] > 0.97
    assert drawn.max() <= 0.6 * 255 + 1
    page.click("#explorer-overlaid")
    assert page.get_attribute("#explorer-overlaid", "aria-pressed") == "false" and not overlay(page).any()
    page.click("#explorer-overlaid")
    assert overlay(page).any()


def lone_point(page: Page) -> tuple[float, float, str]:
    """Place in the window of the point farthest from all others, and the name of its image."""
    content = json.loads(page.locator("#explorer-data").text_content() or "")
    coordinates = np.frombuffer(base64.b64decode(content["methods"][0]["coordinates"]), "<i2").astype(float)
    x, y = coordinates.reshape(-1, content["methods"][0]["n_axes"]).T[:2]
    canvas = page.locator("#explorer-scatter")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    scale = min((box["width"] - 34) / np.ptp(x), (box["height"] - 34) / np.ptp(y))
    right = box["x"] + box["width"] / 2 + (x - (x.max() + x.min()) / 2) * scale
    down = box["y"] + box["height"] / 2 - (y - (y.max() + y.min()) / 2) * scale
    apart = [float(np.sort(np.hypot(right - right[i], down - down[i]))[1]) for i in range(len(x))]
    lone, common = int(np.argmax(apart)), content["common"]
    assert apart[lone] > 6
    plant, label = common["plants"][common["plant"][lone]], common["dates"][common["date"][lone]][1]
    return float(right[lone]), float(down[lone]), f"{plant}, {label}"


def test_a_point_is_chosen_by_pointer_and_by_keyboard(page: Page) -> None:
    canvas = page.locator("#explorer-scatter")
    x, y, name = lone_point(page)
    page.mouse.click(x, y)
    assert page.inner_text("#explorer-name") == name
    assert page.locator("#explorer-list [aria-pressed=true]").count() == 1
    seen = {page.inner_text("#explorer-name")}
    canvas.focus()
    for key in ("ArrowLeft", "ArrowDown", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
        seen.add(page.inner_text("#explorer-name"))
    assert len(seen) > 2
    page.select_option("#explorer-cluster", "1")
    canvas.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    assert "\n1: " in page.inner_text("#explorer-facts")  # filtered points are not chosen


def test_the_scatter_is_enlarged_around_the_chosen_point_and_dragged(page: Page) -> None:
    canvas = page.locator("#explorer-scatter")
    page.locator("#explorer-list button").first.click()
    name = page.inner_text("#explorer-name")
    for _ in range(4):
        page.click("#explorer-in")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None and "is-zoomed" in (canvas.get_attribute("class") or "")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.locator("#explorer-list button").nth(1).click()
    assert page.inner_text("#explorer-name") != name
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y - 40, steps=4)
    page.mouse.up()
    assert page.inner_text("#explorer-name") != name  # a drag chooses nothing
    page.mouse.click(x + 60, y - 40)
    assert page.inner_text("#explorer-name") == name
    page.click("#explorer-whole")
    expect(canvas).not_to_have_class("is-zoomed")


def test_arrow_keys_go_from_picture_to_picture(page: Page) -> None:
    page.locator("#explorer-list button").first.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    place = page.evaluate("[...document.querySelectorAll('#explorer-list button')].indexOf(document.activeElement)")
    across = page.evaluate(
        "getComputedStyle(document.getElementById('explorer-list')).gridTemplateColumns.split(' ').length"
    )
    assert place == 1 + across
    page.keyboard.press("Enter")
    assert page.locator(":focus").get_attribute("aria-pressed") == "true"
    page.keyboard.press("End")
    assert page.locator(":focus").get_attribute("aria-label") == names(page)[-1] and len(names(page)) == 214
    assert page.locator("#explorer-list button[tabindex='0']").count() == 1


def test_addresses_select_and_filter(context: BrowserContext, path: Path) -> None:
    page = open_page(context, path, f"#plant={STRANGE.replace('&', '%26').replace('<', '%3C')}@{DAYS[1]}")
    assert page.inner_text("#explorer-name") == f"{STRANGE}, 3 September 2021"
    assert page.locator("#explorer-card").bounding_box() and page.evaluate("scrollY") > 500
    page.evaluate("location.hash = '#cluster=2&method=lime'")
    expect(page.locator("#explorer-method")).to_have_value("lime")
    assert page.input_value("#explorer-cluster") == "2" and all(", cluster 2," in name for name in names(page))
    page.evaluate("location.hash = '#cluster=3'")
    expect(page.locator("#explorer-method")).to_have_value("gradcam")
    assert all(", cluster 3," in name for name in names(page))
    page.evaluate("location.hash = '#plant=nobody@2021-08-23'")
    expect(page.locator("#explorer-count")).to_contain_text("nobody@2021-08-23 is not")
    assert page.locator("#explorer-none").is_visible()
    page.evaluate("location.hash = '#cluster=3&method=occlusion'")
    expect(page.locator("#explorer-count")).to_have_text(
        "214 of 214 images shown. Maps of occlusion are not on this page."
    )
    page.close()


def test_another_method_has_its_own_clusters_and_maps(campaign: FakeCampaign, page: Page) -> None:
    page.locator("#explorer-list button").first.click()
    before = (page.inner_text("#explorer-facts"), overlay(page))
    page.select_option("#explorer-method", "lime")
    assert page.inner_text("#explorer-scale") == "red: for the explained class, blue: against it"
    assert not np.allclose(before[1], overlay(page))
    page.select_option("#explorer-cluster", "1")
    n = sum(row["cluster"] == 1 for row in table(campaign, "assignments lime", ASSIGNMENTS))
    assert count(page).startswith(f"{n} of ")


def test_a_phone_shows_the_whole_width_and_chooses_by_touch(browser: Browser, path: Path) -> None:
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page = open_page(context, path, "#cluster=1")
    page.locator("#explorer-list button").nth(2).tap()
    card = page.locator("#explorer-card").bounding_box()
    assert card is not None and 0 <= card["y"] < 100  # what was asked for is in sight
    page.locator("#explorer-back").tap()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    spot = page.locator("#explorer-list button").nth(2).bounding_box()
    assert spot is not None and min(spot["width"], spot["height"]) >= 24
    page.click("#explorer-all")
    x, y, name = lone_point(page)
    page.touchscreen.tap(x, y)
    assert page.inner_text("#explorer-name") == name
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(browser: Browser, path: Path, scheme: Any) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page = open_page(context, path, f"#plant={B16}@{DAYS[1]}")
    found = Axe().run(page, context="#explorer").response["violations"]
    context.close()
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in serious] == []


def test_without_scripts_a_sentence_says_what_is_missing(browser: Browser, path: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    assert "need JavaScript" in page.inner_text("#explorer") and not page.locator("#explorer-body").is_visible()
    context.close()
