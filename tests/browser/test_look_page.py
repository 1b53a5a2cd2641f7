"""The page of a look at a field in a browser: it asks the network for nothing and fits a phone and a screen."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tasks.ingest.params import IngestParams
from tasks.look.look import look_at_campaign
from tasks.look.page import render_look
from tests.browser.test_report_page import OUTSIDE
from tests.support.orthophotos import small_bands, small_transform, write_raster
from tests.support.small_field import CRS, DAY, LATER, make, write_field

PICTURES = "() => [...document.querySelectorAll('.map img')].map((one) => [one.naturalWidth, one.clientWidth])"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page of a field with two orthophotos."""
    root = write_field(tmp_path_factory.mktemp("field"))
    darker = small_bands() // 2 + 1  # equal pixels on two dates would count as duplicates
    write_raster(root / f"ortho_{LATER:%Y%m%d}.tif", darker, small_transform(), CRS)
    days: tuple[date, ...] = (DAY, LATER)
    page = root / "look.html"
    look = look_at_campaign(make(root), days, IngestParams(), n_needed=2, is_trained=False)
    page.write_text(render_look("field", look), encoding="utf-8")
    return page


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_asks_for_nothing(browser: Browser, path: Path, width: int, scheme: Any) -> None:
    page = browser.new_page(viewport={"width": width, "height": 740}, color_scheme=scheme)
    requests, complaints = list[str](), list[str]()
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(path.as_uri(), wait_until="load")
    assert [one for one in requests if not one.startswith("data:")] == [path.as_uri()] and complaints == []
    assert page.evaluate(OUTSIDE) == []
    sizes = page.evaluate(PICTURES)
    assert len(sizes) == 4 and all(natural > 500 and 200 < shown <= width for natural, shown in sizes)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.close()
