"""Names and tags of flow runs that wait, begin, run in a terminal, or crash before they begin, with a real server."""

import json
from collections.abc import Generator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect import flow, get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactCollectionFilter,
    ArtifactCollectionFilterKey,
    FlowRunFilter,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State
from prefect.flow_engine import run_flow
from prefect.states import Completed, Crashed, Failed, Running

from deployments.runs import LastRuns, unended
from deployments.sweep import label_waiting
from flows.notices import note_failure
from flows.running.labels import TERMINAL, run_name, tag_run
from flows.running.sending import send
from tests.support.season_runs import artifacts_of

FLOW, DAY = "score-acquisition", "2021-09-06"


@flow(name=FLOW, flow_run_name=run_name, on_running=[tag_run])
def score_nothing(campaign: str, date: date) -> None:
    """Stand for the flow of this name, which takes a minute."""


@flow(name="discover-acquisitions", flow_run_name=run_name, on_running=[tag_run])
def score_in_place(campaign: str, day: date) -> None:
    score_nothing(campaign, day)


@pytest.fixture(scope="module")
def client() -> Generator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture(scope="module")
def deployment(client: SyncPrefectClient) -> Generator[UUID]:
    """A deployment of a pool without a worker, which other tests' runs are not sent to."""
    made = client.create_deployment(client.create_flow_from_name(FLOW), "named", tags=["acquisition"])
    yield made
    client.delete_deployment(made)


@pytest.fixture
def campaign() -> str:
    """A campaign that no other test's runs are of."""
    return f"field.{uuid4().hex[:8]}"


def tags_of(campaign: str, *more: str) -> set[str]:
    return {f"campaign:{campaign}", f"date:{DAY}", *more}


def runs_of(client: SyncPrefectClient, campaign: str) -> dict[str, FlowRun]:
    """Flow runs with the tag of a campaign, by name."""
    tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=[f"campaign:{campaign}"]))
    return {run.name: run for run in client.read_flow_runs(flow_run_filter=tagged)}


def waiting(client: SyncPrefectClient, deployment: UUID, campaign: str) -> FlowRun:
    """A run of the UI, of a schedule or of an automation, which Prefect names."""
    return client.create_flow_run_from_deployment(deployment, parameters={"campaign": campaign, "date": DAY})


def test_what_is_sent_has_its_name_and_tags_from_the_start(
    client: SyncPrefectClient, deployment: UUID, campaign: str
) -> None:
    run = send(f"{FLOW}/named", {"campaign": campaign, "date": DAY}, f"score {uuid4()}")
    assert (run.name, {*run.tags}) == (f"score {campaign} {DAY}", tags_of(campaign, "acquisition"))
    run_flow(score_nothing, flow_run=run, parameters={"campaign": campaign, "date": DAY})
    ended = client.read_flow_run(run.id)
    assert (ended.state_name, ended.name, {*ended.tags}) == ("Completed", run.name, {*run.tags})


def test_what_waits_is_named_by_the_sweep(client: SyncPrefectClient, deployment: UUID, campaign: str) -> None:
    run, going_on = (waiting(client, deployment, campaign) for _ in range(2))
    client.set_flow_run_state(going_on.id, Running(), force=True)
    assert run.name != f"score {campaign} {DAY}" and run.tags == ["acquisition"]
    for _ in range(2):
        label_waiting(client, unended(client, {FLOW: deployment}))
        found = client.read_flow_run(run.id)
        assert (found.name, {*found.tags}) == (f"score {campaign} {DAY}", tags_of(campaign, "acquisition"))
    assert client.read_flow_run(going_on.id).name == going_on.name  # it names itself


def test_who_begins_a_run_names_it_and_tags_those_of_a_terminal(
    client: SyncPrefectClient, deployment: UUID, campaign: str
) -> None:
    run = waiting(client, deployment, campaign)
    run_flow(score_nothing, flow_run=run, parameters=run.parameters)
    begun = client.read_flow_run(run.id)
    assert (begun.name, {*begun.tags}) == (f"score {campaign} {DAY}", tags_of(campaign, "acquisition"))
    client.delete_flow_run(run.id)
    score_in_place(campaign, date.fromisoformat(DAY))
    runs = runs_of(client, campaign)
    assert {name: {*one.tags} for name, one in runs.items()} == {
        f"discover {campaign}": {f"campaign:{campaign}", TERMINAL},
        f"score {campaign} {DAY}": tags_of(campaign),  # a run of the other, not of the terminal
    }


def test_a_notice_names_campaign_and_date_of_a_run_that_never_began(
    client: SyncPrefectClient, deployment: UUID, campaign: str, tmp_path: Path
) -> None:
    run = waiting(client, deployment, campaign)
    client.set_flow_run_state(run.id, Crashed(message="killed"), force=True)
    gone = uuid4()
    for failed, name in ((run.id, run.name), (gone, "quick-fox")):
        note_failure(str(tmp_path), str(failed), name, "Crashed", "killed", "http://ui")
    first, second = (json.loads(line) for line in (tmp_path / "notices.jsonl").read_text().splitlines())
    name = f"score {campaign} {DAY}"
    assert (first["flow_run"], first["campaign"], first["date"]) == (name, campaign, DAY)
    assert (second["flow_run"], second["campaign"], second["date"]) == ("quick-fox", "", "")
    runs = runs_of(client, campaign)
    assert runs.keys() == {name, f"note Crashed of {name}"}
    assert runs[name].id == run.id and {*runs[name].tags} == tags_of(campaign, "acquisition")
    note = runs[f"note Crashed of {name}"]
    assert tags_of(campaign) <= {*note.tags}
    spelt = campaign.replace(".", "-")
    assert artifacts_of(note.id).keys() == {f"{spelt}--d--notice-{DAY}"}


def test_artifacts_of_campaigns_with_alike_names_stay_apart(
    client: SyncPrefectClient, deployment: UUID, tmp_path: Path
) -> None:
    """Prefect shows the artifacts of a key as one history."""
    word = uuid4().hex[:8]
    names = [f"{word}{one}b" for one in "._-"]
    for name in names:
        run = waiting(client, deployment, name)
        note_failure(str(tmp_path), str(run.id), run.name, "Crashed", "killed", "http://ui")
    alike = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(like_=f"{word}-b"))
    latest = client.read_latest_artifacts(artifact_filter=alike)
    assert {one.description for one in latest} == {f"score {name} {DAY}" for name in names}


def test_the_last_run_of_each_date(client: SyncPrefectClient, deployment: UUID, campaign: str) -> None:
    def end(*states: State[Any]) -> None:
        for state in states:
            run = waiting(client, deployment, campaign)
            client.set_flow_run_state(run.id, Running(), force=True)
            client.set_flow_run_state(run.id, state, force=True)

    def states() -> list[tuple[str, str, bool]]:
        found = last.look(client, [FLOW], datetime.now(UTC))
        return [(one.date, one.state, one.went_wrong) for one in found if one.campaign == campaign]

    last = LastRuns()
    end(Completed(), Failed())
    assert states() == [(DAY, "Failed", True)]
    end(Crashed())
    assert states() == [(DAY, "Crashed", True)]
    score_nothing(campaign, date.fromisoformat(DAY))  # as `harvest score` does
    assert states() == [(DAY, "Completed", False)]
    assert [one.at > datetime.now(UTC) - timedelta(minutes=5) for one in last.look(client, [FLOW], datetime.now(UTC))]
