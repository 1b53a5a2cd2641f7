"""Which run makes which damaged part of a store again, and what is left to people."""

from pathlib import Path

import pytest

from storage.artifacts import Store
from storage.published.manifests import publish_files
from storage.published.publish import partition, table_manifest
from storage.records.acquisitions import list_acquisitions, read_acquisition
from storage.records.campaigns import read_record, write_record
from storage.repair import (
    BY_PEOPLE,
    CACHED,
    EARLIER_FIT,
    NO_RUN,
    NOT_RESTED_ON,
    UNKNOWN_RUN,
    plan_repairs,
    present_record,
)
from storage.tables import FOUND
from tests.support.store_history import DAYS, History


@pytest.fixture
def history(tmp_path: Path) -> History:
    """A campaign that was fitted twice, whose both dates were scored by the second fit and one by the first."""
    history = History(tmp_path, 0)
    history.fit()
    history.score()
    history.fit()
    while len(list_acquisitions(history.store)) < 3:
        history.score()
    return history


def made_by(store: Store, place: str) -> tuple[list[str], list[object], str]:
    plan = plan_repairs(store, [place])
    return list(plan.campaigns), [day for _, day in plan.dates], plan.kept.get(place, "")


def test_artefacts_are_made_again_by_what_rests_on_them(history: History) -> None:
    store = history.store
    fitted = read_record(store, "field").artifacts
    present = {day: present_record(store, ("field", day)) for day in DAYS}
    for ref in fitted.values():
        assert made_by(store, f"artifacts/{ref}") == (["field"], [], "")
    assert made_by(store, f"artifacts/{history.images[0]}") == (["field"], [], "")  # also beneath the saliency maps
    for day, record in present.items():
        assert record is not None
        assert made_by(store, f"artifacts/{record.artifacts['decided gradcam']}") == ([], [day], "")
        assert made_by(store, f"acquisitions/field/{day}/{record.fit}.json") == ([], [day], "")
        assert made_by(store, f"tables/decided/campaign=field/date={day}") == ([], [day], "")
        assert made_by(store, f"exports/field/{day}") == ([], [day], "")
    (earlier,) = (one for one in map(read_acquisition, list_acquisitions(store)) if one not in present.values())
    assert made_by(store, f"artifacts/{earlier.artifacts['decided gradcam']}") == ([], [], NOT_RESTED_ON)
    assert made_by(store, f"acquisitions/field/{earlier.date}/{earlier.fit}.json") == ([], [], EARLIER_FIT)


def test_a_date_in_a_campaign_s_report_is_scored_by_its_own_run(history: History) -> None:
    store, record = history.store, present_record(history.store, ("field", DAYS[0]))
    assert record is not None
    decided = record.artifacts["decided gradcam"]
    report = history.make("report", {"decided": decided})
    fitted = read_record(store, "field")
    write_record(store, fitted.model_copy(update={"artifacts": {**fitted.artifacts, "report": report}}))
    assert made_by(store, f"artifacts/{decided}") == ([], [DAYS[0]], "")
    assert made_by(store, f"artifacts/{report}") == (["field"], [], "")


def test_what_is_published_is_published_again_by_its_campaign(history: History) -> None:
    store = history.store
    assert made_by(store, "reports/field") == (["field"], [], "")
    assert made_by(store, "tables/metrics/campaign=field") == (["field"], [], "")
    assert made_by(store, "tables/decided/campaign=field/date=2026-08-01") == (["field"], [], "")  # its own date
    assert made_by(store, "exports/field/2026-08-01") == (["field"], [], "")
    assert made_by(store, "campaigns/field.json") == (["field"], [], "")  # readable, and names an absent artefact
    for place in ("reports/lost", "exports/field/2026-01-01", "tables/checks/campaign=field/date=2026-08-01"):
        assert made_by(store, place) == ([], [], NO_RUN)
    assert made_by(store, "tables/backfill/backfill=years") == ([], [], NO_RUN)


def test_what_people_found_is_published_again_by_its_campaign(history: History) -> None:
    store = history.store
    lone, found = (history.make("found", {"n": n}) for n in range(2))
    folder = partition(store, FOUND, "field", None)
    publish_files(folder, table_manifest(store, folder), [found], lambda: {"part-0.parquet": b"rows"})
    assert made_by(store, "tables/found/campaign=field") == (["field"], [], "")
    assert made_by(store, "tables/found/campaign=lost") == ([], [], NO_RUN)
    assert made_by(store, f"artifacts/{found}") == (["field"], [], "")
    assert made_by(store, f"artifacts/{lone}") == ([], [], NOT_RESTED_ON)


def test_what_people_gave_is_left_to_people(history: History, tmp_path: Path) -> None:
    store = history.store
    for place in ("reviews/field/1.json", "checks/field/2026-08-20/1.json"):
        assert made_by(store, place) == ([], [], BY_PEOPLE)
    assert made_by(store, "prefect-results") == ([], [], CACHED)
    day, fit = DAYS[0], present_record(store, ("field", DAYS[0]))
    assert fit is not None
    (tmp_path / "acquisitions" / "field" / str(day) / f"{fit.fit}.json").write_bytes(b"")
    assert made_by(store, f"acquisitions/field/{day}/{fit.fit}.json") == ([], [day], "")
    (tmp_path / "campaigns" / "field.json").write_bytes(b"")
    assert made_by(store, "campaigns/field.json") == ([], [], UNKNOWN_RUN)
    assert made_by(store, f"acquisitions/field/{day}/{fit.fit}.json") == ([], [], EARLIER_FIT)
    assert made_by(store, "acquisitions/field/soon/0.json") == ([], [], EARLIER_FIT)
