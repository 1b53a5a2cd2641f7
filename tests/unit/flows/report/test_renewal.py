"""Tests that no scored date is missing in a campaign's report, in whatever order runs write and publish."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from threading import Barrier, Lock
from typing import Any

import pytest

from flows.parameters import CampaignParams
from flows.report.renewal import Shown, renew_report, shown_now, what_to_show
from storage.artifacts import ArtifactRef, Recipe, Store
from storage.errors import InputError
from storage.published.publish import publish_report
from storage.records.acquisitions import AcquisitionRecord, fit_digest, write_acquisition
from storage.records.campaigns import CampaignRecord, write_record
from tasks.sources.folder.source import FolderSource
from tests.support.local_stores import local

FIRST = date(2021, 8, 23)
NEW = [FIRST + timedelta(days=days) for days in (7, 9, 11, 13)]
PARAMS = CampaignParams(campaign="field2", dates=(FIRST,), source=FolderSource(root="images"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    files = Store(tmp_path)
    fit(files, "1")
    return files


def made(store: Store, kind: str, **params: Any) -> ArtifactRef:
    recipe = Recipe(kind, 1, params)
    if not store.holds(recipe.ref):
        with store.create(recipe):
            pass
    return recipe.ref


def fit(store: Store, seed: str) -> dict[str, ArtifactRef]:
    """Record a run of the campaign; each seed has a classifier of its own."""
    artifacts = {kind: made(store, kind.split()[0], seed=seed) for kind in ("classifier", "clusters gradcam")}
    report = made(store, "report", seed=seed)
    fields: dict[str, Any] = {"params": PARAMS.model_dump(mode="json"), "artifacts": {**artifacts, "report": report}}
    write_record(store, CampaignRecord(campaign="field2", report="reports/field2/index.html", **fields))
    return artifacts


def score(store: Store, day: date) -> None:
    """Record a date as scored by the current fit."""
    artifacts = {f"images {day}": made(store, "images", day=day.isoformat())}
    present = fit_digest(shown_now(store, "field2").artifacts)
    fields: dict[str, Any] = {"params": {}, "artifacts": artifacts, "fit": present}
    write_acquisition(store, AcquisitionRecord(campaign="field2", date=day, fitted_by="field2", **fields))


def write(store: Store, **shown: Any) -> ArtifactRef:
    """Write a report that lists its dates and the digest of its classifier."""
    text = " ".join([*shown["scored"], shown["artifacts"]["classifier"].digest])
    recipe = Recipe("report", 1, {"text": text})
    if not store.holds(recipe.ref):
        with store.create(recipe) as draft:
            draft.write_bytes("index.html", text.encode())
    return recipe.ref


def renew(store: Store, before_publishing: Callable[[], None] = lambda: None, **changes: Any) -> list[str]:
    """Renew the report, and return every text that was published, in order."""
    published: list[str] = []

    def publish(report: ArtifactRef) -> None:
        before_publishing()
        published.append(local(publish_report(store, report, "field2")).read_text())

    given: dict[str, Any] = {"write": partial(write, store), "publish": publish, **changes}
    renew_report(store, "field2", **given)
    return published


def dates(text: str) -> list[str]:
    *found, _ = text.split()
    return [word for word in found if word != "images"]


def test_every_scored_date_is_shown(store: Store) -> None:
    score(store, NEW[0])
    assert [dates(text) for text in renew(store)] == [[str(NEW[0])]]
    score(store, NEW[1])
    assert [dates(text) for text in renew(store)] == [[str(NEW[0]), str(NEW[1])]]


def test_what_a_run_has_just_published_is_not_published_again(store: Store) -> None:
    shown = shown_now(store, "field2")
    assert shown == what_to_show(store, PARAMS, shown.artifacts)
    assert renew(store, published=shown) == []
    score(store, NEW[0])
    assert [dates(text) for text in renew(store, published=shown)] == [[str(NEW[0])]]


def test_a_date_scored_while_the_report_is_written_is_in_it(store: Store) -> None:
    written: list[Shown] = []

    def write_slowly(**shown: Any) -> ArtifactRef:
        if not written:
            score(store, NEW[0])
        written.append(Shown(**shown))
        return write(store, **shown)

    assert [dates(text) for text in renew(store, write=write_slowly)] == [[str(NEW[0])]]
    assert len(written) == 2


def test_a_date_scored_while_the_report_is_published_is_in_the_next(store: Store) -> None:
    late = [NEW[0]]

    def score_once() -> None:
        if late:
            score(store, late.pop())

    published = renew(store, before_publishing=score_once)
    assert [dates(text) for text in published] == [[], [str(NEW[0])]]


def test_a_new_fit_s_report_replaces_that_of_the_old(store: Store) -> None:
    """Show neither the old fit's dates nor its report after a new fit."""
    score(store, NEW[0])
    newer: list[dict[str, ArtifactRef]] = []

    def fit_again() -> None:
        if not newer:
            newer.append(fit(store, "2"))

    _, last = renew(store, before_publishing=fit_again)
    assert last == newer[0]["classifier"].digest


def test_dates_scored_at_the_same_time_are_all_shown(store: Store) -> None:
    """Publish from several threads: the last one to publish has read every record."""
    together, guard = Barrier(len(NEW)), Lock()

    def score_and_renew(day: date) -> None:
        with guard:
            score(store, day)
        together.wait()
        renew(store)

    with ThreadPoolExecutor(len(NEW)) as pool:
        list(pool.map(score_and_renew, NEW))
    text = (local(store.root / "reports/field2/index.html")).read_text()
    assert dates(text) == [str(day) for day in NEW]


def test_a_campaign_that_was_never_run_has_no_report(store: Store) -> None:
    with pytest.raises(InputError, match="no record of 'field9'"):
        shown_now(store, "field9")
