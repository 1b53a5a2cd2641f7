"""Test the content of the field page: rows of dates and their lists, pictures, and the size of whole pages."""

import base64
import json
from typing import Any

import pytest

from tasks.report.field.data import field_data, groups_of, json_in_page
from tasks.report.field.lists import N_STATIC, likely, rows_of_group, static_lists
from tasks.report.field.pictures import Pictures, shown_first
from tasks.report.field.selection import select_plants
from tasks.report.field.summary import FieldDay
from tests.support.field_rows import CLASSES, ROWS, large, page_of, plant

DAY = FieldDay("2021-09-03", True, ROWS)


def data_of(days: list[FieldDay], classes: tuple[str, ...] = CLASSES, pictures: Pictures | None = None) -> Any:
    return field_data("f2", days, classes, select_plants(days, []), pictures or Pictures())


def test_rows_of_a_date_are_its_lists_one_after_the_other() -> None:
    found = data_of([DAY])
    (day,) = found["days"]
    names = [found["plants"]["id"][plant] for plant in day["plant"]]
    assert names == ["a", "c", "b", "d"] and day["decision"] == [0, 1, 2, 2]
    assert day["reliability"] == [0.9, 0.7, 0.6, 0.5] and day["ready"] == [0.9, 0.3, 0.6, 0.5]
    assert [found["classes"][answer] for answer in day["answer"]] == ["ready", "not_ready", "ready", "not_ready"]
    assert day["corrected"] == [0, 1, 0, 0] and day["counts"] == [1, 1, 2] and day["n"] == day["unplaced"] == 4
    assert [names[i] for i in day["checks"]] == ["d", "b"] and day["extra"] == [] and day["audit"] == [0] * 4
    why = [" ".join(found["reasons"][i]) for i in day["reason"]]
    assert why[:2] == ["", ""] and why[3].startswith("The answer is not certain enough. The picture is unlike")
    assert day["head"]["lead"] == "1 plant to harvest" and day["picture"] == [-1] * 4


def test_positions_are_metres_from_the_south_west_corner() -> None:
    rows = [
        plant("a", "harvest", 0.9, easting=10.0, northing=5.0),
        plant("b", "harvest", 0.9, easting=12.0, northing=6.5),
    ]
    found = data_of([FieldDay("2021-09-03", True, [*rows, plant("c", "check", 0.5)])])
    places = dict(
        zip(found["plants"]["id"], zip(found["plants"]["east"], found["plants"]["north"], strict=True), strict=True)
    )
    assert places == {"a": (0, 0), "b": (2, 1.5), "c": (None, None)} and found["spacing"] == 2.5


def test_random_extra_checks_are_a_list_of_their_own() -> None:
    rows = [*ROWS, plant("e", "harvest", 0.95, is_audit=True)]
    found = data_of([FieldDay("2021-09-03", True, rows)])
    (day,) = found["days"]
    assert [found["plants"]["id"][day["plant"][i]] for i in day["extra"]] == ["e"] and sum(day["audit"]) == 1
    assert [one.key for one in static_lists(found)] == ["harvest", "check", "extra"]
    assert [one.key for one in static_lists(data_of([DAY]))] == ["harvest", "check"]


@pytest.mark.parametrize(
    ("classes", "keys", "hidden"),
    [
        (CLASSES, ["harvest", "leave", "check", "extra"], {"leave"}),
        (("healthy", "scab"), ["healthy", "scab", "check", "extra"], set[str]()),
    ],
)
def test_every_decision_has_a_list(classes: tuple[str, ...], keys: list[str], hidden: set[str]) -> None:
    groups = groups_of(classes)
    assert [group.key for group in groups] == keys
    assert {group.key for group in groups if not group.is_shown} == hidden
    assert "10 metres" in next(group.how for group in groups if group.key == "check")


def test_other_classes_are_called_by_their_names() -> None:
    rows = [
        plant("a", "black_rot", 0.887, answer="black_rot"),
        plant("b", "check", 0.5, answer="healthy", check_reason="novel"),
    ]
    rows = [{**row, "ready_probability": None} for row in rows]
    found = data_of([FieldDay("2021-09-03", True, rows)], ("healthy", "scab", "black_rot"))
    (day,) = found["days"]
    assert day["ready"] == [None, None] and found["is_harvest"] is False
    assert [likely(found, day, i) for i in range(2)] == ["black rot 89 %", "healthy 50 %"]
    assert [one.title for one in static_lists(found)] == [
        "Answer healthy",
        "Answer scab",
        "Answer black rot",
        "To check",
    ]


def test_readers_without_scripts_see_the_first_of_each_list() -> None:
    rows = [plant(f"Plot2_A{i}", "harvest", 0.75, row="A", number=i, plot="2") for i in range(N_STATIC + 5)]
    pictures = Pictures("2021-09-03", ["Plot2_A1", *(f"x{i}" for i in range(110)), "Plot2_A3"], [b"", b""])
    found = data_of([FieldDay("2021-09-03", True, rows)], pictures=pictures)
    (listed, _) = static_lists(found)
    assert listed.n == N_STATIC + 5 and len(listed.cards) == N_STATIC
    assert [card.plant for card in listed.cards[:3]] == ["Plot2_A0", "Plot2_A1", "Plot2_A2"]
    assert (listed.cards[1].place, listed.cards[1].likely) == ("plot 2, row A, plant 1", "ready 75 %")
    assert [(card.sheet, card.left, card.top) for card in listed.cards[:4]] == [
        (-1, 0, 0), (0, 0, 0), (-1, 0, 0), (1, 64, 64),
    ]  # fmt: skip
    (day,), (group, *_) = found["days"], found["groups"]
    assert list(rows_of_group(day, group)) == list(range(N_STATIC + 5))


def test_pictures_are_wanted_by_turns_and_once() -> None:
    extra = plant("e", "leave", 0.9, is_audit=True)
    drawn = plant("f", "harvest", 0.9, is_audit=True)
    assert shown_first(FieldDay("2021-09-03", True, [*ROWS, drawn, extra])) == ["a", "d", "e", "f", "b"]


def test_json_cannot_end_its_element() -> None:
    said = json_in_page({"name": "</script><!--"})
    assert "<" not in said and json.loads(said) == {"name": "</script><!--"}


def test_the_page_of_a_thousand_plants_stays_small() -> None:
    """The page of ten thousand is weighed in tests/browser, where it is made anyway."""
    field, html = page_of(large(1_000))
    assert len(html.encode()) < 1_000_000
    assert len(field.data["plants"]["id"]) == 1_000 and all(len(day["plant"]) == 1_000 for day in field.data["days"])
    assert base64.b64encode(bytes(60)).decode() in html  # the pictures are in it
    assert "5 plants have no picture here" in html
