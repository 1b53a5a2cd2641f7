"""A person decides on clusters, or does not in time: what the tables say then, and what later runs take up."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from prefect import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.flow_runs import resume_flow_run

from flows.acquisition import score_acquisition
from flows.campaign import analyse_campaign
from flows.cli.review import decide, forget_decisions
from flows.parameters import CampaignParams
from flows.renew import renew_campaign
from storage.artifacts import ArtifactRef, Store
from storage.records.acquisitions import find_acquisition, fit_digest
from storage.records.campaigns import CampaignRecord
from storage.records.reviews import find_review
from storage.tables import ADJUSTED, DECIDED, METRICS, REVIEWS, SWAPS, TABLES
from storage.tables.parquet import load_table
from storage.tables.rows import rows_of
from storage.verify import verify_store
from tasks.adjust.params import ReviewParams
from tasks.ingest.arrival import ArrivalParams
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.source import SyntheticSource
from tests.support.campaigns import DATES, small_campaign, wait_until
from tests.support.local_stores import local

NEW_DAY = date(2022, 8, 30)
SECOND = 1 / 3600  # hours
FORM = {"gradcam_cluster_1": "swap", "gradcam_cluster_2": "abstain", "gradcam_cluster_3": "keep"}
WHO = {"reviewer": "Ada Field", "reason": "a marker | in every map"}


def asking(hours: float) -> CampaignParams:
    return small_campaign(review=ReviewParams(ask=True, timeout_hours=hours))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def late(store: Store) -> CampaignRecord:
    """A campaign whose clusters nobody decided on in time."""
    return analyse_campaign(asking(SECOND), str(store.root))


@pytest.fixture(scope="module")
def reviewed(store: Store, late: CampaignRecord) -> CampaignRecord:
    """Run the campaign again; this time somebody answers, at first wrongly."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(copy_context().run, analyse_campaign, asking(1), str(store.root))
        run = wait_until(paused_run, 300)
        for wrong in ({**FORM, **WHO, "gradcam_cluster_1": "burn"}, {**FORM, **WHO, "reviewer": " "}, dict(FORM)):
            with pytest.raises(RuntimeError, match="Cannot resume this run"):
                resume_flow_run(run.id, run_input=wrong)
            assert paused_run() is not None and not running.done()
        resume_flow_run(run.id, run_input={**FORM, **WHO})
        return running.result()


def paused_run() -> FlowRun | None:
    """The flow run that waits for an answer, when it shows its form."""
    paused = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED])))
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=paused)
    return next((run for run in runs if run.state and run.state.state_details.run_input_keyset), None)


def last_run() -> FlowRun:
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)
    return run


def artifact_texts(flow_run_id: UUID) -> dict[str, str]:
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
        )
    return {artifact.key.removeprefix("small--"): str(artifact.data) for artifact in found if artifact.key}


def published(store: Store, table: str) -> Iterator[dict[str, Any]]:
    """Rows of a published table of the campaign, with the folder of their date."""
    for path in sorted((local(store.root / "tables" / table / "campaign=small")).rglob("*.parquet")):
        for row in load_table(path, TABLES[table]).to_pylist():
            yield {**row, "date": path.parent.name}


def adjusted_by_hand(row: dict[str, Any]) -> int:
    return 1 - row["predicted"] if row["cluster"] == 1 else row["predicted"]


def test_without_an_answer_the_rule_decides_and_everything_says_so(store: Store, late: CampaignRecord) -> None:
    run = last_run()
    assert run.state is not None and run.state.is_completed()
    swaps = rows_of(store.open(late.artifacts["swaps gradcam"]), SWAPS)
    assert {row["decided_by"] for row in swaps} == {"timeout"}
    assert all(row["is_swapped"] is row["is_proposed"] and "nobody answered" in row["reason"] for row in swaps)
    assert {row["reviewer"] for row in published(store, "reviews")} == {None}
    states = [row["state"] for row in rows_of(store.open(late.artifacts["metrics gradcam"]), METRICS)]
    assert "cross-fitted" in states and "cross-fitted rule" not in states
    assert "nobody answered in time" in (local(store.root / late.report).with_name("analysis.html")).read_text()
    texts = artifact_texts(run.id)
    assert "nobody answered" in texts["review"] and "nobody answered" in texts["summary"]
    assert find_review(store, "small", late.artifacts["scores gradcam"]) is None


def test_the_question_shows_counts_and_a_picture_of_each_cluster(
    late: CampaignRecord, reviewed: CampaignRecord
) -> None:
    texts = artifact_texts(last_run().id)
    assert "the rule says" in texts["review-gradcam"]
    for cluster in (1, 2, 3):
        assert texts[f"review-gradcam-cluster-{cluster}"].startswith("data:image/png;base64,")
    assert "Ada Field" in texts["review"] and "a marker / in every map" in texts["review"]


def test_decisions_of_a_person_are_honoured_by_every_table(store: Store, reviewed: CampaignRecord) -> None:
    reviews = {row["cluster"]: row for row in rows_of(store.open(reviewed.artifacts["review gradcam"]), REVIEWS)}
    assert {c: row["decision"] for c, row in reviews.items()} == {1: "swap", 2: "abstain", 3: "keep"}
    assert {(row["reviewer"], row["reason"]) for row in reviews.values()} == {tuple(WHO.values())}
    when = datetime.fromisoformat(reviews[1]["decided"])
    assert 0 <= (datetime.now(UTC) - when).total_seconds() < 3600
    for day in DATES:
        adjusted = rows_of(store.open(reviewed.artifacts[f"adjusted gradcam {day}"]), ADJUSTED)
        assert [row["adjusted"] for row in adjusted] == [adjusted_by_hand(row) for row in adjusted]
        assert all(is_doubted(row) == doubts(row) for row in decided_rows(store, reviewed, day))
    metrics = rows_of(store.open(reviewed.artifacts["metrics gradcam"]), METRICS)
    assert [row["state"] for row in metrics if row["split"] == "val"] == [
        "before",
        "after",
        "cross-fitted rule",
        "decided",
    ]
    page = (local(store.root / reviewed.report).with_name("analysis.html")).read_text()
    assert "Reviewed by Ada Field" in page and "cluster 2: abstain" in page and "a marker | in every map" in page
    assert verify_store(store).problems == []


def test_later_runs_take_the_decision_up_without_asking(store: Store, reviewed: CampaignRecord) -> None:
    assert analyse_campaign(asking(1), str(store.root)).artifacts == reviewed.artifacts
    texts = artifact_texts(last_run().id)
    assert "Ada Field" in texts["review"] and "review-gradcam" not in texts
    silent = analyse_campaign(small_campaign(), str(store.root))
    assert silent.artifacts["adjusted gradcam 2022-08-25"] == reviewed.artifacts["adjusted gradcam 2022-08-25"]


def test_new_dates_honour_a_decision_and_are_renewed_with_it(store: Store, reviewed: CampaignRecord) -> None:
    """A scored date follows the decision, another decision, and the rule again, each in place of the one before."""
    season = SeasonParams(
        dates=tuple(sorted((*DATES, NEW_DAY))), n_plots=2, rows=3, plants_per_row=10, image_size=64, seed=1
    )
    fixed: dict[str, Any] = {
        "source": SyntheticSource(season=season),
        "arrival": ArrivalParams(settle_seconds=0, patience_minutes=0),
    }
    score_acquisition("small", NEW_DAY, str(store.root), **fixed)
    rows = of_new_day(store, reviewed)
    assert rows and [row["adjusted"] for row in rows] == [adjusted_by_hand(row) for row in rows]
    decided = of_new_day(store, reviewed, "decided")
    assert len(decided) == len(rows) and all(is_doubted(row) == doubts(row) for row in decided)
    assert {row["decision"] for row in decided if row["cluster"] == 2} <= {"check"}
    decide(store, reviewed, "gradcam", {3: "swap"}, "Bo", "second look")
    renewed = renew_campaign("small", str(store.root))
    rule = {
        row["cluster"]: row["is_proposed"] for row in rows_of(store.open(renewed.artifacts["swaps gradcam"]), SWAPS)
    }
    expected = {**rule, 3: True}
    assert {
        row["is_swapped"] is expected[row["cluster"]] for row in (*of_new_day(store, renewed), *published_rows(store))
    } == {True}
    assert len(of_new_day(store, renewed)) == len(rows) and of_new_day(store, reviewed) == rows
    made_before = {
        role: ref for role, ref in renewed.artifacts.items() if role.split()[0] in ("classifier", "saliency")
    }
    assert made_before == {role: reviewed.artifacts[role] for role in made_before} != {}
    assert forget_decisions(store, renewed, "gradcam")
    by_rule = renew_campaign("small", str(store.root))
    assert "review gradcam" not in by_rule.artifacts
    assert {
        row["is_swapped"] is rule[row["cluster"]] for row in (*of_new_day(store, by_rule), *published_rows(store))
    } == {True}
    assert list(published(store, "reviews")) == []
    scored = find_acquisition(store, "small", NEW_DAY, fit_digest(by_rule.artifacts))
    assert scored is not None and scored.artifacts["swaps gradcam"] == by_rule.artifacts["swaps gradcam"]
    assert verify_store(store).problems == []


def of_new_day(store: Store, fitted: CampaignRecord, table: str = "adjusted") -> list[dict[str, Any]]:
    """Rows of the scored date by the fit, with decisions, of a record."""
    record = find_acquisition(store, "small", NEW_DAY, fit_digest(fitted.artifacts))
    assert record is not None
    return rows_of(store.open(record.artifacts[f"{table} gradcam {NEW_DAY}"]), TABLES[table])


def decided_rows(store: Store, fitted: CampaignRecord, day: date) -> list[dict[str, Any]]:
    return rows_of(store.open(fitted.artifacts[f"decided gradcam {day}"]), DECIDED)


def is_doubted(row: dict[str, Any]) -> bool:
    """Whether a row of `decided` says that a person speaks against its answer."""
    assert row["check_reason"] == "" or row["decision"] == "check"
    return "reviewed" in row["check_reason"].split()


def doubts(row: dict[str, Any]) -> bool:
    """Whether the choices of `FORM` do: swapped answers must differ from the predicted class, kept ones may not."""
    return {1: row["answer"] == row["predicted"], 2: True, 3: row["answer"] != row["predicted"]}[row["cluster"]]


def published_rows(store: Store) -> list[dict[str, Any]]:
    """Rows of all dates, which are there once: those of the present decisions."""
    rows = list(published(store, "adjusted"))
    assert len({(row["date"], row["plant_id"]) for row in rows}) == len(rows)
    assert {row["date"] for row in rows} == {f"date={day}" for day in (*DATES, NEW_DAY)}
    return rows


def test_other_clusters_have_no_review(store: Store, reviewed: CampaignRecord) -> None:
    assert find_review(store, "small", ArtifactRef(kind="scores", digest="0" * 24)) is None
