"""A review from the form in the Prefect UI to the tables, on the whole service, in headless Chromium."""

import shutil
from contextlib import suppress
from uuid import UUID

import pytest
from playwright.sync_api import Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.responses import SetStateStatus

from flows.parameters import CampaignParams
from storage.artifacts import Store
from storage.records.campaigns import read_record
from storage.tables import ADJUSTED, DECIDED, METRICS, REVIEWS, SWAPS
from storage.tables.rows import dated_rows, rows_of
from tasks.adjust.params import ReviewParams
from tests.operations.screenshots import opened
from tests.support.campaigns import RESNET18, small_campaign
from tests.support.service import Service, wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
CHOICES = {1: "swap", 2: "abstain", 3: "keep"}
LIMIT_SECONDS = 600  # of a machine that does other things too


def asking(name: str, hours: float) -> CampaignParams:
    return small_campaign(name, review=ReviewParams(ask=True, timeout_hours=hours), train=RESNET18)


def only(run: UUID) -> FlowRunFilter:
    return FlowRunFilter(id=FlowRunFilterId(any_=[run]))


def start(service: Service, params: CampaignParams) -> UUID:
    return service.run("analyse-campaign", params=params.model_dump(mode="json"))


def open_form(page: Page, service: Service, run: UUID) -> Locator:
    """The form of a run that waits. A page that lost an answer of a busy server is loaded again, as a person would."""
    resume = page.get_by_role("button", name="Resume")

    def is_offered() -> bool:
        page.goto(f"{service.url}/runs/flow-run/{run}", timeout=1000 * LIMIT_SECONDS)
        with suppress(PlaywrightTimeout):
            resume.wait_for(timeout=30_000)
        return resume.is_visible()

    wait_until(is_offered, LIMIT_SECONDS / 2, lambda: f"{page.url}\n{page.inner_text('body')}\n{service.logs()}")
    resume.click()
    form = page.locator(".p-modal__card")
    expect(form.get_by_text("Grad-CAM, cluster 3")).to_be_visible(timeout=60_000)
    return form


def field(form: Locator, label: str) -> Locator:
    return form.locator(".schema-form-property").filter(has_text=label).last


def choose(page: Page, form: Locator, cluster: int, choice: str) -> None:
    """Take a choice from a cluster's list, with the keyboard, as a click opens and closes it without a mouse."""
    field(form, f"cluster {cluster}").locator(".p-select-button__control").focus()
    page.keyboard.press("ArrowDown")
    page.locator(".p-select-option").get_by_text(choice, exact=True).click()
    expect(field(form, f"cluster {cluster}").locator(".p-select-button__value")).to_have_text(choice)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.timeout(4 * LIMIT_SECONDS)
@pytest.mark.nightly  # in one process, tests/integration/test_review.py shows this without a browser
def test_a_form_in_the_browser_decides_and_later_runs_do_not_ask(service: Service) -> None:
    run = start(service, asking("reviewed", 1))
    service.wait_for_state(run, "Suspended", seconds=LIMIT_SECONDS)
    wait_until(lambda: service.flow_run_pids(run) == [], 60, service.logs)  # its worker is free
    with opened(service, str(CHROMIUM)) as page:
        form = open_form(page, service, run)
        form.get_by_role("button", name="Submit").click()
        expect(form.get_by_text("'reviewer' is a required property")).to_be_visible(timeout=60_000)
        assert service.state_names(run)[-1] == "Suspended"
        field(form, "Reviewer").locator("textarea").fill("Ada Field")
        field(form, "Reason").locator("textarea").fill("a marker beside every plant")
        for cluster, choice in list(CHOICES.items())[:2]:
            choose(page, form, cluster, choice)
        form.get_by_role("button", name="Submit").click()
        service.wait_for_state(run, "Completed", seconds=LIMIT_SECONDS)
    store = Store(service.store)
    record = read_record(store, "reviewed")
    opened_artifacts = {role: store.open(ref) for role, ref in record.artifacts.items()}
    reviews = rows_of(opened_artifacts["review gradcam"], REVIEWS)
    assert {row["cluster"]: row["decision"] for row in reviews} == CHOICES
    assert {(row["reviewer"], row["reason"]) for row in reviews} == {("Ada Field", "a marker beside every plant")}
    swaps = {row["cluster"]: row["is_swapped"] for row in rows_of(opened_artifacts["swaps gradcam"], SWAPS)}
    assert swaps == {1: True, 2: False, 3: False}
    for row in dated_rows(opened_artifacts, "adjusted gradcam", ADJUSTED):
        assert row["adjusted"] == (1 - row["predicted"] if row["cluster"] == 1 else row["predicted"])
    for row in dated_rows(opened_artifacts, "decided gradcam", DECIDED):
        is_corrected = row["answer"] != row["predicted"]
        assert ("reviewed" in row["check_reason"].split()) is {1: not is_corrected, 2: True, 3: is_corrected}[
            row["cluster"]
        ]
    assert "cross-fitted rule" in {row["state"] for row in rows_of(opened_artifacts["metrics gradcam"], METRICS)}
    with service.client() as client:
        tasks = client.read_task_runs(flow_run_filter=only(run))
    assert sum(task.name == "train reviewed" for task in tasks) == 2  # the second time from the store
    again = start(service, asking("reviewed", 1))
    service.wait_for_state(again, "Completed", seconds=LIMIT_SECONDS)
    assert "Suspended" not in service.state_names(again)
    assert read_record(store, "reviewed") == record


@pytest.mark.timeout(4 * LIMIT_SECONDS)
@pytest.mark.nightly  # it starts the service again; `make chaos` lets other things fail as well
def test_a_form_outlives_the_death_of_everything_and_its_answer_is_used(service: Service) -> None:
    run = start(service, asking("outlived", 1))
    asked = service.wait_for_state(run, "Suspended", seconds=LIMIT_SECONDS).state
    wait_until(lambda: service.flow_run_pids(run) == [], 60, service.logs)
    for program in ("database", "server", "worker-cpu"):
        service.kill(program)
    wait_until(service.is_set_up, LIMIT_SECONDS, service.logs)
    service.kill_everything()
    service.start()
    assert asked is not None and service.flow_run(run).state == asked
    form = {f"gradcam_cluster_{cluster}": choice for cluster, choice in CHOICES.items()}
    with service.client() as client:
        wrong = client.resume_flow_run(run, run_input=form)
        right = client.resume_flow_run(run, run_input={**form, "reviewer": "Ada Field", "reason": "a marker"})
    assert (wrong.status, right.status) == (SetStateStatus.REJECT, SetStateStatus.ACCEPT)
    service.wait_for_state(run, "Completed", seconds=LIMIT_SECONDS)
    assert service.state_names(run).count("Suspended") == 1
    store = Store(service.store)
    reviews = rows_of(store.open(read_record(store, "outlived").artifacts["review gradcam"]), REVIEWS)
    assert {row["cluster"]: row["decision"] for row in reviews} == CHOICES


@pytest.mark.timeout(4 * LIMIT_SECONDS)
@pytest.mark.nightly  # in one process, tests/integration/test_review.py shows this
def test_without_an_answer_the_run_goes_on_by_the_rule(service: Service) -> None:
    run = start(service, asking("late", 5 / 3600))
    service.wait_for_state(run, "Completed", seconds=LIMIT_SECONDS)
    assert {"Suspended", "Failed", "AwaitingRetry"} <= set(service.state_names(run))
    store = Store(service.store)
    swaps = rows_of(store.open(read_record(store, "late").artifacts["swaps gradcam"]), SWAPS)
    assert {row["decided_by"] for row in swaps} == {"timeout"}
    assert all(row["is_swapped"] is row["is_proposed"] for row in swaps)
