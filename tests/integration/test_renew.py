"""Another tolerated share of errors: what is decided again, for the campaign and for the dates it has scored."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from PIL import Image
from prefect.client.schemas.objects import TaskRun

from flows.acquisition import score_acquisition
from flows.campaign import analyse_campaign
from flows.renew import n_tasks, renew_campaign, unaffected
from storage.artifacts import Store
from storage.records.acquisitions import AcquisitionRecord, find_acquisition, fit_digest
from storage.records.campaigns import CampaignRecord, read_record
from storage.tables import DECIDED, DRIFT, TABLES
from storage.tables.parquet import load_table
from storage.tables.rows import rows_of
from storage.verify import verify_store
from tasks.classify.training import TrainParams
from tasks.decide.params import DecideParams
from tasks.sources.growliflower.source import GrowliFlowerSource
from tests.support.campaigns import DATES, small_campaign, task_runs
from tests.support.season_fields import AT_ONCE, arrive, own_dates, write_field
from tests.support.season_runs import flow_runs, params_of, table_bytes

pytestmark = pytest.mark.usefixtures("one_thread")
LIGHT, DARK = date(2022, 8, 26), date(2022, 8, 27)  # the second has a tenth of the light
SCORED = (LIGHT, DARK)
SEASON: dict[str, Any] = {"n_plots": 3, "image_size": 64, "seed": 1}
TRAINED = TrainParams(epochs=4, learning_rate=1e-3, step_epochs=2)  # well enough for a promise
STRICT, LAX = 0.02, 0.3  # validation plants as few as these can promise only the second
CONFIDENCE = 0.5  # of either


@dataclass(frozen=True)
class Renewed:
    """A campaign before and after its renewal, the task runs of the renewal, and the published files."""

    store: Path
    first: CampaignRecord
    record: CampaignRecord
    runs: list[TaskRun]
    before: dict[str, bytes]
    after: dict[str, bytes]

    @property
    def opened(self) -> Store:
        return Store(self.store)

    def states(self, verb: str) -> set[str | None]:
        """States of the task runs whose name begins with a verb."""
        return {run.state_name for run in self.runs if run.name.startswith(f"{verb} small")}

    def rows(self, record: CampaignRecord | AcquisitionRecord, role: str) -> list[dict[str, Any]]:
        """Rows of the table that an artefact is named after."""
        return rows_of(self.opened.open(record.artifacts[role]), TABLES[role.split()[0]])

    def scored(self, day: date, record: CampaignRecord) -> AcquisitionRecord:
        """Record of a scored date by the fit, with decisions, of a campaign's record."""
        found = find_acquisition(self.opened, "small", day, fit_digest(record.artifacts))
        assert found is not None
        return found

    def files(self, day: date) -> tuple[Path, Path]:
        """The published decisions of a date, as table and as export."""
        table = self.store / f"tables/decided/campaign=small/date={day}/part-0.parquet"
        return table, self.store / f"exports/small/{day}/small_{day}_gradcam.csv"


@pytest.fixture(scope="module")
def renewed(tmp_path_factory: pytest.TempPathFactory) -> Renewed:
    folder = tmp_path_factory.mktemp("renewed")
    whole = write_field(folder / "whole", dates=sorted((*DATES, *SCORED)), **SEASON)
    field, store = own_dates(whole, folder / "field"), folder / "store"
    source = GrowliFlowerSource(root=str(field))
    strict = DecideParams(tolerated_error=STRICT, confidence=CONFIDENCE)
    first = analyse_campaign(small_campaign(source=source, train=TRAINED, decide=strict), str(store))
    for day in SCORED:
        for path in arrive(whole, field, day):
            if day == DARK:
                Image.fromarray(np.asarray(Image.open(path).convert("RGB")) // 10).save(path)
        score_acquisition("small", day, str(store), arrival=AT_ONCE)
    before = table_bytes(store)
    record = renew_campaign("small", str(store), decide=DecideParams(tolerated_error=LAX, confidence=CONFIDENCE))
    (run,) = flow_runs("renew small")
    return Renewed(store, first, record, task_runs(run.id, n_renewing(store, first)), before, table_bytes(store))


def n_renewing(store: Path, first: CampaignRecord) -> int:
    """Task runs of a renewal: the campaign's, and each scored date's with the report that shows it."""
    n = n_tasks(params_of(first), unaffected(first.artifacts))
    learned = ("classifier", "clusters", "crossfit", "scores", "swaps", "promises")
    for day in SCORED:
        scored = find_acquisition(Store(store), "small", day, fit_digest(first.artifacts))
        assert scored is not None
        n += len({*unaffected(scored.artifacts), *(f"{kind} gradcam" for kind in learned[1:])})
        n += len(("assign", "reliability", "drift", "adjust", "decide", "export", "sum up", "publish"))
        n += len(("report", "publish report"))
    return n


def test_nothing_before_the_decisions_is_computed_again(renewed: Renewed) -> None:
    for verb in ("reliability", "adjust", "drift"):
        of_verb = [run for run in renewed.runs if run.name.startswith(f"{verb} small")]
        assert {run.name for run in of_verb} == {f"{verb} small {day} gradcam" for day in (*DATES, *SCORED)}
        assert {run.state_name for run in of_verb} == {"Cached"}
    assert renewed.states("assign") == renewed.states("evaluate") == {"Cached"}
    for verb in ("promise", "decide small 2", "export", "measure", "calibration", "sum up", "report", "publish"):
        done = {run.state_name for run in renewed.runs if run.name.startswith(verb)}
        assert done == {"Completed"}, verb
    made = ("ingest", "train", "predict", "explain", "gather", "cluster", "crossfit", "score", "sensitivity", "match")
    assert not any(renewed.states(verb) for verb in made)


def test_every_artefact_up_to_adjusted_and_drift_is_the_same(renewed: Renewed) -> None:
    followed = {"promises", "decided", "metrics", "calibration", "decisions", "report"}
    changed = {role for role, ref in renewed.record.artifacts.items() if renewed.first.artifacts.get(role) != ref}
    assert renewed.record.artifacts.keys() == renewed.first.artifacts.keys()
    assert changed == {role for role in renewed.record.artifacts if role.split()[0] in followed}
    for day in SCORED:
        old, new = (renewed.scored(day, record) for record in (renewed.first, renewed.record))
        differ = {role.split()[0] for role, ref in new.artifacts.items() if old.artifacts[role] != ref}
        assert differ == {"promises", "decided", "acquisition", "decisions"}


def test_only_tables_of_decisions_change_also_of_scored_dates(renewed: Renewed) -> None:
    assert renewed.before.keys() == renewed.after.keys()
    changed = {name for name in renewed.before if renewed.before[name] != renewed.after[name]}
    of_scored = {name for name in changed if any(f"date={day}" in name for day in SCORED)}
    assert {name.split("/")[1] for name in of_scored} == {"decided", "acquisitions"}
    assert {name.split("/")[1] for name in changed - of_scored} == {"promises", "decided", "calibration"}
    assert verify_store(renewed.opened).problems == []


def test_the_records_and_the_report_say_what_is_tolerated(renewed: Renewed) -> None:
    assert read_record(renewed.opened, "small") == renewed.record
    assert renewed.record.params["decide"]["tolerated_error"] == LAX
    others = {name: value for name, value in renewed.first.params.items() if name != "decide"}
    assert {name: renewed.record.params[name] for name in others} == others
    for day in SCORED:
        assert renewed.scored(day, renewed.record).params["decide"]["tolerated_error"] == LAX
        assert renewed.scored(day, renewed.first).params["decide"]["tolerated_error"] == STRICT
    page = (renewed.store / "reports/small/analysis.html").read_text()
    counts = {day: [row["decision"] for row in decided_of(renewed, day)] for day in (*DATES, *SCORED)}
    for day, found in counts.items():
        cells = [len(found), *(found.count(one) for one in ("harvest", "leave", "check"))]
        row = f'<th scope="row" class="nowrap">{day}</th>' + "".join(f'<td class="number">{n}</td>' for n in cells)
        assert row in page, day


def test_what_could_not_be_promised_is_now_acted_on(renewed: Renewed) -> None:
    for day in DATES:
        strict = renewed.rows(renewed.first, f"decided gradcam {day}")
        assert {row["decision"] for row in strict} == {"check"}
        assert all("unpromised" in row["check_reason"].split() for row in strict)
    for day in (*DATES, *SCORED):
        assert not any("unpromised" in row["check_reason"] for row in decided_of(renewed, day))
    acted_on = {row["decision"] for day in (*DATES, LIGHT) for row in decided_of(renewed, day)}
    assert acted_on >= {"harvest", "leave"}
    used = {row["tolerated_error"] for row in renewed.rows(renewed.record, "promises gradcam") if row["is_used"]}
    assert used == {LAX}


def decided_of(renewed: Renewed, day: date) -> list[dict[str, Any]]:
    """Rows of the published table of decisions, after the renewal."""
    return load_table(renewed.files(day)[0], DECIDED).to_pylist()


def test_a_date_outside_is_to_be_checked_whole(renewed: Renewed) -> None:
    """Plants that the fit has seen are in the dark too, although only unseen ones are compared."""
    outside = {day: [row["is_outside"] for row in drift_of(renewed, day)] for day in SCORED}
    assert any(outside[DARK]) and not any(outside[LIGHT])
    rows = decided_of(renewed, DARK)
    assert len({row["split"] for row in rows}) > 1
    assert all(row["is_outside"] and row["decision"] == "check" for row in rows)
    assert all(row["check_reason"].split()[-1] == "outside" for row in rows)
    assert any(row["check_reason"] == "outside" for row in rows)  # for no other reason
    assert not any(row["is_outside"] for row in decided_of(renewed, LIGHT))


def drift_of(renewed: Renewed, day: date) -> list[dict[str, Any]]:
    return rows_of(renewed.opened.open(renewed.scored(day, renewed.record).artifacts[f"drift gradcam {day}"]), DRIFT)


@pytest.mark.parametrize("day", [*DATES, *SCORED], ids=str)
def test_nothing_below_the_threshold_is_acted_on_in_table_and_export(renewed: Renewed, day: date) -> None:
    table, export = renewed.files(day)
    (used,) = [row for row in renewed.rows(renewed.record, "promises gradcam") if row["is_used"]]
    least = used["threshold"]
    assert (used["answers"], used["tolerated_error"]) == ("all", LAX) and 0.5 <= least <= 1
    n = {row["plant_id"] for row in decided_of(renewed, day)}
    for source in (f"read_parquet('{table}')", f"read_csv('{export}')"):
        found = duckdb.execute(
            "select plant_id, decision, ready_probability, answer_reliability, coalesce(check_reason, '') "
            f"from {source}"
        ).fetchall()
        assert {plant for plant, *_ in found} == n and len(found) == len(n) > 0
        for _, decision, ready, reliability, reason in found:
            assert reliability == pytest.approx(max(ready, 1 - ready), abs=1e-9)
            assert (decision == "check") is bool(reason)
            if decision != "check":
                assert reliability >= least and (decision == "harvest") is (ready >= 0.5)
                assert decision in ("harvest", "leave")
            assert ("unsure" in reason.split()) is (reliability < least)


def test_renewed_again_it_keeps_what_is_tolerated(renewed: Renewed) -> None:
    again = renew_campaign("small", str(renewed.store))
    changed = {role for role, ref in again.artifacts.items() if renewed.record.artifacts[role] != ref}
    assert changed == {"report"}  # it shows the scored dates by their new decisions
    assert again.params == renewed.record.params and table_bytes(renewed.store) == renewed.after
    exported = json.loads((renewed.store / f"exports/small/{DATES[0]}/small_{DATES[0]}_gradcam.geojson").read_text())
    found = {one["properties"]["plant_id"]: one["properties"]["decision"] for one in exported["features"]}
    assert found == {row["plant_id"]: row["decision"] for row in decided_of(renewed, DATES[0])}
