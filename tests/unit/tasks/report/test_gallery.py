"""Test which images a gallery shows, and in which order."""

import numpy as np
import pytest

from tasks.report.examples import Member, cosine
from tasks.report.gallery import nearest_members


def member(
    plant: str, likeness: float, cluster: int = 1, is_validation: bool = True, date: str = "2021-08-23"
) -> Member:
    split = "val" if is_validation else "test"
    return Member(likeness, cluster, date, plant, split, 0, 0, row=ord(plant), place=0, is_flat=False)


def names(members: list[Member]) -> str:
    return "".join(one.plant_id for one in members)


def test_the_nearest_of_each_kind_worked_by_hand() -> None:
    """Validation images are apart from others, ties go by date and row, and another cluster's images are missing."""
    members = [
        member("a", 0.2),
        member("b", 0.9),
        member("c", 0.9, date="2021-08-22"),
        member("d", 0.99, cluster=2),
        member("e", 0.95, is_validation=False),
        member("f", 0.96, is_validation=False),
        member("g", -0.5, is_validation=False),
    ]
    assert tuple(map(names, nearest_members(members, 1, 9))) == ("cba", "feg")
    assert tuple(map(names, nearest_members(members, 1, 2))) == ("cb", "fe")
    assert tuple(map(names, nearest_members(members, 3, 2))) == ("", "")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [([1, 0], [3, 0], 1), ([1, 0], [0, 2], 0), ([1, 1], [1, 0], 0.707107), ([1, 0], [-1, 0], -1), ([0, 0], [1, 1], 0)],
)
def test_likeness_is_the_cosine(one: list[float], other: list[float], expected: float) -> None:
    assert cosine(np.asarray([one], np.float32), np.asarray([other], np.float32)) == pytest.approx(expected)
