"""Compare what people found with answers, and refuse what cannot be right; by cases worked by hand."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from storage.errors import InputError
from storage.published.forms import Form
from storage.records.checks import Check
from tasks.export.checking import Answers, Whose, checks_of, class_of, open_audit, read_time, start_of, tally
from tasks.export.entries import Entry
from tasks.export.forms import form_of

DAY = date(2021, 9, 3)
NOW = datetime(2021, 9, 10, 12, tzinfo=UTC)
BO = Whose("Bo", datetime(2021, 9, 5, 9, tzinfo=UTC))
FORM = form_of(("not_ready", "ready"))


def answer(plant: str, decision: str, right: str, **changes: Any) -> dict[str, Any]:
    row = {"plant_id": plant, "decision": decision, "answer": right, "method": "gradcam"}
    return {**row, "answer_reliability": 0.9, "is_audit": False, **changes}


ROWS = [
    answer("a", "harvest", "ready", is_audit=True),
    answer("b", "harvest", "ready"),
    answer("c", "leave", "not_ready", is_audit=True),
    answer("d", "check", "not_ready"),
]
ANSWERS = Answers(
    "field",
    DAY,
    FORM,
    ("harvest", "leave", "check"),
    {row["plant_id"]: row for row in ROWS},
    frozenset(("a", "b", "c", "d", "seen")),
)


def entry(plant: str, found: str = "yes", by: str = "Ada", at: str = "2021-09-04T08:00Z", remark: str = "") -> Entry:
    return Entry("line 2", plant, found, by, at, remark)


def checks(*entries: Entry, whose: Whose = BO) -> list[Check]:
    return checks_of("walk.csv", entries, ANSWERS, whose, NOW)


def test_a_check_has_what_was_said_and_what_was_answered() -> None:
    (found,) = checks(entry("a", "no", remark="small"))
    assert (found.campaign, found.date, found.plant_id) == ("field", DAY, "a")
    assert (found.found, found.checked_by, found.remark) == ("not_ready", "Ada", "small")
    assert found.checked_at == datetime(2021, 9, 4, 8, tzinfo=UTC)
    assert (found.answer, found.decision, found.method) == ("ready", "harvest", "gradcam")
    assert (found.answer_reliability, found.is_audit) == (0.9, True)


def test_what_an_entry_does_not_say_is_said_for_all() -> None:
    (found,) = checks(entry("b", by="", at=""))
    assert (found.checked_by, found.checked_at) == (BO.by, BO.at)


def test_equal_entries_are_one_check_and_others_are_kept() -> None:
    found = checks(entry("a"), entry("a"), entry("a", "no"), entry("a", by="Bo"))
    assert [(one.found, one.checked_by) for one in found] == [("ready", "Ada"), ("not_ready", "Ada"), ("ready", "Bo")]


@pytest.mark.parametrize(
    ("word", "found"),
    [("yes", "ready"), ("YES", "ready"), ("No", "not_ready"), ("not ready", "not_ready"), ("Not_Ready", "not_ready")],
)
def test_words_mean_classes_however_they_are_written(word: str, found: str) -> None:
    assert class_of(word, FORM) == found


@pytest.mark.parametrize("word", ["ja", "1", "true", "ye s", "yes!", "harvest"])
def test_other_words_mean_nothing(word: str) -> None:
    assert class_of(word, FORM) is None


def test_a_word_of_the_form_stands_before_a_class_of_the_same_name() -> None:
    assert class_of("no", Form("checked_ready", {"yes": "no", "no": "other"})) == "other"


def test_other_classes_are_named() -> None:
    form = form_of(("healthy", "scab", "brown rot"))
    assert class_of("Brown_Rot", form) == "brown rot" and class_of("yes", form) is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (entry("x"), "plant 'x' is none of 2021-09-03"),
        (entry("seen"), "plant 'seen' has no answer on 2021-09-03"),
        (entry("a", "maybe"), "checked_ready is 'maybe'; it must be one of yes, no"),
        (entry("a", at="noon"), "checked_at is 'noon'"),
        (entry("a", at="2021-09-11 03:00+00:00"), "in the future"),
        (entry("a", at="2021-09-02 23:59+00:00"), "before the images of 2021-09-03"),
    ],
)
def test_what_cannot_be_right_is_refused_with_its_row(wrong: Entry, said: str) -> None:
    with pytest.raises(InputError) as caught:
        checks(entry("b"), wrong)
    assert caught.value.found.startswith("walk.csv has 1 row that cannot be taken:\n    line 2: ")
    assert said in caught.value.found and "Nothing was recorded" in caught.value.remedy


def test_somebody_must_have_looked() -> None:
    with pytest.raises(InputError, match="checked_by is empty, and --by is not given"):
        checks(entry("a", by=""), whose=Whose("", BO.at))


def test_many_wrong_rows_are_counted() -> None:
    with pytest.raises(InputError, match="has 12 rows that cannot be taken") as caught:
        checks(*[entry(f"x{i}") for i in range(12)])
    assert caught.value.found.count("\n") == 11 and caught.value.found.endswith("and 2 more")


def test_local_times_that_pass_for_utc_are_not_in_the_future() -> None:
    """A person two hours ahead of UTC looked at 13:30 there; the file says 13:30 UTC, and it is 12:00 UTC now."""
    assert len(checks(entry("a", at="2021-09-10 13:30Z"))) == 1


@pytest.mark.parametrize("text", ["2021-09-03 14:30", "2021-09-03T14:30:00", "03.09.2021 14:30", "03.09.2021 14:30:00"])
def test_times_without_a_zone_are_those_of_this_machine(text: str) -> None:
    assert read_time(text) == datetime(2021, 9, 3, 14, 30).astimezone()


@pytest.mark.parametrize("text", ["2021-09-03", "03.09.2021", "2021-09-03 00:00"])
def test_a_day_is_its_beginning(text: str) -> None:
    assert read_time(text) == start_of(DAY)


def test_a_stated_zone_counts() -> None:
    found = read_time("2021-09-03T14:30:00+02:00")
    assert found == datetime(2021, 9, 3, 12, 30, tzinfo=UTC) and found.utcoffset() == timedelta(hours=2)
    assert found.tzinfo == timezone(timedelta(hours=2))


@pytest.mark.parametrize("text", ["", "3/9/2021", "14:30", "2021-13-01", "yesterday"])
def test_other_texts_are_no_times(text: str) -> None:
    assert read_time(text) is None


def test_counts_by_decision() -> None:
    found = checks(entry("a", "yes"), entry("b", "no"), entry("c", "yes"), entry("d", "no"))
    row = dict.fromkeys(("n_right", "n_wrong", "n_audit", "n_audit_wrong"), 0)
    assert tally(found, ANSWERS.decisions) == [
        {**row, "decision": "harvest", "n": 2, "n_right": 1, "n_wrong": 1, "n_audit": 1},
        {**row, "decision": "leave", "n": 1, "n_wrong": 1, "n_audit": 1, "n_audit_wrong": 1},
        {**row, "decision": "check", "n": 1, "n_right": 1},
    ]


def test_plants_drawn_stay_open_until_somebody_looks() -> None:
    assert open_audit(ANSWERS, []) == ["a", "c"]
    assert open_audit(ANSWERS, ["c", "b"]) == ["a"]
