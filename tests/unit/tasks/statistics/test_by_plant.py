"""Test counts by plant against enumeration of all signs, scipy, statsmodels, literal formulas and simulated fields."""

from collections import Counter
from itertools import product
from statistics import NormalDist, fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_of_statsmodels
from statsmodels.stats.proportion import proportion_confint

from tasks.statistics.by_plant import (
    design_effect,
    failing_p_values,
    intra_plant_correlation,
    mcnemar,
    sign_flip_p_value,
    wilson_interval,
)
from tasks.statistics.significance import holm

Images = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40)  # plant, and whether wrong


def split(images: list[tuple[int, bool]]) -> tuple[list[str], list[bool]]:
    return [f"p{plant}" for plant, _ in images], [is_wrong for _, is_wrong in images]


def own(n: int) -> list[str]:
    """Return a plant for every image."""
    return [f"p{i}" for i in range(n)]


def draw(
    rng: np.random.Generator, n_plants: int, n_images: int, share: float, rho: float
) -> tuple[NDArray[np.bool_], list[str]]:
    """Draw which answers are wrong: with chance `rho` all of a plant's are alike, so that any two correlate by rho."""
    alone, shared = rng.random((n_plants, n_images)) < share, rng.random((n_plants, 1)) < share
    wrong = np.where(rng.random((n_plants, 1)) < rho, shared, alone)
    return wrong.ravel(), [f"p{i}" for i in range(n_plants) for _ in range(n_images)]


# Correlation within plants, and design effect


def anova(images: list[tuple[int, bool]]) -> float:
    """Return the estimator of Donner 1986, formula by formula."""
    plants = {plant: [float(wrong) for other, wrong in images if other == plant] for plant, _ in images}
    n, k, mean = len(images), len(plants), fmean(float(wrong) for _, wrong in images)
    between = sum(len(y) * (fmean(y) - mean) ** 2 for y in plants.values()) / (k - 1)
    within = sum((one - fmean(y)) ** 2 for y in plants.values() for one in y) / (n - k)
    size = (n - sum(len(y) ** 2 for y in plants.values()) / n) / (k - 1)
    return (between - within) / (between + (size - 1) * within)


@given(Images)
def test_the_correlation_is_that_of_the_analysis_of_variance(images: list[tuple[int, bool]]) -> None:
    plants, is_wrong = split(images)
    assume(1 < len(set(plants)) < len(plants) and len(set(is_wrong)) == 2)
    expected = min(1, max(0, anova(images)))
    assert intra_plant_correlation(is_wrong, plants) == pytest.approx(expected, abs=1e-12)
    assert intra_plant_correlation(is_wrong[::-1], plants[::-1]) == pytest.approx(expected, abs=1e-12)


def test_three_plants_by_hand() -> None:
    # Plant means 1, 1/2 and 0 about 1/2: mean squares 1/2 between and 1/6 within plants, two images each.
    found = intra_plant_correlation([1, 1, 1, 0, 0, 0], ["a", "a", "b", "b", "c", "c"])
    assert found == pytest.approx((1 / 2 - 1 / 6) / (1 / 2 + 1 / 6))


def test_images_of_a_plant_that_always_agree_correlate_fully() -> None:
    assert intra_plant_correlation([1, 1, 0, 0, 0], list("aabbc")) == 1
    assert intra_plant_correlation([1, 0, 1, 0], list("aabb")) == 0  # below 0 before it is cut


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 1.0])
def test_a_planted_correlation_is_found(rho: float) -> None:
    rng = np.random.default_rng(1)
    found = [intra_plant_correlation(*draw(rng, 200, 3, 0.3, rho)) for _ in range(50)]
    assert np.mean(found) == pytest.approx(rho, abs=0.02)


def test_differences_between_strata_are_no_correlation_of_plants() -> None:
    """Plants lie in a cluster that always fails or in one that never fails, except for answers without a pattern."""
    rng = np.random.default_rng(2)
    parts = [draw(rng, 100, 2, share, 0) for share in (0.1, 0.9)]
    is_wrong = np.concatenate([wrong for wrong, _ in parts])
    plants = [f"{c}{plant}" for c, (_, of) in enumerate(parts) for plant in of]
    strata = np.repeat([3, 8], 200)
    assert intra_plant_correlation(is_wrong, plants) > 0.5
    assert intra_plant_correlation(is_wrong, plants, strata) < 0.1


def test_one_stratum_is_none_and_a_plant_in_two_strata_is_two() -> None:
    wrong, plants = [1, 1, 0, 0, 1, 0], list("aabbcc")
    assert intra_plant_correlation(wrong, plants, [5] * 6) == intra_plant_correlation(wrong, plants)
    twice, strata = [*wrong, *wrong], [1] * 6 + [2] * 6
    apart = [f"{plant}{stratum}" for plant, stratum in zip(plants * 2, strata, strict=True)]
    assert intra_plant_correlation(twice, plants * 2, strata) == intra_plant_correlation(twice, apart, strata)


@pytest.mark.parametrize(
    ("outcome", "plants", "strata"),
    [
        pytest.param([1, 0, 1], list("abc"), None, id="one image a plant"),
        pytest.param([1, 0, 1], list("aaa"), None, id="one plant"),
        pytest.param([1, 1, 1], list("aab"), None, id="all wrong"),
        pytest.param([1, 0, 1, 0], list("aabb"), [1, 1, 2, 2], id="one plant a stratum"),
        pytest.param([1, 1, 1, 0, 0, 0], list("aabccd"), [1, 1, 1, 2, 2, 2], id="all alike in each stratum"),
    ],
)
def test_a_correlation_that_cannot_be_told_is_taken_as_full(outcome: list[int], plants: list[str], strata: Any) -> None:
    assert intra_plant_correlation(outcome, plants, strata) == 1


@pytest.mark.parametrize(
    ("outcome", "plants", "strata", "rule"),
    [
        ([], [], None, "at least 1"),
        ([1, 0], ["a"], None, "One of each"),
        ([1, 0], ["a", "b"], [1], "One of each"),
        ([[1]], [["a"]], None, "One of each"),
        ([1, 2], ["a", "a"], None, "true or false"),
        ([0.5], ["a"], None, "true or false"),
    ],
)
def test_outcomes_that_are_none_are_refused(outcome: Any, plants: Any, strata: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        intra_plant_correlation(outcome, plants, strata)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.floats(0, 1))
def test_the_design_effect_counts_pairs_of_a_plant(plants: list[int], rho: float) -> None:
    """Var(sum) = n v + (ordered pairs of a plant) rho v, against n v."""
    n = len(plants)
    pairs = sum(plants[i] == plants[j] for i in range(n) for j in range(n) if i != j)
    assert design_effect([str(plant) for plant in plants], rho) == pytest.approx((n + pairs * rho) / n)


def test_design_effects_by_hand() -> None:
    assert design_effect(own(9), 0.7) == 1
    assert design_effect(list("aaabbb"), 1) == 3 and design_effect(list("aaabbb"), 0.5) == 2
    assert design_effect(list("aaab"), 0.5) == 1.75  # (9 + 1) / 4 = 2.5


@pytest.mark.parametrize(("plants", "rho"), [([], 0.5), (["a"], -0.1), (["a"], 1.1), (["a"], np.nan)])
def test_a_design_effect_of_nothing_is_refused(plants: list[str], rho: float) -> None:
    with pytest.raises(ValueError, match=r"at least 1|0\.\.1"):
        design_effect(plants, rho)


# The interval of a share


def closed_form(share: float, n: float, confidence: float) -> tuple[float, float]:
    """Wilson 1927, written out."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return centre - half, centre + half


@given(n=st.integers(1, 500), choice=st.data(), confidence=st.sampled_from([0.6, 0.8, 0.9, 0.95, 0.99]))
def test_the_interval_is_wilsons(n: int, choice: st.DataObject, confidence: float) -> None:
    n_wrong = choice.draw(st.integers(0, n))
    found = wilson_interval(n_wrong / n, n, confidence)
    of_scipy = binomtest(n_wrong, n).proportion_ci(confidence, method="wilson")
    assert found == pytest.approx((of_scipy.low, of_scipy.high), abs=1e-12)
    assert found == pytest.approx(closed_form(n_wrong / n, n, confidence), abs=1e-9)
    assert 0 <= found[0] <= n_wrong / n <= found[1] <= 1


@example(share=0.9999999999999999, n=0.499, confidence=0.8)
@given(share=st.floats(0, 1), n=st.floats(0.3, 200), confidence=st.sampled_from([0.8, 0.95]))
def test_the_number_of_images_need_not_be_whole(share: float, n: float, confidence: float) -> None:
    lower, upper = wilson_interval(share, n, confidence)
    expected: Any = proportion_confint(share * n, n, 1 - confidence, method="wilson")
    assert (lower, upper) == pytest.approx(expected, abs=1e-9)
    assert 0 <= lower <= share <= upper <= 1
    assert wilson_interval(1 - share, n, confidence) == pytest.approx((1 - upper, 1 - lower), abs=1e-9)
    wider = wilson_interval(share, n / 2, confidence)
    assert wider[0] <= lower + 1e-12 and upper <= wider[1] + 1e-12


@pytest.mark.parametrize(("share", "n", "confidence"), [(-0.1, 5, 0.9), (1.1, 5, 0.9), (0.5, 0, 0.9), (0.5, 5, 1.0)])
def test_an_interval_of_nothing_is_refused(share: float, n: float, confidence: float) -> None:
    with pytest.raises(ValueError, match="An interval"):
        wilson_interval(share, n, confidence)


# Signs of plants


def chance_of_signs(differences: list[int]) -> float:
    """Return the share of all ways to give signs whose sum is at least the observed one."""
    sums = [
        sum(s * abs(d) for s, d in zip(signs, differences, strict=True))
        for signs in product((1, -1), repeat=len(differences))
    ]
    return fmean(total >= sum(differences) for total in sums)


Differences = st.lists(st.integers(-4, 4), min_size=0, max_size=9)


@given(Differences)
def test_p_values_are_those_of_all_signs(differences: list[int]) -> None:
    assert sign_flip_p_value(np.asarray(differences, int)) == pytest.approx(chance_of_signs(differences), abs=1e-12)


@given(Differences, st.integers(0, 8), st.integers(1, 3))
def test_p_values_fall_when_a_plant_has_more_errors(differences: list[int], which: int, more: int) -> None:
    assume(which < len(differences))
    raised = [d + more * (i == which) for i, d in enumerate(differences)]
    assert sign_flip_p_value(raised) <= sign_flip_p_value(differences) + 1e-12


@given(st.integers(1, 400), st.data())
def test_one_image_a_plant_gives_the_binomial_test(n: int, choice: st.DataObject) -> None:
    n_wrong = choice.draw(st.integers(0, n))
    found = failing_p_values(np.arange(n) < n_wrong, own(n), np.ones(n), 1)
    assert found == pytest.approx([binomtest(n_wrong, n, alternative="greater").pvalue], rel=1e-9)


def test_two_plants_by_hand() -> None:
    """Both plants wrong three times: one of four pairs of signs reaches 3, whatever the number of images."""
    assert [sign_flip_p_value(one) for one in ([3, 3], [3, -1])] == pytest.approx([1 / 4, 1 / 2])
    assert sign_flip_p_value([3, 1, -1]) == pytest.approx(3 / 8)  # 3 is reached by (3, +-1, -+1) and (3, 1, 1)
    assert sign_flip_p_value([0, 0]) == sign_flip_p_value([]) == 1


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4), st.booleans()), min_size=1, max_size=30))
def test_every_cluster_is_tested_by_its_own_plants(images: list[tuple[int, int, bool]]) -> None:
    cluster, plants, wrong = ([one[k] for one in images] for k in range(3))
    found = failing_p_values(np.asarray(wrong), [str(plant) for plant in plants], cluster, 3)
    for c in (1, 2, 3):
        excess: Counter[int] = Counter()
        for number, plant, is_wrong in images:
            excess[plant] += (number == c) * (2 * is_wrong - 1)
        assert found[c - 1] == pytest.approx(chance_of_signs(list(excess.values())), abs=1e-12)


def test_images_of_a_plant_that_agree_are_no_more_evidence_than_the_plant() -> None:
    plants, copies = own(12), [plant for plant in own(12) for _ in range(4)]
    once = failing_p_values(np.arange(12) < 10, plants, np.ones(12), 1)
    assert failing_p_values(np.repeat(np.arange(12) < 10, 4), copies, np.ones(48), 1) == pytest.approx(once)
    assert once[0] > 100 * binomtest(40, 48, alternative="greater").pvalue


@pytest.mark.parametrize("differences", [[0.5], [[1]], 3])
def test_differences_that_are_no_counts_are_refused(differences: Any) -> None:
    with pytest.raises(ValueError, match="whole numbers"):
        sign_flip_p_value(differences)


@pytest.mark.parametrize("cluster", [[0, 1], [1, 3]])
def test_clusters_out_of_range_are_refused(cluster: list[int]) -> None:
    with pytest.raises(ValueError, match=r"in 1\.\.2"):
        failing_p_values([True, False], ["a", "b"], cluster, 2)


# Corrected and spoiled answers


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_one_image_a_plant_gives_mcnemars_exact_test(pairs: list[tuple[bool, bool]]) -> None:
    before, after = (np.asarray(one) for one in zip(*pairs, strict=True))
    corrected, spoiled = int((after & ~before).sum()), int((before & ~after).sum())
    found = mcnemar(before, after, own(len(pairs)))
    expected: Any = mcnemar_of_statsmodels([[0, corrected], [spoiled, 0]], exact=True) if corrected + spoiled else None
    assert found == pytest.approx(1 if expected is None else expected.pvalue)
    assert mcnemar(after, before, own(len(pairs))) == found


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.booleans()), min_size=1, max_size=25))
def test_a_change_is_tested_by_the_signs_of_plants(images: list[tuple[int, bool, bool]]) -> None:
    change: Counter[int] = Counter()
    for plant, before, after in images:
        change[plant] += after - before
    sizes = [abs(one) for one in change.values()]
    sums = [sum(s * d for s, d in zip(signs, sizes, strict=True)) for signs in product((1, -1), repeat=len(sizes))]
    expected = fmean(abs(one) >= abs(sum(change.values())) for one in sums)
    plants, before, after = ([one[k] for one in images] for k in range(3))
    assert mcnemar(before, after, [str(plant) for plant in plants]) == pytest.approx(expected)


def test_copies_of_a_changed_image_are_one_change() -> None:
    was, now, plants = [False] * 12, [True] * 12, [f"p{i // 3}" for i in range(12)]
    assert [mcnemar(was, now, of) for of in (plants, own(12))] == pytest.approx([2 / 2**4, 2 / 2**12])
    with pytest.raises(ValueError, match="at least 1"):
        mcnemar([], [], [])


# Simulated fields


@pytest.mark.parametrize(("n_images", "rho"), [(1, 0.0), (2, 0.6), (3, 0.6), (4, 0.6), (4, 1.0)])
def test_wrong_swaps_of_a_whole_family_are_as_rare_as_they_say(n_images: int, rho: float) -> None:
    """Eight clusters of 24 images in which half of the answers are wrong, the least favourable null hypothesis.

    By images, Holm's step at .05 found something in .029, .134, .253, .391 and .592 of such fields.
    """
    rng, n_fields, cluster = np.random.default_rng(3), 400, np.repeat(np.arange(8), 24) + 1
    n_false = 0
    for _ in range(n_fields):
        wrong, plants = draw(rng, 8 * 24 // n_images, n_images, 0.5, rho)
        n_false += bool((holm(failing_p_values(wrong, plants, cluster, 8)) <= 0.05).any())
    assert n_false / n_fields <= 0.05 + 2 * (0.05 * 0.95 / n_fields) ** 0.5


@pytest.mark.parametrize("share", [0.15, 0.3, 0.5])
def test_intervals_cover_the_share_of_correlated_images(share: float) -> None:
    """Eight clusters of 24 images, three of each plant, whose correlation .6 is estimated from all clusters."""
    rng, cluster, n_fields = np.random.default_rng(4), np.repeat(np.arange(8), 24), 400
    n_covered = n_by_image = 0
    for _ in range(n_fields):
        wrong, plants = draw(rng, 64, 3, share, 0.6)
        rho = intra_plant_correlation(wrong, plants, cluster)
        for c in range(8):
            inside = cluster == c
            of_plants = [plant for plant, is_inside in zip(plants, inside, strict=True) if is_inside]
            found = float(wrong[inside].mean())
            low, high = wilson_interval(found, 24 / design_effect(of_plants, rho), 0.95)
            n_covered += low <= share <= high
            low, high = wilson_interval(found, 24, 0.95)
            n_by_image += low <= share <= high
    assert n_covered / (8 * n_fields) >= 0.93 > 0.85 > n_by_image / (8 * n_fields)
