"""Novelty against explicit loops over validation maps, and its false alarms and power over many small fields."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from storage.errors import InputError
from tasks.cluster import novelty as module
from tasks.cluster.axes import fit_axes, map_vectors
from tasks.cluster.evidence import place
from tasks.cluster.folds import plant_folds
from tasks.cluster.nearest import mean_distance, nearest, with_residuals
from tasks.cluster.novelty import cross_conformal_p, distances_without_folds

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def dealt(plants: Ints, n_folds: int) -> Ints:
    """Fold of each map, from 1; maps of a plant are in one fold, and every fold has a plant."""
    return np.unique(plants, return_inverse=True)[1] % n_folds + 1


# Distances without folds


@pytest.mark.parametrize("at_once", [1, 50, 2**22])
@pytest.mark.parametrize("k", [1, 3, 40])
@pytest.mark.parametrize("has_plants", [False, True])
def test_distances_are_those_to_the_maps_outside_each_fold(
    monkeypatch: pytest.MonkeyPatch, at_once: int, k: int, has_plants: bool
) -> None:
    monkeypatch.setattr(module, "DISTANCES_AT_ONCE", at_once)
    random = np.random.default_rng(1)
    plants = np.repeat(np.arange(12), 2)
    maps, reference, folds = random.normal(size=(9, 3)), random.normal(size=(24, 3)), dealt(plants, 4)
    own = np.asarray([0, 1, 2, 3, 11, -1, -1, -1, -1])
    found = distances_without_folds(maps, reference, folds, k, (own, plants) if has_plants else None)
    assert found.shape == (9, 4)
    for i, here in enumerate(maps):
        for fold in range(1, 5):
            left = (folds != fold) & ((plants != own[i]) | (not has_plants))
            apart = sorted(np.linalg.norm(reference[left] - here, axis=1))
            n = min(k, 18 - 2 * has_plants)  # maps outside a fold, without those of a plant
            assert found[i, fold - 1] == pytest.approx(np.mean(apart[:n]))


def test_outside_every_fold_there_must_be_maps_of_other_plants() -> None:
    maps, reference, plants = np.zeros((1, 1)), np.zeros((4, 1)), np.asarray([0, 0, 1, 1])
    assert distances_without_folds(maps, reference, plants + 1, 2).tolist() == [[0, 0]]
    with pytest.raises(InputError, match="other validation maps"):
        distances_without_folds(maps, reference, plants + 1, 2, (np.asarray([0]), plants))
    with pytest.raises(InputError, match="other validation maps"):
        distances_without_folds(maps, reference, np.ones(4, np.int64), 2)


# p-values


@given(
    known=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), min_size=1, max_size=15),
    scores=st.lists(st.tuples(*[st.integers(0, 6)] * 3, st.integers(-1, 4)), max_size=8),
    has_plants=st.booleans(),
)
def test_p_values_count_and_do_not_know_rounding(
    known: list[tuple[int, int]], scores: list[tuple[int, int, int, int]], has_plants: bool
) -> None:
    """Known distances with their plants, of which plant p is in fold p % 3 + 1; scores without each fold."""
    expected: list[float] = []
    for *without, plant in scores:
        others = [(r, p % 3) for r, p in known if not (has_plants and p == plant)]
        expected.append((1 + sum(r >= without[fold] for r, fold in others)) / (1 + len(others)))
    shaken = 0.1 * np.asarray([one[:3] for one in scores], np.float64).reshape(-1, 3) * (1 + 1e-13)
    there = np.asarray([plant for _, plant in known])
    own = np.asarray([one[3] for one in scores], np.int64), there
    found = cross_conformal_p(
        shaken, 0.1 * np.asarray([r for r, _ in known]), there % 3 + 1, own if has_plants else None
    )
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("unit", [1.0, 1e-12, 1e12])
def test_p_values_by_hand_in_any_unit(unit: float) -> None:
    """Distances 3 and 1 in fold 1, 2 and 2 in fold 2. Without fold 1 the map is 2 from the others, else 2.5."""
    known, folds = unit * np.asarray([3.0, 1.0, 2.0, 2.0]), np.asarray([1, 1, 2, 2])
    assert cross_conformal_p(unit * np.asarray([[2.0, 2.5]]), known, folds) == pytest.approx([2 / 5])
    one = cross_conformal_p(unit * np.repeat([[0.0], [2.0], [2.5], [3.0], [4.0]], 2, axis=1), known, folds)
    assert one == pytest.approx([1, 0.8, 0.4, 0.4, 0.2])


@pytest.mark.parametrize("decimals", [8, 0])  # without ties and with many
def test_exchangeable_scores_have_super_uniform_p_values(decimals: int) -> None:
    """With the same score without each fold, the p-value is the conformal one."""
    draws, folds = np.random.default_rng(1).normal(size=(10_000, 20)).round(decimals), np.arange(19) % 3 + 1
    p = np.concatenate([cross_conformal_p(np.full((1, 3), draw[0]), draw[1:], folds) for draw in draws])
    for level in (0.05, 0.1, 0.25, 0.5, 0.9):
        share, error = (p <= level + 1e-12).mean(), np.sqrt(level * (1 - level) / len(p))
        assert share <= level + 4 * error
        assert decimals == 0 or share >= level - 4 * error  # without ties it is exact at multiples of 1 / 20


# Maps


def novelty_of(new: Floats, vectors: Floats, plants: Ints) -> Floats:
    """Novelty of new maps by axes of all validation maps; each validation map has axes without its own fold."""
    folds, known = plant_folds([f"p{i}" for i in plants], 0), np.empty(len(vectors))
    for fold in np.unique(folds):
        out = folds == fold
        axes = fit_axes(vectors[~out], 50)
        known[out] = mean_distance(*place(axes, vectors[out]), *place(axes, vectors[~out]), 5)
    axes = fit_axes(vectors, 50)
    here, there = (with_residuals(*place(axes, maps)) for maps in (new, vectors))
    return cross_conformal_p(distances_without_folds(here, there, folds, 5), known, folds)


def field_maps(plants: Ints, random: np.random.Generator, noise: float = 0.2, alike: float = 0.8) -> Floats:
    """Vectors (n, 64) of maps with one of five bright spots; spots and noise of a plant's maps are mostly the same."""
    y, x = np.mgrid[:8, :8] / 7
    spots = np.random.default_rng(99).random((5, 2))
    names, which = np.unique(plants, return_inverse=True)
    same = random.random(len(which)) < alike
    spot = spots[np.where(same, random.integers(0, 5, len(names))[which], random.integers(0, 5, len(which)))]
    bright = np.exp(-((y - spot[:, :1, None]) ** 2 + (x - spot[:, 1:, None]) ** 2) / 0.08)
    own, other = random.normal(size=(len(names), 8, 8))[which], random.normal(size=(len(which), 8, 8))
    return map_vectors(bright + noise * (alike**0.5 * own + (1 - alike) ** 0.5 * other), 64)


def shares_of_novel(n_plants: int, per_plant: int, noise: float, n_fields: int = 40) -> Floats:
    """Share of 100 new plants' maps with novelty under 0.05, in each of some fields."""
    random, plants = np.random.default_rng(3), np.repeat(np.arange(n_plants), per_plant)
    fields = ((field_maps(np.arange(100), random, noise), field_maps(plants, random), plants) for _ in range(n_fields))
    return np.asarray([(novelty_of(*field) < 0.05).mean() for field in fields])


@pytest.mark.parametrize(("n_plants", "per_plant"), [(60, 1), (60, 2)])
def test_false_alarms_are_near_nominal(n_plants: int, per_plant: int) -> None:
    """Within 0.035 and 0.055, and 3 standard errors over fields, of which each has its own validation maps."""
    shares = shares_of_novel(n_plants, per_plant, noise=0.2)
    error = 3 * shares.std(ddof=1) / len(shares) ** 0.5
    assert 0.035 - error < shares.mean() < 0.055 + error and error < 0.025


def test_a_fold_that_is_left_out_makes_no_map_look_less_novel() -> None:
    random = np.random.default_rng(4)
    reference, new, folds = random.normal(size=(60, 4)), 1.2 * random.normal(size=(200, 4)), np.arange(60) % 5 + 1
    known = np.diag(distances_without_folds(reference, reference, folds, 5)[:, folds - 1])
    to_all = np.repeat(nearest(new, reference, 5)[1].mean(axis=1)[:, None], 5, axis=1)
    without = cross_conformal_p(distances_without_folds(new, reference, folds, 5), known, folds)
    assert (without <= cross_conformal_p(to_all, known, folds)).all()
    assert without.mean() < cross_conformal_p(to_all, known, folds).mean() - 0.01


def test_maps_of_another_kind_are_novel() -> None:
    assert shares_of_novel(60, 1, noise=0.6, n_fields=10).mean() > 0.9


def test_a_map_off_the_axes_is_unlike_the_others_although_its_coordinates_are_ordinary() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(60, 20)) * ([1.0] * 3 + [0.01] * 17)
    axes = fit_axes(vectors, 3)
    coordinates, residuals = place(axes, vectors)
    own = np.arange(60), np.arange(60)
    ordinary = vectors[np.abs(coordinates).sum(axis=1).argmin()][None]
    off = np.linalg.svd(axes.components)[2][[-1]]  # orthogonal to every axis
    placed, left_out = place(axes, np.concatenate([ordinary, ordinary + 3 * off]))
    np.testing.assert_allclose(placed[0], placed[1], atol=1e-9)

    def novelty(maps: Floats, reference: Floats) -> Floats:
        known, folds = nearest(reference, reference, 3, own)[1].mean(axis=1), np.arange(60) % 5 + 1
        return cross_conformal_p(distances_without_folds(maps, reference, folds, 3), known, folds)

    found = novelty(with_residuals(placed, left_out), with_residuals(coordinates, residuals))
    assert found[0] > 0.1 and found[1] == pytest.approx(1 / 61)
    assert novelty(placed, coordinates)[1] > 0.1  # blind
