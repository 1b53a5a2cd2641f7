"""Check that what people found is kept for good, and which of several checks of a plant stands."""

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from storage.artifacts import Recipe, Store
from storage.errors import ArtifactError
from storage.records.checks import Check, CheckedFile, keep_checks, read_checks, standing_checks
from storage.verify import verify_store
from tests.support.local_stores import local

DAY = date(2021, 9, 3)
NOON = datetime(2021, 9, 4, 12, tzinfo=UTC)


def check(plant: str, found: str, by: str = "Ada", minutes: int = 0, day: date = DAY) -> Check:
    return Check(
        campaign="field",
        date=day,
        plant_id=plant,
        found=found,
        checked_by=by,
        checked_at=NOON + timedelta(minutes=minutes),
        remark="",
        method="gradcam",
        answer="ready",
        answer_reliability=0.97,
        decision="harvest",
        is_audit=False,
    )


def checked_file(*checks: Check, hour: int = 0, sha256: str = "a" * 64, day: date = DAY) -> CheckedFile:
    return CheckedFile(
        campaign="field",
        date=day,
        file="sheet.xlsx",
        sha256=sha256,
        imported_by="Bo",
        imported_at=NOON + timedelta(hours=hour),
        checks=list(checks),
    )


def test_files_are_kept_beside_each_other_in_order_of_import(tmp_path: Path) -> None:
    store, other = Store(tmp_path), DAY + timedelta(days=7)
    keep_checks(store, checked_file(check("P2", "ready"), hour=3, sha256="b" * 64))
    path = keep_checks(store, checked_file(check("P1", "ready"), hour=1))
    keep_checks(store, checked_file(check("P9", "ready", day=other), hour=2, day=other))
    assert local(path).name == f"20210904T130000.000000Z-{'a' * 24}.json"
    assert [one.plant_id for one in read_checks(store, "field")] == ["P1", "P9", "P2"]
    assert [one.plant_id for one in read_checks(store, "field", DAY)] == ["P1", "P2"]
    assert read_checks(store, "other") == []


def test_the_later_look_stands_whenever_it_came_back() -> None:
    late, early = check("P1", "ready", "Ada", 5), check("P1", "not_ready", "Bo", 1)
    for order in ((late, early), (early, late)):
        standing, contradictions = standing_checks(order)
        assert standing == {(DAY, "P1"): late}
        assert [(one.stands, one.others) for one in contradictions] == [(late, (early,))]


def test_of_looks_at_one_time_the_later_import_stands() -> None:
    first, second = check("P1", "ready", "Ada"), check("P1", "not_ready", "Bo")
    assert standing_checks([first, second])[0][DAY, "P1"] == second
    assert standing_checks([second, first])[0][DAY, "P1"] == first


def test_only_different_classes_of_one_plant_and_date_contradict() -> None:
    other = DAY + timedelta(days=7)
    found = [check("P1", "ready"), check("P1", "ready", "Bo", 5), check("P2", "not_ready")]
    standing, contradictions = standing_checks([*found, check("P1", "not_ready", day=other)])
    assert list(standing) == [(DAY, "P1"), (DAY, "P2"), (other, "P1")] and contradictions == []


def test_times_are_compared_across_zones() -> None:
    """Check that 14:30 in a zone two hours ahead is after 12:00 UTC, and 13:30 there is not."""
    ahead = timezone(timedelta(hours=2))
    noon = check("P1", "ready")
    for hour, stands in ((14, "not_ready"), (13, "ready")):
        at = datetime(2021, 9, 4, hour, 30, tzinfo=ahead)
        other = check("P1", "not_ready").model_copy(update={"checked_at": at})
        assert standing_checks([other, noon])[0][DAY, "P1"].found == stands


def test_damage_is_no_check_less(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.create(Recipe("images", 1)) as draft:
        draft.write_bytes("file.bin", b"content")
    path = local(keep_checks(store, checked_file(check("P1", "ready"))))
    assert verify_store(store).problems == []
    content = path.read_bytes()
    path.write_bytes(content[:-9])
    with pytest.raises(ArtifactError, match="cannot be read as the record of checked plants"):
        read_checks(store, "field")
    path.write_bytes(content.replace(b'"field"', b'"other"'))
    with pytest.raises(ArtifactError, match="is the record of other 2021-09-03"):
        read_checks(store, "field")
    assert len(verify_store(store).problems) == 1
