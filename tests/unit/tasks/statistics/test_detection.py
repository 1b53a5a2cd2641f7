"""Error detection against slow formulas: all orders of ties, all pairs, scikit-learn, numerical integrals."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise, permutations, product
from math import log
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import rankdata
from sklearn.metrics import brier_score_loss, roc_auc_score

from tasks.statistics.detection import (
    CalibrationRow,
    Detection,
    best_aurc,
    bootstrap_detect,
    brier,
    calibration,
    calibration_error,
    cluster_calibration,
    detect,
    risk_coverage,
)

Sample = list[tuple[int, bool]]
Images = st.lists(st.tuples(st.integers(-2, 2), st.booleans()), min_size=1, max_size=30)
FewImages = st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6)
LOWER_IS_BETTER = ("aurc", "e_aurc", "augrc")


def parts(images: Sample) -> tuple[list[int], list[bool]]:
    return [value for value, _ in images], [flag for _, flag in images]


def numbers(found: Detection) -> list[float]:
    return [np.nan if found.auroc is None else found.auroc, found.aurc, found.e_aurc, found.augrc]


def orders_of(images: Sample) -> list[list[bool]]:
    """Errors in every order that puts more confidence first."""
    shuffled = permutations(images)
    return [[f for _, f in order] for order in shuffled if [v for v, _ in order] == sorted(parts(images)[0])[::-1]]


def mean_risk(errors: list[bool]) -> float:
    return float(np.mean([sum(errors[:k]) / k for k in range(1, len(errors) + 1)]))


def area_of_accepted_errors(errors: list[bool]) -> float:
    """Trapezoids under the share of all images that are accepted and wrong, from coverage 0 to 1."""
    n = len(errors)
    return float(np.trapezoid(np.r_[0, np.cumsum(errors)] / n, dx=1 / n))


def test_three_images_by_hand() -> None:
    found = detect([2.0, 1.0, 1.0], [False, True, False])
    assert (found.n, found.n_wrong, found.auroc) == (3, 1, 0.75)
    assert found.aurc == pytest.approx((0 + 0.5 / 2 + 1 / 3) / 3)
    assert found.e_aurc == pytest.approx(found.aurc - (1 / 3 + 2 / 3 * log(2 / 3)))
    assert found.augrc == pytest.approx(0.25 * 2 / 3 * 1 / 3 + (1 / 3) ** 2 / 2)


@given(FewImages)
def test_areas_are_means_over_all_orders_of_ties(images: Sample) -> None:
    found, orders = detect(*parts(images)), orders_of(images)
    assert found.aurc == pytest.approx(np.mean([mean_risk(errors) for errors in orders]))
    assert found.augrc == pytest.approx(np.mean([area_of_accepted_errors(errors) for errors in orders]))


def test_areas_are_means_over_random_orders_of_many_ties() -> None:
    rng = np.random.default_rng(0)
    confidence, wrong = rng.integers(8, size=200), rng.random(200) < 0.3
    drawn = [wrong[np.lexsort((rng.random(200), -confidence))] for _ in range(3000)]
    risks = (np.cumsum(drawn, axis=1) / np.arange(1, 201)).mean(axis=1)
    error = risks.std() / np.sqrt(len(risks))
    assert detect(confidence, wrong).aurc == pytest.approx(risks.mean(), abs=4 * error)


@given(Images)
def test_auroc_is_scikit_learns_and_counts_pairs(images: Sample) -> None:
    confidence, wrong = parts(images)
    found = detect(confidence, wrong)
    if len(set(wrong)) == 1:
        assert found.auroc is None
        return
    pairs = product((v for v, f in images if not f), (v for v, f in images if f))
    assert found.auroc == pytest.approx(np.mean([(right > bad) + (right == bad) / 2 for right, bad in pairs]))
    assert found.auroc == pytest.approx(roc_auc_score(wrong, -np.asarray(confidence)))


@given(Images)
def test_augrc_is_the_formula_of_traub_et_al(images: Sample) -> None:
    found = detect(*parts(images))
    accuracy = 1 - found.n_wrong / found.n
    first = 0 if found.auroc is None else (1 - found.auroc) * accuracy * (1 - accuracy)
    assert found.augrc == pytest.approx(first + (1 - accuracy) ** 2 / 2)


@pytest.mark.parametrize("rate", [0.01, 0.3, 0.5, 0.99])
def test_the_best_aurc_is_the_area_under_the_best_curve(rate: float) -> None:
    area = quad(lambda coverage: 1 - (1 - rate) / coverage, 1 - rate, 1)[0]
    assert float(best_aurc(rate)) == pytest.approx(area)


def test_the_best_aurc_at_its_limits() -> None:
    assert best_aurc([0.0, 1.0]).tolist() == [0.0, 1.0]
    assert best_aurc([1e-9, 1 - 1e-12]) == pytest.approx([0.0, 1.0], abs=1e-8)


@pytest.mark.parametrize(("n_right", "n_wrong"), [(1, 1), (7, 3), (3, 7), (150, 50)])
def test_perfect_reversed_and_constant_confidence(n_right: int, n_wrong: int) -> None:
    wrong = np.r_[np.zeros(n_right, bool), np.ones(n_wrong, bool)]
    n, rate = n_right + n_wrong, n_wrong / (n_right + n_wrong)
    best, worst, none = (detect(c, wrong) for c in (-np.arange(n), np.arange(n), np.full(n, 0.7)))
    assert (best.auroc, worst.auroc, none.auroc) == (1, 0, 0.5)
    assert best.aurc == pytest.approx(sum(j / (n_right + j) for j in range(1, n_wrong + 1)) / n)
    assert none.aurc == pytest.approx(rate)
    assert (best.augrc, none.augrc) == (pytest.approx(rate**2 / 2), pytest.approx(rate / 2))
    assert worst.augrc == pytest.approx(rate - rate**2 / 2)
    for name in LOWER_IS_BETTER:
        assert getattr(best, name) < getattr(none, name) < getattr(worst, name)


def test_the_excess_of_the_best_order_vanishes_in_a_large_sample() -> None:
    excess = [detect(-np.arange(n), np.arange(n) >= 0.7 * n).e_aurc for n in (20, 200, 20_000)]
    assert excess[0] > excess[1] > excess[2] > 0
    assert excess[2] < 1e-5


def test_a_random_confidence_is_worth_a_constant_one_on_average() -> None:
    rng, wrong = np.random.default_rng(1), np.arange(60) < 18
    drawn = np.asarray([numbers(detect(rng.random(60), wrong)) for _ in range(1500)])
    error = drawn.std(axis=0) / np.sqrt(len(drawn))
    assert (np.abs(drawn.mean(axis=0) - numbers(detect(np.zeros(60), wrong))) < 4 * error).all()


@pytest.mark.parametrize("n", [1, 4])
def test_without_errors_or_right_answers_the_areas_are_defined(n: int) -> None:
    assert detect(np.arange(n), np.zeros(n, bool)) == Detection(n, 0, None, 0.0, 0.0, 0.0)
    assert detect(np.arange(n), np.ones(n, bool)) == Detection(n, n, None, 1.0, 0.0, 0.5)


@given(Images)
def test_only_the_order_of_confidence_counts(images: Sample) -> None:
    confidence, wrong = parts(images)
    expected = numbers(detect(confidence, wrong))
    for moved in (np.exp(confidence), 3 * np.asarray(confidence) - 100, np.asarray(confidence) ** 3):
        assert numbers(detect(moved, wrong)) == pytest.approx(expected, nan_ok=True)
    top = np.where(np.asarray(confidence) == max(confidence), np.inf, confidence)
    assert numbers(detect(top, wrong)) == pytest.approx(expected, nan_ok=True)


@given(Images, st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_count(images: Sample, random: Random) -> None:
    shuffled = list(images)
    random.shuffle(shuffled)
    assert numbers(detect(*parts(shuffled))) == pytest.approx(numbers(detect(*parts(images))), nan_ok=True)


@given(Images)
def test_areas_stay_in_range(images: Sample) -> None:
    found = detect(*parts(images))
    assert 0 <= found.aurc <= 1 + 1e-12
    assert -1e-12 <= found.e_aurc <= 1
    assert 0 <= found.augrc <= 0.5


@given(Images, st.data())
def test_a_weight_repeats_an_image(images: Sample, choice: st.DataObject) -> None:
    one_row = st.lists(st.integers(0, 3), min_size=len(images), max_size=len(images)).filter(any)
    weights = choice.draw(st.lists(one_row, min_size=1, max_size=4))
    confidence, wrong = (np.asarray(part) for part in parts(images))
    found = bootstrap_detect(confidence, wrong, np.asarray(weights, np.uint8))
    repeated = [detect(np.repeat(confidence, row), np.repeat(wrong, row)) for row in weights]
    assert found["auroc"] == pytest.approx([d.auroc for d in repeated if d.auroc is not None])
    for name in LOWER_IS_BETTER:
        assert found[name] == pytest.approx([getattr(d, name) for d in repeated])


def test_resamples_without_an_auroc_are_left_out() -> None:
    found = bootstrap_detect([0.1, 0.9, 0.5], [True, False, False], [[1, 1, 1], [0, 2, 1], [3, 0, 0]])
    assert found["auroc"].tolist() == [1.0]
    assert [len(found[name]) for name in LOWER_IS_BETTER] == [3, 3, 3]
    assert not any(np.isnan(values).any() for values in found.values())


@given(Images)
def test_the_mean_height_of_the_risk_coverage_curve_is_the_aurc(images: Sample) -> None:
    confidence, wrong = parts(images)
    coverage, risk = risk_coverage(confidence, wrong)
    assert coverage == pytest.approx(np.arange(1, len(images) + 1) / len(images))
    assert risk.mean() == pytest.approx(detect(confidence, wrong).aurc)
    for accepted in sorted(set(confidence)):
        flags = [f for v, f in images if v >= accepted]
        assert risk[len(flags) - 1] == pytest.approx(np.mean(flags))


def test_a_risk_coverage_curve_by_hand() -> None:
    coverage, risk = risk_coverage([0.5, 0.9, 0.5, 0.5], [True, False, True, False])
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert risk == pytest.approx([0, 2 / 3 / 2, 4 / 3 / 3, 2 / 4])


Probabilities = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)
CoarseProbabilities = st.lists(st.tuples(st.sampled_from([0, 0.2, 0.5, 1.0]), st.booleans()), min_size=1, max_size=40)


@given(Probabilities)
def test_brier_is_scikit_learns(images: list[tuple[float, bool]]) -> None:
    probability, right = [p for p, _ in images], [r for _, r in images]
    expected = brier_score_loss(right, probability, labels=[False, True])
    assert brier(probability, right) == pytest.approx(expected)


@given(Probabilities, st.integers(1, 12))
def test_bins_part_the_images_by_probability(images: list[tuple[float, bool]], n_bins: int) -> None:
    probability, right = (np.asarray(part) for part in zip(*images, strict=True))
    rows = calibration(probability, right, n_bins)
    assert 1 <= len(rows) <= n_bins
    assert all(a.upper < b.lower for a, b in pairwise(rows))
    for row in rows:
        inside = (probability >= row.lower) & (probability <= row.upper)
        assert row.n == inside.sum()
        assert row.mean_probability == pytest.approx(probability[inside].mean())
        assert row.share_right == pytest.approx(right[inside].mean())
    assert sum(row.n for row in rows) == len(images)


@given(CoarseProbabilities)
def test_each_of_few_values_is_a_bin(images: list[tuple[float, bool]]) -> None:
    n_values = len({p for p, _ in images})
    rows = calibration([p for p, _ in images], [r for _, r in images], n_values)
    assert [row.lower for row in rows] == [row.upper for row in rows] == sorted({p for p, _ in images})


def test_bins_without_ties_are_of_equal_count() -> None:
    probability = np.random.default_rng(2).beta(20, 1, size=200)  # crowded near 1, as a softmax is
    assert [row.n for row in calibration(probability, np.ones(200, bool))] == [20] * 10


@pytest.mark.parametrize(("counts", "sizes"), [((1, 6, 3), [7, 3]), ((4, 5, 1), [4, 6]), ((3, 1, 3), [3, 4])])
def test_a_plateau_is_in_the_bin_of_its_middle_rank_by_hand(counts: tuple[int, int, int], sizes: list[int]) -> None:
    """Two bins of n images part at rank n / 2. Middle ranks: 0.5, 4 and 8.5 of 10; 2, 6.5 and 9.5; 1.5, 3.5 and 5.5."""
    probability = np.repeat([0.1, 0.2, 0.3], counts)
    assert [row.n for row in calibration(probability, probability > 0.1, 2)] == sizes


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.integers(1, 8))
def test_the_bin_of_an_image_follows_from_its_mean_rank_among_ties(ranks: list[int], n_bins: int) -> None:
    probability = np.asarray(ranks) / 20
    if len(set(ranks)) <= n_bins:
        expected = Counter(ranks)
    else:
        expected = Counter(int((2 * rank - 1) * n_bins // (2 * len(ranks))) for rank in rankdata(probability))
    rows = calibration(probability, np.ones(len(ranks), bool), n_bins)
    assert [row.n for row in rows] == [expected[k] for k in sorted(expected)]


def test_a_calibration_by_hand() -> None:
    rows = calibration([0.2, 0.2, 0.2, 0.2, 0.9], [True, False, False, False, True])
    by_hand = [CalibrationRow(0.2, 0.2, 4, 0.2, 0.25), CalibrationRow(0.9, 0.9, 1, 0.9, 1.0)]
    assert np.asarray(rows) == pytest.approx(np.asarray(by_hand))
    assert calibration_error(rows) == pytest.approx((4 * 0.05 + 1 * 0.1) / 5)


def test_a_calibrated_probability_has_no_error_and_a_bold_one_has() -> None:
    rng = np.random.default_rng(3)
    probability = rng.random(20_000)
    right = rng.random(20_000) < probability
    assert calibration_error(calibration(probability, right)) < 0.02
    assert calibration_error(calibration(np.ones(4), [True, True, False, True])) == pytest.approx(0.25)


def test_cluster_calibration_by_hand() -> None:
    share = [0.5, 0.5, 0.5, 0.5, 0.1, 0.1]
    wrong = [True, False, False, False, True, True]
    assert cluster_calibration([3, 3, 3, 3, 7, 7], share, wrong) == pytest.approx(4 / 6 * 0.25 + 2 / 6 * 0.9)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=30))
def test_cluster_calibration_is_the_calibration_error_of_distinct_shares(images: Sample) -> None:
    cluster, wrong = parts(images)
    share = np.asarray([0.1, 0.75, 0.3, 0.95, 0.5])[cluster]
    assert cluster_calibration(cluster, share, wrong) == pytest.approx(calibration_error(calibration(share, wrong)))


def test_a_cluster_with_the_error_share_it_had_is_calibrated() -> None:
    assert cluster_calibration([0, 0, 1], [0.5, 0.5, 1.0], [True, False, True]) == 0


@pytest.mark.parametrize(
    ("values", "flags", "rule"),
    [
        ([], [], "at least 1"),
        ([0.1, 0.2], [True], "One value and one flag"),
        ([[0.1]], [[True]], "One value and one flag"),
        ([0.1, np.nan], [True, False], "1 of 2 are NaN"),
        ([0.1, 0.2], [0, 2], "true or false"),
        ([0.1, 0.2], [0, np.nan], "true or false"),
    ],
)
def test_what_is_not_one_number_and_one_flag_per_image_is_refused(
    values: list[float], flags: list[bool], rule: str
) -> None:
    for judge in (detect, risk_coverage, brier, calibration):
        with pytest.raises(ValueError, match=rule):
            judge(values, flags)


@pytest.mark.parametrize("judge", [brier, calibration])
@pytest.mark.parametrize("value", [-0.1, 1.1, np.inf])
def test_a_probability_is_between_0_and_1(judge: Callable[..., object], value: float) -> None:
    with pytest.raises(ValueError, match=r"Probabilities are in \[0, 1\]"):
        judge([0.5, value], [True, False])


@pytest.mark.parametrize("weights", [[[1, -1]], [[0.5, 0.5]], [[1, 1], [0, 0]], [[1]], [1, 1], np.ones((0, 2), int)])
def test_weights_that_are_no_counts_are_refused(weights: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="Weights"):
        bootstrap_detect([0.1, 0.2], [True, False], weights)


def test_calibration_refuses_what_it_cannot_bin() -> None:
    with pytest.raises(ValueError, match="at least 1 bin"):
        calibration([0.5], [True], 0)
    with pytest.raises(ValueError, match="at least 1 bin"):
        calibration_error([])
    with pytest.raises(ValueError, match="share its error share"):
        cluster_calibration([0, 0], [0.1, 0.2], [True, False])
    with pytest.raises(ValueError, match="one cluster"):
        cluster_calibration([0], [0.1, 0.2], [True, False])
