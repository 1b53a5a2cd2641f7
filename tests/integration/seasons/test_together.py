"""A backfill on a server: one process scores several dates, each in a flow run of its own."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.flow_engine import run_flow
from prefect.flows import Flow

from flows.acquisition import SCORING_SLOTS
from flows.backfill import BackfillError, backfill_seasons
from flows.dates import score_dates
from flows.fit import GPU_LIMIT, fit_and_explain
from flows.parameters import BackfillParams
from flows.running.names import VERBS
from storage.records.campaigns import CampaignRecord
from tests.support.campaigns import most_at_once
from tests.support.season_fields import TINY, YEAR_LATER, spoil, write_field
from tests.support.season_runs import flow_runs, one_slot_of

DAYS = YEAR_LATER[:3]
BROKEN = DAYS[1]


@pytest.fixture
def server(deployed: None) -> Generator[None]:
    """A server with the deployments that score and fit dates, whose pools have no worker."""
    names = ("score-dates", "fit-and-explain")
    with get_client(sync_client=True) as client, one_slot_of(SCORING_SLOTS), one_slot_of(GPU_LIMIT):
        made = [client.create_deployment(client.create_flow_from_name(name), name) for name in names]
        yield
        for one in made:
            client.delete_deployment(one)


@contextmanager
def workers(*flows: Flow[..., Any]) -> Generator[list[str]]:
    """Take runs of several dates as the workers of two pools do, in a thread for each flow; yields their names."""
    taken, is_over = list[str](), threading.Event()

    def work(flow: Flow[..., Any]) -> None:
        while not is_over.wait(0.3):
            for run in flow_runs(f"{VERBS[flow.name]} year ".strip()):
                if run.name.endswith(f"..{DAYS[-1]}") and run.state_name == "Scheduled":
                    taken.append(run.name)
                    run_flow(flow, flow_run=run, parameters=run.parameters)

    threads = [threading.Thread(target=copy_context().run, args=(work, flow)) for flow in flows]
    for thread in threads:
        thread.start()
    try:
        yield taken
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def test_one_process_scores_the_dates_of_a_season(
    server: None, fitted: CampaignRecord, store: Path, tmp_path: Path
) -> None:
    root = write_field(tmp_path / "year", dates=DAYS, seed=7, **TINY)
    spoil(root, BROKEN)
    season = {"campaign": "year", "fitted_by": "small", "source": {"kind": "growliflower", "root": str(root)}}
    params = BackfillParams.model_validate({"name": "one-process", "at_most": 1, "seasons": [season]})
    with workers(score_dates, fit_and_explain) as taken, pytest.raises(BackfillError) as caught:
        backfill_seasons(params, str(store))
    span = f"{DAYS[0]}..{DAYS[-1]}"
    assert taken == [f"score year {span}", f"year {span}"]  # one process of each pool; no other run needed a worker
    rows = caught.value.rows
    assert [(row["acquired"], row["state"]) for row in rows] == [
        (str(day), "failed" if day == BROKEN else "scored") for day in DAYS
    ]
    assert "may be bad" in rows[1]["detail"]
    scoring = [run for run in flow_runs("score year ") if ".." not in run.name]
    assert [(str(run.id), run.state_name) for run in scoring] == [
        (row["flow_run"], "Failed" if row["state"] == "failed" else "Completed") for row in rows
    ]
    assert [run.name for run in scoring] == [f"score year {day}" for day in DAYS] and most_at_once(scoring) == 1
    for run, day in zip(scoring, DAYS, strict=True):  # as where each has a process of its own
        assert run.deployment_id is not None and run.idempotency_key is not None and run.run_count == 1
        assert {"campaign:year", f"date:{day}"} <= {*run.tags} and "terminal" not in run.tags
