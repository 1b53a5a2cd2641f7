"""The plant explorer of ten thousand images in a browser: how large its page is, and how soon it can be used."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser

from tests.support.local_stores import local
from tests.support.report_campaign import FakeCampaign

pytestmark = pytest.mark.nightly  # a store with ten thousand images takes a minute
N_IMAGES, MOST_BYTES, MOST_SECONDS = 10_000, 15_000_000, 3.0
DRAWN = "#explorer-body[data-drawn=yes]"


class Photographed(FakeCampaign):
    """A campaign whose images are as hard to compress as photographs: soft shapes with some noise."""

    def draw(self, random: np.random.Generator, n: int) -> NDArray[np.integer]:
        blocks = random.integers(40, 200, (n, 8, 8, 3)).repeat(self.size // 8, 1).repeat(self.size // 8, 2)
        soft = np.mean([np.roll(blocks, (y, x), (1, 2)) for y in (-4, 0, 4) for x in (-4, 0, 4)], axis=0)
        return np.clip(soft + random.integers(-12, 13, soft.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    fake = Photographed(
        tmp_path_factory.mktemp("store"),
        methods=("gradcam", "lime"),
        size=64,
        scored_days=("2021-09-06",),
        n_scored=N_IMAGES,
        has_scored_clusters=True,
        map_noise=0.6,
    )
    return local(fake.store.open(fake.report()).file("analysis.html"))


def test_ten_thousand_images_are_small_and_soon_there(browser: Browser, path: Path) -> None:
    """Write the times, and bound them only by what a person bears, because other work may share the machine."""
    page = browser.new_page()
    begun = time.monotonic()
    page.goto(path.as_uri() + "#cluster=2")
    page.wait_for_selector(DRAWN)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    first = time.monotonic() - begun
    begun = time.monotonic()
    page.select_option("#explorer-sort", "reliability")
    sorting = time.monotonic() - begun
    sys.stdout.write(
        f"{path.stat().st_size / 1e6:.1f} MB, first pictures after {first:.2f} s, sorted anew in {sorting:.2f} s\n"
    )
    assert path.stat().st_size < MOST_BYTES
    assert first < MOST_SECONDS
    shown = page.inner_text("#explorer-count")
    n_shown = int(shown.split(" of ")[1].split()[0].replace(",", ""))
    assert N_IMAGES - 100 < n_shown <= N_IMAGES  # whole sheets; with the campaign's own dates there are more
    assert page.locator("#explorer-fewer").is_visible()
    page.close()
