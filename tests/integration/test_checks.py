"""What becomes of checks: the table `found`, the report, the mark of a broken promise, and labels of the next fit."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.acquisition import score_acquisition
from flows.campaign import analyse_campaign
from flows.cli.listing import kept_notices
from flows.report.marks import TAG
from flows.report.renewal import renew_report
from storage.artifacts import Store
from storage.published.publish import publish_report, published_rows
from storage.records.acquisitions import AcquisitionRecord
from storage.records.campaigns import CampaignRecord
from storage.records.checks import Check, CheckedFile, keep_checks
from storage.tables import DECIDED, FOUND, OBSERVATIONS
from storage.tables.rows import rows_of
from storage.verify import verify_store
from tasks.decide.audit_plants import audit_plants, audit_seed
from tasks.decide.params import DecideParams
from tasks.export.params import FieldParams
from tasks.report.report import write_report
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.source import SyntheticSource
from tests.support.campaigns import DATES, small_campaign
from tests.support.local_stores import local
from tests.support.season_fields import AT_ONCE, NEW
from tests.support.season_runs import flow_runs

pytestmark = pytest.mark.usefixtures("one_thread")
SHARE = 0.5
SEASON = SeasonParams(dates=(DATES[0], NEW, DATES[1]), n_plots=2, rows=3, plants_per_row=10, image_size=64, seed=1)
PARAMS = small_campaign(
    source=SyntheticSource(season=SEASON),
    decide=DecideParams(tolerated_error=0.45, confidence=0.5),  # what so little training can promise
    field=FieldParams(audit_share=SHARE),
)
CLASSES = ("not_ready", "ready")


@dataclass(frozen=True)
class Checked:
    """A campaign with a scored date whose random plants were all found to be answered wrongly, and its next fit.

    Attributes
    ----------
    found : class that was found, by plant.
    rows, page : table `found` and page of the field after the checks, before the next fit.
    """

    store: Store
    first: CampaignRecord
    scored: AcquisitionRecord
    found: dict[str, str]
    rows: list[dict[str, Any]]
    page: str
    refit: CampaignRecord


def keep_wrong(store: Store, scored: AcquisitionRecord) -> dict[str, str]:
    """Keep checks that find every plant drawn at random, and one plant to check, to be of the other class."""
    decided = rows_of(store.open(scored.artifacts[f"decided gradcam {NEW}"]), DECIDED)
    drawn = audit_plants(decided, SHARE, audit_seed("small", NEW))
    doubtful = [row["plant_id"] for row in decided if row["decision"] == "check"][:1]
    chosen = [row for row in decided if row["plant_id"] in {*drawn, *doubtful}]
    mark: dict[str, Any] = {"campaign": "small", "date": NEW}
    at = datetime(2022, 9, 1, 9, tzinfo=UTC)
    checks = [
        Check(
            **mark,
            plant_id=row["plant_id"],
            found=CLASSES[1 - row["answer"]],
            checked_by="Ada",
            checked_at=at,
            remark="",
            method="gradcam",
            answer=CLASSES[row["answer"]],
            answer_reliability=row["answer_reliability"],
            decision=row["decision"],
            is_audit=row["plant_id"] in drawn,
        )
        for row in chosen
    ]
    keep_checks(
        store, CheckedFile(**mark, file="a.gpkg", sha256="a" * 64, imported_by="", imported_at=at, checks=checks)
    )
    return {check.plant_id: check.found for check in checks}


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    store = Store(tmp_path_factory.mktemp("checked") / "store")
    first = analyse_campaign(PARAMS, store.address)
    scored = score_acquisition("small", NEW, store.address, arrival=AT_ONCE)
    found = keep_wrong(store, scored)
    renew_report(  # as the command `harvest checked` does it, in no flow run
        store,
        "small",
        write=lambda **shown: write_report.fn(store.address, "small", **shown),
        publish=lambda report: publish_report(store, report, "small"),
    )
    rows, page = published_rows(store, FOUND, "small"), local(store.root / first.report).read_text()
    refit = analyse_campaign(PARAMS.model_copy(update={"dates": tuple(sorted((*DATES, NEW)))}), store.address)
    return Checked(store, first, scored, found, rows, page, refit)


def test_the_table_and_the_page_say_that_the_promise_is_broken(checked: Checked) -> None:
    told = {row["answers"]: row for row in checked.rows}
    assert {row["acquired"] for row in checked.rows} == {NEW}
    assert told["all"]["n_drawn_checked"] == told["all"]["n_drawn_wrong"] == told["all"]["n_drawn"] > 10
    assert told["all"]["is_broken"] and told["all"]["error_share"] == 1
    assert "The promise is broken on this date: about 100 of 100" in checked.page
    assert verify_store(checked.store).problems == []


def test_a_run_a_tag_and_one_notice_tell_it(checked: Checked) -> None:
    (run,) = flow_runs("broken promise of small")
    assert TAG in run.tags
    with get_client(sync_client=True) as client:
        artifacts = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[TAG])))
    assert all("A promise is broken" in str(one.data) for one in artifacts) and len(artifacts) >= 1
    (notice, *_) = kept_notices(checked.store)
    assert f"A promise is broken on {NEW}" in notice["message"]


def test_the_next_fit_takes_the_checks_as_labels(checked: Checked) -> None:
    def rows(record: CampaignRecord | AcquisitionRecord) -> dict[str, dict[str, Any]]:
        return {
            row["plant_id"]: row for row in rows_of(checked.store.open(record.artifacts[f"images {NEW}"]), OBSERVATIONS)
        }

    before, after = rows(checked.scored), rows(checked.refit)
    is_checked = {plant for plant, row in after.items() if "checked" in row["flags"].split()}
    assert is_checked == checked.found.keys() & after.keys() and len(is_checked) > 10
    assert {plant: CLASSES[after[plant]["label"]] for plant in is_checked} == {p: checked.found[p] for p in is_checked}
    contradicted = sum(before[plant]["label"] != after[plant]["label"] for plant in is_checked)
    notes = checked.store.open(checked.refit.artifacts["survey"]).read_json("survey.json")["notes"]
    assert any(f"{len(is_checked)} labels come from checks" in note for note in notes) and contradicted
    assert any(f"{contradicted} that contradict it" in note for note in notes)


@pytest.mark.parametrize("day", DATES)
def test_dates_without_checks_stay_as_they_were(checked: Checked, day: date) -> None:
    assert checked.refit.artifacts[f"images {day}"] == checked.first.artifacts[f"images {day}"]


def test_after_the_fit_the_table_is_about_its_decisions(checked: Checked) -> None:
    decided = rows_of(checked.store.open(checked.refit.artifacts[f"decided gradcam {NEW}"]), DECIDED)
    told = {row["answers"]: row for row in published_rows(checked.store, FOUND, "small")}
    n_acted_on = sum(row["decision"] != "check" for row in decided)
    assert ("all" in told) == bool(n_acted_on)
    assert not n_acted_on or told["all"]["n"] == n_acted_on
    assert {row["classifier"] for row in told.values()} == {checked.refit.artifacts["classifier"].digest}
