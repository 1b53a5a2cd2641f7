"""Cross-fitting against an explicit loop over folds, and that a plant's labels never reach its own judgement."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import logit

from storage.errors import InputError
from tasks.classify.answers import Answers
from tasks.cluster import folds
from tasks.cluster.axes import map_vectors
from tasks.cluster.evidence import cluster_evidence, map_signals, place
from tasks.cluster.folds import choose_kernel, cross_fit_maps, fold_clusters, own_novelty, plant_folds
from tasks.cluster.nearest import with_residuals
from tasks.cluster.novelty import cross_conformal_p, distances_without_folds
from tasks.cluster.params import ClusterParams, Kernel
from tasks.score.combine import fit_combination
from tasks.score.held_out import Validation, combined_cross_fit, cross_fit, share_signals
from tasks.score.signals import answer_evidence, answer_signals

PARAMS = ClusterParams(n_clusters=3, n_seeds=2, neighbours=3)
SIGMA = Kernel("sigma", 0.2)
CORNERS = ((0, 0), (0, 3), (3, 0))

# Folds

Plants = st.lists(st.sampled_from([f"plant {i}" for i in range(12)]), min_size=2, max_size=40).filter(
    lambda names: len(set(names)) > 1
)


@given(Plants, st.integers(0, 50), st.integers(2, 7))
def test_folds_hold_whole_plants_and_are_even(plants: list[str], seed: int, n_folds: int) -> None:
    folds = plant_folds(plants, seed, n_folds).tolist()
    of_plant = {(plant, fold) for plant, fold in zip(plants, folds, strict=True)}
    n_plants = len(set(plants))
    assert len(of_plant) == n_plants
    sizes = [sum(fold == k for _, fold in of_plant) for k in range(1, min(n_folds, n_plants) + 1)]
    assert sum(sizes) == n_plants and max(sizes) - min(sizes) <= 1 and min(sizes) >= 1


@given(Plants, st.integers(0, 50), st.randoms(use_true_random=False))
def test_folds_do_not_depend_on_the_order_of_images(plants: list[str], seed: int, random: st.DataObject) -> None:
    shuffled = list(plants)
    random.shuffle(shuffled)  # pyright: ignore[reportAttributeAccessIssue]
    forth, back = (dict(zip(p, plant_folds(p, seed).tolist(), strict=True)) for p in (plants, shuffled))
    assert forth == back


def test_the_seed_deals_plants_out() -> None:
    plants = [f"p{i}" for i in range(30)]
    assert plant_folds(plants, 0).tolist() == plant_folds(plants, 0).tolist() != plant_folds(plants, 1).tolist()


@pytest.mark.parametrize(("plants", "said"), [(["a"] * 4, "1 plant "), ([], "0 plants ")])
def test_one_plant_cannot_be_left_out(plants: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        plant_folds(plants, 0)


# Novelty


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_own_novelty_counts_maps_at_least_as_far(distances: list[int]) -> None:
    found = own_novelty(np.asarray(distances, np.float64) / 7)
    expected = [sum(other >= one for other in distances) / len(distances) for one in distances]
    assert found == pytest.approx(expected)


def maps_of_one_field(n: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Vectors (n, 36) of maps with a bright corner of three, of any strength, and noise everywhere."""
    y, x = np.mgrid[:6, :6]
    corners = np.asarray([[0, 0], [0, 5], [5, 0]])[random.integers(0, 3, n)][:, :, None, None]
    bright = np.exp(-((y - corners[:, 0]) ** 2 + (x - corners[:, 1]) ** 2) / 8)
    return map_vectors((bright + 0.2 * random.random((n, 6, 6))) * random.uniform(0.1, 9, (n, 1, 1)), 64)


def novelty_of(new: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the novelty of new maps, with axes fitted anew, from the cross-fitted distances of the others."""
    n = len(vectors)
    is_wrong = np.arange(n) % 4 == 0
    known = cross_fit_maps(vectors, is_wrong, [f"p{i}" for i in range(n)], PARAMS, SIGMA)
    evidence = cluster_evidence(vectors, is_wrong, PARAMS, SIGMA)[0]
    here, there = with_residuals(*place(evidence.axes, new)), with_residuals(evidence.coordinates, evidence.residuals)
    distances = distances_without_folds(here, there, known.fold, PARAMS.neighbours)
    return cross_conformal_p(distances, known.signals["map_distance"], known.fold)


def test_novelty_of_unseen_maps_is_valid_from_the_maps_on() -> None:
    """Under a level at most as often as that (4 standard errors over fields of 40 and 30 new maps)."""
    random = np.random.default_rng(5)
    fields = [maps_of_one_field(70, random) for _ in range(30)]
    found = np.stack([novelty_of(field[:30], field[30:]) for field in fields])
    for level in (0.05, 0.1, 0.25, 0.5, 0.8):
        shares = (found <= level).mean(axis=1)
        assert shares.mean() <= level + 4 * shares.std(ddof=1) / len(shares) ** 0.5
        assert shares.mean() > level / 4  # valid, and not by calling nothing novel
    strange = map_vectors(np.random.default_rng(6).random((30, 6, 6)) ** 9, 64)
    assert (novelty_of(strange, fields[0]) < 0.05).all()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_novelty_of_exchangeable_maps_is_super_uniform(distances: list[int]) -> None:
    """A map drawn from them has novelty p or less with probability p at most, ties or not."""
    found = own_novelty(np.asarray(distances, np.float64))
    assert all((found <= level + 1e-12).mean() <= level + 1e-12 for level in np.arange(1, 41) / 40)


def test_equal_distances_up_to_rounding_are_equally_novel() -> None:
    assert own_novelty(np.asarray([0.3, 0.1 + 0.2, 0.3, 0.1])).tolist() == [0.75, 0.75, 0.75, 1]


# What is left out


def planted(n_plants: int = 15, seed: int = 0, failing: int = 2) -> Validation:
    """Two maps of each plant, one on each of two dates: three corners, of which one is mostly answered wrongly."""
    generator = np.random.default_rng(seed)
    pattern = np.repeat(np.asarray([0, 1, 2, 0, 1])[np.arange(n_plants) % 5], 2)
    n = len(pattern)
    maps = 0.2 * generator.uniform(size=(n, 4, 4))
    corners = np.asarray(CORNERS)[pattern]
    maps[np.arange(n), corners[:, 0], corners[:, 1]] = 1
    logits = generator.normal(size=(n, 2))
    is_wrong = (pattern == failing) ^ (generator.uniform(size=n) < 0.15)
    features = generator.normal(size=(n, 4)) + logits[:, :1]
    truth, plants = logits.argmax(axis=1) ^ is_wrong, [f"p{i // 2:02}" for i in range(n)]
    return Validation(
        map_vectors(maps, 64), Answers(logits, features), truth, plants, [f"day {i % 2}" for i in range(n)]
    )


def permuted(found: Validation, order: NDArray[np.int64]) -> Validation:
    answers = Answers(found.answers.logits[order], found.answers.features[order])
    plants, dates = ([names[int(i)] for i in order] for names in (found.plants, found.dates))
    return Validation(found.vectors[order], answers, found.truth[order], plants, dates)


def by_loop(found: Validation) -> dict[str, list[float]]:
    """Every image in turn, by evidence from images whose plant is in another fold."""
    folds = plant_folds(found.plants, PARAMS.seed)
    told: dict[str, list[float]] = {}
    for i in range(len(found.plants)):
        rest = np.asarray([fold != folds[i] for fold in folds])
        assert found.plants[i] not in [plant for plant, kept in zip(found.plants, rest, strict=True) if kept]
        one = np.arange(len(folds)) == i
        evidence, _ = cluster_evidence(found.vectors[rest], found.is_wrong[rest], PARAMS, SIGMA)
        of_map = map_signals(evidence, *place(evidence.axes, found.vectors[one]), PARAMS.neighbours)
        of_answer = answer_signals(answer_evidence(found.answers[rest], found.truth[rest]), found.answers[one])
        for name, values in {**of_map, **of_answer}.items():
            told.setdefault(name, []).append(float(values[0]))
        told.setdefault("answer", []).append(1.0 if found.answers.logits[i, 1] > found.answers.logits[i, 0] else -1.0)
        told.setdefault("share_shift", []).append(shift_of(found.dates[i], found.truth[rest], found.dates, rest))
    return told


def shift_of(day: str, truth: NDArray[np.int64], dates: Sequence[str], rest: NDArray[np.bool_]) -> float:
    """Log-odds of a date's share of class 1 minus those of the share on all dates.

    Ten images with the latter share are added to the date.
    """
    here = truth[[other == day for other, kept in zip(dates, rest, strict=True) if kept]]
    return float(logit((here.sum() + 10 * truth.mean()) / (len(here) + 10)) - logit(truth.mean()))


def test_signals_are_those_of_a_loop_over_images() -> None:
    found = planted()
    crossed = cross_fit(found, PARAMS, SIGMA)
    expected = by_loop(found)
    assert set(crossed.signals) == {*expected, "novelty"}
    for name, values in expected.items():
        np.testing.assert_allclose(crossed.signals[name], values, rtol=1e-9, atol=1e-9)
    distances = expected["map_distance"]
    novelty = [np.mean([other >= one - 1e-9 for other in distances]) for one in distances]
    np.testing.assert_allclose(crossed.signals["novelty"], novelty)
    for fold, counts in crossed.clusters.items():
        assert sum(counts.n) == (crossed.fold != fold).sum()
        assert sum(counts.n_wrong) == found.is_wrong[crossed.fold != fold].sum() and counts.problem == ""


def test_with_three_classes_there_is_no_share_of_ready_plants() -> None:
    """No class is ready then, so the combined model gets neither the answer's sign nor the date's share."""
    two, random = planted(), np.random.default_rng(4)
    three = replace(two, answers=Answers(random.normal(size=(30, 3)), two.answers.features), truth=np.arange(30) % 3)
    assert share_signals(two, two.shares()).keys() == {"answer", "share_shift"}
    assert share_signals(three, three.shares()) == {}
    crossed = cross_fit(three, PARAMS, SIGMA)
    assert not {"answer", "share_shift"} & crossed.signals.keys()
    combined = combined_cross_fit(three, crossed, PARAMS, SIGMA)
    assert ((combined > 0) & (combined < 1)).all()


def test_combined_reliability_is_that_of_a_loop_over_folds() -> None:
    found = planted()
    crossed = cross_fit(found, PARAMS, SIGMA)
    combined = combined_cross_fit(found, crossed, PARAMS, SIGMA)
    for fold in range(1, 6):
        out = crossed.fold == fold
        inner = cross_fit(found[~out], PARAMS, SIGMA)  # signals of the other folds, cross-fitted among them
        model = fit_combination(inner.signals, found.is_wrong[~out])
        expected = model.reliability({name: values[out] for name, values in crossed.signals.items()})
        np.testing.assert_allclose(combined[out], expected, rtol=1e-9)


@pytest.mark.parametrize("kernel", [SIGMA, None], ids=["fixed", "chosen"])
@pytest.mark.parametrize("plant", ["p01", pytest.param("p07", marks=pytest.mark.slow)])
def test_a_plants_own_labels_never_reach_its_judgement(
    plant: str, kernel: Kernel | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folds, "KERNELS", folds.KERNELS[::4])  # there is still one to choose
    original = planted(n_plants=8 if kernel is None else 15)
    params = PARAMS.model_copy(update={"n_seeds": 1, "n_clusters": 2}) if kernel is None else PARAMS
    own, predicted = np.asarray([p == plant for p in original.plants]), original.answers.predicted
    found, other = (replace(original, truth=np.where(own, t, original.truth)) for t in (predicted, 1 - predicted))
    crossed = [cross_fit(one, params, kernel) for one in (found, other)]
    same = crossed[0].fold == crossed[0].fold[own][0]
    for name, values in crossed[0].signals.items():
        assert np.array_equal(crossed[1].signals[name][same], values[same]), name
    first, second = (one.signals["error_share"][~same] for one in crossed)
    assert not np.array_equal(first, second)  # whereas they reach those of others
    combined = [combined_cross_fit(one, c, params, kernel) for one, c in zip((found, other), crossed, strict=True)]
    assert np.array_equal(combined[0][same], combined[1][same])
    assert not np.array_equal(combined[0][~same], combined[1][~same])


def test_judgements_follow_their_images() -> None:
    found = planted()
    order = np.random.default_rng(1).permutation(len(found.plants))
    other = permuted(found, order)
    first, second = cross_fit(found, PARAMS, SIGMA), cross_fit(other, PARAMS, SIGMA)
    assert np.array_equal(second.fold, first.fold[order])
    for name, values in first.signals.items():
        if name != "cluster":  # whose numbers, where sizes are equal, go by the first member
            np.testing.assert_allclose(second.signals[name], values[order], atol=1e-9)
    np.testing.assert_allclose(
        combined_cross_fit(other, second, PARAMS, SIGMA),
        combined_cross_fit(found, first, PARAMS, SIGMA)[order],
        atol=1e-4,
    )


def test_two_plants_are_judged_by_each_other() -> None:
    found = planted(n_plants=2)
    crossed = cross_fit(found, PARAMS, SIGMA)  # two maps cannot make three clusters
    assert sorted(set(crossed.fold.tolist())) == [1, 2]
    for fold, counts in crossed.clusters.items():
        out = crossed.fold == fold
        assert counts.n == [2] and counts.problem.startswith("2 saliency maps show only 2 different")
        assert set(crossed.signals["error_share"][out]) == {found.is_wrong[~out].mean()}


def test_where_maps_cannot_be_clustered_the_share_of_all_errors_stands() -> None:
    found = planted()
    counts, evidence = fold_clusters(found.vectors, found.is_wrong, found.plants, PARAMS, Kernel("sigma", 1e-4))
    assert counts.n == [30] and counts.n_wrong == [found.is_wrong.sum()]
    assert counts.problem == "all affinities between the 30 saliency maps are zero"
    assert evidence.error_shares.tolist() == [found.is_wrong.mean()] and set(evidence.labels) == {1}


def test_clusters_of_the_other_folds_are_tested_by_plants() -> None:
    """Every p-value is the share of signs of the plants' differences that sum to as much."""
    found = planted()
    counts, evidence = fold_clusters(found.vectors, found.is_wrong, found.plants, PARAMS, SIGMA)
    for c, p_value in enumerate(counts.p_value, 1):
        excess = dict.fromkeys(found.plants, 0)
        for plant, label, is_wrong in zip(found.plants, evidence.labels, found.is_wrong, strict=True):
            excess[plant] += (label == c) * (1 if is_wrong else -1)
        sizes = [abs(one) for one in excess.values() if one]
        sums = [np.dot(signs, sizes) for signs in product((1, -1), repeat=len(sizes))]
        assert p_value == pytest.approx(np.mean(np.asarray(sums) >= sum(excess.values())))
    assert len(counts.p_value) == len(counts.n) == 3


# The choice of a kernel


def loss(found: Validation, params: ClusterParams, kernel: Kernel) -> float:
    share = cross_fit_maps(found.vectors, found.is_wrong, found.plants, params, kernel).signals["error_share"]
    return float(np.mean((share - found.is_wrong) ** 2))


def test_the_kernel_that_separates_a_planted_failure_is_chosen() -> None:
    found = planted(n_plants=20)
    params = PARAMS.model_copy(update={"affinity": "sigma", "scale": 1e-4, "n_seeds": 1})  # groups nothing
    chosen = choose_kernel(found.vectors, found.is_wrong, found.plants, params)
    assert chosen != params.kernel and loss(found, params, chosen) < loss(found, params, Kernel("sigma", 1e-4)) - 0.05
    fitted, _ = cluster_evidence(found.vectors, found.is_wrong, params, chosen)
    assert max(fitted.error_shares) > 0.7 and min(fitted.error_shares) < 0.3


def test_the_campaigns_own_kernel_is_kept_where_no_other_is_better() -> None:
    found = planted()
    all_right = np.zeros(len(found.plants), np.bool_)
    params = PARAMS.model_copy(update={"affinity": "gamma", "scale": 3.3, "n_seeds": 1})
    assert choose_kernel(found.vectors, all_right, found.plants, params) == Kernel("gamma", 3.3)


def test_a_chosen_kernel_is_chosen_anew_without_every_fold() -> None:
    found = planted(n_plants=10)
    params = PARAMS.model_copy(update={"n_seeds": 1, "n_clusters": 2})
    crossed = cross_fit_maps(found.vectors, found.is_wrong, found.plants, params, None)
    for fold in sorted(set(crossed.fold.tolist())):
        out = crossed.fold == fold
        rest = found[~out]
        kernel = choose_kernel(rest.vectors, rest.is_wrong, rest.plants, params)
        _, evidence = fold_clusters(rest.vectors, rest.is_wrong, rest.plants, params, kernel)
        expected = map_signals(evidence, *place(evidence.axes, found.vectors[out]), params.neighbours)
        np.testing.assert_array_equal(crossed.signals["error_share"][out], expected["error_share"])
