"""Signals of right answers against grid searches, plain loops, and the published definition of the trust score."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import softmax

from tasks.classify.answers import Answers
from tasks.cluster import evidence as evidence_module
from tasks.cluster.axes import PrincipalAxes, map_vectors
from tasks.cluster.evidence import MapEvidence, cluster_evidence, joined, map_signals, place
from tasks.cluster.params import ClusterParams, Kernel
from tasks.score.signals import answer_evidence, answer_signals, fit_temperature, trust_scores

Floats = NDArray[np.float64]


def some_answers(n: int, seed: int = 0, n_classes: int = 2, spread: float = 2.0) -> tuple[Answers, NDArray[np.int64]]:
    """Answers, and true classes that follow the logits."""
    generator = np.random.default_rng(seed)
    truth = np.arange(n) % n_classes
    logits = generator.normal(size=(n, n_classes))
    logits[np.arange(n), truth] += 1
    features = generator.normal(size=(n, 5))
    features[:, 0] += truth
    return Answers(spread * logits, features), truth


# Temperature


def cross_entropy(logits: Floats, truth: NDArray[np.int64], temperature: float) -> float:
    return float(-np.log(softmax(logits / temperature, axis=1)[np.arange(len(truth)), truth]).mean())


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("spread", [0.3, 1.0, 6.0])
def test_the_temperature_is_that_of_a_grid_search(n_classes: int, spread: float) -> None:
    answers, truth = some_answers(80, n_classes=n_classes, spread=spread)
    found = fit_temperature(answers.logits, truth)
    grid = np.exp(np.linspace(-np.log(20), np.log(20), 4001))
    best = grid[np.argmin([cross_entropy(answers.logits, truth, t) for t in grid])]
    assert found == pytest.approx(best, rel=2e-3)


@pytest.mark.parametrize("factor", [0.25, 3.0])
def test_logits_of_another_scale_have_that_temperature(factor: float) -> None:
    answers, truth = some_answers(80)
    assert fit_temperature(answers.logits * factor, truth) == pytest.approx(
        factor * fit_temperature(answers.logits, truth), rel=1e-3
    )


def test_right_answers_alone_stop_at_the_lower_bound_and_wrong_ones_at_the_upper() -> None:
    logits = np.asarray([[0.2, 0.0], [0.0, 0.1]])
    assert fit_temperature(logits, np.asarray([0, 1])) == pytest.approx(1 / 20, rel=1e-2)
    assert fit_temperature(logits, np.asarray([1, 0])) == pytest.approx(20, rel=1e-2)


def test_a_temperature_moves_probabilities_and_no_order() -> None:
    answers, truth = some_answers(60, spread=5)
    found = answer_signals(answer_evidence(answers, truth), some_answers(40, seed=1, spread=5)[0])
    order = np.argsort(found["softmax"])
    assert (np.diff(found["calibrated_softmax"][order]) >= -1e-12).all()
    assert found["calibrated_softmax"].mean() < found["softmax"].mean()  # overconfident logits are cooled


# Trust score


def trust_by_hand(feature: Floats, predicted: int, known: Floats, truth: NDArray[np.int64]) -> float:
    """google/TrustScore with k = 2 and no filter: distances to the last of the two nearest of every class."""
    distance: dict[int, float] = {}
    for c in sorted(set(truth.tolist())):
        lengths = sorted(float(np.linalg.norm(feature - one)) for one in known[truth == c])
        distance[c] = lengths[:2][-1]
    if predicted not in distance:
        return 0.0
    others = [d for c, d in distance.items() if c != predicted]
    return min(others) / (distance[predicted] + 1e-12) if others else 1.0


@pytest.mark.parametrize(
    "truth",
    [
        pytest.param([0, 1] * 10, id="two classes"),
        pytest.param([0, 1, 2, 2] * 5, id="three classes"),
        pytest.param([0] * 19 + [1], id="one image of a class"),
        pytest.param([0] * 18 + [1, 2], id="one image of two classes"),
        pytest.param([1] * 20, id="no image of a class"),
    ],
)
def test_trust_scores_are_those_of_the_definition(truth: list[int]) -> None:
    generator = np.random.default_rng(0)
    known, features, classes = generator.normal(size=(20, 4)), generator.normal(size=(30, 4)), np.asarray(truth)
    predicted = np.arange(30) % 3
    expected = [trust_by_hand(f, int(p), known, classes) for f, p in zip(features, predicted, strict=True)]
    np.testing.assert_allclose(trust_scores(features, predicted, known, classes), expected, rtol=1e-9)


def test_a_trust_score_by_hand() -> None:
    known, truth = np.asarray([[0.0], [1.0], [9.0], [12.0]]), np.asarray([0, 0, 1, 1])
    assert trust_scores(np.asarray([[3.0]]), np.asarray([0]), known, truth) == pytest.approx([9 / 3])
    assert trust_scores(np.asarray([[3.0]]), np.asarray([1]), known, truth) == pytest.approx([3 / 9])


def test_features_that_equal_known_ones_have_a_finite_trust_score() -> None:
    known, truth = np.asarray([[0.0], [0.0], [1.0]]), np.asarray([0, 0, 1])
    found = trust_scores(np.zeros((1, 1)), np.asarray([0]), known, truth)
    assert np.isfinite(found).all() and found[0] == pytest.approx(1e12)


# Answers


def test_answers_worked_by_hand() -> None:
    known = Answers(np.asarray([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]), np.asarray([[0.0], [1.0], [5.0]]))
    evidence = answer_evidence(known, np.asarray([0, 0, 0]))  # the second is wrong
    found = answer_signals(evidence, Answers(np.asarray([[0.0, np.log(3)]]), np.asarray([[0.2]])))
    assert found["softmax"] == pytest.approx([0.75]) and found["margin"] == pytest.approx([np.log(3)])
    assert found["feature_reliability"] == pytest.approx([2 / 3])  # fewer than 15: all are nearest
    assert found["trust_score"].tolist() == [0]  # no image of class 1 is known


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_margin_is_the_log_odds_of_the_softmax(n_classes: int) -> None:
    answers, truth = some_answers(50, n_classes=n_classes)
    found = answer_signals(answer_evidence(answers, truth), answers)
    np.testing.assert_allclose(found["margin"], np.log(found["softmax"] / (1 - found["softmax"])), rtol=1e-9)


def test_margins_do_not_end_where_the_softmax_does() -> None:
    answers, truth = some_answers(20)
    sure = Answers(np.asarray([[0.0, 50.0], [0.0, 80.0]]), np.zeros((2, 5)))
    found = answer_signals(answer_evidence(answers, truth), sure)
    assert found["softmax"].tolist() == [1, 1] and found["margin"].tolist() == [50, 80]


def test_feature_reliability_by_brute_force() -> None:
    answers, truth = some_answers(40)
    new = some_answers(10, seed=1)[0]
    found = answer_signals(answer_evidence(answers, truth), new)["feature_reliability"]
    is_right = answers.logits.argmax(axis=1) == truth
    for feature, share in zip(new.features, found, strict=True):
        nearest = np.argsort(np.linalg.norm(answers.features - feature, axis=1))[:15]
        assert share == pytest.approx(is_right[nearest].mean())


def test_answers_follow_their_images() -> None:
    answers, truth = some_answers(40)
    new = some_answers(12, seed=1)[0]
    order = np.random.default_rng(2).permutation(40)
    whole = answer_signals(answer_evidence(answers, truth), new)
    permuted = answer_signals(
        answer_evidence(Answers(answers.logits[order], answers.features[order]), truth[order]), new
    )
    chosen = np.arange(12) % 3 == 0
    part = answer_signals(answer_evidence(answers, truth), new[chosen])
    for name, values in whole.items():
        np.testing.assert_allclose(permuted[name], values, rtol=1e-9)
        np.testing.assert_allclose(part[name], values[chosen], rtol=1e-12)


# Maps


def line_evidence(points: list[float], labels: list[int], is_wrong: list[bool]) -> MapEvidence:
    """Maps on one axis, that leave nothing out of it."""
    axes = PrincipalAxes(np.zeros(2), np.asarray([[1.0, 0.0]]), np.ones(1))
    coordinates, residuals = np.asarray(points)[:, None], np.zeros(len(points))
    return MapEvidence(axes, coordinates, residuals, np.asarray(labels), np.asarray(is_wrong))


def test_map_signals_by_hand() -> None:
    evidence = line_evidence([0, 1, 2, 10, 11], [1, 1, 1, 2, 2], [False, False, True, True, True])
    assert evidence.error_shares.tolist() == pytest.approx([1 / 3, 1])
    found = map_signals(evidence, np.asarray([[3.0], [8.0]]), np.asarray([0.0, 4.0]), k=3)
    assert found["cluster"].tolist() == [1, 2] and found["error_share"].tolist() == pytest.approx([1 / 3, 1])
    assert found["neighbour_agreement"].tolist() == pytest.approx([1, 2 / 3])
    assert found["nearest_map_reliability"].tolist() == pytest.approx([2 / 5, 2 / 5])  # all five
    off_axis = [np.hypot(2, 4), np.hypot(3, 4), np.hypot(6, 4)]
    assert found["map_distance"].tolist() == pytest.approx([(1 + 2 + 3) / 3, np.mean(off_axis)])


def test_what_the_axes_leave_out_makes_a_map_distant() -> None:
    evidence = line_evidence([0, 1, 2], [1, 1, 1], [False] * 3)
    vectors = np.asarray([[1.0, 0.0], [1.0, 3.0]])  # the same on the axis
    near, far = map_signals(evidence, *place(evidence.axes, vectors), k=1)["map_distance"]
    assert (near, far) == pytest.approx((0, 3))


def test_places_do_not_depend_on_how_many_maps_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).normal(size=(20, 6))
    evidence, _ = cluster_evidence(vectors, np.arange(20) % 3 == 0, ClusterParams(n_clusters=2), Kernel("median", 1.0))
    whole = place(evidence.axes, vectors)
    monkeypatch.setattr(evidence_module, "BLOCK", 7)
    for found, expected in zip(place(evidence.axes, vectors), whole, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)


@given(st.lists(st.booleans(), min_size=12, max_size=12))
def test_error_shares_are_counts_of_their_clusters(wrong: list[bool]) -> None:
    labels = [1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3]
    evidence = line_evidence(list(range(12)), labels, wrong)
    for c in (1, 2, 3):
        inside = [w for w, label in zip(wrong, labels, strict=True) if label == c]
        assert evidence.error_shares[c - 1] == pytest.approx(sum(inside) / len(inside))


@pytest.mark.parametrize("factor", [1e-3, 8.0])
def test_the_strength_of_maps_changes_no_evidence(factor: float) -> None:
    generator = np.random.default_rng(0)
    maps = generator.uniform(size=(24, 4, 4))
    strength = factor * generator.uniform(0.1, 10, (24, 1, 1))
    is_wrong, params, kernel = np.arange(24) % 4 == 0, ClusterParams(n_clusters=3), Kernel("sigma", 0.2)
    plain, fit = cluster_evidence(map_vectors(maps, 64), is_wrong, params, kernel)
    scaled, other = cluster_evidence(map_vectors(maps * strength, 64), is_wrong, params, kernel)
    assert np.array_equal(fit.labels, other.labels)
    np.testing.assert_allclose(scaled.coordinates, plain.coordinates, atol=1e-9)
    np.testing.assert_allclose(scaled.residuals, plain.residuals, atol=1e-9)


# Parts


def test_parts_are_joined_where_they_belong() -> None:
    first = np.asarray([True, False, False, True])
    parts = {
        1: (first, {"a": np.asarray([1.0, 4.0]), "b": np.asarray([10.0, 40.0])}),
        2: (~first, {"a": np.asarray([2.0, 3.0]), "b": np.asarray([20.0, 30.0])}),
    }
    assert {name: values.tolist() for name, values in joined(parts, 4).items()} == {
        "a": [1, 2, 3, 4],
        "b": [10, 20, 30, 40],
    }
