"""What becomes of checks: the mark of a broken promise in the UI, and labels, table and page of the next fit."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from prefect import flow

from flows.campaign import analyse_campaign
from flows.report.found import measure_checks, publish_found
from flows.report.marks import TAG, tell_broken
from flows.running.labels import TERMINAL
from flows.running.names import artifact_key
from storage.artifacts import Store
from storage.published.publish import published_rows
from storage.records.campaigns import CampaignRecord
from storage.tables import DECIDED, FOUND, OBSERVATIONS
from storage.tables.rows import rows_of
from storage.verify import verify_store
from tasks.ingest.ingest import images_recipe
from tasks.ingest.listing import listing_recipe
from tasks.ingest.survey import Survey, survey
from tasks.sources.growliflower.source import GrowliFlowerSource
from tests.support.campaigns import DATES, small_campaign
from tests.support.checks import keep_found
from tests.support.local_stores import local
from tests.support.report_campaign import DAYS, FakeCampaign
from tests.support.season_fields import write_field
from tests.support.season_runs import artifacts_of, flow_runs
from tests.unit.flows.report.test_found import decided, drawn, params_of

pytestmark = pytest.mark.usefixtures("one_thread")
CLASSES = ("not ready", "ready")  # of the release


@flow(name="holds-checks", flow_run_name="holds checks")
def hold_checks(fake: FakeCampaign, new: list[str]) -> None:
    """Tell a broken promise within a flow run, as one that renews a report does."""
    tell_broken(fake.store, fake.campaign, new)


def test_a_broken_promise_marks_runs_in_the_ui(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fake, day = FakeCampaign(tmp_path / "store", n_plants=120, size=8), date.fromisoformat(DAYS[0])
    tell_broken(fake.store, fake.campaign, [])
    assert flow_runs(f"broken promise of {fake.campaign}") == []
    wrong = {row["plant_id"]: fake.classes[1 - row["answer"]] for row in drawn(fake, day)}
    keep_found(fake.store, fake.campaign, day, wrong, decided(fake, day))
    new = publish_found(fake.store, fake.campaign, measure_checks(fake.store, params_of(fake), fake.roles))
    tell_broken(fake.store, fake.campaign, new)  # as `harvest checked` does, in no flow run
    hold_checks(fake, [])  # as a later run that renews the report
    runs = [*flow_runs(f"broken promise of {fake.campaign}"), *flow_runs("holds checks")]
    of_campaign = {TAG, f"campaign:{fake.campaign}"}
    assert [{*run.tags} for run in runs] == [{TERMINAL, *of_campaign}, {TAG}]  # the other is of no such flow
    assert all(f"**{new[0]}**" in artifacts_of(run.id)[artifact_key(TAG, fake.campaign)] for run in runs)
    assert [one.getMessage() for one in caplog.records if one.name == "flows.report.marks"] == new


@dataclass(frozen=True)
class Fitted:
    """A campaign that was fitted with checks of its first date.

    Attributes
    ----------
    before : survey of the same source without checks.
    found : class that was found, by plant.
    """

    store: Store
    record: CampaignRecord
    before: Survey
    found: dict[str, str]

    def labels(self, split: str) -> dict[str, int | None]:
        """Labels without checks of the plants of a split on the first date."""
        images = self.before.listings[DATES[0]]["images"]
        return {entry["plant_id"]: entry["label"] for entry in images if entry["split"] == split}

    def rows(self) -> dict[str, dict[str, Any]]:
        """Rows of the table `observations` of the first date, by plant."""
        images = self.store.open(self.record.artifacts[f"images {DATES[0]}"])
        return {row["plant_id"]: row for row in rows_of(images, OBSERVATIONS)}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    folder = tmp_path_factory.mktemp("checked")
    field = write_field(folder / "field", dates=DATES, n_plots=2, rows=3, plants_per_row=10, image_size=64, seed=1)
    params, store = small_campaign(source=GrowliFlowerSource(root=str(field))), Store(folder / "store")
    before = survey(params.source, DATES, params.ingest)
    images = before.listings[DATES[0]]["images"]
    chosen = [one for split in ("train", "val") for one in [one for one in images if one["split"] == split][:6]]
    # Every second one is found to be of the class that the harvest table does not give.
    found = {one["plant_id"]: CLASSES[one["label"] ^ (i % 2)] for i, one in enumerate(chosen)}
    keep_found(store, params.campaign, DATES[0], found, classes=CLASSES)
    return Fitted(store, analyse_campaign(params, store.address), before, found)


def test_checks_are_labels_of_the_next_fit(fitted: Fitted) -> None:
    rows = fitted.rows()
    assert {plant for plant, row in rows.items() if "checked" in row["flags"].split()} == fitted.found.keys()
    assert {plant: CLASSES[rows[plant]["label"]] for plant in fitted.found} == fitted.found
    unchecked = {**fitted.labels("train"), **fitted.labels("val"), **fitted.labels("test")}.items()
    assert all(rows[plant]["label"] == label for plant, label in unchecked if plant not in fitted.found)
    notes = fitted.store.open(fitted.record.artifacts["survey"]).read_json("survey.json")["notes"]
    (told,) = [note for note in notes if note.startswith("12 labels come from checks of plants: 0 of training plants")]
    assert told.endswith("6 that agree with the harvest table and 6 that contradict it")
    assert "Remarks that did not exclude an image" in analysis_page(fitted)
    assert f"<code>checked</code> {len(fitted.found)}" in analysis_page(fitted)


def test_a_date_without_checks_keeps_its_artefact(fitted: Fitted) -> None:
    params = small_campaign()
    expected = [
        images_recipe(params.ingest, listing_recipe(fitted.before.listings[day]).ref).ref == made
        for day in DATES
        for made in [fitted.record.artifacts[f"images {day}"]]
    ]
    assert expected == [False, True]


def test_the_run_publishes_what_was_found_beside_its_own_answers(fitted: Fitted) -> None:
    answered = rows_of(fitted.store.open(fitted.record.artifacts[f"decided gradcam {DATES[0]}"]), DECIDED)
    told = published_rows(fitted.store, FOUND, "small")
    checked = [row for row in answered if row["plant_id"] in fitted.found]
    n_checked = sum(row["n_drawn_checked"] + row["n_other_checked"] for row in told if row["answers"] != "all")
    n_wrong = sum(row["n_drawn_wrong"] + row["n_other_wrong"] for row in told if row["answers"] != "all")
    assert len(checked) == n_checked == 6  # training plants have no answer
    assert n_wrong == sum(CLASSES[row["answer"]] != fitted.found[row["plant_id"]] for row in checked)
    assert 'class="found"' in analysis_page(fitted)
    assert verify_store(fitted.store).problems == []


def analysis_page(fitted: Fitted) -> str:
    """Return the published page for the reviewer."""
    return local(fitted.store.root / fitted.record.report).with_name("analysis.html").read_text()
