"""`make screenshots`: pictures of the Prefect UI for the docs, in headless Chromium, from a real run of the service.

Analyses a field's campaign, has another wait for a review, announces a date, leaves another half-copied, and lets a run
fail. Writes PNG files into docs/pictures/.
"""

import base64
import shutil
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from uuid import UUID

from playwright.sync_api import Page, sync_playwright

from storage.artifacts import Store
from storage.records.acquisitions import find_acquisition, fit_digest
from storage.records.campaigns import read_record
from tests.support.field import NEW, Field
from tests.support.service import Service, running_service, wait_until

FOLDER = Path("docs/pictures")
WIDTH = 1440
NAME = "field2-2022"


def main() -> None:
    """Make the runs, then take the pictures."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or sys.exit("apt-get install chromium")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, running_service(HARVEST_SETTLE_SECONDS="4") as service:
        runs = make_runs(service, Field(Path(folder), NAME))
        with opened(service, str(chromium)) as page:
            for name, picture in pictures(runs).items():
                take(page, service.url, picture, FOLDER / f"{name}.png")


def make_runs(service: Service, plot: Field) -> dict[str, UUID]:
    """Flow runs of every kind that an operator meets, by what is shown of them."""
    scored, awaited = NEW
    campaign = service.run("analyse-campaign", params=plot.params.model_dump(mode="json"))
    service.wait_for_state(campaign, "Completed", seconds=300)
    store = Store(service.store)
    fit = fit_digest(read_record(store, NAME).artifacts)
    plot.copy(scored)
    service.command("harvest", "announce", NAME, "--date", str(scored))
    wait_until(lambda: find_acquisition(store, NAME, scored, fit) is not None, 180, service.logs)
    plot.copy_half(awaited)
    waiting = service.run("score-acquisition", campaign=NAME, date=str(awaited))
    service.wait_for_state(waiting, "Running")
    failed = service.run("score-acquisition", campaign=NAME, date=str(date(2022, 9, 3)))
    service.wait_for_state(failed, "Failed")
    asking = {**plot.params.model_dump(mode="json"), "campaign": f"{NAME}-reviewed", "review": {"ask": True}}
    review = service.run("analyse-campaign", params=asking)
    service.wait_for_state(review, "Suspended", seconds=300)
    return {"campaign": campaign, "waiting": waiting, "review": review}


@dataclass(frozen=True)
class Picture:
    """A page of the UI, what to click on it (or nothing), and how high the window is, in pixels."""

    path: str
    height: int
    click: str = ""


def pictures(runs: dict[str, UUID]) -> dict[str, Picture]:
    """What is taken, by the name of the file; each is high enough for what its caption says."""
    campaign = f"runs/flow-run/{runs['campaign']}"
    return {
        "runs": Picture("runs", 1640),
        "campaign": Picture(campaign, 1500, "Task Runs"),
        "artifacts": Picture(campaign, 1100, "Artifacts"),
        "waiting": Picture(f"runs/flow-run/{runs['waiting']}", 900),
        "review": Picture(f"runs/flow-run/{runs['review']}", 1100, "Resume"),
    }


@contextmanager
def opened(service: Service, chromium: str) -> Generator[Page]:
    """A browser that is logged in."""
    password = base64.b64encode(service.auth_string.encode()).decode()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(color_scheme="light")
        context.add_init_script(f"localStorage.setItem('prefect-password', '{password}')")
        yield context.new_page()
        browser.close()


def take(page: Page, url: str, picture: Picture, file: Path) -> None:
    """Take one picture when the page has come to rest."""
    page.set_viewport_size({"width": WIDTH, "height": picture.height})
    page.goto(f"{url}/{picture.path}", wait_until="load")
    if picture.click:
        page.get_by_role("tab", name=picture.click).or_(page.get_by_text(picture.click, exact=True)).first.click()
    page.wait_for_timeout(6000)  # the graph of a run is drawn after everything is loaded
    page.screenshot(path=file)


if __name__ == "__main__":
    main()
