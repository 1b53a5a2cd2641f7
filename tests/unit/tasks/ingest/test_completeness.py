"""Test how many of the expected plants a date has, worked by hand."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ingest.completeness import Completeness, count_plants, read_completeness, standing_plants
from tasks.sources.matching import Matching

DAY = date(2021, 8, 30)
PLANTS = [
    {"plant_id": "a", "harvest_by": None},
    {"plant_id": "b", "harvest_by": date(2021, 8, 29)},
    {"plant_id": "c", "harvest_by": DAY},
    {"plant_id": "d", "harvest_by": date(2021, 9, 9)},
]


def matching(harvested: dict[str, date], *others: str) -> Matching:
    return Matching("harvest.csv", frozenset({*harvested, *others}), frozenset(), frozenset(), harvested)


def listing(images: str, **left_out: str) -> dict[str, Any]:
    """Make a listing of plants with an image, and of plants left out by reason; a plant is a letter."""
    return {
        "images": [{"plant_id": plant} for plant in images],
        "left_out": [{"plant_id": plant, "reason": why} for why, plants in left_out.items() for plant in plants],
    }


def test_plants_stand_until_the_day_of_their_harvest() -> None:
    assert standing_plants(PLANTS, None, DAY) == {"a", "c", "d"}
    assert standing_plants(PLANTS, None, date(2021, 8, 29)) == {"a", "b", "c", "d"}
    assert standing_plants(PLANTS, None, date(2021, 9, 10)) == {"a"}


def test_a_harvest_table_of_today_counts_more_than_what_the_campaign_knew() -> None:
    now = matching({"a": date(2021, 8, 25), "e": DAY}, "b")  # b is in it, without a harvest
    assert standing_plants(PLANTS, now, DAY) == {"b", "c", "d"}


def test_a_plant_has_a_picture_even_if_it_cannot_be_used() -> None:
    found = listing("ab", unreadable="c", missing_file="d", outside_raster="e", harvested="f", two_plants="x")
    assert count_plants(found, "abcdefg") == Completeness(3, 6)
    assert count_plants(found, None) == Completeness(4, None)


def test_only_expected_plants_count() -> None:
    assert count_plants(listing("abxyz"), "abcd") == Completeness(2, 4)


@pytest.mark.parametrize(
    ("n_plants", "n_expected", "mark"),
    [
        (21, 120, "21 of 120 expected plants"),
        (95, 120, "95 of 120 expected plants"),
        (96, 120, ""),  # four fifths
        (0, 1, "0 of 1 expected plants"),
        (0, 0, ""),
        (21, None, ""),
    ],
)
def test_a_date_is_marked_under_four_fifths(n_plants: int, n_expected: int | None, mark: str) -> None:
    assert Completeness(n_plants, n_expected).mark == mark


@given(st.sets(st.sampled_from("abcdefgh")), st.sets(st.sampled_from("abcdefgh")), st.sampled_from("abcdefgh"))
def test_one_more_picture_never_makes_a_date_less_complete(seen: set[str], standing: set[str], more: str) -> None:
    fewer, larger = (count_plants(listing("".join(names)), standing) for names in (seen, seen | {more}))
    assert fewer.n_expected == larger.n_expected == len(standing)
    assert larger.n_plants - fewer.n_plants == (more in standing - seen)


def test_dates_of_earlier_versions_have_no_counts() -> None:
    assert read_completeness({"date": "2021-08-30", "n_images": 9}) is None
    assert read_completeness({"n_plants": 3, "n_expected": None}) == Completeness(3, None)
