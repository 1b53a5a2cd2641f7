"""Test shifts between sets of plants against slow formulas: all groups of kinds, and all permutations of plants."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasks.measure import shift as module
from tasks.measure.shift import mean_shares, natural_shift, plant_shares, shift, total_variation

Plant = list[int]  # kinds of one plant's images
Lot = st.lists(st.integers(0, 4), min_size=1, max_size=20)
SmallLot = st.lists(st.integers(0, 2), min_size=1, max_size=5)


def shares_of(plants: Sequence[Plant], n_kinds: int) -> NDArray[np.float64]:
    kinds = [kind for plant in plants for kind in plant]
    return plant_shares(kinds, [i for i, plant in enumerate(plants) for _ in plant], n_kinds)


def distance(first: list[int], second: list[int]) -> float:
    """Total variation distance of plants with one image each."""
    return shift(first, shares_of([[kind] for kind in second], 5))[0]


def mean_of(plants: Sequence[Plant], some: set[int]) -> Fraction:
    """Mean over plants of the share of a plant's images in some kinds."""
    return sum((Fraction(sum(k in some for k in p), len(p)) for p in plants), Fraction(0)) / len(plants)


def largest_difference(first: Sequence[Plant], second: Sequence[Plant], n_kinds: int = 5) -> Fraction:
    """Return the total variation distance by its definition: the largest difference in share of any set of kinds."""
    sets = [set(some) for size in range(n_kinds + 1) for some in combinations(range(n_kinds), size)]
    return max(abs(mean_of(first, some) - mean_of(second, some)) for some in sets)


def exact_p_value(new: list[int], known: Sequence[Plant]) -> float:
    """Return the chance over all choices of which plants are new, and over all images of those, of being as far."""
    plants = [*([kind] for kind in new), *known]
    observed = largest_difference([[kind] for kind in new], known, 3)
    found = Fraction(0)
    choices = list(combinations(range(len(plants)), len(new)))
    for chosen in choices:
        rest = [plant for i, plant in enumerate(plants) if i not in chosen]
        images = list(product(*(plants[i] for i in chosen)))
        is_far = [largest_difference([[kind] for kind in one], rest, 3) >= observed for one in images]
        found += Fraction(sum(is_far), len(images))
    return float(found / len(choices))


def test_shares_by_hand() -> None:
    """5 and 5 of 10 against 1 and 3 of 4: half of |.5 - .25| twice."""
    assert distance([0] * 5 + [1] * 5, [0, 1, 1, 1]) == 0.25
    assert distance([0, 0], [2, 3, 3]) == 1
    assert distance([0, 1, 1], [0, 1, 1] * 7) == 0


def test_a_plant_counts_once() -> None:
    """A plant with four images in kind 1, and one with an image in kind 0: half and half."""
    known = shares_of([[1, 1, 1, 1], [0]], 2)
    assert known.tolist() == [[0, 1], [1, 0]]
    assert shift([0, 1], known)[0] == 0 and shift([1], known)[0] == 0.5
    assert plant_shares([0, 1, 1, 2], ["b", "a", "b", "b"], 3).tolist() == [[0, 1, 0], [1 / 3] * 3]


@given(Lot, st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=4), min_size=1, max_size=8))
def test_the_distance_is_the_largest_difference_of_any_set(new: list[int], known: list[Plant]) -> None:
    found = shift(new, shares_of(known, 5))[0] if len(new) < 3 else None
    expected = float(largest_difference([[kind] for kind in new], known))
    direct = float(total_variation(mean_shares(shares_of([[k] for k in new], 5)), mean_shares(shares_of(known, 5))))
    assert direct == pytest.approx(expected, abs=1e-12)
    assert found is None or found == pytest.approx(expected, abs=1e-12)


@given(Lot, Lot, Lot)
def test_the_distance_is_one(first: list[int], second: list[int], third: list[int]) -> None:
    a, b, c = (mean_shares(shares_of([[k] for k in lot], 5)) for lot in (first, second, third))
    assert 0 <= total_variation(a, b) <= 1 + 1e-12 and total_variation(a, b) == total_variation(b, a)
    assert total_variation(a, c) <= total_variation(a, b) + total_variation(b, c) + 1e-12


def test_without_plants_there_is_no_shift() -> None:
    some, none = shares_of([[0], [2]], 3), shares_of([], 3)
    assert shift([], some) == shift([0], none) == shift([], none) == (0, 1)


@settings(max_examples=50)
@given(SmallLot, SmallLot)
def test_with_one_image_a_plant_the_p_value_is_that_of_all_permutations(first: list[int], second: list[int]) -> None:
    known = [[kind] for kind in second]
    found = shift(first, shares_of(known, 3))[1]
    assert found == pytest.approx(exact_p_value(first, known), abs=0.025)  # five standard errors
    assert 0 < found <= 1


@pytest.mark.parametrize(
    ("new", "known"),
    [
        ([0, 0], [[0, 1], [1], [2, 1, 1]]),
        ([2], [[0, 1, 0], [0, 0], [1, 0]]),
        ([0, 0, 2], [[0, 1], [1, 1], [2, 1]]),
        ([1, 1], [[1, 2, 1], [0, 0, 2], [0], [0, 1]]),
    ],
)
def test_with_several_images_a_permuted_plant_shows_one_of_them(new: list[int], known: list[Plant]) -> None:
    assert shift(new, shares_of(known, 3))[1] == pytest.approx(exact_p_value(new, known), abs=0.025)


def test_with_one_image_a_plant_it_is_the_multivariate_hypergeometric_test() -> None:
    new, known = np.asarray([12, 9, 10, 11]), np.asarray([90, 60, 40, 30])
    draws = np.random.default_rng(5).multivariate_hypergeometric(new + known, 42, 20_000)
    far = np.abs(draws / 42 - (new + known - draws) / 220).sum(axis=1) / 2
    observed = np.abs(new / 42 - known / 220).sum() / 2
    found = shift(np.repeat(range(4), new), shares_of([[k] for k in np.repeat(range(4), known)], 4))
    assert found == (pytest.approx(observed), pytest.approx((far >= observed - 1e-9).mean(), abs=0.015))  # 4 SE
    assert 0.01 < found[1] < 0.5


def test_the_p_value_is_the_same_every_time_and_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    new, known = [0] * 30 + [1] * 3 + [3], shares_of([[0, 1]] * 90 + [[1]] * 60 + [[2, 0, 3]] * 40, 4)
    whole = shift(new, known)
    assert whole == shift(new, known)
    monkeypatch.setattr(module, "AT_ONCE", 1000)
    assert shift(new, known)[1] == pytest.approx(whole[1], abs=0.01)


def drawn(random: np.random.Generator, n_plants: int, n_images: int, same: float) -> NDArray[np.int64]:
    """Kinds (n_plants, n_images); any two images of a plant show its own kind with probability `same`."""
    shares = [0.4, 0.3, 0.15, 0.1, 0.05]
    own, other = random.choice(5, (n_plants, 1), p=shares), random.choice(5, (n_plants, n_images), p=shares)
    return np.where(random.random((n_plants, n_images)) < same**0.5, own, other)


@pytest.mark.parametrize(
    ("n_images", "same", "n_new"), [(1, 0.0, 60), (2, 0.8, 60), (3, 0.8, 60), (3, 0.0, 60), (3, 0.8, 150)]
)
def test_without_drift_few_shifts_look_significant(
    n_images: int, same: float, n_new: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a level as often as that (4 standard errors), with 90 validation plants of one to three images each.

    The mean shares of several images vary less than one image. Permuted whole, .10 to .25 are under .05 at `same` 0.
    """
    monkeypatch.setattr(module, "N_PERMUTATIONS", 199)
    random, n = np.random.default_rng(3), 400
    found = [
        shift(drawn(random, n_new, 1, 0)[:, 0], shares_of(drawn(random, 90, n_images, same).tolist(), 5))[1]
        for _ in range(n)
    ]
    for level in (0.05, 0.2, 0.5):
        share, error = np.mean(np.asarray(found) <= level), (level * (1 - level) / n) ** 0.5
        assert share <= level + 4 * error
        assert n_new > 60 or same == 0 < n_images - 1 or share >= level - 4 * error  # it is not shy either


def test_a_shift_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "N_PERMUTATIONS", 999)
    random = np.random.default_rng(4)
    found: list[float] = []
    for _ in range(50):
        new, known = drawn(random, 60, 1, 0)[:, 0], shares_of(drawn(random, 90, 2, 0.8).tolist(), 5)
        moved = np.where(random.random(60) < 0.4, 4, new)
        found.append(shift(moved, known)[1])
    assert np.mean(np.asarray(found) < 0.01) > 0.9


# Between validation dates


def slow_natural_shift(images: Sequence[tuple[int, int, str]]) -> float:
    """Images as kind, plant and date."""
    shifts = [Fraction(0)]
    for day in {day for _, _, day in images}:
        sides: list[list[Plant]] = []
        for is_day in (True, False):
            some = [(kind, plant) for kind, plant, other in images if (other == day) == is_day]
            sides.append([[k for k, p in some if p == plant] for plant in sorted({p for _, p in some})])
        if min(map(len, sides)) >= 20:
            shifts.append(largest_difference(sides[0], sides[1]))
    return float(max(shifts))


@given(st.lists(st.lists(st.integers(0, 4), min_size=18, max_size=22), max_size=3))
def test_the_natural_shift_is_the_largest_of_one_date_from_the_others(lots: list[list[int]]) -> None:
    images = [(kind, plant, day) for day, lot in zip("abc", lots, strict=False) for plant, kind in enumerate(lot)]
    kinds, plants, days = ([one[i] for one in images] for i in range(3))
    found = natural_shift(kinds, plants, [str(day) for day in days], 5)  # pyright: ignore[reportArgumentType]
    assert found == pytest.approx(slow_natural_shift(images), abs=1e-12)


def test_a_date_of_few_plants_does_not_tell_how_dates_differ() -> None:
    def found(*lots: list[int]) -> float:
        kinds = [kind for lot in lots for kind in lot]
        plants = [plant for lot in lots for plant in range(len(lot))]
        return natural_shift(kinds, plants, [day for day, lot in zip("ab", lots, strict=False) for _ in lot], 2)

    assert found([0] * 20, [1] * 19) == 0 and found([0] * 20, [1] * 20) == 1
    assert found([0] * 20) == found() == 0
