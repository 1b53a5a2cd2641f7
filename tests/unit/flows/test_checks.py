"""Take files back into a store without a report: what is recorded, what the table says, and that nothing is lost."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from flows.checks import Imported, checks_of_date, import_files, publish_checks
from storage.artifacts import Store
from storage.errors import InputError
from storage.records.checks import read_checked_files
from storage.verify import verify_store
from tasks.export.checking import Whose
from tests.support.local_stores import local
from tests.unit.tasks.export.test_checking import ANSWERS, DAY

NOW = datetime(2021, 9, 10, 12, tzinfo=UTC)
BO = Whose("Bo", datetime(2021, 9, 5, 9, tzinfo=UTC))
HEADER = "plant_id,checked_ready,checked_by,checked_at,remark"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "store/artifacts").mkdir(parents=True)
    return Store(tmp_path / "store")


def filled(path: Path, *rows: str) -> Path:
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def take(store: Store, *files: Path, hours: int = 0) -> list[Imported]:
    return import_files(store, ANSWERS, files, BO, NOW + timedelta(hours=hours))


def table(store: Store) -> list[dict[str, Any]]:
    path = local(publish_checks(store, "field", DAY))
    return duckdb.read_parquet(str(path)).to_arrow_table().to_pylist()


def test_a_file_becomes_a_record_and_rows(store: Store, tmp_path: Path) -> None:
    path = filled(tmp_path / "walk.csv", "a,no,Ada,2021-09-04 08:00+00:00,small", "b,,,,", "c,no,,,", "d,,,,later")
    (said,) = take(store, path)
    assert said == Imported("walk.csv", n_new=2, n_known=0, n_untimed=1, n_blank=2, n_remarks=1)
    (record,) = read_checked_files(store, "field")
    assert (record.file, record.imported_by, len(record.checks)) == ("walk.csv", "Bo", 2)
    one, other = table(store)
    assert {name: one[name] for name in ("plant_id", "found", "checked_by", "checked_at", "remark")} == {
        "plant_id": "a",
        "found": "not_ready",
        "checked_by": "Ada",
        "checked_at": "2021-09-04T08:00:00+00:00",
        "remark": "small",
    }
    answered = ("method", "answer", "answer_reliability", "decision", "is_audit", "file", "imported_by", "stands")
    assert [one[name] for name in answered] == ["gradcam", "ready", 0.9, "harvest", True, "walk.csv", "Bo", True]
    assert (other["plant_id"], other["checked_by"], other["checked_at"]) == ("c", "Bo", "2021-09-05T09:00:00+00:00")
    assert verify_store(store).problems == []


def test_nothing_is_recorded_twice(store: Store, tmp_path: Path) -> None:
    """The first import counts, although the table is published again and the file has another name."""
    rows = ("a,yes,Ada,2021-09-04 08:00+00:00,", "c,no,,,")
    take(store, filled(tmp_path / "walk.csv", *rows))
    before = table(store)
    (again,) = take(store, filled(tmp_path / "copy.csv", *rows))
    assert (again.n_new, again.n_known) == (0, 2) and len(read_checked_files(store, "field")) == 1
    assert table(store) == before


def test_a_file_that_was_filled_in_further_adds_what_is_new(store: Store, tmp_path: Path) -> None:
    path = filled(tmp_path / "walk.csv", "a,yes,Ada,2021-09-04 08:00+00:00,", "c,,,,")
    take(store, path)
    (said,) = take(
        store, filled(path, "a,yes,Ada,2021-09-04 08:00+00:00,", "c,no,Ada,2021-09-06 08:00+00:00,"), hours=1
    )
    assert (said.n_new, said.n_known) == (1, 1)
    assert [row["plant_id"] for row in table(store)] == ["a", "c"]


def test_a_date_that_is_decided_again_keeps_what_was_answered(store: Store, tmp_path: Path) -> None:
    path = filled(tmp_path / "walk.csv", "a,yes,Ada,2021-09-04 08:00+00:00,")
    take(store, path)
    changed = {**ANSWERS.rows, "a": {**ANSWERS.rows["a"], "decision": "check", "answer_reliability": 0.5}}
    (said,) = import_files(store, replace(ANSWERS, rows=changed), [path], BO, NOW)
    assert said.n_new == 0
    assert [(row["decision"], row["answer_reliability"]) for row in table(store)] == [("harvest", 0.9)]


def test_the_later_look_stands_and_both_are_kept(store: Store, tmp_path: Path) -> None:
    late = filled(tmp_path / "late.csv", "a,yes,Ada,2021-09-05 08:00+00:00,")
    early = filled(tmp_path / "early.csv", "a,no,Bo,2021-09-04 08:00+00:00,")
    take(store, late)
    take(store, early, hours=1)
    assert [(row["found"], row["stands"]) for row in table(store)] == [("ready", True), ("not_ready", False)]
    (standing,), (contradiction,) = checks_of_date(store, "field", DAY)
    assert standing.checked_by == contradiction.stands.checked_by == "Ada"
    assert [one.checked_by for one in contradiction.others] == ["Bo"]


def test_two_people_in_one_file_contradict_each_other(store: Store, tmp_path: Path) -> None:
    at = "2021-09-04 08:00+00:00"
    take(store, filled(tmp_path / "walk.csv", f"a,yes,Ada,{at},", f"a,no,Bo,{at},", f"b,yes,Ada,{at},"))
    assert [row["stands"] for row in table(store)] == [False, True, True]
    _, (contradiction,) = checks_of_date(store, "field", DAY)
    assert (contradiction.stands.checked_by, contradiction.stands.found) == ("Bo", "not_ready")


def test_several_files_are_taken_together_or_not_at_all(store: Store, tmp_path: Path) -> None:
    good = filled(tmp_path / "good.csv", "a,yes,,,")
    bad = filled(tmp_path / "bad.csv", "x,yes,,,")
    with pytest.raises(InputError, match=r"bad\.csv has 1 row"):
        take(store, good, bad)
    assert read_checked_files(store, "field") == []
    one, other = take(store, good, filled(tmp_path / "more.csv", "a,yes,,,", "c,yes,,,"))
    assert (one.n_new, other.n_new, other.n_known) == (1, 1, 1)
    assert [record.file for record in read_checked_files(store, "field")] == ["good.csv", "more.csv"]


def test_dates_have_tables_of_their_own(store: Store, tmp_path: Path) -> None:
    take(store, filled(tmp_path / "walk.csv", "a,yes,,,"))
    assert len(table(store)) == 1
    assert local(publish_checks(store, "field", date(2021, 9, 10))).parent.name == "date=2021-09-10"
    assert len(table(store)) == 1
