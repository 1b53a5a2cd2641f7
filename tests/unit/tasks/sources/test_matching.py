"""Test how plants of a harvest table are matched with plants of images, against formulas over characters and pairs."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.sources.matching import Matching, describe_matching, near_matches, plain_name

# Names as people write them: letters, numbers with zeros in front, and separators.
PARTS = st.sampled_from(["P", "p", "Plot", "a", "7", "07", "007", "70", "0", "00", "1", "11", "-", "_", ".", "/", " "])
NAMES = st.lists(PARTS, max_size=6).map("".join)


def slow_name(name: str) -> str:
    """Return the plain form of a name, read character by character."""
    kept = ""
    for i, character in enumerate(name):
        in_front = name[i - 1] if i else ""
        # A zero leads its number if no digit of the number is kept before it, and another digit follows.
        number_begins = not in_front.isdigit() or set(number_before(name, i)) == {"0"}
        is_leading = character == "0" and number_begins and i + 1 < len(name) and name[i + 1].isdigit()
        if not is_leading and character not in "-_./ ":
            kept += character.lower()
    return kept


def number_before(name: str, i: int) -> str:
    """Return the digits directly before a place."""
    start = i
    while start and name[start - 1].isdigit():
        start -= 1
    return name[start:i]


@given(NAMES)
@example("2021_Ref_Plot01_A007")
@example("100")
def test_plain_names(name: str) -> None:
    assert plain_name(name) == slow_name(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("P-07", "p7"),
        ("2021_Ref_Plot1_A4", "2021 ref plot01 a04"),
        ("Row 3 / 010", "row3-10"),
        ("A.1", "a1"),
        ("plot\t7", "Plot7"),
    ],
)
def test_names_that_look_alike(one: str, other: str) -> None:
    assert near_matches([one], [other]) == [(one, other)]


@pytest.mark.parametrize(("one", "other"), [("A10", "A1"), ("A100", "A10"), ("A0", "A"), ("P7", "Q7"), ("Ä1", "A1")])
def test_names_that_differ(one: str, other: str) -> None:
    assert near_matches([one], [other]) == []


@given(st.sets(NAMES, max_size=8), st.sets(NAMES, max_size=8), st.randoms(use_true_random=False))
def test_near_matches_are_all_pairs_of_equal_plain_names(left: set[str], right: set[str], order: random.Random) -> None:
    pairs = {(one, other) for one in left for other in right if slow_name(one) == slow_name(other)}
    shuffled = list(left)
    order.shuffle(shuffled)
    assert near_matches(shuffled, right) == sorted(pairs)


def matching(in_table: Sequence[str], in_images: Sequence[str], in_need: Sequence[str]) -> Matching:
    return Matching("harvest.csv", frozenset(in_table), frozenset(in_images), frozenset(in_need))


def test_hand_worked_case() -> None:
    found = matching(["P-01", "P-02", "P-09", "q"], ["p1", "p2", "q", "r", "new"], ["p1", "q", "r"])
    assert found.without_image == ["P-01", "P-02", "P-09"]
    assert found.without_row == ["new", "p1", "p2", "r"]
    assert found.unlabelled == ["p1", "r"]
    assert describe_matching(found) == [
        "3 of 4 plants in harvest.csv have no image on the requested dates: P-01, P-02, P-09",
        "4 of 5 plants with an image have no row in harvest.csv, 2 of them in train, val or test: new, p1, p2, r",
        "plants written differently in harvest.csv and in the images: table `P-01` looks like plant `p1`, table `P-02` "
        "looks like plant `p2`",
    ]


def test_a_table_that_fits_says_nothing() -> None:
    assert describe_matching(matching(["a", "b"], ["a", "b"], ["a"])) == []


def test_at_most_ten_are_named() -> None:
    found = matching([f"P-{i:02}" for i in range(1, 13)], [f"p{i}" for i in range(1, 13)], [])
    unmatched, without_row, near = describe_matching(found)
    assert unmatched.startswith("12 of 12 plants in harvest.csv") and unmatched.endswith("P-09, P-10 and 2 more")
    assert without_row.endswith(" and 2 more") and near.count("looks like") == 10 and near.endswith(" and 2 more")
