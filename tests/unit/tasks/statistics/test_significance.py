"""Intervals and tests against literal resampling, full enumeration, published values and other libraries."""

from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, chi2_contingency
from sklearn.metrics import recall_score
from statsmodels.stats.multitest import multipletests

from tasks.statistics import significance
from tasks.statistics.detection import bootstrap_detect
from tasks.statistics.significance import (
    Resamples,
    bootstrap_accuracies,
    bootstrap_difference,
    error_share_permutation,
    heterogeneity,
    holm,
    label_probe,
    percentile_interval,
)


def accuracy_intervals(labels: Any, answers: Any, weights: Any, n_classes: int) -> dict[str, tuple[float, float]]:
    found = bootstrap_accuracies(labels, answers, weights, n_classes)
    return {name: percentile_interval(values) for name, values in found.items()}


def paired_difference_interval(before: Any, after: Any, weights: Any) -> tuple[float, float]:
    return percentile_interval(bootstrap_difference(before, after, weights))


def group_weights(groups: list[str], n_resamples: int, seed: int) -> Any:
    """Counts of all resamples at once."""
    return np.concatenate(list(Resamples(groups, n_resamples, seed).blocks()))


@pytest.mark.parametrize("at_once", [1, 7, 70, 10_000])
def test_resamples_are_the_same_in_blocks_of_any_size(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plants = ["a", "b", "c", "a", "d", "b", "e"]
    whole = group_weights(plants, 50, seed=3)
    monkeypatch.setattr(significance, "WEIGHTS_AT_ONCE", at_once)
    drawn = Resamples(plants, 50, 3)
    blocks = list(drawn.blocks())
    assert max(len(block) for block in blocks) == min(50, max(1, at_once // 7))
    assert np.array_equal(np.concatenate(blocks), whole)
    labels, right = np.arange(7) % 2, np.arange(7) % 3 > 0
    found = drawn.of(lambda weights: {"gain": bootstrap_difference(right, labels == 1, weights)})
    assert np.array_equal(found["gain"], bootstrap_difference(right, labels == 1, whole))


@given(st.lists(st.sampled_from("abcdef"), min_size=2, max_size=30).filter(lambda names: len(set(names)) > 1))
def test_plants_are_drawn_whole(groups: list[str]) -> None:
    weights = group_weights(groups, 20, seed=0)
    assert weights.shape == (20, len(groups))
    first = {name: groups.index(name) for name in groups}
    assert all((weights[:, i] == weights[:, first[name]]).all() for i, name in enumerate(groups))
    assert (weights[:, list(first.values())].sum(axis=1) == len(first)).all()


def test_two_plants_are_drawn_as_two_coins_fall() -> None:
    weights = group_weights(["a", "b", "b"], 20_000, seed=1)
    shares = np.bincount(weights[:, 0], minlength=3) / len(weights)
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.015)
    assert (weights[:, 1] == 2 - weights[:, 0]).all()


def test_the_same_seed_draws_the_same_plants() -> None:
    groups = [f"plant {i // 3}" for i in range(30)]
    assert np.array_equal(group_weights(groups, 5, seed=7), group_weights(groups, 5, seed=7))
    assert not np.array_equal(group_weights(groups, 5, seed=7), group_weights(groups, 5, seed=8))


def test_images_of_a_plant_widen_the_interval() -> None:
    right = np.repeat(np.arange(40) % 4 > 0, 5)  # 40 plants, 5 like images of each
    of_images = group_weights([str(i) for i in range(200)], 4000, seed=0)
    of_plants = group_weights([str(i // 5) for i in range(200)], 4000, seed=0)
    narrow, wide = (paired_difference_interval(np.zeros(200), right, w) for w in (of_images, of_plants))
    assert (wide[1] - wide[0]) / (narrow[1] - narrow[0]) == pytest.approx(np.sqrt(5), rel=0.1)


@pytest.mark.parametrize(("groups", "n_resamples"), [([], 10), (["a"], 10), (["a", "a"], 10), (["a", "b"], 0)])
def test_a_bootstrap_of_nothing_is_refused(groups: list[str], n_resamples: int) -> None:
    with pytest.raises(ValueError, match="A bootstrap"):
        group_weights(groups, n_resamples, seed=0)


def test_a_percentile_interval_by_hand() -> None:
    assert percentile_interval(np.arange(101), 0.9) == pytest.approx((5, 95))
    assert percentile_interval([0.3]) == (0.3, 0.3)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=50), st.floats(0.5, 0.95))
def test_intervals_nest(values: list[float], confidence: float) -> None:
    (low, high), (lower, higher) = percentile_interval(values, confidence), percentile_interval(values, 0.99)
    assert min(values) <= lower <= low <= high <= higher <= max(values)


@pytest.mark.parametrize(
    ("values", "confidence"),
    [([], 0.9), (0.3, 0.9), ([[0.3]], 0.9), ([np.nan, 1], 0.9), *(([1.0], c) for c in (-0.1, 0, 1, 1.1))],
)
def test_an_interval_of_nothing_is_refused(values: Any, confidence: float) -> None:
    with pytest.raises(ValueError, match="interval"):
        percentile_interval(values, confidence)


def test_the_interval_of_independent_images_is_binomial() -> None:
    labels, answers = np.zeros(100, int), (np.arange(100) < 20).astype(int)
    weights = group_weights([str(i) for i in range(100)], 20_000, seed=3)
    interval = accuracy_intervals(labels, answers, weights, 2)["overall_accuracy"]
    assert interval == pytest.approx(binom.ppf([0.025, 0.975], 100, 0.8) / 100, abs=0.0101)


Answers = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=12)


@given(Answers, st.data())
def test_accuracies_are_of_literally_repeated_images(
    answers: list[tuple[int, int, int]], choice: st.DataObject
) -> None:
    one_row = st.lists(st.integers(0, 2), min_size=len(answers), max_size=len(answers)).filter(any)
    weights = np.asarray(choice.draw(st.lists(one_row, min_size=1, max_size=5)))
    labels, before, after = np.asarray(answers).T
    drawn = [(np.repeat(labels, row), np.repeat(before, row), np.repeat(after, row)) for row in weights]
    found = accuracy_intervals(labels, after, weights, 3)
    per_class = [recall_score(y, z, labels=np.unique(y), average="macro") for y, _, z in drawn]
    assert found["overall_accuracy"] == pytest.approx(percentile_interval([np.mean(y == z) for y, _, z in drawn]))
    assert found["average_class_accuracy"] == pytest.approx(percentile_interval(per_class))
    difference = paired_difference_interval(before == labels, after == labels, weights)
    gains = [np.mean(z == y) - np.mean(x == y) for y, x, z in drawn]
    assert difference == pytest.approx(percentile_interval(gains))


def test_a_resample_without_a_class_takes_the_classes_it_has() -> None:
    found = accuracy_intervals([0, 0, 1], [0, 1, 0], [[1, 1, 0]], 2)
    assert found["average_class_accuracy"] == found["overall_accuracy"] == (0.5, 0.5)


def test_a_difference_of_equal_answers_is_zero() -> None:
    right = np.arange(20) % 3 > 0
    weights = group_weights([str(i // 2) for i in range(20)], 50, seed=0)
    assert paired_difference_interval(right, right, weights) == (0, 0)
    gain, loss = (paired_difference_interval(*pair, weights) for pair in ((right, right | True), (right | True, right)))
    assert gain == pytest.approx((-loss[1], -loss[0]))
    assert gain[0] > 0


@pytest.mark.parametrize(
    ("labels", "answers", "rule"),
    [
        ([], [], "at least 1"),
        ([0, 1], [0], "One label"),
        ([0], [0, 1], "One label"),
        ([0, 2], [0, 1], "below 2"),
        ([0, 1], [0, -1], "below 2"),
    ],
)
def test_answers_that_are_no_classes_are_refused(labels: list[int], answers: list[int], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        accuracy_intervals(labels, answers, np.ones((2, len(labels)), int), 2)


def test_a_difference_of_different_images_is_refused() -> None:
    with pytest.raises(ValueError, match="One value and one flag"):
        paired_difference_interval([True], [True, False], [[1, 1]])
    with pytest.raises(ValueError, match="true or false"):
        paired_difference_interval([0.5, 1], [True, False], [[1, 1]])
    with pytest.raises(ValueError, match="Weights"):
        paired_difference_interval([False, True], [True, False], [[1, -1]])


def own(n: int) -> list[str]:
    """Return a plant for every image."""
    return [f"p{i}" for i in range(n)]


Tables = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), min_size=2, max_size=6)


@given(Tables.map(lambda rows: [(n, min(n, wrong)) for n, wrong in rows]))
def test_heterogeneity_is_the_likelihood_ratio_of_scipy(rows: list[tuple[int, int]]) -> None:
    n, wrong = np.asarray(rows).T
    g = heterogeneity(n, wrong[None])
    if 0 < wrong.sum() < n.sum():
        table = np.stack([wrong, n - wrong])
        expected: Any = chi2_contingency(table, correction=False, lambda_="log-likelihood")
        assert g == pytest.approx(expected.statistic, abs=1e-9)
    else:
        assert g == pytest.approx(0)


def test_permutations_find_the_shares_of_all_assignments() -> None:
    cluster, wrong = np.repeat([4, 1, 9], [5, 5, 2]), np.isin(np.arange(12), (0, 1, 2, 3, 10))
    sizes = np.asarray([5, 5, 2])
    starts = np.asarray([0, 5, 10])
    every = np.asarray([np.isin(np.arange(12), chosen) for chosen in combinations(range(12), 5)])
    errors = np.add.reduceat(every, starts, axis=1, dtype=int)
    largest, g = (errors / sizes)[:, :2].max(axis=1), heterogeneity(sizes, errors)
    found = error_share_permutation(cluster, wrong, own(12), 50_000, seed=0)
    observed = heterogeneity(sizes, [[4, 0, 1]])[0]
    assert (found.largest_share, found.heterogeneity) == (0.8, pytest.approx(observed))
    assert found.p_largest == pytest.approx((largest >= 0.8).mean(), abs=0.006)
    assert found.p_heterogeneity == pytest.approx((g >= observed - 1e-9).mean(), abs=0.006)


def test_permutations_do_what_shuffled_errors_do() -> None:
    rng = np.random.default_rng(5)
    cluster, wrong = rng.integers(6, size=90), rng.random(90) < 0.4
    sizes, observed = np.bincount(cluster), np.bincount(cluster, wrong)
    shuffled = np.asarray([np.bincount(cluster, rng.permutation(wrong)) for _ in range(4000)])
    found = error_share_permutation(cluster, wrong, own(90), 4000, seed=0)
    more = (shuffled / sizes).max(axis=1) >= (observed / sizes).max()
    larger = heterogeneity(sizes, shuffled) >= heterogeneity(sizes, observed[None]) - 1e-9
    assert found.p_largest == pytest.approx(more.mean(), abs=0.04)
    assert found.p_heterogeneity == pytest.approx(larger.mean(), abs=0.04)


def test_answers_of_a_plant_are_permuted_together() -> None:
    """Two pairs of plants with equally many images, and one plant alone: two times two ways to exchange answers."""
    plants, wrong = list("acbacebddeedd"), np.asarray([1, 0, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 1], bool)
    cluster = np.asarray([0, 1, 0, 0, 1, 1, 0, 1, 1, 0, 1, 0, 0])
    of = {plant: np.flatnonzero(np.asarray(plants) == plant) for plant in "abcde"}
    sizes = np.bincount(cluster)
    every: list[Any] = []
    for first in permutations("abc"):  # two images each; d has four, and e three
        exchanged = wrong.copy()
        for plant, other in zip("abc", first, strict=True):
            exchanged[of[plant]] = wrong[of[other]]
        every.append(np.bincount(cluster, exchanged))
    g = heterogeneity(sizes, every)
    observed = heterogeneity(sizes, [np.bincount(cluster, wrong)])[0]
    found = error_share_permutation(cluster, wrong, plants, 20_000, seed=0, least=1)
    assert found.heterogeneity == pytest.approx(observed)
    assert found.p_heterogeneity == pytest.approx((g >= observed - 1e-9).mean(), abs=0.015)
    largest = (np.asarray(every) / sizes).max(axis=1)
    assert found.p_largest == pytest.approx((largest >= found.largest_share).mean(), abs=0.015)


def test_copies_of_images_are_no_evidence() -> None:
    """Errors gather in clusters because a plant's four images are alike, not because of the clusters."""
    rng, cluster = np.random.default_rng(7), np.repeat(np.arange(8), 24)
    plants = [f"p{i // 4}" for i in range(192)]
    fields = [np.repeat(rng.random(48) < 0.3, 4) for _ in range(200)]
    by_plant, by_image = (
        np.mean(
            [
                error_share_permutation(cluster, wrong, of, 199, seed=k).p_heterogeneity <= 0.05
                for k, wrong in enumerate(fields)
            ]
        )
        for of in (plants, own(192))
    )
    assert by_plant <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5 < 0.5 < by_image


def test_the_largest_share_reaches_a_half_by_chance() -> None:
    """With 60 errors among 200 images in eight clusters of 25, the 95 % point lies between 0.5 and 0.6."""
    cluster, place = np.repeat(np.arange(8), 25), np.tile(np.arange(25), 8)
    for n_wrong, others, is_chance in ((12, 48, True), (16, 44, False)):
        wrong = (cluster == 0) & (place < n_wrong)
        wrong |= np.isin(np.arange(200), np.flatnonzero((cluster > 0) & (place < 7))[:others])
        found = error_share_permutation(cluster, wrong, own(200), 5000, seed=0)
        assert found.largest_share == n_wrong / 25 and wrong.sum() == 60
        assert found.p_largest is not None and (found.p_largest > 0.05) == is_chance


def test_without_effect_p_values_are_as_rare_as_they_say_and_with_one_small() -> None:
    rng, cluster = np.random.default_rng(6), np.repeat(np.arange(8), 25)
    nulls = [error_share_permutation(cluster, rng.random(200) < 0.3, own(200), 199, seed=k) for k in range(400)]
    largest, uneven = (
        np.asarray(p, float) for p in zip(*((t.p_largest, t.p_heterogeneity) for t in nulls), strict=True)
    )
    for level in (0.05, 0.5):
        slack = 3 * np.sqrt(level * (1 - level) / len(nulls))
        assert np.mean(largest <= level) < level + slack  # below: few values are possible, so that many tie
        assert np.mean(uneven <= level) == pytest.approx(level, abs=slack)
    gathered = error_share_permutation(cluster, cluster == 3, own(200), 199, seed=0)
    assert (gathered.largest_share, gathered.p_largest, gathered.p_heterogeneity) == (1.0, 1 / 200, 1 / 200)


@pytest.mark.parametrize("n_clusters", [3, 4, 5, 6])
@pytest.mark.parametrize("size", [3, 4, 5, 7])
def test_one_error_is_no_evidence_whichever_of_equal_clusters_it_is_in(n_clusters: int, size: int) -> None:
    """Every permutation has the observed statistic, but sums its terms in another order and rounds otherwise."""
    for place in range(n_clusters):
        cluster = np.repeat(np.arange(n_clusters), size)
        found = error_share_permutation(
            cluster, np.arange(len(cluster)) == place * size, own(len(cluster)), 99, seed=place, least=1
        )
        assert (found.p_heterogeneity, found.p_largest) == (1, 1)


def test_tables_that_differ_by_the_order_of_clusters_are_equally_extreme() -> None:
    """Three errors in one of three clusters of seven: 3 x 35 of the 1,330 ways to choose three images."""
    cluster = np.repeat([0, 1, 2], 7)
    for place in range(3):
        found = error_share_permutation(cluster, np.isin(np.arange(21) - 7 * place, (0, 1, 2)), own(21), 20_000, seed=0)
        assert found.p_heterogeneity == pytest.approx(105 / 1330, abs=4 * np.sqrt(0.08 * 0.92 / 20_000))


def test_small_clusters_do_not_count_for_the_largest_share() -> None:
    cluster, wrong = [0] * 6 + [1], [True, False, False, False, False, False, True]
    assert error_share_permutation(cluster, wrong, own(7), 99, seed=0).largest_share == pytest.approx(1 / 6)
    assert error_share_permutation(cluster, wrong, own(7), 99, seed=0, least=1).largest_share == 1
    none = error_share_permutation(cluster, wrong, own(7), 99, seed=0, least=7)
    assert (none.largest_share, none.p_largest) == (None, None)
    assert 0 < none.p_heterogeneity <= 1


@pytest.mark.parametrize("is_wrong", [True, False])
def test_nothing_to_permute_is_no_evidence(is_wrong: bool) -> None:
    found = error_share_permutation([0] * 5 + [1] * 5, [is_wrong] * 10, own(10), 99, seed=0)
    assert (found.p_largest, found.p_heterogeneity, found.heterogeneity) == (1, 1, 0)
    alone = error_share_permutation([0] * 6, [True, False] * 3, own(6), 99, seed=0)
    assert (alone.p_largest, alone.p_heterogeneity) == (1, 1)


def test_a_permutation_of_nothing_is_refused() -> None:
    for cluster, wrong, n in (([], [], 9), ([0, 1], [True], 9), ([0, 1], [True, False], 0)):
        with pytest.raises(ValueError, match="at least 1"):
            error_share_permutation(cluster, wrong, own(len(cluster)), n, seed=0)
    with pytest.raises(ValueError, match="One value and one flag"):
        error_share_permutation([0, 1], [True, False], ["p0"], 9, seed=0)


def test_maps_made_for_the_label_are_found_out() -> None:
    rng, wrong = np.random.default_rng(8), np.arange(100) < 30
    leaking = label_probe(np.where(wrong, rng.exponential(0.05, 100), 1 + rng.random(100)), wrong)
    honest = label_probe(1 + rng.random(100), wrong)
    assert leaking is not None and leaking > 0.9
    assert honest is not None and honest < 0.7
    assert label_probe([0.1, 0.2], [False, False]) is None
    assert label_probe([0.0, 0.5, 0.5], [True, False, True]) == 0.75


def test_holm_by_hand() -> None:
    p = np.asarray([1 / 64, 1 / 1024, 1 / 2, 1 / 64])
    assert holm(p) == pytest.approx([3 / 64, 4 / 1024, 1 / 2, 3 / 64])  # 4, 3, 2 and 1 times p, never falling


@pytest.mark.parametrize("seed", range(3))
def test_holm_is_that_of_statsmodels(seed: int) -> None:
    p = np.random.default_rng(seed).random(8) ** 4
    expected: Any = multipletests(p, method="holm")
    np.testing.assert_allclose(holm(p), expected[1], rtol=1e-12)


def test_two_confidences_are_compared_on_the_same_plants() -> None:
    rng = np.random.default_rng(10)
    wrong = rng.random(150) < 0.3
    good = rng.normal(size=150) - wrong
    weights = group_weights([str(i // 2) for i in range(150)], 500, seed=0)
    better, worse = (bootstrap_detect(c, wrong, weights)["auroc"] for c in (good, rng.normal(size=150)))
    assert percentile_interval(better - worse)[0] > 0
    assert (bootstrap_detect(2 * good, wrong, weights)["auroc"] == better).all()
